from __future__ import annotations

import math
from collections import Counter

import pytest

from comal.policies.base import Completion, Prompt, answer_id, derive_seed
from comal.policies.scripted import ScriptedPolicy

PROMPTS = [Prompt.of_text("first"), Prompt.of_text("another")]
POLICY = ScriptedPolicy({"first": {"yes": 0.25, "no": 0.75}}, default={"perhaps": 1.0})


def test_the_same_seed_draws_the_same_answers_and_another_seed_others() -> None:
    draws = [POLICY.sample(PROMPTS, 50, seed) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert [len(group) for group in draws[0]] == [50, 50]


def test_frequencies_follow_the_table() -> None:
    counts = Counter(c.text for c in POLICY.sample(PROMPTS[:1], 4000, 0)[0])
    assert counts["yes"] / 4000 == pytest.approx(0.25, abs=0.03)  # 4 standard errors


def test_log_probs_are_those_of_the_table() -> None:
    answers = [[Completion("no", (1,), True), Completion("yes", (0,), True)], [Completion("perhaps", (0,), True)]]
    first, second = POLICY.log_probs(PROMPTS, answers)
    assert first == pytest.approx([math.log(0.75), math.log(0.25)])
    assert second == pytest.approx([0.0])


def test_tables_that_are_no_distributions_and_unknown_prompts_are_refused() -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        ScriptedPolicy({"x": {"a": 0.6, "b": 0.6}})
    with pytest.raises(ValueError, match="at least 0"):
        ScriptedPolicy({"x": {"a": 1.5, "b": -0.5}})
    with pytest.raises(KeyError, match="no answers to 'other'"):
        ScriptedPolicy({"x": {"a": 1.0}}).sample([Prompt.of_text("other")], 1, 0)


def test_prompts_and_answers_have_stable_names_that_tell_them_apart() -> None:
    prompt = Prompt.of_text("How long is a yard?")
    assert prompt.id == Prompt.of_text("How long is a yard?").id == "248e1111f10d"
    assert prompt.text == "How long is a yard?"
    chat = Prompt(({"role": "system", "content": "Be brief."}, {"role": "user", "content": "How long is a yard?"}))
    assert chat.id != prompt.id
    assert chat.text == "System: Be brief.\n\nUser: How long is a yard?"
    done, cut = (Completion("3 feet", (1, 2), finished) for finished in (True, False))
    names = {answer_id(p, c) for p in (prompt, chat) for c in (done, cut)}
    assert len(names) == 4
    assert answer_id(prompt, done) == answer_id(prompt, Completion("3 feet", (7,), True))


def test_seeds_depend_on_every_part() -> None:
    parts = [(0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a", 2), ("a", 0, 1), (0, "a1")]
    assert len({derive_seed(*p) for p in parts}) == len(parts)
    assert all(0 <= derive_seed(*p) < 2**31 for p in parts)

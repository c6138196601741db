"""Names of prompts and answers, and seeds."""

from __future__ import annotations

from comal.policies.base import Completion, Prompt, answer_id, derive_seed


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

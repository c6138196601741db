"""Prompts that a policy can be shown, and what is done about the others: said, counted, and the same for the judge."""

from __future__ import annotations

from typing import Any

import pytest

import tiny_models
from comal.errors import DataError, PolicyError
from comal.pipeline.data.fit import encoder_of, fit_pairs, fit_prompts, require_positions
from comal.pipeline.data.prompts import Pair, PromptSplits
from comal.policies.base import Prompt
from comal.recipes.settings import PolicySettings

LONG = Prompt.of_text("Summarise this. " + "word " * 100)
SHORT = [Prompt.of_text(f"Why {i}?") for i in range(6)]
TESTED = Prompt.of_text("Translate this. " + "word " * 100)
SPLITS = PromptSplits((LONG, SHORT[0], SHORT[1]), (SHORT[2], SHORT[3]), (SHORT[4], TESTED, SHORT[5]))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_models.save_causal_lm(tmp_path_factory.mktemp("base"))


def settings(base: str, **changes: Any) -> PolicySettings:
    return PolicySettings(**({"model": base, "max_prompt_tokens": 60, "max_new_tokens": 8} | changes))


def test_a_long_prompt_is_cut_where_it_lies_so_that_everybody_sees_the_same(base: str) -> None:
    policy = settings(base, system_prompt="Be brief.")
    encoder = encoder_of(policy)
    found = fit_prompts(SPLITS, encoder, policy)
    cut = found.splits.train[0]
    assert LONG.text.startswith(cut.text)
    assert "Summarise this. word" in cut.text
    assert encoder.whole(cut) == encoder(LONG), "what the policy reads is what the judge is shown"
    assert len(encoder.whole(cut)) <= 60
    assert found.splits.train[1:] == SPLITS.train[1:]
    assert found.long == {"train": 1, "validation": 0, "test": 1}
    assert found.longest == max(len(encoder(LONG)), len(encoder(TESTED)))
    line = found.line()
    assert line is not None
    assert line.startswith("1 train, 1 test prompts are longer than policy.max_prompt_tokens (60)")


def test_prompts_that_differ_where_they_are_cut_are_one_prompt_and_stay_held_out(base: str) -> None:
    """Else the policy would be trained on what it is tested on."""
    policy = settings(base)
    first, second, third = (Prompt.of_text("Summarise this. " + "word " * 100 + end) for end in ("one", "two", "three"))
    splits = PromptSplits((first, second, SHORT[0]), SPLITS.validation, (SHORT[4], third))
    found = fit_prompts(splits, encoder_of(policy), policy)
    assert found.splits.train == (SHORT[0],)
    assert found.splits.test[0] == SHORT[4]
    assert third.text.startswith(found.splits.test[1].text)
    assert found.long == {"train": 2, "validation": 0, "test": 1}
    assert found.to_json()["same"] == 2
    assert str(found.line()).endswith("; 2 that are then the same as others are left out")
    with pytest.raises(DataError, match=r"prompts.train: 0 are left, .* and, cut, are the same as others; raise it"):
        fit_prompts(PromptSplits((first,), SPLITS.validation, (SHORT[4], third)), encoder_of(policy), policy)


def test_long_prompts_are_dropped_or_refused_on_demand(base: str) -> None:
    dropping = settings(base, long_prompts="drop")
    found = fit_prompts(SPLITS, encoder_of(dropping), dropping)
    assert found.splits == PromptSplits(SPLITS.train[1:], SPLITS.validation, (SHORT[4], SHORT[5]))
    assert "left out" in str(found.line())
    refusing = settings(base, long_prompts="refuse")
    with pytest.raises(PolicyError, match=r"'Translate this.*' has \d+ tokens, more than 60; raise it"):
        fit_prompts(SPLITS, encoder_of(refusing), refusing)
    only = PromptSplits(SPLITS.train, SPLITS.validation, (LONG, SHORT[0]))
    with pytest.raises(DataError, match=r"prompts.test: 1 are left, since 1 are longer"):
        fit_prompts(only, encoder_of(dropping), dropping)


def test_prompts_that_fit_are_left_alone(base: str) -> None:
    short = PromptSplits(tuple(SHORT[:2]), tuple(SHORT[2:4]), tuple(SHORT[4:]))
    found = fit_prompts(short, encoder_of(settings(base)), settings(base))
    assert found.splits == short
    assert found.line() is None


def test_supervised_pairs_are_treated_alike(base: str) -> None:
    pairs = [Pair(LONG, "Yes."), Pair(SHORT[0], "No.")]
    cut = fit_pairs(pairs, encoder_of(settings(base)), settings(base))
    assert [p.answer for p in cut] == ["Yes.", "No."]
    assert len(cut[0].prompt.text) < len(LONG.text)
    dropping = settings(base, long_prompts="drop")
    assert fit_pairs(pairs, encoder_of(dropping), dropping) == pairs[1:]
    with pytest.raises(DataError, match="all prompts are longer"):
        fit_pairs(pairs[:1], encoder_of(dropping), dropping)


def test_answers_beyond_the_models_positions_are_refused(base: str) -> None:
    require_positions(1016, settings(base), base)
    with pytest.raises(
        PolicyError, match=r"longest prompt has 1017 tokens.* beyond the 1024 positions.* to 1016 at most"
    ):
        require_positions(1017, settings(base), base)

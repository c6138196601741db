"""Answers on disk: what is saved is loaded, drawn once, and refused for other prompts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comal.errors import RunError
from comal.pipeline.disk.files import read_table
from comal.pipeline.step.samples import Samples, sample_once, score
from comal.policies.base import Completion, Prompt, derive_seed
from comal.policies.door import Agreement, Gap
from comal.policies.engines.transformers import TransformersSampler

PROMPTS = (Prompt.of_text("x"), Prompt.of_text("y"), Prompt.of_text("z"))
COMPLETIONS = st.builds(Completion, st.text(), st.lists(st.integers(0, 9), max_size=4).map(tuple), st.booleans())


def made(count: int = 2) -> Samples:
    groups = [[Completion(f"{p.text}{k}", (k, 7), finished=k > 0) for k in range(count)] for p in PROMPTS]
    return Samples(PROMPTS, tuple(map(tuple, groups)))


@settings(max_examples=25)
@given(
    st.integers(1, 3).flatmap(lambda k: st.lists(st.lists(COMPLETIONS, min_size=k, max_size=k), min_size=3, max_size=3))
)
def test_what_is_saved_is_loaded(tmp_path_factory: pytest.TempPathFactory, groups) -> None:
    path = tmp_path_factory.mktemp("s") / "samples.parquet"
    samples = Samples(PROMPTS, tuple(map(tuple, groups)))
    samples.save(path)
    assert Samples.load(path, PROMPTS) == samples


def test_one_row_an_answer_with_ids_and_extra_columns(tmp_path: Path) -> None:
    samples = made()
    samples.save(tmp_path / "s.parquet", weight=[1, 2, 3, 4, 5, 6])
    table = read_table(tmp_path / "s.parquet")
    assert table["prompt_id"] == [p.id for p in PROMPTS for _ in range(2)]
    assert table["answer_id"] == [a for group in samples.answer_ids() for a in group]
    assert table["text"] == ["x0", "x1", "y0", "y1", "z0", "z1"]
    assert table["weight"] == [1, 2, 3, 4, 5, 6]


def test_parts_texts_and_figures() -> None:
    samples = made(3)
    assert samples.texts == [["x0", "x1", "x2"], ["y0", "y1", "y2"], ["z0", "z1", "z2"]]
    assert samples.part(1).texts == [["x1", "x2"], ["y1", "y2"], ["z1", "z2"]]
    assert samples.part(0, 1).prompts == PROMPTS
    assert samples.mean_tokens == 2.0
    assert samples.unfinished == pytest.approx(1 / 3)


def test_equal_answers_have_equal_ids_and_cut_ones_others() -> None:
    whole, again, cut = Completion("a", (1,), True), Completion("a", (2, 3), True), Completion("a", (1,), False)
    samples = Samples(PROMPTS[:2], ((whole, again, cut), (whole, again, cut)))
    (a, b, c), (d, _, _) = samples.answer_ids()
    assert a == b != c
    assert a != d, "an answer belongs to its prompt"


@pytest.mark.parametrize("others", [PROMPTS[:2], PROMPTS[::-1], (*PROMPTS, Prompt.of_text("w"))])
def test_answers_to_other_prompts_are_refused(tmp_path: Path, others) -> None:
    made().save(tmp_path / "s.parquet")
    with pytest.raises(RunError, match=r"s\.parquet: the file holds answers to other prompts; remove it"):
        Samples.load(tmp_path / "s.parquet", others)


class Drawer:
    """A stand-in for a policy: answers say which call and prompt they come from."""

    agreement = Agreement(1, Gap(0.0, 0.0), None, None, 1e-3)  # looked at before
    in_step = False

    def __init__(self, batch_size: int) -> None:
        self.decoding = type("D", (), {"batch_size": batch_size})()
        self.score_batch = batch_size
        self.calls: list[tuple[list[str], int, int]] = []

    def sample(self, prompts, count, seed):
        self.calls.append(([p.text for p in prompts], count, seed))
        return [[Completion(f"{p.text} {seed} {k}", (k,), True) for k in range(count)] for p in prompts]

    def encoder(self, prompt):
        return [ord(c) for c in prompt.text]

    def score_groups(self, groups):
        self.calls.append(([chr(prompt[0]) for prompt, _ in groups], len(groups), 0))
        return [[prompt[0] + sum(ids) / 100 for ids in answers] for prompt, answers in groups]


def test_drawn_once_in_batches_and_prompts_that_come_twice_get_other_answers(tmp_path: Path) -> None:
    policy, prompts = Drawer(4), (PROMPTS[0], PROMPTS[1], PROMPTS[0])
    drawn = sample_once(tmp_path / "s.parquet", TransformersSampler(policy), prompts, 2, seed=5)
    assert policy.calls == [(["x", "y"], 2, derive_seed(5, 0)), (["x"], 2, derive_seed(5, 2))]
    assert drawn.texts[0] != drawn.texts[2]
    assert sample_once(tmp_path / "s.parquet", None, prompts, 2, seed=5) == drawn, "needs no policy again"
    assert len(policy.calls) == 2


def test_scores_come_back_in_the_order_of_the_prompts() -> None:
    """Batches are cut from prompts sorted by length; x is long here."""
    groups = ((Completion("", (1, 2, 3), True), Completion("", (4, 5), True)),) + (
        (Completion("", (1,), True), Completion("", (2,), True)),
    ) * 2
    policy = Drawer(2)
    found = score(policy, Samples(PROMPTS, groups))
    assert [call[0] for call in policy.calls] == [["y"], ["z"], ["x"]]
    np.testing.assert_allclose(found, [[120.06, 120.09], [121.01, 121.02], [122.01, 122.02]])

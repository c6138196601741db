"""Figures of several seeds: those of each run, averaged prompt by prompt."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_run
from comal.errors import RunError
from comal.evaluation.estimates import DIFFERENCE, SHARE, estimate
from comal.pipeline.disk.files import read_table
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.run.run import Run
from comal.recipes.load import validate
from comal.tasks.everyday import kind_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunFolder]:
    """Of one recipe and two seeds."""
    folder, made = tmp_path_factory.mktemp("seeds"), []
    for seed in (0, 1):
        values = tiny_run.values(folder / "data", steps=1) | {"seed": seed}
        values["evaluation"] = values["evaluation"] | {"classes": "comal.tasks.everyday:kind_of", "best_of": [2]}
        with Run(folder / f"s{seed}", validate(values)) as run:
            run.execute()
        made.append(RunFolder(folder / f"s{seed}"))
    return made


@pytest.fixture
def seeds() -> Any:
    return importlib.import_module("chat_seeds")


def test_figures_of_one_run_are_its_own(runs: list[RunFolder], seeds: Any) -> None:
    result, found = runs[0].result(), seeds.figures_of(runs[:1])
    assert set(found) == {"start", *result.methods}
    for name in result.methods:
        own = result.policies[name].figures
        assert own.win_rate is not None
        assert found[name].values["against the start"].mean() == pytest.approx(own.win_rate.mean)
        assert found[name].shares == pytest.approx(own.classes)
    assert "against the start" not in found["start"].values


def test_runs_that_do_not_belong_together_are_refused(runs: list[RunFolder], seeds: Any) -> None:
    with pytest.raises(RunError, match=r"has another seed than .*s0, or other test prompts"):
        seeds.figures_of(runs)
    with pytest.raises(RunError, match="has a method `comal`, and so has another run of this seed"):
        seeds.figures_of([runs[0], runs[0]])


def test_seeds_are_averaged_and_methods_compared_prompt_by_prompt(
    seeds: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    titles = ["strongest of all", "strongest other policy", "strongest kind alone", "best of N"]
    drawn = {name: rng.random((2, 4, 10)) for name in ("comal", "fixed-reference")}
    of_seed = [
        {
            name: seeds.Figures(dict(zip(titles, values[s], strict=True)), {"list": 0.25})
            for name, values in drawn.items()
        }
        for s in range(2)
    ]
    seeds.show(of_seed)
    lines = capsys.readouterr().out.splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| fixed")]
    ours, theirs = (drawn[name].mean(axis=0) for name in ("comal", "fixed-reference"))
    assert rows[0][1:] == ["–", *(str(estimate(values, SHARE)) for values in theirs)]
    assert rows[1][1:] == [str(estimate(values, DIFFERENCE)) for values in theirs - ours]
    assert rows[2][1:] == ["list 0.25", "list 0.25"]


def test_the_picture_is_of_the_answers_that_steps_were_trained_on(runs: list[RunFolder], tmp_path: Path) -> None:
    figure = importlib.import_module("chat_figure")
    (shares,) = figure.shares_of(runs[:1]).values()
    texts = read_table(runs[0].method("comal").step_folders()[0].samples)["text"]
    assert {kind: share.tolist() for kind, share in shares.items()} == {
        kind: [sum(kind_of(text) == kind for text in texts) / len(texts)] for kind in ("brief", "list", "prose")
    }
    figure.draw(tmp_path / "kinds.png", [figure.shares_of([run]) for run in runs])
    assert (tmp_path / "kinds.png").read_bytes()[:4] == b"\x89PNG"

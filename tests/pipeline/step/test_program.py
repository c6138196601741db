"""What a walk of a program says that each instruction costs is what a real run of it drew and had judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_run
from comal.algorithms.base import POLICY, TARGET, Algorithm, Certify, Copy, Mix, Opponents, Program, ProxStep, only
from comal.algorithms.comal import COMAL
from comal.algorithms.inpo import INPO
from comal.algorithms.omwu import OMWU
from comal.errors import ConfigError
from comal.losses.base import Loss
from comal.pipeline.cost.walk import method_cost
from comal.pipeline.disk.files import read_notes, read_table
from comal.pipeline.disk.journal import FileJournal, describe_instruction
from comal.pipeline.run.run import Run
from comal.pipeline.step.fits import refuse_unsampleable, trl_is_installed
from comal.pipeline.step.program import InstructionCost, walk
from comal.plugins import ALGORITHMS, LOSSES
from comal.recipes.load import validate
from comal.recipes.settings import SamplingSettings

STEPS, SAMPLING = 3, SamplingSettings(prompts=4, samples=3)
VALUES = {"eta": 1.5, "tau": 0.2}
"""For options that have no default."""
OTHERS: dict[str, dict[str, Any]] = {
    "online_grpo": {"updates": 2},
    "mpo": {"period": 2},
    "rspo": {"reverse_tau": 0.2, "forward_tau": 0.1},
    "slhf": {"follower_tau": 0.3},
}
ON_A_MODEL: dict[str, Mapping[str, Any]] = {
    "comal": {"name": "comal", "inner": tiny_run.INPO, "inner_steps": 1, "update": "copy"},
    "comal-certified": {"name": "comal", "inner": tiny_run.INPO, "update": "copy"},
    "comal-best-response": {"name": "comal", "inner": tiny_run.INPO},
    "comal-over-egpo": {"name": "comal", "inner": VALUES | {"name": "egpo"}, "inner_steps": 1, "update": "copy"},
}
"""What a language model follows of an algorithm whose defaults it does not."""


def specification(name: str) -> dict[str, Any]:
    given = VALUES | OTHERS.get(name, {})
    fields = dataclasses.fields(ALGORITHMS.find(name, "algorithm"))
    return {"name": name} | {
        f.name: given[f.name] for f in fields if f.name in OTHERS.get(name, {}) or f.default is dataclasses.MISSING
    }


def followed() -> dict[str, Mapping[str, Any]]:
    """Every algorithm that ships and that a language model can follow, by a name for its folder."""
    found: dict[str, Mapping[str, Any]] = {}
    for name in ALGORITHMS.names():
        try:
            refuse_unsampleable(ALGORITHMS.build(specification(name), name), name)
        except ConfigError:
            variants = {key: spec for key, spec in ON_A_MODEL.items() if spec["name"] == name}
            assert variants, f"{name} needs the whole preference matrix: is there nothing of it for models?"
            found |= variants
        else:
            found[name] = specification(name)
    return found


METHODS = followed()


def loss_of(spec: Mapping[str, Any]) -> str:
    """The one that takes its steps."""
    steps = refuse_unsampleable(ALGORITHMS.build(spec, "algorithm"), "algorithm")
    return next((step.loss for step in steps if isinstance(step, ProxStep) and step.loss is not None), "group")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each method's folder in a finished run; methods of one loss share a run, all runs a starting model."""
    here = tmp_path_factory.mktemp("runs")
    by_loss: dict[str, dict[str, Mapping[str, Any]]] = {}
    for key, spec in METHODS.items():
        if spec["name"] != "online_grpo" or trl_is_installed():
            by_loss.setdefault(loss_of(spec), {})[key] = spec
    found: dict[str, Path] = {}
    start = None
    for name, methods in by_loss.items():
        main = next(key for key, spec in methods.items() if spec["name"] == key)
        loss: Loss = LOSSES.build(name, "loss")
        values = tiny_run.values(here / "data", methods[main], steps=STEPS)
        values["baselines"] = {key: spec for key, spec in methods.items() if key != main}
        values["sampling"] = SAMPLING.model_dump()
        values["training"] |= {"loss": name, "pairing": "random" if loss.pairs else None}
        values["evaluation"] |= {"every": 1000, "best_of": [], "pool_size": 0}
        if start is not None:
            values["policy"] = {"model": str(start), "max_new_tokens": 1}
            del values["supervised"]
        with Run(here / name, validate(values)) as run:
            run.execute()
        start = start or here / name / "supervised"
        found |= {key: here / name / key for key in methods}
    return found


def drawn(method: Path) -> int:
    """Answers in all files that training drew."""
    steps = (p for p in (method / "steps").rglob("*.parquet") if p.stem.endswith("samples") or "opponent" in p.stem)
    return sum(len(read_table(p)["answer_id"]) for p in [*steps, *(method / "certificates").glob("*/[pr]*.parquet")])


def judged(table: Mapping[str, list[Any]], K: int) -> int:
    """Pairs of answers that a file of verdicts is about: of K answers with each other, or with K others."""
    first, second = (np.reshape(table[name], (-1, K, K)) for name in ("first_id", "second_id"))
    asked = np.reshape(table["asked"], (-1, K, K))
    itself = bool((first[:, :, 0] == second[:, 0, :]).all())
    return int(np.triu(asked, 1).sum() if itself else asked.sum())


@pytest.mark.parametrize("key", METHODS)
def test_a_run_draws_and_has_judged_what_the_walk_says(key: str, runs: dict[str, Path]) -> None:
    if key not in runs:
        pytest.skip("trl is not installed")
    rule: Algorithm = ALGORITHMS.build(METHODS[key], "algorithm")
    journal = FileJournal(runs[key] / "journal.jsonl")
    walked = list(zip(journal.entries, walk(rule, SAMPLING, journal.reports), strict=False))
    assert [e["instruction"] for e in journal.entries] == [describe_instruction(i) for _, (i, _) in walked]
    assert [e["metrics"].get("comparisons", 0) for e in journal.entries] == [cost.pairs for _, (_, cost) in walked]
    total = sum((cost for _, (_, cost) in walked), InstructionCost())
    assert drawn(runs[key]) == total.answers
    files = list(runs[key].rglob("*verdicts*.parquet"))
    assert sum(judged(read_table(path), SAMPLING.samples) for path in files) == total.pairs
    # Answers are single letters, which repeat: of equal pairs the judge sees one, so the count is a bound of questions.
    assert sum(read_notes(path)["oracle"]["questions"] for path in files) <= total.pairs
    # A plan knows no reports. Its figures are exact unless the program decides by certificates: then they are bounds.
    sampling = tiny_run.values(runs[key].parent / "data", METHODS[key], steps=STEPS) | {"sampling": SAMPLING}
    planned = method_cost(key, rule, validate(sampling))
    if any(isinstance(instruction, Certify) for _, (instruction, _) in walked):
        assert (planned["comparisons"], planned["answers"]) >= (total.pairs, total.answers)
    else:
        assert (planned["comparisons"], planned["answers"]) == (total.pairs, total.answers)
        assert planned["prompts"] == total.prompts


AMONG, AGAINST = 4 * 3, 4 * 9  # pairs of a step of 4 prompts: among 3 answers, and of these with 3 others


def costs(rule: Algorithm, count: int, **options: Any) -> list[tuple[int, int]]:
    """Pairs and answers of the first instructions that have any."""
    paid = ((c.pairs, c.answers) for _, c in walk(rule, SAMPLING, **options) if c != InstructionCost())
    return [next(paid) for _ in range(count)]


def test_policies_are_compared_and_not_the_names_of_their_roles() -> None:
    """OMWU's `current` and `previous` are both the initial policy at first."""
    assert costs(OMWU(1.0), 2) == [(2 * AMONG, 12), (AMONG + AGAINST, 24)]


def test_a_target_is_the_initial_policy_unless_another_is_given() -> None:
    rule = ALGORITHMS.build({"name": "best_response", "eta": 1.0}, "algorithm")
    assert costs(rule, 2) == [(AMONG, 12), (AGAINST, 24)]
    assert costs(rule, 2, given={TARGET: "another"}) == [(AGAINST, 24)] * 2
    itself = {POLICY: "one", "reference": "one", TARGET: "one"}
    assert costs(rule, 2, given=itself) == costs(rule, 2)


@dataclasses.dataclass(frozen=True)
class Meeting(Algorithm):
    """Steps against fixed opponents, after the policy left the other roles' one."""

    opponents: tuple[tuple[float, Mix], ...]

    def program(self) -> Program:
        """A copy of a role that was never written, then steps."""
        yield Copy("unheard", "copied")
        while True:
            yield ProxStep(only(POLICY), Opponents(self.opponents), 1.0)


def test_an_opponent_that_comes_twice_is_drawn_once_and_judged_twice() -> None:
    twice = Meeting(((0.5, only(POLICY)), (0.25, only("reference")), (0.25, only("reference"))))
    assert costs(twice, 2) == [(3 * AMONG, 12), (AMONG + 2 * AGAINST, 24)]


def test_mixtures_of_the_same_roles_by_other_weights_are_refused() -> None:
    """Their answers would lie in one file."""
    mixes = [Mix({POLICY: w, "reference": 1 - w}) for w in (0.25, 0.75)]
    with pytest.raises(ConfigError, match="mix policy and reference by different weights"):
        refuse_unsampleable(Meeting(tuple((0.5, mix) for mix in mixes)), "algorithm")
    refuse_unsampleable(Meeting(tuple((0.5, mixes[0]) for _ in range(2))), "algorithm")


def test_a_certificate_that_fails_costs_more_where_the_reference_is_trained() -> None:
    """A round that is solved takes two steps and one certificate; none is solved: each step has a certificate."""
    rule = COMAL(inner=INPO(1.0, 0.1))
    recipe = validate(
        {
            "name": "x", "policy": {"model": "m"}, "prompts": {"train": {"source": "p.jsonl"}}, "judge": "j",
            "algorithm": "comal", "steps": 4, "sampling": SAMPLING.model_dump(),
        }
    )  # fmt: skip
    assert method_cost("x", rule, recipe)["comparisons"] == 4 * AMONG + 3 * AGAINST
    assert method_cost("x", rule, recipe)["reference_moves"] == 2
    copied = dataclasses.replace(rule, update="copy")
    assert method_cost("x", copied, recipe)["comparisons"] == 4 * AMONG + 3 * AGAINST
    assert method_cost("x", OMWU(1.0), recipe)["reference_moves"] == 0, "it copies other roles"

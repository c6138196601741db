"""A tiny recipe measured with a clock that ticks a second whenever it is read, so that every call takes a second."""

from __future__ import annotations

import dataclasses
import io
import sys
import tempfile
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from rich.console import Console

import gguf_files
import outside_engines
import tiny_models
import tiny_run
from comal.cli.display.calibration import duration, show
from comal.errors import ConfigError, PolicyError
from comal.pipeline.cost.calibration import priced
from comal.pipeline.cost.clock import Seconds
from comal.pipeline.cost.measured import Measured, measured
from comal.pipeline.cost.recipe import recipe_cost
from comal.pipeline.cost.start import prepare
from comal.pipeline.cost.unit_cost import UnitCost
from comal.pipeline.cost.work import UNITS
from comal.pipeline.run.resolved import ResolvedRecipe, resolve
from comal.policies.engines.outside.process import EngineProcess
from comal.policies.loading import load_causal_lm
from comal.recipes.load import validate
from command_line import comal, refused

NOBODY = {
    "name": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1", "verdict": "logprobs",
    "input_price": 2.0, "output_price": 10.0,
}  # fmt: skip
SECOND = Seconds(1.0, 0.5)


class Ticking:
    def __init__(self) -> None:
        self.now = Seconds()

    def read(self) -> Seconds:
        self.now += SECOND
        return self.now


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> ResolvedRecipe:
    """Evaluated by a judge that is paid for, at an address where nobody listens."""
    values = tiny_run.values(tmp_path_factory.mktemp("data"))
    values["evaluation"]["judge"] = NOBODY
    return resolve(validate(values))


@pytest.fixture(scope="module")
def found(recipe: ResolvedRecipe, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return measured(recipe, tmp_path_factory.mktemp("calibrate"), Ticking(), seconds=0)


@pytest.fixture(scope="module")
def shown(recipe: ResolvedRecipe, found: Measured) -> dict[str, Any]:
    """A second for the data, which another process would prepare."""
    whole = dataclasses.replace(found, costs={**found.costs, "data": UnitCost(SECOND)})
    return priced(recipe, whole, recipe_cost(recipe.recipe), hour_price=3600.0)


def test_all_is_measured_but_for_what_is_paid_for(found: Measured) -> None:
    """Nobody answers at the address of the evaluations' judge, so that asking it would have failed."""
    assert set(found.costs) == set(UNITS) - {"data", "evaluated pair"}


def test_a_call_takes_the_second_that_it_took(found: Measured) -> None:
    """Both sizes of a call took as long: nothing is the unit's. Opening a policy has one size."""
    batches = {"row", "answer", "start's answer", "scored answer", "answer scored by the start", "pair"}
    for unit in batches:
        assert found.costs[unit] == UnitCost(Seconds(), SECOND, found.costs[unit].at_once), unit
    for unit in ("opened policy", "checked policy"):
        assert found.costs[unit].unit == SECOND
    assert found.costs["process"].unit == SECOND * 2, "the start was opened, and looked at; no first call took longer"


def test_batches_are_the_runs_own(found: Measured) -> None:
    """Of 16 answers each, as the recipe has them."""
    for unit in ("answer", "start's answer", "scored answer", "answer scored by the start"):
        assert found.costs[unit].at_once == 16
    assert found.costs["pair"].at_once is None


def test_an_untrained_models_answers_are_those_of_the_supervised_stage(found: Measured) -> None:
    """One token and the end of it, cut at the one token that the recipe leaves."""
    lengths = found.lengths
    assert (lengths.source, lengths.answers, lengths.mean, lengths.longest) == ("supervised", 8 * 4, 1.0, 1)
    assert (lengths.unfinished, lengths.mean_bytes) == (1.0, 1.0)


def test_sizes_are_those_of_files_and_data(found: Measured, recipe: ResolvedRecipe) -> None:
    assert recipe.recipe.supervised is not None
    pairs = Path(str(recipe.recipe.supervised.data.source)).read_text("utf-8").splitlines()
    assert (found.known.pairs, found.known.validation, found.known.test) == (len(pairs), 2, 2)
    assert found.optimizer_bytes > found.checkpoint_bytes > 0, "two moments a weight, beside one weight"
    assert found.memory.bytes > found.checkpoint_bytes
    assert found.table_bytes > 0


def test_unit_costs_times_counts_add_up(found: Measured, shown: dict[str, Any]) -> None:
    """Calls of a second each, as many as the batches of the tasks are; and three openings and so on of one."""
    total = 0.0
    for task in shown["work"]:
        cost = shown["unit_costs"].get(task["unit"])
        if cost is None:
            continue
        batches = 1 if cost["at_once"] is None else -(-task["size"] // cost["at_once"])
        one = cost["batch"]["seconds"] * batches + cost["unit"]["seconds"] * task["size"]
        total += one * task["times"]
    assert shown["seconds"] == pytest.approx(total)
    assert shown["hours"] == pytest.approx(total / 3600)
    for key in ("seconds", "cpu_seconds"):
        stages = sum(spent[key] for spent in shown["stages"].values())
        parts = shown["once"][key] + sum(spent[key] for spent in shown["methods"].values())
        assert stages == pytest.approx(parts)
        assert stages == pytest.approx(shown[key])
    assert shown["unmeasured"] == {"evaluated pair": 48 + 100}


def test_money_is_that_of_the_hours_and_of_the_judge_at_the_measured_lengths(
    recipe: ResolvedRecipe, found: Measured, shown: dict[str, Any]
) -> None:
    assert shown["money"]["machine"] == pytest.approx(shown["seconds"]), "3600 an hour is 1 a second"
    assert set(shown["money"]["judge"]) == {"evaluation"}
    spent = shown["money"]["judge"]["evaluation"]
    one = recipe.evaluation_judge.spend_bound(round(found.prompt_bytes), 1, 4)
    assert one is not None
    assert spent["calls"] == 2 * (48 + 100), "both orders of every pair"
    assert spent["cost"] == pytest.approx(one.cost * spent["calls"])


def test_a_person_sees_the_same(shown: dict[str, Any]) -> None:
    console = Console(file=io.StringIO(), width=160, highlight=False)
    show(console, shown)
    text = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    for part in (
        f"in all {duration(shown['seconds'])} {duration(shown['cpu_seconds'])}",
        "1.0 tokens on average, 1 at most, of 32 (the answers of the supervised stage)",
        "not in the times: evaluated pair 148 (a paid judge was not asked; --ask-judge asks it)",
        f"money for the machine {shown['money']['machine']:,.2f}",
    ):
        assert part in text


@pytest.mark.parametrize(("seconds", "text"), [(0.04, "0.0 s"), (59, "59.0 s"), (90, "1.5 min"), (5400, "1.5 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_model_that_is_not_here_is_one_message(tmp_path: Path) -> None:
    values = tiny_run.values(tmp_path / "data") | {"policy": {"model": "owner/no-such-model"}, "supervised": None}
    with pytest.raises(
        ConfigError, match=r"policy.model: `owner/no-such-model` is not on this machine, so nothing can"
    ):
        prepare(tmp_path, validate(values))
    path = tiny_run.write(tmp_path, values)
    refused(comal("plan", path, "--calibrate"), "`hf download owner/no-such-model` brings it here")


@pytest.mark.parametrize("option", [["--ask-judge"], ["--hour-price", "2"]])
def test_options_without_effect_are_refused(tmp_path: Path, option: list[str]) -> None:
    path = tiny_run.write(tmp_path, tiny_run.values(tmp_path / "data"))
    refused(comal("plan", path, *option), f"{option[0]}: it does nothing without --calibrate; leave it out")


@pytest.mark.parametrize("kind", ["gguf", "adapter"])
def test_a_start_that_a_run_makes_on_disk_is_made_to_be_measured(kind: str, tmp_path: Path) -> None:
    """The untouched adapter changes nothing, so that both are the model that they were made of."""
    model = tiny_models.save_causal_lm(tmp_path / "model", layers=1)
    if kind == "gguf":
        named = gguf_files.write(model, tmp_path / "tiny.gguf")
    else:
        named = tmp_path / "adapter"
        adapted = peft.get_peft_model(
            load_causal_lm(model, torch.float32), peft.LoraConfig(r=2, target_modules="all-linear")
        )
        adapted.save_pretrained(str(named))
    values = tiny_run.values(tmp_path)
    del values["supervised"]
    values["policy"] = {"model": str(named), "max_prompt_tokens": 32, "max_new_tokens": 2}
    start = prepare(tmp_path / "calibrate", validate(values))
    opened = start.store.open(start.store.initial)
    weights = load_causal_lm(model, torch.float32).state_dict()
    assert weights.keys() == opened.model.state_dict().keys()
    for name, value in opened.model.state_dict().items():
        torch.testing.assert_close(value, weights[name])


def on_engine(recipe: ResolvedRecipe, python: str) -> ResolvedRecipe:
    sampling = recipe.recipe.sampling.model_copy(update={"engine": {"name": "vllm", "python": python}})
    return resolve(recipe.recipe.model_copy(update={"sampling": sampling}))


def test_an_engine_is_started_once_and_draws_what_is_measured(
    recipe: ResolvedRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    started: list[EngineProcess] = []
    ask = EngineProcess.ask

    def noted(self: EngineProcess, request: Any, *rest: Any) -> dict[str, Any]:
        asked.append(request["do"])
        started.extend([self] if request["do"] == "start" else [])
        return ask(self, request, *rest)

    monkeypatch.setattr(EngineProcess, "ask", noted)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    other = on_engine(recipe, outside_engines.fake_python(tmp_path))
    (tmp_path / "calibrate").mkdir()
    with_engine = measured(other, tmp_path / "calibrate", Ticking(), seconds=0)
    assert set(with_engine.costs) == set(UNITS) - {"data", "evaluated pair"}
    assert asked.count("start") == 1, "what it holds was read into the one that runs"
    # Of the start and of the trained policy: a look at the door, and answers of two sizes with a first call.
    assert asked.count("draw") >= 2 * (1 + 3)
    assert asked.count("open") == 1 + 2, "the trained policy, the start again and it again: what a check costs"
    assert with_engine.costs["checked policy"].unit == SECOND
    assert with_engine.costs["answer"].at_once == 16
    (process,) = started
    assert not process.is_alive
    assert with_engine.engine_bytes == process.spent.held > 0
    assert process.spent.cpu > 0
    assert not list(tmp_path.glob("comal-calibrate-*")), "and its log is gone"
    figures = priced(other, with_engine, recipe_cost(other.recipe), hour_price=None)
    assert figures["memory"]["engine"] == with_engine.engine_bytes
    console = Console(file=io.StringIO(), width=160, highlight=False)
    show(console, figures)
    assert "most memory of the engine" in console.file.getvalue()  # type: ignore[attr-defined]


def test_an_engine_that_fails_while_it_is_measured_leaves_its_log(
    recipe: ResolvedRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "calibrate").mkdir()
    broken = on_engine(recipe, outside_engines.fake_python(tmp_path, "memory"))
    with pytest.raises(PolicyError, match=r"sampling\.engine: vllm cannot open .*lower sampling\.engine"):
        measured(broken, tmp_path / "calibrate", Ticking(), seconds=0)
    (log,) = tmp_path.glob("comal-calibrate-*.log")
    assert "Free memory on device" in log.read_text("utf-8")
    with pytest.raises(PolicyError, match="has no vLLM; install vLLM there"):
        measured(on_engine(recipe, sys.executable), tmp_path / "calibrate", Ticking(), seconds=0)

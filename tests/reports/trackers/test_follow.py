"""A run told to trackers: every line once, the steps as x axis, one run there for one here."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import fake_run
from comal.errors import ConfigError
from comal.judges.base import Spend
from comal.judges.chat.ledger import Ledger, Limits
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.trackers_folder import TrackersFolder
from comal.reports.trackers.figures import run_figures, spend_figures
from comal.reports.trackers.follow import Follower
from comal.reports.trackers.opening import STEP, check_trackers, open_tracker
from command_line import comal, refused

METHODS = ("comal", "fixed")


class Recorder:
    """A tracker that remembers."""

    def __init__(self, name: str, folder: TrackersFolder, run: str, id_: str) -> None:
        self.opened = (name, folder, run, id_)
        self.logged: list[tuple[int | None, dict[str, Any]]] = []
        self.finished = False

    def log(self, values: dict[str, Any], step: int | None = None) -> None:
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished = True


class Recorders(list[Recorder]):
    """Opens them."""

    def __call__(self, *opened: Any) -> Recorder:
        self.append(Recorder(*opened))
        return self[-1]


def told(folder: Path, opener: Any, trackers: tuple[str, ...] = ("tensorboard",)) -> list[str]:
    warnings: list[str] = []
    with Follower(folder, METHODS, trackers, warnings.append, opener):
        pass
    return warnings


def test_a_run_is_numbers_over_proximal_steps(tmp_path: Path) -> None:
    folder = fake_run.write_run(tmp_path / "run")
    found = list(run_figures(folder, METHODS))
    steps = [f for f in found if f.key.startswith("comal:") and "look" not in f.key]
    assert [f.step for f in steps] == [1, 2, 2, 3, 4], "a copy of the reference is no step"
    first = steps[0].values
    assert first["comal/step/slope"] == pytest.approx(0.3)
    assert first["comal/seconds/train"] == 2.0
    assert [f.values["comal/total/judge_calls"] for f in steps] == [100, 200, 200, 300, 400]
    looks = {f.step: f.values for f in found if f.key.startswith("fixed:look")}
    assert set(looks) == {2, 4}
    assert looks[4]["fixed/validation/win_rate"] == pytest.approx(0.58)
    assert looks[2]["fixed/validation/duality_gap"] == pytest.approx(2 * 0.66 - 1)


def test_every_line_is_told_once_and_a_continued_run_is_the_same_run_there(tmp_path: Path) -> None:
    whole = fake_run.write_run(tmp_path / "whole")
    folder = fake_run.write_run(tmp_path / "run", steps=2, planned=4, finished=False)
    recorders = Recorders()
    assert told(folder, recorders) == []
    before = len(recorders[0].logged)
    assert 0 < before == len(list(run_figures(folder, METHODS)))
    for method in METHODS:
        shutil.rmtree(folder / method)
        shutil.copytree(whole / method, folder / method)
    assert told(folder, recorders) == []
    assert told(folder, recorders) == []
    assert [len(r.logged) for r in recorders] == [before, len(list(run_figures(whole, METHODS))) - before, 0]
    assert len({r.opened for r in recorders}) == 1, "one name, one folder, one id"
    assert all(r.finished for r in recorders)
    assert all(values[STEP] == step for r in recorders for step, values in r.logged)


def test_what_the_judge_has_cost_is_told_with_the_steps(tmp_path: Path) -> None:
    """Of all judges of the run, and again only when there is something new beside it."""
    folder = fake_run.write_run(tmp_path / "run")
    path = RunFolder(folder).spend
    path.write_bytes(b"")  # just being made
    assert spend_figures(folder) == {}
    for judge, spend in (("one", Spend(3, 100, 10, 0.25)), ("two", Spend(1, 20, 2, 0.5))):
        ledger = Ledger(path, judge)
        assert ledger.reserve(spend, Limits()) is None
        ledger.close()
    recorders = Recorders()
    assert told(folder, recorders) == []
    assert recorders[0].logged[-1] == (4, {"spend/calls": 4, "spend/tokens": 132, "spend/cost": 0.75, STEP: 4})
    assert told(folder, recorders) == []
    assert recorders[1].logged == []


def test_a_tracker_that_fails_ends_its_own_telling_only(tmp_path: Path) -> None:
    folder = fake_run.write_run(tmp_path / "run")
    recorders = Recorders()

    class Failing(Recorder):
        def log(self, values: dict[str, Any], step: int | None = None) -> None:
            if len(self.logged) == 3:
                raise ConnectionError("no network")
            super().log(values, step)

    failing: list[Failing] = []

    def opener(name: str, *rest: Any) -> Recorder:
        if name == "wandb":
            failing.append(Failing(name, *rest))
            return failing[-1]
        return recorders(name, *rest)

    warnings = told(folder, opener, ("wandb", "tensorboard"))
    assert warnings == ["wandb is not told any more: ConnectionError: no network"]
    everything = len(list(run_figures(folder, METHODS)))
    assert len(recorders[0].logged) == everything
    told(folder, recorders, ("wandb",))
    assert len(recorders[-1].logged) == everything - 3, "the next time it goes on where it failed"


def test_one_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    def opener(*_: Any) -> Recorder:
        raise ValueError("no account")

    folder = fake_run.write_run(tmp_path / "run")
    assert told(folder, opener) == ["tensorboard is not told any more: ValueError: no account"]


def test_trackers_that_are_not_there_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"--track: `wandbb` is no tracker. Did you mean `wandb`"):
        check_trackers(["wandbb"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="wandb is not installed; pip install wandb"):
        check_trackers(["wandb"])
    monkeypatch.undo()
    refused(comal("run", "--track", "tensorbord"), "Did you mean `tensorboard`")


def test_tensorboard_has_one_run_with_every_step(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = fake_run.write_run(tmp_path / "run", steps=2, planned=4, finished=False)
    assert told(folder, open_tracker) == []
    whole = fake_run.write_run(tmp_path / "whole")
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    assert told(folder, open_tracker) == []
    found = EventAccumulator(str(folder / "trackers" / "tensorboard"))
    found.Reload()
    slopes = found.Scalars("comal/step/slope")
    assert [(e.step, pytest.approx(e.value)) for e in slopes] == [(1, 0.3), (2, 0.4), (3, 0.5), (4, 0.6)]
    everything = list(run_figures(folder, METHODS))
    expected = {STEP} | {name for figures in everything for name in figures.values}
    assert set(found.Tags()["scalars"]) == expected
    assert all(len(found.Scalars(tag)) == sum(tag in f.values for f in everything) for tag in expected - {STEP})


@pytest.mark.slow
def test_wandb_offline_keeps_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = fake_run.write_run(tmp_path / "run")
    assert told(folder, open_tracker, ("wandb",)) == []
    id_ = json.loads((folder / "trackers" / "told.json").read_text())["wandb"]["id"]
    (kept,) = (folder / "trackers" / "wandb").glob("offline-run-*")
    assert kept.name.endswith(id_)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow 3.17 of SQLAlchemy 2.1
def test_mlflow_continues_the_run_that_has_our_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = fake_run.write_run(tmp_path / "run", steps=2, planned=4, finished=False)
    assert told(folder, open_tracker, ("mlflow",)) == []
    shutil.copytree(fake_run.write_run(tmp_path / "whole"), folder, dirs_exist_ok=True)
    assert told(folder, open_tracker, ("mlflow",)) == []
    (run,) = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert run.info.run_name == "run"
    assert run.info.status == "FINISHED"
    slopes = mlflow.MlflowClient().get_metric_history(run.info.run_id, "comal/step/slope")
    assert [(m.step, pytest.approx(m.value)) for m in slopes] == [(1, 0.3), (2, 0.4), (3, 0.5), (4, 0.6)]


class OnceMlflow:
    """MLflow as far as Accelerate's tracker and ours call it, with the parameters of MLflow 3.17's functions.

    Like MLflow's own, a thread that logs without saying to which run would begin another.
    """

    def __init__(self) -> None:
        self.runs: dict[str, Any] = {}
        self.store: str | None = None
        self.ended = 0

    def set_tracking_uri(self, uri: str) -> None:
        self.store = uri

    def search_experiments(self, *, filter_string: str) -> list[Any]:
        return []

    def create_experiment(self, name: str, artifact_location: str | None, tags: Any) -> str:
        return "1"

    def search_runs(self, *, search_all_experiments: bool, output_format: str, filter_string: str) -> list[Any]:
        wanted = filter_string.split("'")[1]
        return [run for run in self.runs.values() if run.tags["comal.run"] == wanted]

    def start_run(
        self,
        run_id: str | None = None,
        experiment_id: str | None = None,
        run_name: str | None = None,
        nested: bool = False,
        tags: Any = None,
        description: str | None = None,
    ) -> Any:
        if run_id is None:
            run_id = f"mlflow's {len(self.runs)}"
            self.runs[run_id] = SimpleNamespace(info=SimpleNamespace(run_id=run_id), tags=tags, logged=[])
        return self.runs[run_id]

    def log_metrics(self, metrics: dict[str, float], step: int | None = None, *, run_id: str) -> None:
        assert all(re.fullmatch(r"[\w\-./: ]+", name) for name in metrics), "MLflow refuses other names"
        self.runs[run_id].logged.append((step, metrics))

    def end_run(self) -> None:
        self.ended += 1


def test_accelerates_mlflow_tracker_is_given_one_run_and_names_that_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = OnceMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", module)  # type: ignore[arg-type]
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = fake_run.write_run(tmp_path / "run", steps=2, planned=4, finished=False)
    assert told(folder, open_tracker, ("mlflow",)) == []
    shutil.copytree(fake_run.write_run(tmp_path / "whole"), folder, dirs_exist_ok=True)
    assert told(folder, open_tracker, ("mlflow",)) == []
    (run,) = module.runs.values()
    assert len(run.logged) == len(list(run_figures(folder, METHODS)))
    assert [step for step, metrics in run.logged if "comal/step/slope" in metrics] == [1, 2, 3, 4]
    assert module.store == f"sqlite:///{folder / 'trackers' / 'mlflow.db'}"
    assert module.ended == 2


def test_mlflow_is_told_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = OnceMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", module)  # type: ignore[arg-type]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example")
    opened = open_tracker("mlflow", TrackersFolder(tmp_path), "run", "ours")
    opened.log({"comal/validation/class só & so": 0.5}, step=1)
    opened.finish()
    assert module.store is None
    (run,) = module.runs.values()
    assert run.logged == [(1, {"comal/validation/class só _ so": 0.5})]

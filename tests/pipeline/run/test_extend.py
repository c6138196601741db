"""A finished run that is given more steps ends as if it had been given them from the start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import filelock
import pytest

import forked
import tiny_run
from comal.errors import RunError
from comal.pipeline.certify.certification import Certification
from comal.pipeline.certify.plan import Plan, policies_of_run
from comal.pipeline.certify.settings import CertifySettings, defaults
from comal.pipeline.disk.certification_folder import CertificationFolder
from comal.pipeline.disk.files import read_json
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.progress import read_state
from comal.pipeline.run.check import changes
from comal.pipeline.run.resolved import resolve
from comal.pipeline.run.run import Run
from comal.recipes.load import changed, validate
from comal.reports.html.run_report import load_run, render


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A supervised model that answers with the games' letters."""
    folder = tmp_path_factory.mktemp("base")
    run(folder / "run", tiny_run.values(folder / "data", steps=1))
    return str(folder / "run" / "supervised")


def run(folder: Path, values: dict[str, Any]) -> Run:
    with Run(folder, validate(values)) as started:
        started.execute()
    return started


def recipe(folder: Path, base: str, algorithm: Any = tiny_run.COMAL, **changes: Any) -> dict[str, Any]:
    values = tiny_run.values(folder / "data", algorithm)
    values["policy"] = {"model": base, "max_new_tokens": 2, "chat_template": "none"}
    return {k: v for k, v in values.items() if k != "supervised"} | changes


def journal(folder: Path, method: str) -> list[dict[str, Any]]:
    """Without times, which no two runs share."""
    lines = (folder / method / "journal.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    for entry in entries:
        entry["metrics"].pop("seconds")
    return entries


def looks(folder: Path, method: str) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((folder / method / "looks").glob("*"))}


@pytest.mark.parametrize(
    ("every", "processes", "before"),
    [(3, 1, (4,)), (None, 2, (4,)), (2, 1, (3, 4))],
    ids=["an end between two looks", "an end at a move of the reference, side by side", "extended twice"],
)
def test_extended_is_uninterrupted(
    tmp_path: Path,
    base: str,
    every: int | None,
    processes: int,
    before: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forked.fork_workers(monkeypatch)
    other = {"self-play": {"name": "mwu", "eta": 2.0}}
    values = recipe(tmp_path, base, baselines=other)
    values["evaluation"] |= {"every": every, "pool_size": 2}
    values["training"] |= {"keep_optimizer": True}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(whole, values | {"steps": 8})
    for steps in before:
        run(parts, values | {"steps": steps})
        assert read_json(parts / "result.json")["methods"] == ["comal", "self-play"]
    kept = {p: p.stat().st_mtime_ns for p in parts.glob("evaluation/*.parquet") if p.stem in ("start", "comal@2")}
    former = (parts / "result.json").read_bytes()
    assert run(parts, values | {"steps": 8, "processes": processes}).ended_after == before[-1]
    assert (parts / "result.json").read_bytes() == (whole / "result.json").read_bytes()
    for method in ("comal", "self-play"):
        assert journal(parts, method) == journal(whole, method)
        assert looks(parts, method) == looks(whole, method)
        assert (parts / method / "final.json").read_bytes() == (whole / method / "final.json").read_bytes()
    assert (parts / "model/model.safetensors").read_bytes() == (whole / "model/model.safetensors").read_bytes()
    assert (parts / f"result-after-{before[-1]}-steps.json").read_bytes() == former
    if every == 2:
        assert parts / "evaluation/start.parquet" in kept
        assert all(p.stat().st_mtime_ns == time for p, time in kept.items()), "answers of the same checkpoints stay"
    assert run(parts, values | {"steps": 8}).ended_after is None, "typed again, there is nothing to extend"


def test_mixed_precision_goes_on_from_the_same_figures(tmp_path: Path, base: str) -> None:
    """What scores in memory after a step is what a process to come reads from the checkpoint."""
    values = recipe(tmp_path, base)
    values["training"]["arguments"] = {"bf16": True}
    run(tmp_path / "whole", values | {"steps": 2})
    for steps in (1, 2):
        run(tmp_path / "parts", values | {"steps": steps})
    assert (tmp_path / "parts/result.json").read_bytes() == (tmp_path / "whole/result.json").read_bytes()
    assert journal(tmp_path / "parts", "comal") == journal(tmp_path / "whole", "comal")


def test_while_it_is_extended_it_is_not_done_and_a_kill_costs_nothing(
    tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = recipe(tmp_path, base)
    run(tmp_path / "run", values | {"steps": 2})
    run(tmp_path / "whole", values | {"steps": 4})

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for name in ("record", "evaluate", "deliver"):
        place = f"comal.pipeline.run.run.{name}"
        with monkeypatch.context() as patched:
            patched.setattr(place, killed)
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path / "run", values | {"steps": 4})
        folder = RunFolder(tmp_path / "run")
        state = read_state(folder.path, ["comal"], folder.recipe().steps)
        assert state.evaluated == (name == "deliver")
        assert state.methods[0].done == (name != "record")
        assert not folder.model.exists()
    run(tmp_path / "run", values | {"steps": 4})
    assert (tmp_path / "run/result.json").read_bytes() == (tmp_path / "whole/result.json").read_bytes()
    assert (tmp_path / "run/model").is_dir()


def test_a_falling_rate_cannot_be_extended_and_the_message_says_what_can(tmp_path: Path, base: str) -> None:
    values = recipe(tmp_path, base, steps=2)
    values["training"] |= {"final_learning_rate": 1e-4}
    run(tmp_path / "run", values)
    result = (tmp_path / "run/result.json").read_bytes()
    with pytest.raises(RunError) as caught:
        run(tmp_path / "run", values | {"steps": 4})
    for said in ("steps was 2, is 4", "training.final_learning_rate", "Use another --output-dir", "policy.model="):
        assert said in str(caught.value)
    assert (tmp_path / "run/result.json").read_bytes() == result
    assert read_json(tmp_path / "run/run.json")["recipe"]["steps"] == 2


def test_fewer_steps_than_were_taken_are_refused(tmp_path: Path, base: str) -> None:
    values = recipe(tmp_path, base, steps=3)
    run(tmp_path / "run", values)
    with pytest.raises(RunError, match=r"steps was 3, is 2, but comal has taken 3 already\. Set steps to 3 or more"):
        run(tmp_path / "run", values | {"steps": 2})
    with pytest.raises(RunError, match=r"another configuration: seed was 0, is 1; steps was 3, is 4"):
        run(tmp_path / "run", values | {"steps": 4, "seed": 1})


def test_an_unfinished_run_may_end_earlier_but_not_before_what_it_has_begun(
    tmp_path: Path, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = recipe(tmp_path, base)
    values["evaluation"] |= {"every": None}  # a look comes with the move of the reference, which is journaled before it

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("comal.pipeline.run.method.Method.look", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", values | {"steps": 6})
    with pytest.raises(RunError, match=r"comal has begun the next after 2 already\. Set steps to 3 or more"):
        run(tmp_path / "run", values | {"steps": 2})
    run(tmp_path / "run", values | {"steps": 3})
    run(tmp_path / "whole", values | {"steps": 3})
    assert (tmp_path / "run/result.json").read_bytes() == (tmp_path / "whole/result.json").read_bytes()


@pytest.mark.parametrize("part", ["training", "supervised"])
@pytest.mark.parametrize(
    ("key", "value"),
    [("report_to", "tensorboard"), ("logging_steps", 5), ("run_name", "second"), ("disable_tqdm", False),
     ("logging_strategy", "steps"), ("log_level", "info")],
)  # fmt: skip
def test_settings_of_logging_are_no_configuration(tmp_path: Path, part: str, key: str, value: Any) -> None:
    plain = resolve(validate(tiny_run.values(tmp_path))).canonical()
    other = plain | {part: plain[part] | {"arguments": {key: value}}}
    assert changes(plain, other) == {}
    weighty = plain | {part: plain[part] | {"arguments": {key: value, "adam_epsilon": 1e-6}}}
    assert [*changes(plain, weighty)] == [f"{part}.arguments", f"{part}.arguments.adam_epsilon"]


def test_a_finished_run_takes_another_tracker(tmp_path: Path, base: str) -> None:
    values = recipe(tmp_path, base, steps=1)
    run(tmp_path / "run", values)
    other = values | {"training": values["training"] | {"arguments": {"run_name": "second", "disable_tqdm": True}}}
    run(tmp_path / "run", other)
    assert read_json(tmp_path / "run/run.json")["recipe"]["training"]["arguments"]["run_name"] == "second"


def test_certificates_of_the_former_policies_are_not_shown_as_current(tmp_path: Path, base: str) -> None:
    values = recipe(tmp_path, base, steps=1)
    folder = RunFolder(tmp_path / "run")
    run(folder.path, values)
    certify(folder.path)
    page = render(load_run(folder.path))
    assert "Adversaries that were chosen or trained" in page
    assert "earlier policies" not in page
    with (
        filelock.FileLock(CertificationFolder(folder.certification).lock),
        pytest.raises(RunError, match="`comal certify` is working here; wait for it to end"),
    ):
        run(folder.path, values | {"steps": 2})
    run(folder.path, values | {"steps": 2})
    page = render(load_run(folder.path))
    assert "<strong>certify-after-1-steps</strong> holds certificates of earlier policies (comal)" in page
    assert "Adversaries that were chosen or trained" not in page
    certify(folder.path)
    page = render(load_run(folder.path))
    assert "Adversaries that were chosen or trained" in page
    assert "earlier policies" in page


def certify(folder: Path) -> None:
    resolved = resolve(RunFolder(folder).recipe())
    settings = ["steps=1", "every=1", "starts=[start]"]
    told = changed(CertifySettings, defaults(resolved), settings)
    pool = policies_of_run(folder, resolved.recipe, 0)
    with Certification(folder / "certify", Plan(folder, resolved.recipe, told), {"comal": pool["comal"]}, pool) as work:
        work.execute()

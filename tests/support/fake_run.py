"""A run folder as `comal run` leaves it, made of invented numbers: reports are tested on it without any model."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

from comal.pipeline.disk.files import write_json, write_table

STYLES = {"command": "Return it.", "label": "The result.", "description": "Returns it.", "malformed": "x"}
BEATS = {("command", "label"), ("label", "description"), ("description", "command")}
SCRIPT = "<script>alert(1)</script>"
STEPS = 4
ASKED = {
    "comparisons": 12, "questions": 10, "failures": 1, "both_orders": 8, "flips": 2, "first_excess": 0.4,
}  # fmt: skip
"""What an oracle counted on one occasion."""


def interval(mean: float, reach: float = 0.02, prompts: int = 50) -> dict[str, Any]:
    """An estimate as result.json has it."""
    return {"mean": mean, "low": mean - reach, "high": mean + reach, "prompts": prompts, "missing": 0}


def scores(win_rate: float | None, worst: float, adversaries: dict[str, float]) -> dict[str, Any]:
    """What `comal.evaluation.exploitability.scoreboard.score_policy` returns, its worst case given."""
    scored: dict[str, Any] = {
        "worst_case": interval(worst) | {"adversaries": ["only label", "only label"]},
        "duality_gap": interval(2 * worst - 1, 0.04),
        "adversaries": {name: interval(rate) for name, rate in adversaries.items()},
        "classes": {"command": 0.25, "label": 0.25, "description": 0.5},
    }
    return scored if win_rate is None else scored | {"win_rate": interval(win_rate)}


def recipe(**changes: Any) -> dict[str, Any]:
    """The parts of a canonical recipe that reports read."""
    whole = {
        "name": "fake",
        "seed": 7,
        "policy": {"model": None, "from_scratch": {"layers": 2, "hidden_size": 64}},
        "judge": {"name": "committee", "members": [{"name": "docstring_style"}] * 3, "aggregate": "majority"},
        "algorithm": {"name": "comal"},
        "baselines": {"fixed": {"name": "inpo"}},
        "steps": STEPS,
        "prompts": {"train": {"source": "prompts.jsonl"}},
        "supervised": {"data": {"source": "pairs.jsonl"}, "epochs": 1.0},
        "evaluation": {"judge": None, "classes": "comal.judges.docstring_style:classify"},
        "processes": 1,
    }
    return whole | changes


def result() -> dict[str, Any]:
    """A finished result: comal is the least exploitable, fixed looks better against the start."""
    policies = {
        "start": scores(None, 0.6789, {"comal": 0.6111, "fixed": 0.6543, "only label": 0.6789}),
        "comal": scores(
            0.6111, 0.5432, {"start": 0.3889, "fixed": 0.49, "only label": 0.5432, "best of 8 from x": 0.53}
        ),
        "fixed": scores(0.6543, 0.6321, {"start": 0.3457, "comal": 0.51, "comal@2": 0.47, "only label": 0.6321}),
    }
    for name, policy in policies.items():
        policy |= {
            "kl_start": interval(0.0 if name == "start" else 1.234, 0.1),
            "mean_tokens": 5.5,
            "unfinished": 0.125,
        }
        policy["comparisons"] = 0 if name == "start" else 960
    return {
        "name": "fake",
        "seed": 7,
        "methods": ["comal", "fixed"],
        "test_prompts": 50,
        "policies": policies,
        "cyclic_prompts": 0.84,
        "oracle": ASKED,
        "examples": [
            {
                "prompt": f"{SCRIPT} {i}",
                "answers": {"start": "  ", "comal": f"Return <b>{i}</b> & co.", "fixed": "\ud800"},
            }
            for i in range(8)
        ],
    }


def write_run(folder: Path, *, steps: int = STEPS, planned: int = STEPS, finished: bool = True, **changes: Any) -> Path:
    """Write a run whose methods have taken `steps` of `planned` steps, with the final evaluation if `finished`."""
    write_json(folder / "run.json", {"format": 1, "comal": "1.2.3", "recipe": recipe(steps=planned, **changes)})
    for name in ("comal", "fixed"):
        (folder / name).mkdir(parents=True)
        lines = []
        for step in range(steps):
            _write_step(folder / name / "steps" / f"{step:05d}", step)
            lines.append(_prox(step))
            if name == "comal" and step == 1:
                lines.append(
                    {"instruction": {"do": "copy", "src": "policy", "out": "reference"}, "report": {}, "metrics": {}}
                )
        (folder / name / "journal.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8"
        )
        for step in range(2, steps + 1, 2):
            look = scores(0.5 + step / 50, 0.7 - step / 50, {"start": 0.4}) | {
                "step": step, "kl_start": step / 10, "mean_tokens": 6.0 + step / 10, "unfinished": 0.0, "oracle": ASKED,
            }  # fmt: skip
            write_json(folder / name / "looks" / f"{step:05d}.json", look)
    if steps or finished:
        write_json(folder / "supervised" / "supervised.json", {"loss": 1.0})
    if finished:
        (folder / "result.json").write_text(json.dumps(result()), encoding="utf-8")
        write_json(folder / "timing.json", {"supervised": 3.2, "methods": 75.0, "evaluation": 7300.0})
        for name in ("comal", "fixed"):
            write_json(folder / name / "final.json", {"checkpoint": "00003", "steps": steps, "looks": [2, 4]})
    return folder


def _prox(step: int) -> dict[str, Any]:
    return {
        "instruction": {"do": "prox", "anchor": {"policy": 1.0}, "opponent": [[1.0, {"policy": 1.0}]], "out": "policy"},
        "report": {"kl_reference": step / 20},
        "metrics": {
            "slope": 0.3 + step / 10,
            "seconds": {"sample": 1.5, "train": 2.0},
            "comparisons": 240,
            "mean_tokens": 5.0 + step,
            "unfinished": 0.01 * step,
            "judge_calls": 100,
            "cache_hits": 40,
        },
    }


def _write_step(folder: Path, step: int) -> None:
    """Answers of every style, ever more commands; the style that beats the other does so 9 times in 10."""
    answers = [style for style in STYLES for _ in range(3 + step * (style == "command"))]
    ids = [f"{style}-{i}" for i, style in enumerate(answers)]
    write_table(folder / "samples.parquet", {"answer_id": ids, "text": [STYLES[style] for style in answers]})
    pairs = list(product(range(len(answers)), repeat=2))
    verdicts = [_verdict(answers[i], answers[j]) for i, j in pairs]
    columns = {"first_id": [ids[i] for i, _ in pairs], "second_id": [ids[j] for _, j in pairs], "probability": verdicts}
    write_table(folder / "verdicts-0.parquet", columns, {"oracle": ASKED})


def _verdict(first: str, second: str) -> float | None:
    if "malformed" in (first, second):
        return None
    return 0.9 if (first, second) in BEATS else 0.1 if (second, first) in BEATS else 0.5


def two_classes(answer: str) -> str:
    """A classifier with two outcomes."""
    return "short" if len(answer) < 11 else "long"

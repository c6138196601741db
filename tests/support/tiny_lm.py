"""A recipe of three styles of answers and a committee of reviewers, small enough for a part of the experiment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tiny_run

STYLES = {"command": "Return it now.", "description": "Returns it now.", "label": "The value now."}
_SHARES = (6, 1, 3)  # of the styles: a skewed start


def values(folder: Path, **changes: Any) -> dict[str, Any]:
    """Plain values of a recipe whose data files are written to `folder`; a method of it takes a second."""
    folder.mkdir(parents=True, exist_ok=True)
    prompts = [f"def f{i}():" for i in range(12)]
    answers = [answer for answer, times in zip(STYLES.values(), _SHARES, strict=True) for _ in range(times)]
    _write(folder / "pairs.jsonl", [{"prompt": p, "answer": a} for p in prompts for a in answers])
    for part, some in (("train", prompts[:8]), ("validation", prompts[8:10]), ("test", prompts[10:])):
        _write(folder / f"{part}.jsonl", [{"prompt": p} for p in some])
    cycle = (
        ("command", "label", "description"),
        ("label", "description", "command"),
        ("description", "command", "label"),
    )
    recipe = tiny_run.values(folder / "unused")
    recipe |= {
        "name": "tiny-lm",
        "supervised": recipe["supervised"] | {"data": {"source": str(folder / "pairs.jsonl")}},
        "prompts": {part: {"source": str(folder / f"{part}.jsonl")} for part in ("train", "validation", "test")},
        "judge": {
            "name": "committee",
            "members": [{"name": "docstring_style", "ranking": list(r), "sharpness": 2.5} for r in cycle],
        },
    }
    recipe["policy"]["max_new_tokens"] = 8
    recipe["policy"]["from_scratch"] |= {"vocab_size": 340}  # room for whole words
    recipe["supervised"] |= {"epochs": 8}
    recipe["evaluation"]["classes"] = "comal.judges.docstring_style:classify"
    return recipe | changes


def _write(path: Path, rows: list[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

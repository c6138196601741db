"""`comal eval` called by tests, and a toy of three policies of which every number can be derived."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

import command_line

PROMPTS = ["p1", "p2", "p3", "p4"]
MATRIX = [[0.5, 0.2, 0.9], [0.8, 0.5, 0.3], [0.1, 0.7, 0.5]]
"""rock beats scissors .9, paper beats rock .8, scissors beat paper .7."""
TOY = {"A": ["rock", "rock", "rock", "rock"], "B": ["paper", "paper", "rock", "paper"], "C": ["scissors"] * 4}
DRAWS = 200
LONGER = "{name: python, function: 'judge_functions:longer'}"


def comal(*arguments: object):
    return command_line.comal("eval", *arguments)


def outputs(folder: Path, name: str, answers: dict[str, str], **more: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    rows = [{"instruction": x, "output": y, "generator": name} | more for x, y in answers.items()]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def judge_file(folder: Path) -> Path:
    path = folder / "judge.yaml"
    games = dict.fromkeys(PROMPTS, MATRIX)
    path.write_text(yaml.safe_dump({"name": "matrix", "games": games, "answers": ["rock", "paper", "scissors"]}))
    return path


def toy_arguments(folder: Path) -> list[object]:
    """The policies of the toy and its judge."""
    files = [outputs(folder / "in", name, dict(zip(PROMPTS, said, strict=True))) for name, said in TOY.items()]
    return [*files, "--judge", judge_file(folder), "--output-dir", folder / "out", "--draws", DRAWS]

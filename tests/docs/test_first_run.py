"""The page "Your first own run": its files and its commands, in its order, in an empty folder."""

from __future__ import annotations

import json
import re
import runpy
import sys
from pathlib import Path

import pytest

from command_line import comal

PAGE = (Path(__file__).parents[2] / "docs" / "first-run.md").read_text("utf-8")
BLOCK = re.compile(r'^```(?:python title="(?P<title>[^"]+)"|console)\n(?P<text>.*?)^```', re.MULTILINE | re.DOTALL)


def test_the_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # a judge is found beside its recipe
    monkeypatch.delitem(sys.modules, "mine_judge", raising=False)
    said: dict[str, str] = {}
    for block in BLOCK.finditer(PAGE):
        if block["title"]:
            Path(block["title"]).write_text(block["text"], encoding="utf-8")
            continue
        for line in block["text"].splitlines():
            program, first, *words = line.removeprefix("$ ").split()
            if program == "python":
                runpy.run_path(first)
                continue
            assert program == "comal"
            done = comal(first, *words)
            assert done.exit_code == 0, f"{line}\n{done.output}"
            said[first] = done.output
            sys.modules.pop("mine_judge", None)  # every command is a process of its own
    assert list(said) == ["init", "plan", "run", "status", "report"]
    assert "wrote mine.yaml and mine_judge.py" in said["init"]
    assert "with LoRA" in said["plan"]
    assert "runs/mine/report.html" in said["run"]
    assert "done" in said["status"]
    result = json.loads(Path("runs/mine/result.json").read_text("utf-8"))
    assert result["policies"]["comal"]["kl_start"]["mean"] > 0.1, "the policy moved"
    assert Path("runs/mine/report.html").is_file()
    assert Path("runs/mine/model").is_dir()

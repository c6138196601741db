"""The script of the docs in TRL's trainer: pasted, it runs and learns."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import one_token

pytest.importorskip("trl", reason="the extra `trl` is not installed")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return one_token.skewed_start(tmp_path_factory.mktemp("games"))


def test_the_docs_script_with_its_moving_reference_runs_and_learns(start: Path, tmp_path: Path) -> None:
    """Pasted as it stands, beside a model, prompts and a judge that prefers the answer `c`, which is rare at first."""
    page = (ROOT / "docs" / "trainers.md").read_text("utf-8")
    found = re.search(r'```py title="align.py"\n(.*?)```', page, re.DOTALL)
    assert found
    assert len(found[1].strip().splitlines()) <= 21
    (tmp_path / "align.py").write_text(found[1], "utf-8")
    (tmp_path / "my-model").symlink_to(start)
    (tmp_path / "prompts.jsonl").write_text(
        "".join(json.dumps({"prompt": [{"role": "user", "content": p}]}) + "\n" for p in list(one_token.games()) * 50),
        "utf-8",
    )
    (tmp_path / "judge.yaml").write_text("{name: rules, rules: [{measure: matches, pattern: c}]}\n", "utf-8")
    done = subprocess.run([sys.executable, "align.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    before, after = one_token.policies(start), one_token.policies(tmp_path / "aligned")
    print([round(float(p[2]), 3) for p in before], [round(float(q[2]), 3) for q in after])
    assert all(q[2] > p[2] + 0.1 for p, q in zip(before, after, strict=True)), (before, after)

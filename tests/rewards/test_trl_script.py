"""The script of the docs in TRL's trainer: pasted, it runs and learns."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import one_token
from comal.pipeline.data.prompts import Pair
from comal.pipeline.training.supervised import make_supervised
from comal.policies.base import Prompt
from comal.policies.store import ModelSource, PolicyStore
from comal.recipes.load import validate

pytest.importorskip("trl", reason="the extra `trl` is not installed")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
GAMES = one_token.games()


def skewed_start(folder: Path) -> Path:
    """A model that answers each game's prompt by a skewed policy of single tokens."""
    values = one_token.recipe(folder / "data", {"name": "mwu", "eta": 1.0})
    lines = (folder / "data" / "pairs.jsonl").read_text("utf-8").splitlines()
    pairs = [Pair(Prompt.of_text(row["prompt"]), row["answer"]) for row in map(json.loads, lines)]
    make_supervised(folder / "start", pairs, validate(values))
    return folder / "start"


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return skewed_start(tmp_path_factory.mktemp("games"))


def policies(folder: Path) -> list[np.ndarray]:
    """Each game's policy under a model; what it gives to no answer of the game is lost."""
    policy = PolicyStore(ModelSource(folder)).open(folder)
    found = []
    for prompt, P in GAMES.items():
        answers = [
            tuple(policy.tokenizer(a, add_special_tokens=False)["input_ids"]) for a in one_token.ANSWERS[: len(P)]
        ]
        found.append(np.exp(policy.score_groups([(policy.encoder(Prompt.of_text(prompt)), answers)])[0]))
    return found


def test_the_docs_script_with_its_moving_reference_runs_and_learns(start: Path, tmp_path: Path) -> None:
    """Pasted as it stands, beside a model, prompts and a judge that prefers the answer `c`, which is rare at first."""
    page = (ROOT / "docs" / "trainers.md").read_text("utf-8")
    found = re.search(r'```py title="align.py"\n(.*?)```', page, re.DOTALL)
    assert found
    assert len(found[1].strip().splitlines()) <= 21
    (tmp_path / "align.py").write_text(found[1], "utf-8")
    (tmp_path / "my-model").symlink_to(start)
    (tmp_path / "prompts.jsonl").write_text(
        "".join(json.dumps({"prompt": p}) + "\n" for p in list(GAMES) * 50), "utf-8"
    )
    (tmp_path / "judge.yaml").write_text("{name: rules, rules: [{measure: matches, pattern: c}]}\n", "utf-8")
    done = subprocess.run([sys.executable, "align.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    before, after = policies(start), policies(tmp_path / "aligned")
    print([round(float(p[2]), 3) for p in before], [round(float(q[2]), 3) for q in after])
    assert all(q[2] > p[2] + 0.1 for p, q in zip(before, after, strict=True)), (before, after)

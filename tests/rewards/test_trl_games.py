"""The moving reference with TRL's own options, on games whose equilibria are known; and the script of the docs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import root

import one_token
from comal.games import PreferenceGame, nash_policy
from comal.judges.matrix import Matrix
from comal.pipeline.data.prompts import Pair
from comal.pipeline.training.supervised import make_supervised
from comal.policies.base import Prompt
from comal.policies.store import ModelSource, PolicyStore
from comal.recipes.load import validate
from comal.rewards import GroupWinRate
from comal.rewards.trl import TRLWinRate

trl = pytest.importorskip("trl", reason="the extra `trl` is not installed")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TAU = 0.2
K = 16
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


def regularised_nash(P: np.ndarray, reference: np.ndarray, tau: float) -> np.ndarray:
    """The fixed point of log pi = log reference + P pi / tau, normalised."""

    def residual(logits: np.ndarray) -> np.ndarray:
        pi = np.exp(logits - logits.max())
        pi /= pi.sum()
        best = np.log(reference) + P @ pi / tau
        return (logits - logits.mean()) - (best - best.mean())

    solved = root(residual, np.log(reference), tol=1e-12)
    assert solved.success
    pi = np.exp(solved.x - solved.x.max())
    return np.asarray(pi / pi.sum())


def distance(p: np.ndarray, q: np.ndarray) -> float:
    return float(0.5 * (np.abs(p - q).sum() + 1 - p.sum()))


def trained(start: Path, output: Path, updates: int, **options: Any) -> Path:
    """TRL's trainer, rewarded by the games' win rates."""
    from datasets import Dataset

    judge = Matrix(
        {prompt: P.tolist() for prompt, P in GAMES.items()},
        {prompt: list(one_token.ANSWERS[: len(P)]) for prompt, P in GAMES.items()},
    )
    config = trl.GRPOConfig(
        output_dir=str(output), num_generations=K, max_completion_length=1, per_device_train_batch_size=16 * K,
        max_steps=updates, learning_rate=6e-3, lr_scheduler_type="linear", adam_beta2=0.95, scale_rewards="none",
        loss_type="dr_grpo", beta=TAU, use_bias_correction_kl=True, temperature=1.0, bf16=False, use_cpu=True,
        gradient_checkpointing=False, logging_steps=20, save_strategy="no", report_to=[], disable_tqdm=True, seed=0,
        **options,
    )  # fmt: skip
    trainer = trl.GRPOTrainer(
        model=str(start), args=config, reward_funcs=TRLWinRate(GroupWinRate(judge), K),
        train_dataset=Dataset.from_dict({"prompt": list(GAMES) * 4 * updates}),
    )  # fmt: skip
    trainer.train()
    logged = [row for row in trainer.state.log_history if "judge/questions" in row]
    assert logged
    assert all(row["judge/masked"] == 0 for row in logged)
    trainer.save_model(str(output))
    return output


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


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
def test_trls_moving_reference_ends_near_the_nash_policies_and_a_fixed_one_at_the_regularised(
    start: Path, tmp_path: Path
) -> None:
    """`sync_ref_model` with mixup 1: reference <- policy; between two moves the reward plays the regularised game."""
    begin = policies(start)
    exact = [nash_policy(PreferenceGame(P)) for P in GAMES.values()]
    regularised = [regularised_nash(P, p / p.sum(), TAU) for P, p in zip(GAMES.values(), begin, strict=True)]
    fixed = policies(trained(start, tmp_path / "fixed", 240))
    moving = policies(
        trained(
            start, tmp_path / "moving", 480, sync_ref_model=True, ref_model_mixup_alpha=1.0, ref_model_sync_steps=80
        )
    )

    def mean(found: list[np.ndarray], targets: list[np.ndarray]) -> float:
        return float(np.mean([distance(p, q) for p, q in zip(found, targets, strict=True)]))

    told = {
        "start to regularised": mean(begin, regularised), "start to Nash": mean(begin, exact),
        "fixed to regularised": mean(fixed, regularised), "fixed to Nash": mean(fixed, exact),
        "moving to Nash": mean(moving, exact),
    }  # fmt: skip
    print(told)
    assert told["start to regularised"] > 0.1, "there must be a way to go"
    assert told["fixed to regularised"] < 0.06, told
    assert told["moving to Nash"] < 0.7 * told["fixed to Nash"], told

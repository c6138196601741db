"""COMAL in TRL: `sync_ref_model` with mixup 1 on games whose equilibria are known, beside a fixed reference.

    python benchmarks/trl_moving_reference.py

Prints mean total-variation distances of single-token policies to the Nash policies and to those of the game regularised
to the start. Seen so far, with a rate that falls in a straight line over the whole run and Adam's second beta at 0.95:
with a fixed reference the distance to the regularised policies went from 0.150 to 0.080 in 240 updates; with one moved
every 80 updates, 6 times, that to the Nash policies went from 0.200 to 0.228: the inner games were not solved between
the moves. Here the rate falls to 0 before each move, and the moves are further apart; that has not been run yet.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import trl
from scipy.optimize import root

from comal.games import PreferenceGame, nash_policy
from comal.judges.matrix import Matrix
from comal.rewards import GroupWinRate
from comal.rewards.trl import TRLWinRate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import one_token

TAU = 0.2
K = 16
GAMES = one_token.games()


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


def trained(start: Path, output: Path, updates: int, moves: int = 1, **options: Any) -> Path:
    """TRL's trainer, rewarded by the games' win rates; the rate falls to 0 before each of the reference's moves."""
    from datasets import Dataset

    judge = Matrix(
        {prompt: P.tolist() for prompt, P in GAMES.items()},
        {prompt: list(one_token.ANSWERS[: len(P)]) for prompt, P in GAMES.items()},
    )
    config = trl.GRPOConfig(
        output_dir=str(output), num_generations=K, max_completion_length=1, per_device_train_batch_size=16 * K,
        max_steps=updates, learning_rate=6e-3, scale_rewards="none", lr_scheduler_type="cosine_with_restarts",
        loss_type="dr_grpo", beta=TAU, use_bias_correction_kl=True, temperature=1.0, bf16=False, use_cpu=True,
        gradient_checkpointing=False, logging_steps=20, save_strategy="no", report_to=[], disable_tqdm=True, seed=0,
        lr_scheduler_kwargs={"num_cycles": moves}, **options,
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


def main() -> None:
    """Train both and print one JSON object."""
    with tempfile.TemporaryDirectory() as place:
        tmp_path = Path(place)
        start = one_token.skewed_start(tmp_path)
        begin = one_token.policies(start)
        exact = [nash_policy(PreferenceGame(P)) for P in GAMES.values()]
        regularised = [regularised_nash(P, p / p.sum(), TAU) for P, p in zip(GAMES.values(), begin, strict=True)]
        fixed = one_token.policies(trained(start, tmp_path / "fixed", 240))
        options = {"sync_ref_model": True, "ref_model_mixup_alpha": 1.0, "ref_model_sync_steps": 160}
        moving = one_token.policies(trained(start, tmp_path / "moving", 4 * 160, 4, **options))

        def mean(found: list[np.ndarray], targets: list[np.ndarray]) -> float:
            return float(np.mean([distance(p, q) for p, q in zip(found, targets, strict=True)]))

        told = {
            "start to regularised": mean(begin, regularised), "start to Nash": mean(begin, exact),
            "fixed to regularised": mean(fixed, regularised), "fixed to Nash": mean(fixed, exact),
            "moving to Nash": mean(moving, exact),
        }  # fmt: skip
        print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()

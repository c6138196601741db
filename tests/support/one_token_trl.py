"""TRL's GRPO trainer on the one-token games, rewarded by their win rates, and how far its policies are from equilibria.

The prompts are chat messages: given as text TRL encodes them without the model's template, and another prompt's policy
is trained than the one that is measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import one_token
from comal.games import PreferenceGame, nash_policy
from comal.games.newton import solve_regularised
from comal.judges.matrix import Matrix
from comal.rewards import GroupWinRate
from comal.rewards.trl import TRLWinRate

TAU = 0.2
"""TRL's `beta`: win rates are not scaled, so the game that is solved is regularised with tau = beta."""
K = 16
GROUPS = 16
"""An update."""


def trained(start: Path, output: Path, updates: int, moves: int = 0, seed: int = 0) -> list[np.ndarray]:
    """The policies that TRL trains from `start` with a fixed reference, or with one that moves after equal parts.

    The rate falls to 0 before each move, and Adam has no momentum: with it the policies circle the equilibrium.
    """
    import trl
    from datasets import Dataset

    games = one_token.games()
    judge = Matrix(
        {prompt: P.tolist() for prompt, P in games.items()},
        {prompt: list(one_token.ANSWERS[: len(P)]) for prompt, P in games.items()},
    )
    parts = max(moves, 1)
    moving: dict[str, Any] = {
        "sync_ref_model": True,
        "ref_model_mixup_alpha": 1.0,
        "ref_model_sync_steps": updates // parts,
    }
    config = trl.GRPOConfig(
        output_dir=str(output), num_generations=K, per_device_train_batch_size=GROUPS * K, max_completion_length=1,
        max_steps=updates, beta=TAU, scale_rewards="none", use_bias_correction_kl=True, loss_type="dr_grpo",
        learning_rate=2e-3, adam_beta1=0.0, lr_scheduler_type="cosine_with_restarts",
        lr_scheduler_kwargs={"num_cycles": parts}, temperature=1.0, bf16=False, use_cpu=True,
        gradient_checkpointing=False, logging_steps=20, save_strategy="no", report_to=[], disable_tqdm=True, seed=seed,
        **(moving if moves else {}),
    )  # fmt: skip
    prompts = [[{"role": "user", "content": prompt}] for prompt in games]
    trainer = trl.GRPOTrainer(
        model=str(start), args=config, reward_funcs=TRLWinRate(GroupWinRate(judge), K),
        train_dataset=Dataset.from_dict({"prompt": prompts * (GROUPS // len(games)) * updates}),
    )  # fmt: skip
    trainer.train()
    logged = [row for row in trainer.state.log_history if "judge/questions" in row]
    assert logged
    assert all(row["judge/masked"] == 0 for row in logged)
    trainer.save_model(str(output))
    return one_token.policies(output)


def equilibria(start: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Each game's Nash policy (by linear programming), and that of the game regularised to the start."""
    games = list(one_token.games().values())
    begin = one_token.policies(start)
    regularised = [_regularised_nash(P, p / p.sum()) for P, p in zip(games, begin, strict=True)]
    return [nash_policy(PreferenceGame(P)) for P in games], regularised


def _regularised_nash(P: np.ndarray, reference: np.ndarray) -> np.ndarray:
    log_reference = np.log(reference)[None]
    found = solve_regularised(PreferenceGame(P).A[None], log_reference, log_reference, np.array([TAU]), accept=1e-12)
    assert found.solved.all()
    return np.asarray(np.exp(found.log_policy[0]))

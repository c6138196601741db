"""TRL's own trainer calls the reward as it calls any, and logs what the judge did."""

from __future__ import annotations

from pathlib import Path

import pytest

from comal.judges.rules import Rule, Rules
from comal.rewards import GroupWinRate
from comal.rewards import sharing as opened
from comal.rewards.trl import TRLWinRate
from group_judges import Silent
from tiny_models import save_causal_lm

trl = pytest.importorskip("trl", reason="the extra `trl` is not installed")


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing. is deprecated:FutureWarning")  # TRL 1.16 sets it itself
@pytest.mark.parametrize("masked", [False, True])
def test_two_updates(tmp_path: Path, masked: bool) -> None:
    """Where no group has a verdict nothing is learnt: all advantages are 0, and no loss is made up."""
    from datasets import Dataset

    judge = Silent() if masked else Rules((Rule("characters"),))
    config = trl.GRPOConfig(
        output_dir=str(tmp_path / "out"), num_generations=4, per_device_train_batch_size=8, max_completion_length=4,
        max_steps=2, learning_rate=1e-2, scale_rewards="none", beta=0.0, bf16=False, use_cpu=True, logging_steps=1,
        save_strategy="no", report_to=[], disable_tqdm=True, gradient_checkpointing=False,
    )  # fmt: skip
    trainer = trl.GRPOTrainer(
        save_causal_lm(tmp_path / "model", initializer_range=0.1),
        reward_funcs=TRLWinRate(GroupWinRate(judge), num_generations=4),
        args=config,
        train_dataset=Dataset.from_dict({"prompt": [[{"role": "user", "content": f"q{i}"}] for i in range(8)]}),
    )
    before = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.train()
    opened._opened.close()
    logged = [row for row in trainer.state.log_history if "judge/questions" in row]
    assert len(logged) == 2
    moved = any(not bool((p == q).all()) for p, q in zip(before, trainer.model.parameters(), strict=True))
    if masked:
        assert all(row["judge/masked"] == 1.0 for row in logged)
        assert not moved
        return
    assert all(row["rewards/win_rate/mean"] == pytest.approx(0.5) for row in logged), "a group's mean is 1/2"
    assert moved

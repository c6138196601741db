"""Exported pairs in TRL's own DPO trainer."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

import fake_run
from comal.pipeline.data.prompts import PromptSplits
from comal.pipeline.disk.files import write_table
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.export.export import export_run
from comal.policies.base import Prompt
from tiny_models import save_causal_lm

trl = pytest.importorskip("trl", reason="the extra `trl` is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("written", ["messages", "text"])
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
def test_it_takes_a_first_step_on_them(tmp_path: Path, written: str) -> None:
    judge = {"name": "rules", "rules": [{"measure": "characters"}]}
    folder = fake_run.write_run(tmp_path / "run", steps=0, finished=False, judge=judge)
    prompts = [Prompt.of_text(f"question {i}") for i in range(8)]
    RunFolder(folder).write_prompts(PromptSplits(tuple(prompts), (), ()))
    step = folder / "comal" / "steps" / "00000"
    write_table(step / "samples.parquet", {
        "prompt_id": [p.id for p in prompts for _ in "ab"], "answer_id": list("ab") * 8,
        "prompt": [p.text for p in prompts for _ in "ab"], "text": ["short", "the longer one"] * 8,
    })  # fmt: skip
    write_table(step / "verdicts-0.parquet", {
        "prompt_id": [p.id for p in prompts], "first_id": ["a"] * 8, "second_id": ["b"] * 8,
        "probability": [0.2] * 8, "asked": [True] * 8,
    })  # fmt: skip
    export_run(folder, "trl-dpo", tmp_path / "out", "messages" if written == "messages" else "text")
    rows = datasets.load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "hf"))
    config = trl.DPOConfig(
        output_dir=str(tmp_path / "trained"), max_steps=2, per_device_train_batch_size=4, learning_rate=1e-3,
        bf16=False, use_cpu=True, report_to=[], save_strategy="no", logging_steps=1, disable_tqdm=True,
        gradient_checkpointing=False,
    )  # fmt: skip
    trainer = trl.DPOTrainer(save_causal_lm(tmp_path / "model"), args=config, train_dataset=rows)
    trainer.train()
    margins = [row["rewards/margins"] for row in trainer.state.log_history if "rewards/margins" in row]
    assert margins[0] == pytest.approx(0, abs=1e-4), "before the first step policy and reference are one"
    assert margins[-1] > 0

"""A model in shards: read so that no process ever holds it whole, and the same log-probabilities to the last digit."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import forked
import score_in_shards
import stores
import tiny_models
import train_in_shards
from comal.losses.group import Group
from comal.pipeline.processes import distributed
from comal.pipeline.step.samples import score
from comal.pipeline.training.trainers import TrainerSetup, train_prox

SCRIPT = Path(score_in_shards.__file__)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a head that is the embedding, and of one of its own, in several files."""
    folder = tmp_path_factory.mktemp("models")
    shape: dict[str, Any] = {"hidden_size": 32, "layers": 2, "initializer_range": 0.2}
    found = {
        "tied": tiny_models.save_causal_lm(folder / "tied", architecture="qwen2", **shape),
        "untied": tiny_models.save_causal_lm(folder / "untied", **shape),
    }
    config = transformers.AutoConfig.from_pretrained(found["untied"], tie_word_embeddings=False)
    (Path(found["untied"]) / "model.safetensors").unlink()
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(found["untied"], max_shard_size="60KB")
    return found


def test_two_processes_hold_half_each_and_score_as_one_does(folders: dict[str, str]) -> None:
    ranks = forked.call_ranks(2, [sys.executable, str(SCRIPT), *folders.values()])
    assert [rank.returncode for rank in ranks] == [0, 0], [rank.stderr[-3000:] for rank in ranks]
    said = [dict(zip(folders, map(json.loads, rank.stdout.splitlines()), strict=True)) for rank in ranks]
    for name, folder in folders.items():
        policy = stores.store(folder, score=4).open(folder)
        expected = score(policy, score_in_shards.samples())
        whole = sum(p.nbytes for p in policy.model.parameters())
        for found in (rank[name] for rank in said):
            assert np.array_equal(found["logp"], expected), name
            assert np.allclose(found["in_chunks"], expected, atol=1e-5), name
            assert found["ends"] == policy.end_tokens
            assert found["whole"] == whole
            assert found["local"] == pytest.approx(whole / 2, rel=0.02)
            assert found["read"] == found["local"], "of the checkpoint nothing but its own parts"
            assert found["after"] == found["local"], "what was gathered to compute with is gone again"


def gpt2(folder: Path, with_tokenizer: Path) -> str:
    """A model of which Transformers knows no blocks."""
    shutil.copytree(with_tokenizer, folder)
    config = transformers.GPT2Config(vocab_size=320, n_embd=32, n_layer=2, n_head=2, n_positions=64, eos_token_id=1)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_training_begins_in_shards_and_moves_as_one_process_does(
    folders: dict[str, str], tmp_path: Path, processes: int
) -> None:
    """Of three processes none has a third of 32 rows: what cannot be shared evenly, or in blocks, is whole at first."""
    script = train_in_shards.__file__
    folders = folders | {"GPT-2": gpt2(tmp_path / "gpt2", Path(folders["tied"]))}
    ranks = forked.call_ranks(processes, [sys.executable, script, str(tmp_path / "out"), *folders.values()])
    assert [rank.returncode for rank in ranks] == [0] * processes, [rank.stderr[-3000:] for rank in ranks]
    for i, (kind, folder) in enumerate(folders.items()):
        opened = stores.store(folder, score=4)
        before = {k: v.clone() for k, v in opened.open(folder).model.state_dict().items()}
        model = opened.trainable(folder)
        setup = TrainerSetup(train_in_shards.settings(), 1, tmp_path / "alone")
        step, _ = train_prox(model, train_in_shards.groups(), Group(), 1.0, setup, pad=0)
        whole = sum(p.nbytes for p in model.parameters())
        said = [json.loads(rank.stdout.splitlines()[i]) for rank in ranks]
        assert [found["loss"] for found in said] == pytest.approx([step.loss] * processes, abs=1e-5)
        made = tmp_path / "out" / Path(folder).name
        trained = stores.store(made).open(made).model.state_dict()
        for name, weight in model.state_dict().items():
            assert torch.allclose(trained[name], weight, atol=1e-5), name
        assert any((weight - before[name]).abs().max() > 1e-3 for name, weight in trained.items()), "it was trained"
        assert [found["gathered"] > 0 for found in said] == [True] + [False] * (processes - 1)
        for found in said:
            assert found["whole"] == whole
            if processes == 3 or kind == "GPT-2":
                assert found["local"] == whole
                assert found["after"] < 0.55 * whole, "divided by Accelerate"
            else:
                assert found["local"] == found["after"] == whole / 2
                assert found["most"] < 0.51 * whole, "half of it at any time, and buffers"
        saved = json.loads((made / "config.json").read_text("utf-8"))
        assert "distributed_config" not in saved


@pytest.mark.parametrize(("chunks", "calls"), [(4, [2, 2]), (3, [2, 2]), (1, [1, 1]), (0, [0, 0])])
def test_processes_in_step_work_equally_often(monkeypatch: pytest.MonkeyPatch, chunks: int, calls: list[int]) -> None:
    """Whatever repeats a chunk keeps nothing of it; the others' results are gathered, which is left out here."""
    monkeypatch.setattr("accelerate.utils.gather_object", lambda mine: [*mine, *((c, [c]) for c in range(chunks))])
    for rank in (0, 1):
        monkeypatch.setattr(
            distributed, "state", lambda rank=rank: type("State", (), {"num_processes": 2, "process_index": rank})
        )
        worked: list[int] = []

        def work(chunk: list[int], worked: list[int] = worked) -> list[int]:
            worked.extend(chunk)
            return chunk

        assert distributed.map_chunks(work, range(chunks), 1, in_step=True) == list(range(chunks))
        assert len(worked) == calls[rank]

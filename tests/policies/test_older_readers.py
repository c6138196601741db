"""What is saved is read by Transformers 4 as well, and as the same model.

`COMAL_TRANSFORMERS_4_PYTHON` names a Python that has it; the slow test there loads what the quick ones only look at.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import tiny_models
from comal.policies.saved import save_checkpoint

PLAIN = {"rope_theta": 1e6, "rope_type": "default"}
LONG = {
    "rope_theta": 5e5, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
EXTRA = ["<|tool|>", "<|end_of_tool|>"]
IDS = [[5, 17, 101, 33, 260, 7, 12, 77]]


@pytest.fixture(params=[PLAIN, LONG], ids=["default", "llama3"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    tokenizer = tiny_models.make_tokenizer()
    tokenizer.add_special_tokens({"extra_special_tokens": EXTRA})
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=1,
        num_key_value_heads=1, initializer_range=0.3, rope_parameters=dict(request.param), bos_token_id=1,
        eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_checkpoint(transformers.LlamaForCausalLM(config), tokenizer, tmp_path)
    return tmp_path


def written(folder: Path, file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / file).read_text("utf-8"))
    return found


def test_the_names_of_both_versions_are_written(saved: Path) -> None:
    tokenizer, config = written(saved, "tokenizer_config.json"), written(saved, "config.json")
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert tokenizer["model_input_names"] == ["input_ids", "attention_mask"]
    assert tokenizer["additional_special_tokens"] == EXTRA
    assert "extra_special_tokens" not in tokenizer, "Transformers 4 wants another type there"
    rope = config["rope_parameters"]
    assert config["rope_theta"] == rope["rope_theta"]
    assert config.get("rope_scaling", {"rope_type": "default"}) == {k: v for k, v in rope.items() if k != "rope_theta"}


def test_transformers_5_reads_what_it_would_have_read(saved: Path) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(saved)
    assert tokenizer.extra_special_tokens == EXTRA
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.chat_template) == (
        0,
        2,
        tiny_models.CHAT_TEMPLATE,
    )
    text = "Return <|tool|> the size . , of it's"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    config = transformers.AutoConfig.from_pretrained(saved)
    assert config.rope_parameters in (PLAIN, LONG)


def test_layers_that_turn_by_several_rules_stay_as_they_are(tmp_path: Path) -> None:
    config = transformers.Gemma3TextConfig(
        vocab_size=320, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, head_dim=32,
    )  # fmt: skip
    assert isinstance(config.rope_parameters["full_attention"], dict)
    save_checkpoint(transformers.Gemma3ForCausalLM(config), tiny_models.make_tokenizer(), tmp_path)
    assert "rope_theta" not in written(tmp_path, "config.json")


READ = """
import sys, torch, transformers
tokenizer = transformers.AutoTokenizer.from_pretrained(sys.argv[1])
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1])
names = [*tokenizer("Return").keys()]
print(transformers.__version__.split(".")[0], names, tokenizer("Return the <|tool|>")["input_ids"])
print(model(torch.tensor(eval(sys.argv[2]))).logits.log_softmax(-1)[0, -1, :5].tolist())
"""


@pytest.mark.slow
def test_transformers_4_computes_the_same_model(saved: Path) -> None:
    python = os.environ.get("COMAL_TRANSFORMERS_4_PYTHON")
    if python is None:
        pytest.skip("COMAL_TRANSFORMERS_4_PYTHON names no Python that has Transformers 4")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", READ, str(saved), str(IDS)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = done.stdout.splitlines()
    tokens = transformers.AutoTokenizer.from_pretrained(saved)("Return the <|tool|>")["input_ids"]
    assert first == f"4 ['input_ids', 'attention_mask'] {tokens}"
    logits = transformers.AutoModelForCausalLM.from_pretrained(saved)(torch.tensor(IDS)).logits
    assert json.loads(second) == pytest.approx(logits.log_softmax(-1)[0, -1, :5].tolist(), abs=1e-5)

"""QLoRA: adapters on frozen weights in few bits, or one message of what is missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import tiny_models
import tiny_run
from comal.errors import ConfigError
from comal.models.quantization import check_quantization
from comal.models.rounding import TOLERANCE
from comal.pipeline.run.resources import open_store
from comal.pipeline.run.run import Run
from comal.policies import door, loading, store
from comal.policies.adapters import LoraConfig
from comal.policies.base import Prompt
from comal.policies.store import ModelSource, PolicyStore
from comal.recipes.load import validate
from command_line import comal

FOUR_BITS = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": "float32"}
PLACE = "policy.quantization_config"
needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"load_in_4bits": True}, rf"{PLACE}\.load_in_4bits: .* takes no such key\. Did you mean `load_in_4bit`\?"),
        ({}, rf"{PLACE}: need either `load_in_4bit: true` or"),
        ({"load_in_4bit": True, "load_in_8bit": True}, rf"{PLACE}: need either"),
        ({"load_in_4bit": "yes"}, rf"{PLACE}: need either"),
        (FOUR_BITS | {"bnb_4bit_compute_dtype": "float5"}, rf"{PLACE}: .* refuses it: .*float5"),
    ],
)
def test_settings_without_a_meaning_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_quantization(values, PLACE)


def test_without_bitsandbytes_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=rf"^{PLACE}: bitsandbytes is not installed; in comal's folder: pip install"):
        check_quantization(FOUR_BITS, PLACE)


def recipe(folder: Path, **policy: Any) -> dict[str, Any]:
    values = tiny_run.values(folder / "data", steps=2)
    del values["supervised"]
    model = tiny_models.save_causal_lm(folder / "model", hidden_size=64, initializer_range=0.2)
    lora = {"r": 2, "alpha": 4.0}
    values["policy"] = {"model": model, "lora": lora, "quantization_config": FOUR_BITS, "max_new_tokens": 4} | policy
    return values


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lora": None}, "cannot be trained themselves; add `lora`"),
        ({"supervised": {"data": {"source": "x.jsonl"}}}, "is merged into the weights"),
    ],
)
def test_what_few_bits_cannot_do_is_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    values = recipe(tmp_path)
    for name, value in changes.items():
        (values["policy"] if name == "lora" else values)[name] = value
    with pytest.raises(ConfigError, match=said):
        validate(values)


def test_the_settings_reach_the_loading_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []

    def load(*args: Any, quantization_config: Any, device_map: Any) -> Any:
        given.append({"config": quantization_config, "device_map": device_map})
        return loading.load_causal_lm(*args)

    monkeypatch.setattr(store, "load_causal_lm", load)
    base = tiny_models.save_causal_lm(tmp_path)
    source = ModelSource(base, lora=LoraConfig(2, 4.0, "all-linear"), quantization=FOUR_BITS)
    opened = PolicyStore(source, device=torch.device("cpu"))
    opened.open(opened.initial)
    (one,) = given
    assert one["config"].load_in_4bit
    assert one["config"].bnb_4bit_quant_type == "nf4"
    assert one["device_map"] == {"": torch.device("cpu")}


def test_plan_counts_the_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the linear layers' weights: half a byte each, and a float32 for every 64 of them."""
    monkeypatch.setattr("comal.pipeline.run.check.check_quantization", lambda *_: None)
    whole, few = recipe(tmp_path / "whole", quantization_config=None), recipe(tmp_path / "few")
    from comal.pipeline.cost.memory import memory
    from comal.pipeline.cost.model_size import known_size

    found = []
    for values in (whole, few):
        made = validate(values)
        size = known_size(made.policy)
        assert size is not None
        found.append(memory(made, size))
        linear = size.parameters - 320 * 64
    assert found[0].static.weights - found[1].static.weights == int(linear * (4 - 0.5625))
    assert comal("plan", tiny_run.write(tmp_path, few)).exit_code == 0


@pytest.mark.parametrize(
    ("bits", "allowed"),
    [
        (FOUR_BITS, torch.float32),
        (FOUR_BITS | {"bnb_4bit_compute_dtype": "bfloat16"}, torch.bfloat16),
        ({"load_in_8bit": True}, torch.float16),
    ],
)
def test_answers_may_differ_by_the_rounding_of_the_format_that_few_bits_are_multiplied_in(
    tmp_path: Path, bits: dict[str, Any], allowed: torch.dtype
) -> None:
    """The other weights are float32: what bfloat16 rounded away was taken for answers of another policy, on a GPU."""
    policy = PolicyStore(ModelSource(tiny_models.save_causal_lm(tmp_path)), device=torch.device("cpu"))
    opened = policy.open(policy.initial)
    opened.model.config.quantization_config = transformers.BitsAndBytesConfig(**bits)
    assert door.require(opened, [Prompt.of_text("a question")]).tolerance == TOLERANCE[allowed]


@needs_bitsandbytes
@pytest.mark.slow
@pytest.mark.parametrize("computed_in", ["float32", "bfloat16"])
def test_a_run_trains_adapters_on_four_bits(tmp_path: Path, caplog: pytest.LogCaptureFixture, computed_in: str) -> None:
    values = recipe(tmp_path, quantization_config=FOUR_BITS | {"bnb_4bit_compute_dtype": computed_in})
    values["judge"] = {"name": "rules", "rules": [{"measure": "characters", "prefer": "less"}]}
    with Run(tmp_path / "run", validate(values)) as started:
        result = started.execute()
    assert np.isfinite(result.policies["comal"].kl_start.mean)
    opened = open_store(tmp_path / "run", started.recipe)
    kinds = {type(module).__name__ for module in opened.open(opened.initial).model.modules()}
    assert "Linear4bit" in kinds, "what is adapted has few bits indeed"
    assert (tmp_path / "run" / "adapter" / "adapter_config.json").is_file()
    assert not (tmp_path / "run" / "model").exists(), "in the full weights the adapter is another policy"
    assert "is not made: what was trained and measured is an adapter on the weights of" in caplog.text

"""The formula of memory against the bytes that real, tiny models, their gradients and their optimiser hold."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

import tiny_models
import tiny_run
from comal.errors import ConfigError
from comal.pipeline.cost.memory import KEPT, KEPT_ADAPTERS, memory, static_memory
from comal.pipeline.cost.model_size import known_size
from comal.policies.adapters import LoraConfig
from comal.policies.sequences import TokenBatch, completion_log_probs
from comal.policies.store import ModelSource, PolicyStore
from comal.recipes.load import validate
from comal.recipes.settings import PolicySettings
from command_line import comal

PROMPT, ANSWER, K = 32, 48, 4


def size_of(tensors: Iterable[torch.Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def recipe(folder: Path, lora: bool, dtype: str = "float32", checkpointed: bool = False) -> Any:
    values = tiny_run.values(folder / "data")
    model = tiny_models.save_causal_lm(folder / "model", architecture="qwen2", hidden_size=128, layers=4)
    values["policy"] = {
        "model": model, "dtype": dtype, "max_prompt_tokens": PROMPT, "max_new_tokens": ANSWER,
        "lora": {"r": 4, "alpha": 8} if lora else None,
    }  # fmt: skip
    del values["supervised"]
    values["sampling"] = {"prompts": 8, "samples": K, "batch_size": 16}
    values["training"]["share_prompt"] = False
    values["training"]["prompts_per_batch"] = 2
    if checkpointed:
        values["training"]["arguments"] = {"activation_checkpointing": True}
    return validate(values)


def trained(found: Any) -> tuple[Any, Any]:
    """A model after one step of AdamW on two prompts' answers, all at their limits, and the optimiser."""
    policy = found.policy
    lora = None if policy.lora is None else LoraConfig(policy.lora.r, policy.lora.alpha, policy.lora.target_modules)
    store = PolicyStore(ModelSource(policy.model, dtype=policy.dtype, lora=lora), device=torch.device("cpu"))
    model = store.trainable(policy.model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    completion_log_probs(model, batch()).sum().backward()
    optimizer.step()
    return model, optimizer


def batch() -> TokenBatch:
    groups = [([5] * PROMPT, [[7] * ANSWER] * K)] * 2
    return TokenBatch.collate(groups, pad=0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("lora", [False, True])
def test_weights_gradients_and_moments_are_what_a_real_model_holds(tmp_path: Path, lora: bool, dtype: str) -> None:
    found = recipe(tmp_path, lora, dtype)
    size = known_size(found.policy)
    assert size is not None
    model, optimizer = trained(found)
    needed = static_memory(size.parameters, dtype, size.adapters)
    assert needed.weights == size_of(model.parameters())
    assert needed.gradients == size_of(p.grad for p in model.parameters() if p.grad is not None)
    moments = [t for state in optimizer.state.values() for name, t in state.items() if name.startswith("exp_avg")]
    assert needed.optimizer == size_of(moments)
    one_policy = needed.gradients if lora else needed.weights
    assert needed.scorer == (KEPT_ADAPTERS if lora else KEPT) * one_policy
    assert needed.total == needed.weights + needed.scorer + needed.gradients + needed.optimizer


def test_as_many_policies_are_kept_as_the_store_keeps(tmp_path: Path) -> None:
    """Whole models beside the one that is trained; adapters beside the adapter that is."""
    keep = PolicyStore(ModelSource(tiny_models.save_causal_lm(tmp_path))).keep
    assert (keep - 1, keep) == (KEPT, KEPT_ADAPTERS)


@pytest.mark.parametrize("checkpointed", [False, True])
def test_activations_are_about_what_a_real_backward_pass_keeps(tmp_path: Path, checkpointed: bool) -> None:
    """Within a factor of two, the formula being one of counts: of the tensors saved for the backward pass."""
    found = recipe(tmp_path, lora=False, checkpointed=checkpointed)
    model, _ = trained(found)
    if checkpointed:
        model.activation_checkpointing_enable({"use_reentrant": False})
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        completion_log_probs(model, batch()).sum()
    size = known_size(found.policy)
    assert size is not None
    layer, logits = _parts(found, size)
    expected = memory(found, size).activations
    # What exists in the backward pass only: gradients of the logits, and the one layer that is computed again.
    live = expected - logits - (layer if checkpointed else 0)
    real = sum(saved.values()) - 2 * K * ANSWER * size.config.vocab_size * 4
    assert 0.5 < live / real < 2


def _parts(found: Any, size: Any) -> tuple[int, int]:
    """By the docstring's formula: bytes of one layer of the micro-batch, and of its logits."""
    h, i, V = size.config.hidden_size, size.config.intermediate_size, size.config.vocab_size
    return 2 * K * (PROMPT + ANSWER) * (8 * h + 4 * i) * 4, 2 * K * ANSWER * V * (4 + 8)


def test_answers_are_the_keys_and_values_of_all_that_are_drawn_at_once(tmp_path: Path) -> None:
    found = recipe(tmp_path, lora=False)
    size = known_size(found.policy)
    assert size is not None
    model, _ = trained(found)
    cache = model.eval()(torch.zeros((1, 10), dtype=torch.long), use_cache=True).past_key_values
    a_token = size_of(t for layer in cache.layers for t in (layer.keys, layer.values)) // 10
    assert memory(found, size).answers == 16 * (PROMPT + ANSWER) * a_token


def test_a_hub_model_has_no_known_size_and_nobody_is_asked() -> None:
    assert known_size(PolicySettings(model="owner/name")) is None


def test_plan_shows_the_sum_and_its_parts(tmp_path: Path) -> None:
    found = recipe(tmp_path, lora=True)
    path = tiny_run.write(tmp_path, found.model_dump(mode="json"))
    size = known_size(found.policy)
    assert size is not None
    needed = memory(found, size)
    total = json.loads(comal("plan", path, "--json").stdout)["total"]
    assert total["memory"]["peak"] == needed.peak
    assert total["memory"]["weights"] == needed.static.weights
    shown = " ".join(comal("plan", path).stdout.split())
    assert f"memory a device, about {needed.peak / 2**20:.0f} MiB" in shown
    assert f"sampling and scoring {needed.sampling / 2**20:.0f} MiB (policy" in shown
    assert f"training {needed.training / 2**20:.0f} MiB (policy" in shown


def test_an_engine_holds_the_weights_once_more_and_its_cache(tmp_path: Path) -> None:
    """As large as it is given, or else as the answers need that it draws at once; each accelerator a part."""
    found = recipe(tmp_path, lora=True)
    size = known_size(found.policy)
    assert size is not None
    plain = memory(found, size)
    assert (plain.engine, plain.sampling) == (0, plain.static.weights + plain.static.scorer + plain.answers)

    def on(**engine: Any) -> Any:
        values = found.model_dump(mode="json")
        values["sampling"]["engine"] = {"name": "vllm"} | engine
        return validate(values)

    weights = size.parameters * 4
    for options, engine in (
        ({}, weights + plain.answers),
        ({"kv_cache_gib": 0.5}, weights + 2**29),
        ({"tensor_parallel_size": 2}, weights // 2 + plain.answers // 2),
        ({"tensor_parallel_size": 2, "kv_cache_gib": 0.5}, weights // 2 + 2**29),
    ):
        needed = memory(on(**options), size)
        assert (needed.engine, needed.answers) == (engine, 0)
        assert needed.sampling == plain.static.weights + plain.static.scorer + engine
        assert needed.training == plain.training, "it gives its memory back for that"
    path = tiny_run.write(tmp_path, on(kv_cache_gib=0.5).model_dump(mode="json"))
    shown = " ".join(comal("plan", path).stdout.split())
    assert f"engine {(weights + 2**29) / 2**20:.0f} MiB)" in shown
    assert json.loads(comal("plan", path, "--json").stdout)["total"]["memory"]["engine"] == weights + 2**29


def test_shards_divide_what_is_trained_and_nothing_else(tmp_path: Path) -> None:
    """Two prompts of four answers an optimiser step: of two processes each has one."""
    whole = recipe(tmp_path, lora=False)
    values = whole.model_dump(mode="json")
    values["training"]["arguments"] = {"fsdp": True}
    sharded, size = validate(values), known_size(whole.policy)
    assert size is not None
    alone, replica, shard = memory(whole, size), memory(whole, size, 2), memory(sharded, size, 2)
    assert replica.static == alone.static
    assert shard.static == dataclasses.replace(alone.static, scorer=0), "whole models are scored in shards, too"
    assert replica.activations == shard.activations == alone.activations // 2
    trained = alone.static.weights + alone.static.gradients + alone.static.optimizer
    assert shard.training == trained // 2 + shard.activations, "the scorer is gone while shards are trained"
    assert replica.training == trained + alone.static.scorer + replica.activations
    assert replica.sampling == alone.sampling
    assert shard.sampling == alone.sampling - alone.static.scorer, "one whole model draws"
    adapters = validate(values | {"policy": values["policy"] | {"lora": {"r": 2}}})
    with_adapters = known_size(adapters.policy)
    assert with_adapters is not None
    assert memory(adapters, with_adapters, 2).static.scorer > 0, "of the one model that is there"
    path = tiny_run.write(tmp_path, values)
    found = comal("plan", path, "--processes", "2")
    assert "training, in 2 shards" in " ".join(found.stdout.split())
    with pytest.raises(ConfigError, match=r"an optimiser step takes 2 rows, which 3 processes cannot share evenly"):
        memory(whole, size, 3)
    refused = comal("plan", path, "--processes", "3")
    assert refused.exit_code == 2
    assert "error: training.prompts_per_batch: " in refused.stderr


def test_logits_take_no_more_than_those_of_a_chunk(tmp_path: Path) -> None:
    found = recipe(tmp_path, lora=False)
    size = known_size(found.policy)
    assert size is not None
    size.config.vocab_size = 2 * 10**7  # more than a chunk
    more = memory(found, size).activations
    size.config.vocab_size = 3 * 10**7
    assert memory(found, size).activations - more == 10**7 * (4 + 8), "of one position, and not of eight answers"

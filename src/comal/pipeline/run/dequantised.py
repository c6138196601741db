"""The model of a GGUF file as a standard checkpoint, made once for a run and its processes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

import torch

from comal.errors import ConfigError, PolicyError
from comal.models.gguf import inspect, is_gguf
from comal.models.tokens import embedding_rows
from comal.pipeline.disk.files import atomic_path, read_json, remove_folder, write_json
from comal.pipeline.disk.layout import DequantisedFolder, dequantised_model
from comal.policies.loading import load_causal_lm, load_tokenizer
from comal.policies.saved import save_checkpoint
from comal.recipes.settings import PolicySettings, Recipe

logger = logging.getLogger(__name__)


def check_model(policy: PolicySettings) -> None:
    """Refuse settings that the kind of a policy's model leaves without effect.

    Raises:
        ConfigError: a temperature for a model that is not made here, or a revision of a file.
    """
    file = policy.model is not None and is_gguf(policy.model)
    if policy.temperature != 1.0 and not file:
        instead = "supervised.temperature" if policy.from_scratch is not None else "sampling.temperature"
        raise ConfigError("policy.temperature", f"is for the model of a GGUF file, which is made anew; use {instead}")
    if file and policy.revision is not None:
        raise ConfigError("policy.revision", f"is for hub ids, and `{policy.model}` is a GGUF file; leave it out")


def make_dequantised(folder: DequantisedFolder, policy: PolicySettings) -> None:
    """Make the checkpoint of the GGUF file that a policy names, which appears whole or not at all.

    Raises:
        PolicyError: there is no such file, or it holds no model that can be read.
    """
    assert policy.model is not None
    summary = inspect(policy.model, lambda problem: PolicyError("policy.model", problem))
    tokenizer = load_tokenizer(policy.model)
    model = load_causal_lm(policy.model, getattr(torch, policy.dtype))
    if policy.temperature != 1.0:
        fold_temperature(model, policy.temperature)
    with atomic_path(folder.path) as temporary:
        save_checkpoint(model, tokenizer, temporary)
        cooled = "" if policy.temperature == 1.0 else f", all logits divided by {policy.temperature:g}"
        line = f"{summary.line()}; dequantised to {policy.dtype}{cooled}"
        told = {"line": line, "model": policy.model, "dtype": policy.dtype, "temperature": policy.temperature}
        write_json(DequantisedFolder(temporary).summary, told | summary.to_json())
    logger.warning("%s", line)


def model_folder(name: str, like: PolicySettings) -> Path:
    """The folder of a GGUF model that is no run's start, made where it is not there yet.

    Args:
        name: of the file or package.
        like: whose number format and, where it is of such a file too, temperature the model takes.

    Raises:
        PolicyError: there is no such file, or it holds no model that can be read.
    """
    folder = dequantised_model(name)
    found = inspect(name, lambda problem: PolicyError("policy", problem))
    like = like if like.model is not None and is_gguf(like.model) else PolicySettings(model=name, dtype=like.dtype)
    wanted = {"dtype": like.dtype, "temperature": like.temperature, "sha256": found.sha256}
    if folder.is_made and {key: read_json(folder.summary).get(key) for key in wanted} != wanted:
        remove_folder(folder.path)
    if not folder.is_made:
        make_dequantised(folder, like.model_copy(update={"model": name}))
    return folder.path


def fold_temperature(model: Any, temperature: float) -> None:
    """Divide all logits of a model by a temperature, by the gain of its last norm.

    logits = W · norm(h) · g, also where W is the embedding: dividing g divides every logit.

    Raises:
        ConfigError: the model's logits are made in another way.
    """
    ids = torch.arange(min(8, embedding_rows(model))).unsqueeze(0)
    norm: Any = getattr(getattr(model, "model", None), "norm", None)
    with torch.no_grad():
        wanted = model(ids).logits.float() / temperature
        if isinstance(getattr(norm, "weight", None), torch.Tensor):
            norm.weight /= temperature
        scale = float(wanted.abs().max())
        if not float((model(ids).logits.float() - wanted).abs().max()) <= _ROUNDING[model.dtype] * scale:
            raise ConfigError(
                "policy.temperature",
                f"the logits of a {model.config.model_type} cannot be divided by its last norm; leave it out, and set"
                " sampling.temperature",
            )


_ROUNDING: Final = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Difference that rounding can make, as a share of the largest logit."""


def with_model(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with the model in `folder`, which is ready, instead of the one that it names."""
    policy = recipe.policy.model_copy(update={"model": str(folder), "revision": None, "temperature": 1.0})
    return recipe.model_copy(update={"policy": policy})

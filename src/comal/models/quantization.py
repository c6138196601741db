"""Frozen weights in few bits, by bitsandbytes: what adapters can be trained on in less memory (QLoRA).

Dettmers et al. 2023, arXiv 2305.14314. Sampling, scoring and training all use the same few bits, so that the policy
that is certified is the adapter on these weights, and not on the full ones.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from comal.errors import ConfigError, near_match

if TYPE_CHECKING:
    import torch

INSTALL = "pip install --constraint constraints.txt '.[qlora]'"


def check_quantization(values: Mapping[str, Any], place: str) -> None:
    """Refuse settings that `transformers.BitsAndBytesConfig` would not take, or that would have no effect here.

    Raises:
        ConfigError: an unknown key, no number of bits, or bitsandbytes is not installed.
    """
    import transformers

    known = [name for name in inspect.signature(transformers.BitsAndBytesConfig).parameters if name != "kwargs"]
    for key in values:
        if key not in known:
            raise ConfigError(
                f"{place}.{key}", f"`transformers.BitsAndBytesConfig` takes no such key.{near_match(key, known)}"
            )
    if (values.get("load_in_4bit") is True) == (values.get("load_in_8bit") is True):
        raise ConfigError(place, "need either `load_in_4bit: true` or `load_in_8bit: true`")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ConfigError(place, f"bitsandbytes is not installed; in comal's folder: {INSTALL}")
    try:
        transformers.BitsAndBytesConfig(**values)
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(place, f"`transformers.BitsAndBytesConfig` refuses it: {error}") from error


def loading_options(values: Mapping[str, Any], device: Any) -> dict[str, Any]:
    """What `from_pretrained` is given: weights in few bits are made on the device where they stay."""
    import transformers

    return {"quantization_config": transformers.BitsAndBytesConfig(**values), "device_map": {"": device}}


def rounds_as(model: Any) -> torch.dtype | None:
    """The number format that a model's layers of few bits are multiplied in; None where it has no such layers.

    That of the rest says nothing of it: bitsandbytes takes its inputs into this format, and its outputs back.
    """
    import torch

    config = getattr(model.config, "quantization_config", None)
    if getattr(config, "load_in_8bit", False) is True:
        return torch.float16
    return getattr(config, "bnb_4bit_compute_dtype", None) if getattr(config, "load_in_4bit", False) is True else None


def bytes_of_linear(values: Mapping[str, Any]) -> float:
    """Bytes of a weight of a linear layer: 4 bits and, for every 64 of them, a float32; or 8 bits."""
    return 0.5 + 4 / 64 if values.get("load_in_4bit") else 1.0

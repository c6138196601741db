"""Whether a whole model, or adapters of it, can be trained in the memory of one accelerator."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isfinite
from typing import Literal

from comal.errors import ConfigError, PolicyError
from comal.pipeline.cost.memory import WIDTHS, static_memory
from comal.pipeline.cost.model_size import known_size
from comal.recipes.settings import LoraSettings, PolicySettings

_GIB = 2**30
_ROOM = 0.75
"""Share of the accelerator for weights, gradients and the optimiser; answers and activations have the rest."""
_ADAPTERS = 1 / 150
"""Adapters of rank 16 on all linear layers as a share of a model that cannot be counted: 40 million of 7 billion. Of
small models it is more, but of little."""

_Dtype = Literal["float32", "bfloat16"]
_CHOICES: tuple[tuple[bool, _Dtype], ...] = ((False, "float32"), (True, "float32"), (True, "bfloat16"))


@dataclass(frozen=True, slots=True)
class Fit:
    """What can be trained.

    Attributes:
        lora: adapters, or else the whole model.
        dtype: of the weights.
        why: in words.
    """

    lora: bool
    dtype: _Dtype
    why: str


def fit(model: str, gigabytes: float, rank: int, local_judge: str | None = None, adapters_only: bool = False) -> Fit:
    """The most that fits: the whole model in float32, adapters on float32, or on bfloat16.

    The whole model is never trained in bfloat16: short steps are lost in its rounding.

    Args:
        model: folder or hub id.
        gigabytes: of the accelerator.
        rank: of the adapters.
        local_judge: folder or hub id of a judge on the same accelerator, in bfloat16.
        adapters_only: leave the whole model out.

    Raises:
        ConfigError: nothing fits, or a folder that holds no model; the places are those of `comal init`.
    """
    if not (isfinite(gigabytes) and gigabytes > 0):
        raise ConfigError("--gpu-memory", f"need a positive number of GB, got {gigabytes:g}")
    parameters, adapters = _size(model, rank)
    if parameters is None:
        why = f"Adapters (LoRA) on bfloat16 weights: the size of {model} is not known before it is downloaded."
        return Fit(True, "bfloat16", why)
    judged = 0 if local_judge is None else WIDTHS["bfloat16"] * (_size(local_judge, rank, "--judge-model")[0] or 0)
    room = _ROOM * gigabytes * _GIB - judged
    takes = {
        (lora, dtype): static_memory(parameters, dtype, adapters if lora else None).total for lora, dtype in _CHOICES
    }
    for lora, dtype in _CHOICES[adapters_only:]:
        if takes[lora, dtype] <= room:
            break
    else:
        beside = f" beside a judge of {_shown(judged)}" if judged else ""
        raise ConfigError(
            "--gpu-memory",
            f"{gigabytes:g} GB is too little for `{model}`{beside}: adapters on bfloat16 weights take about "
            f"{_shown(takes[True, 'bfloat16'])}, and answers and activations need a quarter of the memory; take a "
            "smaller model" + (", or a judge elsewhere (--judge openai)" if judged else ""),
        )
    chosen, whole = _shown(takes[lora, dtype]), _shown(takes[False, "float32"])
    if not lora:
        return Fit(lora, dtype, f"The whole model is trained: weights, gradients and optimiser take about {whole}.")
    why = f"Adapters (LoRA) on {dtype} weights take about {chosen}; training the whole model would take {whole}."
    return Fit(lora, dtype, why)


def _size(model: str, rank: int, place: str = "--model") -> tuple[int | None, int]:
    """Parameters of a model and of its adapters: of a folder counted, of a hub id what its name says, such as 7B."""
    lora = LoraSettings(r=rank, alpha=2 * rank) if place == "--model" else None
    try:
        known = known_size(PolicySettings(model=model, lora=lora))
    except PolicyError as error:
        raise ConfigError(place, error.problem) from error
    if known is not None:
        return known.parameters, known.adapters or 0
    said = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)([BM])(?![a-z0-9])", model.rpartition("/")[2], re.IGNORECASE)
    if said is None:
        return None, 0
    parameters = round(float(said[1]) * (1e9 if said[2] in "bB" else 1e6))
    return parameters, round(parameters * _ADAPTERS)


def _shown(count: int) -> str:
    return f"{count / _GIB:.1f} GiB" if count >= _GIB / 10 else f"{count / 2**20:.1f} MiB"

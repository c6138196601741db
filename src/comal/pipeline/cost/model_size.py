"""How large a recipe's model is, from its configuration alone."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from comal.errors import PolicyError, first_line
from comal.models.gguf import find_gguf, gguf_options, is_gguf
from comal.reading.paths import user_path
from comal.recipes.settings import PolicySettings

_SHOWN = 120


@dataclass(frozen=True, slots=True)
class ModelSize:
    """A model that is at hand.

    Attributes:
        config: by Transformers.
        parameters: of the model, without adapters.
        adapters: parameters of one adapter; None where the whole model is trained.
    """

    config: Any
    parameters: int
    adapters: int | None


def known_size(policy: PolicySettings) -> ModelSize | None:
    """The model made on the meta device, where it takes no memory; None where a hub would have to be asked.

    Raises:
        PolicyError: a folder that holds no usable model.
    """
    import torch
    import transformers

    config = _config(policy)
    if config is None:
        return None
    place = "policy.model" if policy.from_scratch is None else "policy.from_scratch"
    try:
        with torch.device("meta"):
            model: Any = transformers.AutoModelForCausalLM.from_config(config)
    except Exception as error:  # whatever torch makes of sizes that no tensor has, and Transformers of a strange config
        raise PolicyError(place, f"no model can be made of this configuration: {first_line(error)[:_SHOWN]}") from error
    with torch.device("meta"):
        parameters = sum(p.numel() for p in model.parameters())
        adapters = None if policy.lora is None else _adapter_parameters(model, policy)
    return ModelSize(config, int(parameters), adapters)


def _config(policy: PolicySettings) -> Any:
    import transformers

    from comal.policies.adapter_folder import architecture_of
    from comal.policies.loading import require_folder

    if policy.from_scratch is not None:
        from comal.pipeline.training.supervised import scratch_config

        return scratch_config(policy.from_scratch, policy.from_scratch.vocab_size, pad=0, end=1)
    assert policy.model is not None
    require_folder(policy.model)
    folder = name = architecture_of(policy.model)
    options: dict[str, Any] = {}
    if is_gguf(name):
        folder, options = gguf_options(find_gguf(name, lambda problem: PolicyError("policy.model", problem)))
    elif not user_path(name).is_dir():
        return None
    try:
        return transformers.AutoConfig.from_pretrained(folder, **options)
    except Exception as error:  # whatever Transformers makes of a file that is no configuration
        raise PolicyError("policy.model", f"cannot read the configuration of `{name}`: {error}") from error


def _adapter_parameters(model: Any, policy: PolicySettings) -> int:
    from comal.policies.adapters import LoraConfig, with_adapters

    assert policy.lora is not None
    lora = policy.lora
    try:
        with warnings.catch_warnings():
            # PEFT with Transformers 5.23: harmless, and not ours to fix.
            warnings.filterwarnings("ignore", message=".is_gradient_checkpointing. is", category=FutureWarning)
            adapted = with_adapters(model, LoraConfig(lora.r, lora.alpha, lora.target_modules), seed=0)
    except ValueError as error:
        raise PolicyError("policy.lora", f"the model takes no such adapters: {error}") from error
    return int(sum(p.numel() for p in adapted.parameters() if p.requires_grad))

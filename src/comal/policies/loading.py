"""Models and tokenizers from folders and hubs, with errors that say what is missing."""

from __future__ import annotations

from typing import Any

import torch

from comal.errors import PolicyError
from comal.models import weights
from comal.models.gguf import find_gguf, is_gguf
from comal.policies.adapter_folder import AdapterFolder, is_adapter, read_adapter
from comal.policies.generation import only_end_tokens
from comal.reading.paths import user_path


def load_tokenizer(name: str, revision: str | None = None, trust_remote_code: bool = False) -> Any:
    """The tokenizer of a folder, hub id or GGUF file; of an adapter's folder its own, or else its base's.

    Raises:
        PolicyError: it cannot be found or read.
    """
    if is_adapter(name) and not (adapter := read_adapter(name)).has_tokenizer:
        name, revision = adapter.base, adapter.revision
    require_folder(name, "tokenizer_config.json")
    return weights.load_tokenizer(name, _refuse, revision=revision, trust_remote_code=trust_remote_code)


def load_causal_lm(
    name: str, dtype: torch.dtype, revision: str | None = None, trust_remote_code: bool = False, **options: Any
) -> Any:
    """The causal LM of a folder, hub id or GGUF file, whose own wishes about sampling are put aside.

    Args:
        name: folder or hub id.
        dtype: of the weights.
        revision: of the hub.
        trust_remote_code: run the model's own code.
        options: others of `from_pretrained`.

    Raises:
        PolicyError: it cannot be found or read, or its weights do not fit.
    """
    import transformers

    require_folder(name)
    model = weights.load_network(
        "causal-lm",
        name,
        _refuse,
        dtype=dtype,
        revision=revision,
        trust_remote_code=trust_remote_code,
        # Not the folder's: one that Transformers refuses would refuse the model.
        generation_config=transformers.GenerationConfig(),
        **options,
    )
    if not is_gguf(name):  # which keeps no wishes
        only_end_tokens(model, name, revision)
    return model


def load_in_shards(
    name: str, dtype: torch.dtype, revision: str | None = None, trust_remote_code: bool = False, bf16: bool = False
) -> Any:
    """The causal LM of a folder or hub id, of which each process holds a part; all have to call this, and it, together.

    Each process reads the parts that are its own, and gathers a block of the model while it computes it. By the same
    arithmetic as a whole model's: figures are the same.

    Args:
        name: folder or hub id.
        dtype: of the weights.
        revision: of the hub.
        trust_remote_code: run the model's own code.
        bf16: gather them in bfloat16, and compute in it.

    Raises:
        PolicyError: as of `load_causal_lm`.
    """
    from transformers.distributed import DistributedConfig

    everyone = DistributedConfig(fsdp_size=torch.distributed.get_world_size(), fsdp_mixed_precision=bf16)
    model = load_causal_lm(name, dtype, revision, trust_remote_code, distributed_config=everyone)
    model.set_reshard_after_forward(True)  # the head's matrix would stay gathered, for a backward pass to come
    return model


def load_shards_to_train(
    name: str, dtype: torch.dtype, revision: str | None = None, trust_remote_code: bool = False, bf16: bool = False
) -> Any:
    """As `load_in_shards`, for a Trainer with `fsdp` to train: Accelerate takes the shards for its own.

    With `bf16` they are in float32, as those are that Accelerate makes.

    Raises:
        PolicyError: as of `load_causal_lm`.
    """
    model = load_in_shards(name, torch.float32 if bf16 else dtype, revision, trust_remote_code, bf16)
    # By these the Trainer would leave Accelerate out, and saving would wait for processes that do not take part.
    model._is_distributed_loading_by_transformers = False
    del model.config.distributed_config
    return model


def well_divided(model: Any) -> bool:
    """Whether shards are those of blocks, and every process holds as much of each parameter as the others.

    Of some architectures Transformers knows no blocks, and would gather the whole at once.
    """
    from torch.distributed.fsdp import FSDPModule

    processes = torch.distributed.get_world_size()
    in_blocks = any(isinstance(module, FSDPModule) for module in model.modules() if module is not model)
    return in_blocks and all(parameter.shape[0] % processes == 0 for parameter in model.parameters())


def require_folder(name: str, *instead: str) -> None:
    """Refuse what can only be meant as a folder or file but is none, before a hub is asked for it.

    An adapter's folder will do where its base does.

    Args:
        name: folder, hub id or GGUF file.
        instead: files of which one does too, where config.json is missing.
    """
    if is_gguf(name):
        find_gguf(name, _refuse)
        return
    path = user_path(name)
    if not weights.could_be_hub_id(name) and not path.is_dir():
        raise PolicyError("policy.model", f"there is no folder `{name}`; give a model folder or a hub id (owner/name)")
    if path.is_dir() and not any((path / file).is_file() for file in ("config.json", *instead)):
        if is_adapter(name):
            read_adapter(name).require_mergeable()
            require_base(read_adapter(name))
            return
        within = next((inside for inside in sorted(path.iterdir()) if (inside / "config.json").is_file()), None)
        hint = "" if within is None else f"; `{within}` does"
        raise PolicyError("policy.model", f"the folder `{name}` holds no model (config.json is missing){hint}")


def require_base(adapter: AdapterFolder) -> None:
    """Refuse an adapter whose base cannot be found, as `require_folder` does.

    Raises:
        PolicyError: there is no such model, or it is an adapter itself.
    """
    problem = "it is an adapter itself" if is_adapter(adapter.base) else None
    if problem is None:
        try:
            require_folder(adapter.base)
        except PolicyError as error:
            problem = error.problem
    if problem is not None:
        raise PolicyError(
            str(adapter.path),
            f"the model that this adapter belongs to, `{adapter.base}`, cannot be used: {problem}. Name it in "
            "adapter_config.json (base_model_name_or_path) by its whole path or hub id",
        )


def _refuse(problem: str) -> PolicyError:
    return PolicyError("policy.model", problem)

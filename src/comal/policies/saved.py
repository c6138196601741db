"""Checkpoints as they are written: what was saved is what was trained, file against memory, and is widely read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from comal.errors import PolicyError
from comal.models.older_readers import add_former_names
from comal.policies.adapters import TRAINED


def save_checkpoint(
    model: Any, tokenizer: Any, folder: Path, state_dict: Mapping[str, torch.Tensor] | None = None
) -> None:
    """Write a model, or its trained adapter, with a tokenizer as a standard checkpoint, and check what was written.

    Args:
        model: whole, or with a trained adapter.
        tokenizer: its own.
        folder: to write.
        state_dict: the model's weights, where it has only a shard of them itself.

    Raises:
        PolicyError: what lies there afterwards is not what was trained.
    """
    given = {} if state_dict is None else {"state_dict": state_dict}
    if hasattr(model, "peft_config"):
        model.save_pretrained(folder, selected_adapters=[TRAINED], **given)
        (folder / "README.md").unlink(missing_ok=True)  # a model card with placeholders helps nobody
    else:
        model.save_pretrained(folder, **given)
    require_saved(model, folder, state_dict)
    tokenizer.save_pretrained(folder)
    add_former_names(folder)


def require_saved(model: Any, folder: Path, state_dict: Mapping[str, torch.Tensor] | None = None) -> None:
    """Check that a checkpoint holds the weights of the model that it was saved from, bit by bit.

    Args:
        model: whole, or with a trained adapter.
        folder: that `save_pretrained` wrote.
        state_dict: the model's weights, where it has only a shard of them itself.

    Raises:
        PolicyError: weights differ, or are missing.
    """
    if hasattr(model, "peft_config"):
        from peft import get_peft_model_state_dict, load_peft_weights

        given = None if state_dict is None else dict(state_dict)
        wanted = get_peft_model_state_dict(model, state_dict=given, adapter_name=TRAINED)
        read = load_peft_weights(str(folder), device="cpu")
        found = dict.fromkeys(read, read.get)
    else:
        wanted = model.state_dict() if state_dict is None else state_dict
        found = _tensors(folder)
        if not found.keys() <= wanted.keys():
            return  # Transformers stores this architecture under other names than it has in memory
    # One at a time: a checkpoint is not read whole beside the model that it is of.
    different = [key for key, tensor in found.items() if not _equal(tensor(key), wanted[key])]
    saved = {wanted[key].data_ptr() for key in found}
    missing = [key for key, tensor in wanted.items() if key not in found and tensor.data_ptr() not in saved]
    for what, keys in (("differ from the trained ones", different), ("are missing", missing)):
        if keys:
            raise PolicyError(
                str(folder), f"the checkpoint that was just written is not the trained model: weights {what}"
                f" ({', '.join(sorted(keys)[:3])}); look after the disk, and continue the run"
            )  # fmt: skip


def _tensors(folder: Path) -> dict[str, Callable[[str], Any]]:
    """The keys of a checkpoint, each with what reads its tensor."""
    from safetensors import safe_open

    files = [safe_open(file, framework="pt") for file in sorted(folder.glob("*.safetensors"))]
    return {key: file.get_tensor for file in files for key in list(file.keys())}  # type: ignore[no-untyped-call]


def _equal(saved: torch.Tensor, wanted: torch.Tensor) -> bool:
    # NaN is not equal to itself: a diverged model is refused as well.
    return saved.shape == wanted.shape and torch.equal(saved, wanted.detach().to(saved.device))

"""LoRA adapters by PEFT, and a model without dropout."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from comal.errors import PolicyError
from comal.models.tokens import embedding_rows
from comal.models.weights import require_whole
from comal.reading.text import is_lfs_pointer

TRAINED = "default"
"""The adapter that is trained. PEFT saves an adapter of this name at the top of a folder, as users expect it."""


@dataclass(frozen=True, slots=True)
class LoraConfig:
    """Shape of the adapters; see `peft.LoraConfig`."""

    r: int
    alpha: float
    target_modules: str | tuple[str, ...]


def with_adapters(model: Any, lora: LoraConfig, seed: int) -> Any:
    """`model` with a fresh trainable adapter called `TRAINED`, which changes nothing yet.

    Raises:
        PolicyError: no such modules; an adapter on an embedding or a head that are one and the same matrix.
    """
    import peft

    target = lora.target_modules
    config = peft.LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=0.0,  # dropout would move the log-ratio away from 0 before the first step
        target_modules=target if isinstance(target, str) else list(target),
        task_type="CAUSAL_LM",
    )
    tied = is_tied(model)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*")  # refused below, with a way out
        torch.manual_seed(seed)
        try:
            adapted = peft.get_peft_model(model, config)
        except ValueError as error:
            raise PolicyError("policy.lora.target_modules", f"PEFT refuses them: {error}") from error
    refuse_tied(adapted, tied, "policy.lora.target_modules")
    return adapted


def refuse_tied(adapted: Any, tied: bool, place: str) -> None:
    """Refuse an adapter on one of a tied embedding and head.

    The two are one matrix: merged into it, what was trained for one use changes the other too, and ruins the model.

    Raises:
        PolicyError: there is one.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    base = adapted.get_base_model()
    parts = {"the embedding": base.get_input_embeddings(), "the head": base.get_output_embeddings()}
    hit = [name for name, module in parts.items() if isinstance(module, BaseTunerLayer)]
    if tied and hit:
        raise PolicyError(
            place,
            f"the model's embedding and head are one matrix (tie_word_embeddings), and {' and '.join(hit)} would get an"
            " adapter: merged, it would change both and ruin the model; name other modules, `all-linear` leaves"
            " them out",
        )


def is_tied(model: Any) -> bool:
    """Whether a model's embedding and head are one matrix."""
    head = model.get_output_embeddings()
    return head is not None and getattr(head, "weight", None) is model.get_input_embeddings().weight


def put_adapter(host: Any, folder: str, name: str) -> None:
    """Load the adapter in `folder` beside the others of `host`, frozen, under `name`.

    Raises:
        PolicyError: it cannot be read, or does not fit the model whole.
    """
    try:
        found = host.load_adapter(folder, adapter_name=name, is_trainable=False)
        missing = list(found.missing_keys)
        # PEFT writes a resized embedding several times, and reads one of them.
        copies = (".modules_to_save.", ".original_module.")
        unexpected = [key for key in found.unexpected_keys if not any(copy in key for copy in copies)]
    except Exception as error:  # torn files, other shapes, and whatever else PEFT meets
        raise PolicyError("policy", f"the adapter in `{folder}` does not fit its model: {_short(error)}") from error
    require_whole(f"the adapter in `{folder}` does not fit its model", missing, unexpected, (), _refuse)


def adapted_by(model: Any, folder: str) -> Any:
    """`model` with an adapter that was trained elsewhere, called `TRAINED`, and the rows of embedding that it brings.

    Raises:
        PolicyError: it cannot be read, does not fit the model whole, or is none of a policy's weights.
    """
    import peft

    try:
        config = peft.PeftConfig.from_pretrained(folder)
        rows = _own_rows(Path(folder))
    except Exception as error:  # torn files, pointers of Git LFS, and whatever else is no adapter
        raise _unusable(folder, _short(error)) from error
    if config.is_prompt_learning:
        raise _unusable(folder, f"{config.peft_type.value} puts tokens of its own before a prompt; name one of weights")
    if config.task_type not in (None, "CAUSAL_LM"):
        raise _unusable(folder, f"it was trained for {config.task_type}, and a policy writes text (CAUSAL_LM)")
    if rows is not None and rows != embedding_rows(model):
        model.resize_token_embeddings(rows, mean_resizing=False)  # the adapter's file has all of them
    config.inference_mode = True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*")  # about merging, which is not done
            host = peft.PeftModelForCausalLM(model, config, adapter_name=TRAINED)
    except Exception as error:
        raise _unusable(folder, _short(error)) from error
    put_adapter(host, folder, TRAINED)
    return host.eval()


def set_trained(host: Any, state: Any, place: str) -> None:
    """Give the trained adapter of `host` these weights.

    Raises:
        PolicyError: they do not fit it whole.
    """
    from peft import set_peft_model_state_dict

    try:
        found = set_peft_model_state_dict(host, state, adapter_name=TRAINED)
    except RuntimeError as error:
        raise PolicyError("policy", f"the adapter in `{place}` does not fit its model: {_short(error)}") from error
    # What it calls missing are the weights of the model below, and of other adapters.
    missing = [key for key in found.missing_keys if "lora_" in key and f".{TRAINED}." in key]
    require_whole(f"the adapter in `{place}` does not fit its model", missing, list(found.unexpected_keys), (), _refuse)


_WEIGHTS: Final = ("adapter_model.safetensors", "adapter_model.bin")
_EMBEDDINGS: Final = ("embed_tokens", "lm_head", "wte", "embed_in", "embed_out", "word_embeddings")


def _own_rows(folder: Path) -> int | None:
    """Rows of the embedding or head that an adapter brings along; None where it brings none.

    Raises:
        FileNotFoundError: there are no weights.
        Exception: whatever their readers make of files that are none.
    """
    path = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"there is no {_WEIGHTS[0]} in it")
    if is_lfs_pointer(path):
        raise ValueError(f"{path.name} is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`")
    rows = {
        shape[0]
        for key, shape in _shapes(path).items()
        if key.endswith(".weight") and "lora_" not in key and any(f".{name}." in key for name in _EMBEDDINGS)
    }
    return max(rows, default=None)


def _shapes(path: Path) -> dict[str, Sequence[int]]:
    if path.suffix == ".bin":
        found = torch.load(path, map_location="meta", weights_only=True)
        return {key: tensor.shape for key, tensor in found.items()}
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118 - no mapping


def _unusable(folder: str, why: str) -> PolicyError:
    return PolicyError("policy", f"the adapter in `{folder}` cannot be used: {why}")


def _refuse(problem: str) -> PolicyError:
    return PolicyError("policy", problem)


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).strip().splitlines()] or [type(error).__name__]
    return " ".join(lines[:3])


def without_dropout(model: Any) -> None:
    """Dropout in training mode would make log pi_theta differ from the cached log pi_k before the first step."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for name in ("attention_dropout", "hidden_dropout", "resid_pdrop", "attn_pdrop", "embd_pdrop", "dropout"):
        if isinstance(getattr(model.config, name, None), float):
            setattr(model.config, name, 0.0)
    for module in model.modules():
        if isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = 0.0

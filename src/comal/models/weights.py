"""Weights of Transformers models: what a folder lacks, or has too much of, is an error and never random numbers."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from comal.errors import ComalError, first_line
from comal.models.gguf import Refuse, dequantised, find_gguf, gguf_options, inspect, is_gguf
from comal.reading.paths import user_path
from comal.reading.text import is_lfs_pointer

Task = Literal["causal-lm", "sequence-classification"]

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


def could_be_hub_id(name: str) -> bool:
    """Whether a name has the form of a hub id, `model` or `owner/model`, and not that of a path."""
    return _HUB_ID.fullmatch(name) is not None


def load_tokenizer(name: str, refuse: Refuse, **options: Any) -> Any:
    """The tokenizer of a folder, hub id or GGUF file.

    Args:
        name: folder, hub id, or a file as `comal.models.gguf` names them.
        refuse: makes the error.
        options: of `from_pretrained`.

    Raises:
        ComalError: it cannot be found or read.
    """
    import transformers

    if is_gguf(name):
        folder, file = gguf_options(find_gguf(name, refuse))
        with _one_message(name, refuse, _OTHER_FILE):
            return transformers.AutoTokenizer.from_pretrained(folder, **file)
    with _one_message(name, refuse):
        return transformers.AutoTokenizer.from_pretrained(_local(name), **options)


def load_network(task: Task, name: str, refuse: Refuse, **options: Any) -> Any:
    """The model of a folder, hub id or GGUF file, with exactly the weights that are there.

    Args:
        task: which head it has.
        name: folder, hub id, or a file as `comal.models.gguf` names them, which is dequantised.
        refuse: makes the error.
        options: of `from_pretrained`.

    Raises:
        ComalError: it cannot be found or read; weights are missing, left over, or of another shape; there is an adapter
            or another set of weights beside them.
    """
    import transformers

    folder = user_path(name)
    if (folder / "adapter_config.json").is_file():
        # Transformers would put the adapter on top of the model, whatever it was trained on, without a word.
        raise refuse(
            f"the folder `{name}` holds an adapter (adapter_config.json) beside a model, and which of the two is meant"
            " cannot be told; keep them in folders of their own"
        )
    if (folder / "model.safetensors").is_file() and any(folder.glob("model-*-of-*.safetensors")):
        # It would take the one file, which `save_pretrained` of shards leaves there.
        raise refuse(
            f"the folder `{name}` holds weights twice, in model.safetensors and in shards (model-*-of-*.safetensors),"
            " and which are meant cannot be told; remove the older ones"
        )
    auto = transformers.AutoModelForCausalLM if task == "causal-lm" else transformers.AutoModelForSequenceClassification
    # Of other shapes it would only say that they are; with this they are listed with the rest.
    checked: dict[str, Any] = {"output_loading_info": True, "ignore_mismatched_sizes": True}
    if is_gguf(name):
        summary = inspect(name, refuse)
        whole, file = gguf_options(find_gguf(name, refuse))
        told = {key: value for key, value in options.items() if key not in ("revision", "trust_remote_code")}
        dense = transformers.GgufConfig(dequantize=True)
        # Its bar of tensors cannot be switched off as that of weights can.
        with _one_message(name, refuse, _OTHER_FILE), contextlib.redirect_stderr(io.StringIO()):
            network, found = auto.from_pretrained(whole, quantization_config=dense, **file, **checked, **told)
    else:
        summary = None
        with _one_message(name, refuse):
            options |= _without_padding_beyond(name, options)
            network, found = auto.from_pretrained(_local(name), **checked, **options)
    # Transformers would only warn, and go on with random weights.
    require_whole(
        f"`{name}` was not trained for {task}",
        found["missing_keys"],
        found["unexpected_keys"],
        found["mismatched_keys"],
        lambda problem: refuse(f"{problem}. {_hint(found['unexpected_keys'])}"),
    )
    return network if summary is None else dequantised(network, summary.end_tokens)


def _without_padding_beyond(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """A configuration without its padding token, where the embedding has no row for that: torch would not make it."""
    import transformers

    hub = {key: options[key] for key in ("revision", "trust_remote_code") if key in options}
    config = transformers.AutoConfig.from_pretrained(_local(name), **hub)
    own = config.get_text_config(decoder=True)
    pad, rows = getattr(own, "pad_token_id", None), getattr(own, "vocab_size", None)
    if not isinstance(pad, int) or not isinstance(rows, int) or pad < rows:
        return {}
    own.pad_token_id = None
    return {"config": config}


def require_whole(
    what: str,
    missing: Iterable[str],
    unexpected: Iterable[str],
    mismatched: Iterable[tuple[str, Iterable[int], Iterable[int]]],
    refuse: Refuse,
) -> None:
    """Refuse weights that do not fit, naming the first keys.

    Args:
        what: begins the message.
        missing: keys that the model has and the files have not.
        unexpected: keys that the files have and the model has not.
        mismatched: keys of both, with the shape in the files and in the model.
        refuse: makes the error.

    Raises:
        ComalError: there is any of them.
    """
    shapes = [f"{key} ({_shape(there)} instead of {_shape(wanted)})" for key, there, wanted in sorted(mismatched)]
    parts = [
        f"{label} {_first(keys)}"
        for label, keys in (
            ("it has no weights for", sorted(missing)),
            ("weights that the model does not have:", sorted(unexpected)),
            ("weights of another shape:", shapes),
        )
        if keys
    ]
    if parts:
        raise refuse(f"{what}: {'; '.join(parts)}")


_WRAPPERS = {
    "module.": "DistributedDataParallel",
    "_orig_mod.": "torch.compile",
    "base_model.model.": "PEFT",
    "_fsdp_wrapped_module.": "FSDP",
    "_forward_module.": "a wrapper",
}


def _hint(unexpected: Iterable[str]) -> str:
    for prefix, wrapper in _WRAPPERS.items():
        if any(key.startswith(prefix) or f".{prefix}" in key for key in unexpected):
            return f"Their names begin as those of a model in {wrapper} do (`{prefix}`): unwrap it before saving"
    return "Save the whole model again with `save_pretrained`, or name another folder"


def _first(keys: list[str], count: int = 3) -> str:
    more = f" and {len(keys) - count} more" if len(keys) > count else ""
    return ", ".join(keys[:count]) + more


def _shape(sizes: Iterable[int]) -> str:
    return "×".join(map(str, sizes)) or "a number"


def _local(name: str) -> str:
    path = user_path(name)
    return str(path) if path.is_dir() else name


_FOLDER = (
    "name a folder written by `save_pretrained`, or a model of the Hugging Face Hub that this machine can reach or has"
    " in its cache (`hf auth login` for a gated one)"
)
_OTHER_FILE = (
    "name a GGUF file of a language model of an architecture that Transformers reads, or the model's own folder"
)


@contextlib.contextmanager
def _one_message(name: str, refuse: Refuse, instead: str = _FOLDER) -> Iterator[None]:
    """Whatever broken files and other people's code raise becomes one message."""
    try:
        yield
    except ComalError:
        raise
    except Exception as error:
        folder = user_path(name)
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        pointer = next((file.name for file in files if is_lfs_pointer(file)), None)
        if pointer is not None:
            raise refuse(
                f"cannot load `{name}`: its {pointer} is a Git LFS pointer, not the file itself; fetch it with"
                " `git lfs pull`"
            ) from error
        reason = first_line(error)
        if reason.startswith("Weights only load failed"):  # whose advice is to run whatever the file holds
            reason = "its .bin file is torn, or holds more than weights"
        raise refuse(f"cannot load `{name}` ({reason}); {instead}") from error

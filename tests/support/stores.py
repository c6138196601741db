"""Stores of policies, made of any fields of what they are made of."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from comal.policies.encoder import PromptFormat
from comal.policies.store import ModelSource, PolicyStore
from comal.policies.transformers import Batching, Decoding


def store(base: str | Path, **fields: Any) -> PolicyStore:
    """A store of the model in `base`; `fields` are those of its source, format, decoding and batching, or its own."""

    def made(kind: type[Any], **given: Any) -> Any:
        names = {field.name for field in dataclasses.fields(kind)} & fields.keys()
        return kind(**given, **{name: fields.pop(name) for name in names})

    decoding = fields.pop("decoding", None) or made(Decoding)
    return PolicyStore(made(ModelSource, base=base), made(PromptFormat), decoding, made(Batching), **fields)

"""Pythons with a vLLM: a fake one that answers by NumPy, whose faults are planted, and the real one where it is."""

from __future__ import annotations

import os
import shlex
import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import stores
from comal.policies.adapters import LoraConfig
from comal.policies.engines.base import Drawing
from comal.policies.store import PolicyStore
from comal.policies.transformers import Decoding
from comal.resolve import resolve_engine

FAULTS = Path(__file__).parent / "fake_vllm"
"""memory, hang, architecture, short: while it starts; dies, dies_once=N:FILE, slow: when it draws; stale, base,
template, begin, penalty: it draws from another policy; no_reload: an older version."""
REAL = os.environ.get("COMAL_VLLM_PYTHON")
"""The Python of the real one; `make test-vllm` sets it."""
LORA = LoraConfig(r=4, alpha=8.0, target_modules="all-linear")


def fake_python(folder: Path, fault: str = "") -> str:
    """A program that is this Python with the fake vLLM, and a fault."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"python-{fault.partition('=')[0] or 'whole'}"
    path.write_text(
        f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(FAULTS))} FAKE_VLLM_FAULT={shlex.quote(fault)}"
        f' exec {shlex.quote(sys.executable)} "$@"\n',
        encoding="utf-8",
    )
    path.chmod(0o755)
    return str(path)


def store(base: str, engine: Mapping[str, Any], log: Path | None = None, **fields: Any) -> PolicyStore:
    """A store whose answers are drawn by an engine."""
    fields = {"decoding": Decoding(max_new_tokens=8)} | fields
    return stores.store(base, drawing=Drawing(resolve_engine(engine, "sampling.engine"), log), **fields)


def moved(store: PolicyStore, folder: Path, amount: float = 0.05, start: Path | str | None = None) -> Path:
    """A checkpoint of the store, some way from another: what a step of training leaves."""
    model = store.trainable(start or store.initial)
    generator = torch.Generator().manual_seed(zlib.crc32(folder.name.encode()))
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if store.lora is None or "lora_B" in name:
                weights.add_(amount * torch.randn(weights.shape, generator=generator))
    store.save(model, folder)
    return folder

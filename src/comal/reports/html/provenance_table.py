"""Versions, machine and command of a run's sessions, as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def provenance_table(sessions: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Rows of (what, its value in each session); rows that no session knows are left out."""
    libraries = list(dict.fromkeys(name for s in sessions for name in s.get("libraries", {})))
    rows = [
        ("began", [_text(s.get("began")).replace("T", " ").replace("+00:00", " UTC") for s in sessions]),
        ("comal", [_text(s.get("comal")) for s in sessions]),
        ("commit", [_text(s.get("commit")).replace("+changes", ", with changes") for s in sessions]),
        ("Python", [_text(s.get("python")) for s in sessions]),
        *((name, [_text(s.get("libraries", {}).get(name)) for s in sessions]) for name in libraries),
        ("machine", [_machine(s.get("machine", {})) for s in sessions]),
        ("training processes", [_text(s.get("processes")) for s in sessions]),
        ("command", [_text(s.get("command")) for s in sessions]),
    ]
    return [(name, values) for name, values in rows if any(value != "unknown" for value in values)]


def _machine(found: Mapping[str, Any]) -> str:
    accelerators = found.get("accelerators") or ()
    parts = [
        found.get("system"),
        found.get("processor"),
        f"{found['cores']} cores" if found.get("cores") else None,
        f"{found['memory_gib']:g} GiB memory" if found.get("memory_gib") else None,
        f"{len(accelerators)} × {', '.join(dict.fromkeys(accelerators))}" if accelerators else "no accelerator",
    ]
    return ", ".join(str(part) for part in parts if part) if found else "unknown"


def _text(value: Any) -> str:
    return "unknown" if value is None else str(value)

"""Versions, machine and command of a run's sessions, as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from comal.pipeline.disk.provenance import Machine, Session


def provenance_table(sessions: Sequence[Session]) -> list[tuple[str, list[str]]]:
    """Rows of (what, its value in each session); rows that no session knows are left out."""
    libraries = list(dict.fromkeys(name for s in sessions for name in s.libraries))
    rows = [
        ("began", [_text(s.began).replace("T", " ").replace("+00:00", " UTC") for s in sessions]),
        ("comal", [_text(s.comal) for s in sessions]),
        ("commit", [_text(s.commit).replace("+changes", ", with changes") for s in sessions]),
        ("Python", [_text(s.python) for s in sessions]),
        *((name, [_text(s.libraries.get(name)) for s in sessions]) for name in libraries),
        ("machine", [_machine(s.machine) for s in sessions]),
        ("training processes", [_text(s.processes) for s in sessions]),
        ("command", [_text(s.command) for s in sessions]),
    ]
    return [(name, values) for name, values in rows if any(value != "unknown" for value in values)]


def _machine(found: Machine | None) -> str:
    if found is None or found == Machine():
        return "unknown"
    parts = [
        found.system,
        found.processor,
        f"{found.cores} cores" if found.cores else None,
        f"{found.memory_gib:g} GiB memory" if found.memory_gib else None,
        f"{len(owned)} × {', '.join(dict.fromkeys(owned))}" if (owned := found.accelerators) else "no accelerator",
    ]
    return ", ".join(part for part in parts if part)


def _text(value: object) -> str:
    return "unknown" if value is None else str(value)

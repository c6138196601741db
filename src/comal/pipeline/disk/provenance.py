"""What a run was made with: versions, commit, machine, command; no host name, user name or path.

`provenance.json` holds a list of sessions: a run that is continued by other versions, on another machine or with other
options adds one, the same again adds none. Nothing in it changes a figure, so results stay comparable byte by byte.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import comal
from comal.pipeline.disk.files import read_json, write_json
from comal.pipeline.disk.layout import RunFolder

LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "peft", "datasets", "numpy", "scipy", "pyarrow")
"""Those whose version can change a figure."""


def record(folder: Path, command: str | None = None, processes: int = 1) -> None:
    """Add this process's session to the run's `provenance.json`, unless the last one there is the same.

    Args:
        folder: of the run.
        command: what began or continued it, as `command_line` writes it.
        processes: how many processes train together.
    """
    path = RunFolder(folder).provenance
    sessions = read_json(path)["sessions"] if path.is_file() else []
    new = session(command, processes)
    if sessions and {**sessions[-1], "began": None} == {**new, "began": None}:
        return
    write_json(path, {"sessions": [*sessions, new]})


def session(command: str | None, processes: int) -> dict[str, Any]:
    """Versions, machine and command of this process."""
    return {
        "began": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "comal": comal.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "libraries": {name: version for name in LIBRARIES if (version := _version(name)) is not None},
        "machine": machine(),
        "processes": processes,
        "command": command,
    }


def command_line(recipe: str, settings: Sequence[str], processes: int = 1) -> str:
    """The command that makes a run again; a recipe's file is named without its folder.

    >>> command_line("somewhere/mine.yaml", ["seed=1"])
    'comal run mine.yaml --set seed=1'
    """
    start = f"torchrun --nproc_per_node {processes} -m comal" if processes > 1 else "comal"
    words = [Path(recipe).name, *(word for setting in settings for word in ("--set", setting))]
    return f"{start} run {shlex.join(words)}"


def commit() -> str | None:
    """The commit of the comal that runs: of its checkout, `+changes` if it differs, or of what pip installed."""
    try:
        origin = metadata.distribution("comal").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        origin = None
    if origin is not None and (installed := json.loads(origin).get("vcs_info", {}).get("commit_id")):
        return str(installed)
    package = Path(comal.__file__).parent
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None  # a package that merely lies inside somebody's repository, such as in its .venv
    found = _git(package, "rev-parse", "HEAD")
    if found is None or not re.fullmatch(r"[0-9a-f]{40,64}", found):
        return None
    return found + ("+changes" if _git(package, "status", "--porcelain", ".") else "")


def machine() -> dict[str, Any]:
    """The machine in a few words, without its name."""
    import torch

    cuda = (
        [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    )
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "accelerators": cuda,
    }


def _processor() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or None
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found.group(1).strip() if found else None


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None

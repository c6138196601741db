"""What a run was made with: enough to make it again, and nobody's name or place."""

from __future__ import annotations

import getpass
import json
import platform
import socket
import subprocess
from pathlib import Path

import pytest

import comal
from comal.pipeline.disk import provenance
from comal.pipeline.disk.files import read_json
from comal.pipeline.disk.provenance import Provenance, command_line, record, session
from comal.records import read, to_json
from waiting import LIMIT


def test_a_session_is_recorded_once_and_another_one_beside_it(tmp_path: Path) -> None:
    record(tmp_path, "comal run a.yaml")
    first = (tmp_path / "provenance.json").read_bytes()
    record(tmp_path, "comal run a.yaml")
    assert (tmp_path / "provenance.json").read_bytes() == first
    record(tmp_path, "comal run a.yaml --set processes=2")
    commands = [s["command"] for s in read_json(tmp_path / "provenance.json")["sessions"]]
    assert commands == ["comal run a.yaml", "comal run a.yaml --set processes=2"]
    assert to_json(read(Provenance, tmp_path / "provenance.json")) == read_json(tmp_path / "provenance.json")


def test_versions_are_those_that_are_installed() -> None:
    import torch
    import transformers

    found = session("x", 3)
    assert found.comal == comal.__version__
    assert found.libraries["torch"] == torch.__version__
    assert found.libraries["transformers"] == transformers.__version__
    assert found.python == platform.python_version()
    assert (found.command, found.processes) == ("x", 3)


def test_no_host_user_or_path_is_written() -> None:
    text = json.dumps(to_json(session(command_line("/home/somebody/secret/mine.yaml", ["seed=1"]), 1)))
    for private in (socket.gethostname(), str(Path.home()), str(Path.cwd()), "somebody", "secret"):
        assert private not in text
    if len(getpass.getuser()) > 4:  # "root" may be part of a word
        assert getpass.getuser() not in text


def test_commands_survive_a_shell() -> None:
    settings = ["judge.name=it's a judge", "seed=1"]
    line = command_line("mine.yaml", settings, processes=2)
    assert line.startswith("torchrun --nproc_per_node 2 -m comal run mine.yaml")
    arguments = subprocess.run(["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True)
    assert arguments.stdout.splitlines()[-4:] == ["--set", settings[0], "--set", settings[1]]


def test_the_commit_is_the_checkouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=n", "-c", "user.email=e@example.com"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    package = tmp_path / "comal"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(provenance.comal, "__file__", str(package / "__init__.py"))
    monkeypatch.setattr(provenance.metadata, "distribution", _not_installed)
    monkeypatch.setattr(provenance, "GIT_SECONDS", LIMIT)
    git("init", "-q")
    assert provenance.commit() is None, "somebody else's repository around the package says nothing about it"
    git("add", ".")
    git("commit", "-qm", "first")
    assert provenance.commit() == git("rev-parse", "HEAD")
    (package / "__init__.py").write_text("changed")
    assert provenance.commit() == git("rev-parse", "HEAD") + "+changes"


def _not_installed(name: str) -> None:
    raise provenance.metadata.PackageNotFoundError(name)

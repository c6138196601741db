"""No traceback reaches a user, whatever goes wrong."""

import errno
import os
import re
import sys
from pathlib import Path

import pytest

import command_line
from comal import cli
from comal.errors import DataError, RunError
from comal.pipeline.disk import files
from comal.pipeline.disk.files import atomic_path, write_failure, write_json


@pytest.fixture
def typed(monkeypatch, capsys):
    """`comal` in this process, with a command that fails as given; its exit status and what it said."""

    def run(error: Exception, *options: str) -> tuple[int, str]:
        def fail(*_, **__):
            raise error

        monkeypatch.setattr("comal.games.load_game", fail)
        monkeypatch.setattr(sys, "argv", ["comal", *options, "solve", "paper"])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code), capsys.readouterr().err

    return run


def test_an_unforeseen_error_is_one_line_that_names_the_file_with_its_details(typed, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, said = typed(KeyError("nothing of that name\nand more"))
    assert code == 1
    assert said.count("\n") == 1
    assert "Traceback" not in said
    (named,) = re.findall(r"details in (\S+\.txt)", said)
    assert "raise error" in Path(named).read_text(encoding="utf-8")


def test_where_even_the_details_cannot_be_written(typed, monkeypatch):
    monkeypatch.setattr("tempfile.NamedTemporaryFile", _full_disk)
    code, said = typed(KeyError("x"))
    assert (code, said.count("\n")) == (1, 1)
    assert "comal --traceback" in said


def test_a_process_that_only_lost_the_others_does_not_ask_for_a_report(typed, monkeypatch):
    """The first one has said what is wrong; the rest hear that the connection is closed."""
    gone = RuntimeError("[pair.cc:553] Connection closed by peer [127.0.0.1]:2452. Check the logs")
    code, said = typed(gone)
    assert code == 1
    assert said.startswith("error in comal: ")
    monkeypatch.setenv("RANK", "1")
    code, said = typed(gone)
    assert code == 2
    assert said == "error: another process of this command has ended; the reason is what that one says\n"
    assert typed(RuntimeError("something else"))[0] == 1


def test_a_traceback_is_shown_on_request(typed):
    with pytest.raises(ZeroDivisionError):
        typed(ZeroDivisionError("x"), "--traceback")


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), ["No space left", "same command again"]),
        (PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/there"), ["/there: Permission denied"]),
        (RunError("runs/a", "is in use"), ["error: runs/a: is in use"]),
        (DataError("f", "half \ud83d"), ["half \\ud83d"]),
    ],
)
def test_what_a_user_can_mend_is_exit_status_2(typed, error, parts):
    code, said = typed(error)
    assert code == 2
    assert said.count("\n") == 1
    for part in parts:
        assert part in said


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "a" / "result.json"
    write_json(path, 1)
    monkeypatch.setattr(files, "flush", _full_disk)
    with pytest.raises(RunError, match=r"result.json: cannot be written: No space left on device; .*same command"):
        write_json(path, 2)
    assert path.read_text(encoding="utf-8") == "1\n"
    assert [p.name for p in path.parent.iterdir()] == ["result.json"]


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(RunError, match="cannot be written"):
        write_json(tmp_path / "file" / "result.json", 1)


def test_other_errors_pass_through(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "x"):
        raise ZeroDivisionError
    assert write_failure(ValueError("x")) is None
    assert write_failure(RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file")) is not None


def test_the_exit_statuses_are_documented():
    said = " ".join(command_line.comal("--help").stdout.split())
    for status in ("0 done", "1 an error in comal", "2 something to mend", "3 not converged"):
        assert status in said


def _full_disk(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

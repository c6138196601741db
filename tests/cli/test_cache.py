"""`comal cache` as a person types it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from comal.cli import app
from comal.judges.base import Comparison
from comal.judges.kept.cache import VerdictCache, shared_cache_path
from comal.pipeline.disk.files import write_json
from comal.pipeline.run.resolved import resolve
from comal.recipes.load import load_recipe


def cache(*arguments: object, answer: str | None = None):
    return CliRunner().invoke(app, ["cache", *map(str, arguments)], input=answer)


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two verdicts of judge `one`, one of `two`, in a run's folder."""
    path = tmp_path / "run" / "verdicts.sqlite"
    VerdictCache(path, "ab" * 32, {"name": "one", "n": 2}).put(
        {Comparison("[red]", "<b>é\ud800", "\x1b[2J"): 0.25, Comparison("p", "a", "b"): 1.0}
    )
    VerdictCache(path, "cd" * 32, {"name": "two"}).put({Comparison("p", "a", "b"): 0.5})
    return path


def test_stats_of_a_file_a_run_and_the_shared_cache(path: Path) -> None:
    by_file, by_run = (json.loads(cache("stats", place, "--json").stdout) for place in (path, path.parent))
    assert by_file == by_run
    assert [(j["name"], j["verdicts"]) for j in by_file["judges"]] == [("one", 2), ("two", 1)]
    VerdictCache(shared_cache_path(), "ef" * 32, {"name": "three"}).put({Comparison("p", "a", "b"): 0.5})
    assert json.loads(cache("stats", "--json").stdout)["path"] == str(shared_cache_path())
    text = cache("stats", path)
    assert text.exit_code == 0
    for part in ("one", "abababababab", "two", "3 verdicts", str(path), time.strftime("%Y-", time.gmtime())):
        assert part in text.stdout


def test_export_is_json_lines_on_stdout_or_in_a_file(path: Path, tmp_path: Path) -> None:
    lines = cache("export", path).stdout.splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 3
    odd = next(row for row in rows if row["prompt"] == "[red]")
    assert (odd["first"], odd["second"], odd["probability"]) == ("<b>é\ud800", "\x1b[2J", 0.25)
    assert odd["judge"] == {"name": "one", "n": 2}
    assert not any("\x1b" in line for line in lines), "a terminal must not obey an answer"
    done = cache("export", path, "--judge", "two", "-o", tmp_path / "out" / "v.jsonl")
    assert (done.exit_code, done.stdout) == (0, "")
    (row,) = [json.loads(line) for line in (tmp_path / "out" / "v.jsonl").read_text().splitlines()]
    assert row in rows
    assert row["fingerprint"] == "cd" * 32


def test_prune_asks_and_does_nothing_without_a_yes(path: Path) -> None:
    for answer in ("n\n", "\n"):
        refused = cache("prune", path, "--all", answer=answer)
        assert refused.exit_code == 0
        assert "Delete 3 verdicts" in refused.stderr
        assert "nothing was deleted" in refused.stderr
        assert "deleted 3" not in refused.output
    nobody = cache("prune", path, "--all")
    assert nobody.exit_code == 2
    assert "error: --yes: nothing was deleted" in nobody.stderr
    assert json.loads(cache("stats", path, "--json").stdout)["verdicts"] == 3
    agreed = cache("prune", path, "--judge", "ab", answer="y\n")
    assert agreed.exit_code == 0
    assert "deleted 2 verdicts, kept 1" in agreed.stdout


def test_prune_by_judge_by_age_and_everything(path: Path) -> None:
    assert json.loads(cache("prune", path, "--older-than", "1h", "--json").stdout)["deleted"] == 0
    done = json.loads(cache("prune", path, "--judge", "one", "--older-than", "0s", "--yes", "--json").stdout)
    assert (done["deleted"], done["kept"], done["not_compacted"]) == (2, 1, None)
    assert json.loads(cache("prune", path, "--all", "--yes", "--json").stdout)["kept"] == 0
    assert cache("stats", path).exit_code == 0


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("shared", "the run keeps its verdicts elsewhere (verdict_cache: shared); leave the run's folder out"),
        ("x/own.sqlite", "elsewhere (verdict_cache: x/own.sqlite); name that file, x/own.sqlite"),
        ("run", "there is no verdicts.sqlite in this folder"),
    ],
)
@pytest.mark.parametrize("command", ["stats", "export", "prune"])
def test_where_a_run_keeps_its_verdicts_is_said(tmp_path: Path, command: str, setting: str, said: str) -> None:
    recipe = resolve(load_recipe("docstrings", [f"verdict_cache={setting}"])).canonical()
    write_json(tmp_path / "mine" / "run.json", {"format": 1, "comal": "0", "recipe": recipe})
    outcome = cache(command, tmp_path / "mine", *(["--all", "--yes"] if command == "prune" else []))
    assert outcome.exit_code == 2, outcome.output
    assert outcome.stdout == ""
    assert said in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stats"], "nothing is kept here: no run with `verdict_cache: shared`"),
        (["stats", "nowhere.sqlite"], "nowhere.sqlite: there is no verdict cache here"),
        (["stats", "{tmp}"], "there is no verdicts.sqlite in this folder"),
        (["export", "{tmp}/text"], "cannot be used as a verdict cache (file is not a database)"),
        (["export", "{path}", "--judge", "onne"], "--judge: `onne` has no verdicts in"),
        (["export", "{path}", "-o", "{tmp}/text/x"], "--output: cannot write"),
        (["prune", "{path}", "--yes"], "cache prune: say what to delete: --judge, --older-than, both, or --all alone"),
        (["prune", "{path}", "--all", "--judge", "one"], "say what to delete"),
        (["prune", "{path}", "--older-than", "soon"], "--older-than: need a number and s, m, h, d or w"),
    ],
)
def test_mistakes_are_one_message_and_delete_nothing(path: Path, tmp_path: Path, arguments, said: str) -> None:
    (tmp_path / "text").write_text("words and more words, longer than the header of a database is " * 9)
    outcome = cache(*(a.format(tmp=tmp_path, path=path) for a in arguments))
    assert outcome.exit_code == 2, outcome.output
    assert outcome.stdout == ""
    assert said in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert json.loads(cache("stats", path, "--json").stdout)["verdicts"] == 3

"""`comal cache`: verdicts that judges were asked for, kept on disk."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

if TYPE_CHECKING:
    from comal.judges.kept.upkeep import CacheStats

app = typer.Typer(help="Look into, copy out and clear kept verdicts.", no_args_is_help=True)

Place = Annotated[
    Path | None,
    typer.Argument(metavar="FILE|RUN", help="A cache file, or a run's folder; by default the user's shared one."),
]
Judges = Annotated[
    list[str] | None,
    typer.Option("--judge", metavar="NAME", help="Only this judge's: its name, or first digits of its fingerprint."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@app.callback()
def cache() -> None:
    """Look into, copy out and clear kept verdicts: what judges were asked, so that nothing is paid for twice.

    A run keeps its verdicts in its own folder, or with `verdict_cache: shared` in a file that such runs share.
    """


@app.command()
def stats(place: Place = None, as_json: AsJson = False) -> None:
    """How many verdicts of which judges there are, how old and how large."""
    from comal.judges.kept.upkeep import read_stats

    found = read_stats(_file(place))
    if as_json:
        import json

        typer.echo(json.dumps(found.to_json()))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("judge", no_wrap=True)
    table.add_column("fingerprint", no_wrap=True)
    for heading in ("verdicts", "texts", "first", "last"):
        table.add_column(heading, justify="right", no_wrap=True)
    for judge in found.judges:
        name = "unknown" if judge.name is None else escape(judge.name)
        table.add_row(
            name,
            judge.fingerprint[:12],
            f"{judge.verdicts:,}",
            _bytes(judge.text_bytes),
            judge.first[:10],
            judge.last[:10],
        )
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(f"\n{found.verdicts:,} verdicts, {_bytes(found.bytes)} on disk, in {escape(found.path)}")
    bare = sum(judge.without_text for judge in found.judges)
    if bare:
        typer.echo(f"{bare:,} of them are from an older comal, without texts until a run asks for them again", err=True)


@app.command()
def export(
    place: Place = None,
    judges: Judges = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here instead of to stdout.")
    ] = None,
) -> None:
    """Copy verdicts out as JSON lines: judge, prompt, answers in the order shown, probability, time."""
    import json

    from comal.judges.kept.upkeep import Selection, count_verdicts, export_verdicts, read_stats

    path = _file(place)
    selection = Selection(_fingerprints(read_stats(path), judges))
    with _writing(output) as stream:
        for row in _with_progress(export_verdicts(path, selection), count_verdicts(path, selection), output):
            line = json.dumps(row, ensure_ascii=False)
            try:
                line.encode(stream.encoding or "utf-8")
            except UnicodeEncodeError:  # a lone surrogate, or a terminal with few letters: escaped
                line = json.dumps(row)
            stream.write(f"{line}\n")


@app.command()
def prune(
    place: Place = None,
    judges: Judges = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Only verdicts kept longer ago: 90d, 12h, 2w, 30m, 45s.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All verdicts of all judges.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete verdicts and give their space back. Deleted ones are asked, and paid, for again when a run needs them."""
    from comal.errors import ConfigError
    from comal.judges.kept.upkeep import Selection, count_verdicts, read_stats
    from comal.judges.kept.upkeep import prune as prune_cache

    if everything == bool(judges or older_than):
        raise ConfigError("cache prune", "say what to delete: --judge, --older-than, both, or --all alone")
    path = _file(place)
    before = None if older_than is None else time.time() - parse_age(older_than)
    selection = Selection(_fingerprints(read_stats(path), judges), before)
    count = count_verdicts(path, selection)
    if not yes and count:
        _confirm(f"Delete {count:,} verdicts from {path}?")
    done = prune_cache(path, selection)
    if as_json:
        import dataclasses
        import json

        typer.echo(json.dumps(dataclasses.asdict(done)))
    else:
        typer.echo(
            f"deleted {done.deleted:,} verdicts, kept {done.kept:,}; "
            f"{_bytes(done.bytes_before)} on disk before, {_bytes(done.bytes_after)} now"
        )
    if done.not_compacted:
        typer.echo(f"the file was not compacted ({done.not_compacted}); prune again when it is not in use", err=True)


def parse_age(text: str) -> float:
    """Seconds of an age such as `90d`.

    Raises:
        ConfigError: something else.
    """
    from comal.errors import ConfigError

    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text.strip())
    if not match:
        raise ConfigError("--older-than", f"need a number and s, m, h, d or w, such as 90d, got `{text}`")
    return float(match[1]) * _SECONDS[match[2]]


def _file(place: Path | None) -> Path:
    """The cache that is meant: a file, a run's, or the user's own."""
    from comal.errors import JudgeError
    from comal.judges.kept.cache import shared_cache_path
    from comal.pipeline.disk.layout import HomeFolder

    if place is None:
        path = shared_cache_path()
        if not path.is_file():
            raise JudgeError(
                str(path),
                "nothing is kept here: no run with `verdict_cache: shared` has asked an expensive judge yet; name a"
                " run's folder or a cache file",
            )
        return path
    if place.is_dir():
        path = HomeFolder(place).verdicts()
        if not path.is_file():
            _refuse_elsewhere(place)
            raise JudgeError(
                str(place), f"there is no {path.name} in this folder; verdicts of judges that cost nothing are not kept"
            )
        return path
    return place


def _refuse_elsewhere(folder: Path) -> None:
    """Say where the verdicts of a run are that keeps them in another file, which may be other runs' as well."""
    from comal.errors import JudgeError
    from comal.pipeline.disk.layout import RunFolder

    run = RunFolder(folder)
    if not run.is_marked:
        return
    setting = run.recipe().verdict_cache
    kept = run.verdicts(setting)
    if kept != run.verdicts():
        what = "leave the run's folder out" if setting == "shared" else f"name that file, {kept}"
        raise JudgeError(str(folder), f"the run keeps its verdicts elsewhere (verdict_cache: {setting}); {what}")


def _fingerprints(found: CacheStats, judges: list[str] | None) -> tuple[str, ...] | None:
    return tuple(found.find(judges)) if judges else None


def _confirm(question: str) -> None:
    from comal.errors import ConfigError

    try:
        sure = typer.confirm(question, err=True)
    except typer.Abort as error:  # nobody is there to answer
        raise ConfigError("--yes", "nothing was deleted: there is no answer to be had here; give --yes") from error
    if not sure:
        typer.echo("nothing was deleted", err=True)
        raise typer.Exit


@contextmanager
def _writing(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        import sys

        yield sys.stdout
        return
    from comal.errors import ConfigError, RunError
    from comal.pipeline.disk.files import atomic_path, write_failure

    try:
        with atomic_path(output) as temporary, temporary.open("w", encoding="utf-8") as stream:
            yield stream
    except RunError as error:
        reason = None if error.__cause__ is None else write_failure(error.__cause__)
        raise ConfigError("--output", f"cannot write `{output}`: {reason or error.problem}") from error


def _with_progress(rows: Iterator[dict[str, Any]], count: int, output: Path | None) -> Iterator[dict[str, Any]]:
    """The rows; with a bar on stderr where lines on stdout do not get in its way."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    hidden = output is None or not console.is_terminal
    yield from track(rows, "exporting", count, console=console, transient=True, disable=hidden)


def _bytes(count: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"

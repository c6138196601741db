"""Writing an export of a run or of kept verdicts: row by row, whole or not at all, with its data card."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import comal
from comal.errors import ConfigError, RunError
from comal.judges.kept.pairs import KeptPairs
from comal.judges.kept.upkeep import JudgeStats, read_stats
from comal.pipeline.disk.export_folder import ExportFolder
from comal.pipeline.disk.files import atomic_path, read_table, write_json
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.export.formats import (
    COLUMNS,
    OUTPUTS,
    PAIRS,
    Format,
    Written,
    alpaca_row,
    arena_answer,
    arena_question,
    dataset_info,
    preference_row,
    prompt_row,
    table_row,
)
from comal.pipeline.export.pairs import JudgedPair, JudgedPairs, run_prompts
from comal.policies.base import Prompt
from comal.resolve import resolve_judge

_ROWS = 10_000
"""Of a group in a Parquet file, and in memory."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        folder: where.
        rows: how many.
        left_out: rows of the run's files that are none of the export's, by reason.
    """

    folder: Path
    rows: int
    left_out: Mapping[str, int]


def export_run(
    folder: Path,
    target: Format,
    output: Path,
    written: Written = "messages",
    methods: Sequence[str] = (),
    min_margin: float = 0.0,
) -> Exported:
    """Export a run.

    Args:
        folder: of the run.
        target: the format.
        output: folder to write to; files of an earlier export are replaced.
        written: prompts and answers as chat messages, which the trainer's template turns into what the policy saw, or
            as texts.
        methods: whose training pairs; empty: all methods'.
        min_margin: leave out pairs that the judge is less sure of; toss-ups are no preference and are left out always.

    Raises:
        RunError: no run, or one without what is wanted.
    """
    run = RunFolder(folder)
    recipe = run.recipe()
    out = ExportFolder(output)
    if target in OUTPUTS:
        rows, left_out = _outputs(run, target, out), Counter[str]()
    elif target == "trl-grpo":
        prompts = run_prompts(run)
        train = [prompts[p.id] for p in run.prompts().train]
        rows, left_out = _write_lines(out.rows, (prompt_row(p, written) for p in train)), Counter[str]()
    else:
        pairs = JudgedPairs(run, methods)
        left_out = pairs.left_out
        rows = _write_pairs(out, pairs, left_out, folder, recipe.name, target, written, min_margin)
    judge = resolve_judge(recipe.judge, "judge")
    drawn = {"sampling": recipe.sampling.model_dump(mode="json"), "algorithm": recipe.algorithm, "seed": recipe.seed}
    card = _Card(recipe.name, judge.fingerprint(), judge.identity(), ["Drawn by:", "", *_block(drawn)])
    _write_card(out, card, target, rows, left_out)
    return Exported(output, rows, dict(left_out))


def export_kept(
    path: Path,
    judge: str | None,
    target: Format,
    output: Path,
    written: Written = "messages",
    min_margin: float = 0.0,
) -> Exported:
    """Export the verdicts that are kept in a file, of whatever asked: runs, rewards, a server, audits.

    Args:
        path: of the file.
        judge: whose verdicts, its name or the first digits of its fingerprint; None: the only one's.
        target: a format of pairs.
        output: folder to write to; files of an earlier export are replaced.
        written: as for a run; of several turns the judge was shown a transcript, which is then one message.
        min_margin: as for a run.

    Raises:
        ConfigError: a format that is not of pairs, no such judge, or several.
        JudgeError: no such file, or not one of kept verdicts.
        RunError: no pair is left.
    """
    if target not in PAIRS:
        raise ConfigError(
            "--to", f"`{target}` needs a run, and {path} holds pairs only; take one of {', '.join(PAIRS)}"
        )
    of = _one_judge(path, judge)
    out = ExportFolder(output)
    kept = KeptPairs(path, of.fingerprint, Counter())
    pairs = (JudgedPair(Prompt.of_text(k.prompt), k.first, k.second, k.probability) for k in kept)
    rows = _write_pairs(out, pairs, kept.left_out, path, path.stem, target, written, min_margin)
    shown = "Prompts are what the judge was shown: one text, of several turns a transcript, without a system prompt."
    _write_card(out, _Card(path.stem, of.fingerprint, of.description or {}, [shown]), target, rows, kept.left_out)
    return Exported(output, rows, dict(kept.left_out))


def _one_judge(path: Path, judge: str | None) -> JudgeStats:
    """The judge that is meant."""
    stats = read_stats(path)
    found = stats.judges if judge is None else [j for j in stats.judges if j.fingerprint in stats.find([judge])]
    if len(found) != 1:
        named = ", ".join(f"{j.fingerprint[:12]} ({j.name or 'unknown'}, {j.verdicts:,} verdicts)" for j in found)
        if not found:
            raise ConfigError(str(path), "no verdict is kept here")
        raise ConfigError("--judge", f"{path} has verdicts of several judges; say whose, by fingerprint: {named}")
    return found[0]


def _write_pairs(
    out: ExportFolder,
    pairs: Iterable[JudgedPair],
    left_out: Counter[str],
    source: Path,
    name: str,
    target: Format,
    written: Written,
    min_margin: float,
) -> int:
    """Write pairs in a format of pairs, under a data set's `name` where it has names; returns how many."""
    if target == "parquet":
        return _write_parquet(out.pairs, map(table_row, pairs))
    rows = _write_lines(out.rows, _preferences(pairs, left_out, source, target, written, min_margin))
    if target == "llamafactory":
        write_json(out.dataset_info, dataset_info(name, out.rows.name, written))
    return rows


def _preferences(
    pairs: Iterable[JudgedPair],
    left_out: Counter[str],
    source: Path,
    target: Format,
    written: Written,
    min_margin: float,
) -> Iterator[dict[str, Any]]:
    found = False
    for pair in pairs:
        if pair.margin <= 0:
            left_out["toss-up"] += 1
        elif pair.margin < min_margin:
            left_out["below --min-margin"] += 1
        else:
            found = True
            yield preference_row(pair, target, written)
    if not found:  # here, where nothing has been written for good
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in left_out.items())
        raise RunError(str(source), f"no pair is left ({reasons}); lower --min-margin, or have more judged")


def _outputs(run: RunFolder, target: Format, out: ExportFolder) -> int:
    """Each policy's first answer to each test prompt."""
    files = [path for path in run.last_answers() if path.is_file()]
    if not files:
        raise RunError(str(run.path), "the run has no answers to the test prompts yet; continue it with `comal run`")
    prompts = {p.id: p for p in run.prompts().test}
    rows = 0
    for path in files:
        table = read_table(path)
        first: dict[str, str] = {}
        for prompt_id, text in zip(table["prompt_id"], table["text"], strict=True):
            first.setdefault(prompt_id, text)
        answers = [(prompts[prompt_id], text) for prompt_id, text in first.items()]
        rows += len(answers)
        if target == "alpaca-eval":
            write_json(out.outputs(path.stem), [alpaca_row(p, text, path.stem) for p, text in answers])
        else:
            _write_lines(out.answers(path.stem), (arena_answer(p, text, path.stem) for p, text in answers))
    if target == "arena-hard":
        _write_lines(out.questions, map(arena_question, prompts.values()))
    return rows


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    with _writing(path) as stream:
        for row in rows:
            # ASCII: an answer may hold what no encoding can, and a line break of Unicode's would end the line for some.
            stream.write(json.dumps(row) + "\n")
            count += 1
    return count


def _write_parquet(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema([
        ("prompt_id", pa.string()), ("prompt", pa.list_(message)), ("first", pa.string()), ("second", pa.string()),
        ("probability", pa.float64()), ("method", pa.string()), ("step", pa.int64()),
    ])  # fmt: skip
    count = 0
    with atomic_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for part in _batched(rows):
            writer.write_table(pa.Table.from_pylist(part, schema))
            count += len(part)
    return count


def _batched(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    for row in rows:
        part.append(dict(row))
        if len(part) == _ROWS:
            yield part
            part = []
    if part:
        yield part


@contextmanager
def _writing(path: Path) -> Iterator[TextIO]:
    with atomic_path(path) as temporary, temporary.open("w", encoding="ascii") as stream:
        yield stream


@dataclass(frozen=True, slots=True)
class _Card:
    """What a data card says of where the rows are from.

    Attributes:
        name: of the run, or of the file.
        fingerprint, identity: of the judge.
        origin: lines on how the answers came to be.
    """

    name: str
    fingerprint: str
    identity: Mapping[str, Any]
    origin: Sequence[str]


def _write_card(out: ExportFolder, card: _Card, target: Format, rows: int, left_out: Mapping[str, int]) -> None:
    lines = [f"# {card.name}: {target}", "", f"{rows:,} rows, exported by comal {comal.__version__}.", ""]
    columns = _columns(out, target)
    if columns:
        lines += ["| column | what it is |", "|---|---|"]
        lines += [f"| `{name}` | {COLUMNS[name].replace('|', '&#124;')} |" for name in columns] + [""]
    if left_out:
        lines += ["Left out:", ""]
        lines += [f"- {reason}: {count:,}" for reason, count in sorted(left_out.items())] + [""]
    lines += [f"Judge, of fingerprint `{card.fingerprint}`:", "", *_block(card.identity), "", *card.origin]
    front: list[str] = []
    if target not in OUTPUTS:
        file = out.pairs if target == "parquet" else out.rows
        front = ["---", "configs:", "- config_name: default", f"  data_files: {file.name}", "---", ""]
    with atomic_path(out.card) as temporary:
        temporary.write_text("\n".join([*front, *lines]) + "\n", encoding="utf-8", errors="backslashreplace")


def _columns(out: ExportFolder, target: Format) -> list[str]:
    if target in OUTPUTS:
        return []
    if target == "parquet":
        import pyarrow.parquet as pq

        return list(pq.read_schema(out.pairs).names)
    with out.rows.open(encoding="ascii") as stream:
        return list(json.loads(stream.readline() or "{}"))


def _block(value: Any) -> list[str]:
    return ["```json", json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, default=str), "```"]

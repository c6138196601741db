"""The file formats of `alpaca_eval`: model outputs in, model outputs, annotations and a leaderboard out.

model outputs   a list of {"instruction", "output", "generator", ...}; an `input` (as in the Alpaca data set) belongs to
                the instruction and is put below it
annotations     a list of {"instruction", "output_1", "generator_1", "output_2", "generator_2", "annotator",
                "preference"} where preference − 1 is Pr(output_2 ≻ output_1); null where there is no verdict
leaderboard     one row a system against one baseline, in per cent
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from comal.errors import DataError, near_match
from comal.evaluation.crossplay.crossplay import CrossPlay
from comal.evaluation.crossplay.length_control import LengthControl
from comal.reading.questions import INPUT, require_whole, with_input

KEYS = ("instruction", "output", "generator")


@dataclass(frozen=True, slots=True)
class Outputs:
    """The answers of one system.

    Attributes:
        generator: its name.
        answers: for each instruction one answer or more, in the file's order.
        extra: for each instruction what else the file says of it (such as `dataset`).
    """

    generator: str
    answers: Mapping[str, tuple[str, ...]]
    extra: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def parse_outputs(
    rows: Sequence[tuple[str, Any]], default_name: str | None, allow_empty: bool = False
) -> list[Outputs]:
    """The systems of a file of model outputs, in order of appearance; an instruction may come several times.

    Args:
        rows: each with the place to name when something is wrong with it.
        default_name: the generator of rows that name none; None where each must.
        allow_empty: take empty outputs as answers.

    Raises:
        DataError: a missing key, a value that is no text, an empty output, a part of the question that would be
            dropped, or no rows.
    """
    if not rows:
        raise DataError(default_name or "model outputs", "the file has no rows")
    answers: dict[str, dict[str, list[str]]] = {}
    extra: dict[str, dict[str, dict[str, Any]]] = {}
    empty: list[str] = []
    for where, row in rows:
        if not isinstance(row, Mapping):
            raise DataError(where, f"expected an object with {', '.join(KEYS)}, got {str(row)[:60]!r}")
        instruction = _text(row, "instruction", where)
        output = _text(row, "output", where)
        known = None if "generator" in row else default_name
        generator = _text(row, "generator", where) if known is None else known
        require_whole(row, "instruction", where)
        if not instruction.strip() or not generator.strip():
            raise DataError(where, f"`{'generator' if instruction.strip() else 'instruction'}` is empty")
        if not output.strip():
            empty.append(where)
        instruction = with_input(row, "instruction", where)
        answers.setdefault(generator, {}).setdefault(instruction, []).append(output)
        extra.setdefault(generator, {})[instruction] = {k: _kept(v) for k, v in row.items() if k not in (*KEYS, INPUT)}
    if empty and not allow_empty:
        shown = ", ".join(empty[:3]) + (", …" if len(empty) > 3 else "")
        raise DataError(
            empty[0],
            f"{len(empty)} of {len(rows)} outputs are empty ({shown}); generate them again, or judge them as they are "
            "with --allow-empty",
        )
    return [
        Outputs(name, {x: tuple(group) for x, group in found.items()}, extra[name]) for name, found in answers.items()
    ]


def _kept(value: Any) -> Any:
    """What else a file says, as JSON can hold it: Python writes NaN there, which is no JSON."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _kept(one) for key, one in value.items()}
    return [_kept(one) for one in value] if isinstance(value, list) else value


def output_rows(
    generator: str, prompts: Sequence[str], answers: Sequence[Sequence[str]], extra: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """A file of model outputs; several answers to a prompt are several rows."""
    return [
        {**extra.get(prompt, {}), "instruction": prompt, "output": answer, "generator": generator}
        for prompt, group in zip(prompts, answers, strict=True)
        for answer in group
    ]


def annotation_rows(
    play: CrossPlay,
    answers: Mapping[str, Sequence[Sequence[str]]],
    annotator: str,
    baseline: int,
    extra: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """All verdicts; of a pair with the baseline it is generator_1, as in AlpacaEval."""
    rows = []
    for i, j in play.tables:
        first, second = (j, i) if j == baseline else (i, j)
        for x, (prompt, table) in enumerate(zip(play.prompts, play.tables[i, j], strict=True)):
            second_wins = 1 - table if first == i else table.T
            for k, l in np.ndindex(second_wins.shape):
                p = float(second_wins[k, l])
                rows.append(
                    {
                        **extra.get(prompt, {}),
                        "instruction": prompt,
                        "output_1": answers[play.policies[first]][x][k],
                        "generator_1": play.policies[first],
                        "output_2": answers[play.policies[second]][x][l],
                        "generator_2": play.policies[second],
                        "annotator": annotator,
                        "preference": None if np.isnan(p) else 1 + p,
                    }
                )
    return rows


def leaderboard_row(
    preference: np.ndarray[Any, np.dtype[np.float64]], mean_length: float, controlled: LengthControl | None
) -> dict[str, Any]:
    """AlpacaEval's figures of one system, from Pr(system ≻ baseline) on each prompt; NaN is left out.

    `lc_standard_error` is the bootstrap's, where there is one.
    """
    kept = preference[np.isfinite(preference)]
    if not kept.size:
        return dict.fromkeys(LEADERBOARD) | {"n_total": 0, "avg_length": int(mean_length)}
    wins, losses = int((kept > 0.5).sum()), int((kept < 0.5).sum())
    draws = len(kept) - wins - losses
    error = controlled.standard_error if controlled is not None else None
    return {
        "win_rate": 100 * float(kept.mean()),
        "standard_error": 100 * float(kept.std(ddof=1)) / len(kept) ** 0.5 if len(kept) > 1 else None,
        "n_wins": wins,
        "n_wins_base": losses,
        "n_draws": draws,
        "n_total": len(kept),
        "discrete_win_rate": 100 * (wins + draws / 2) / len(kept),
        "mode": "community",
        "avg_length": int(mean_length),
        "length_controlled_winrate": None if controlled is None else 100 * controlled.win_rate,
        "lc_standard_error": None if error is None else 100 * error,
    }


LEADERBOARD = (
    "win_rate",
    "standard_error",
    "n_wins",
    "n_wins_base",
    "n_draws",
    "n_total",
    "discrete_win_rate",
    "mode",
    "avg_length",
    "length_controlled_winrate",
    "lc_standard_error",
)
"""Columns of AlpacaEval's leaderboards, after the first, unnamed one with the system."""


def leaderboard_csv(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """The leaderboard, the best length-controlled win rate (else the best raw one) first."""

    def rank(name: str) -> tuple[float, float]:
        row = rows[name]
        raw = -1.0 if row["win_rate"] is None else row["win_rate"]
        controlled = row["length_controlled_winrate"]
        return (-(raw if controlled is None else controlled), -raw)

    return _csv(
        [
            ["", *LEADERBOARD],
            *([name, *(rows[name][column] for column in LEADERBOARD)] for name in sorted(rows, key=rank)),
        ]
    )


def matrix_csv(play: CrossPlay) -> str:
    """The win-rate matrix, as `comal solve` reads it; an empty cell where there is no verdict."""
    return _csv(
        [
            ["", *play.policies],
            *(
                [name, *("" if np.isnan(p) else repr(float(p)) for p in row)]
                for name, row in zip(play.policies, play.matrix, strict=True)
            ),
        ]
    )


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    if key not in row:
        raise DataError(
            where,
            f"there is no `{key}`; model outputs have instruction, output, generator.{near_match(key, map(str, row))}",
        )
    value = row[key]
    if not isinstance(value, str):
        raise DataError(where, f"`{key}` should be a text, got {str(value)[:60]!r}")
    return value


def common_prompts(
    systems: Sequence[tuple[str, Sequence[str]]], intersection: bool, explain: Callable[[str], None]
) -> list[str]:
    """The prompts that all systems answer, in the first one's order.

    Args:
        systems: names and the prompts that each has answers to.
        intersection: leave out prompts that some system does not answer, instead of refusing.
        explain: told how many were left out.

    Raises:
        DataError: systems with different prompts, unless `intersection`; none in common.
    """
    first, prompts = systems[0]
    shared = set(prompts).intersection(*(set(own) for _, own in systems[1:]))
    every = dict.fromkeys(prompt for _, own in systems for prompt in own)
    if len(shared) < len(every) and not intersection:
        name, missing = next(
            (name, [p for p in every if p not in own])
            for name, own in ((n, set(o)) for n, o in systems)
            if len(own) < len(every)
        )
        raise DataError(
            name,
            f"has no answer to {len(missing)} of the {len(every)} instructions that the systems answer between them, "
            f"such as {missing[0][:60]!r}; all of them answer {len(shared)}: compare on those with --intersection",
        )
    if not shared:
        raise DataError(first, "the systems have no instruction in common")
    if len(shared) < len(every):
        explain(f"{len(every) - len(shared)} of {len(every)} instructions are left out: not all systems answer them")
    return [prompt for prompt in prompts if prompt in shared]

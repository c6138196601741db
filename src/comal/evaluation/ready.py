"""Verdicts that somebody collected as a cross-play of the systems that they are about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from comal.errors import DataError
from comal.evaluation.audit.verdicts import Row, Verdicts, without_rater
from comal.evaluation.crossplay.crossplay import CrossPlay, CrossPlayParts, from_rates
from comal.evaluation.intervals import Bootstrap
from comal.judges.asking.oracle import OracleStats


def joined(parts: Sequence[Verdicts]) -> Verdicts:
    """The verdicts of several files, of which each may be about other systems, prompts and raters.

    Where two files have the same rater on the same question, it was asked again.

    Raises:
        DataError: a file that names no systems, or has several answers of one to a prompt, which no name tells apart.
    """
    if len(parts) == 1:
        return parts[0]
    for part in parts:
        if len(part.owner) != len(part.systems):
            raise DataError(part.name, "holds several answers of a system to one prompt; evaluate this file alone")
    systems = tuple(sorted({name for part in parts for name in part.systems}))
    prompts = {name: x for x, name in enumerate(dict.fromkeys(name for part in parts for name in part.prompts))}
    raters = {name: r for r, name in enumerate(dict.fromkeys(name for part in parts for name in part.raters))}
    asked: Counter[tuple[int, int, int, int]] = Counter()
    rows: list[Row] = []
    lengths = np.full((len(prompts), len(systems)), np.nan)
    for part in parts:
        column = [systems.index(part.systems[system]) for system in part.owner]
        line = [prompts[name] for name in part.prompts]
        for row in part.rows:
            key = (line[row.prompt], column[row.first], column[row.second], raters[part.raters[row.rater]])
            rows.append(Row(key[0], key[1], key[2], row.probability, key[3], asked[key]))
            asked[key] += 1
        known = np.isfinite(part.lengths)
        place = np.ix_(line, column)
        lengths[place] = np.where(known, part.lengths, lengths[place])
    name = ", ".join(part.name for part in parts)
    owner = tuple(range(len(systems)))
    return Verdicts(name, tuple(prompts), systems, owner, tuple(raters), tuple(rows), lengths)


def play_of(verdicts: Verdicts, bootstrap: Bootstrap) -> CrossPlay:
    """Who beats whom, prompt by prompt: presentation orders count alike, then raters do.

    Raises:
        DataError: the verdicts name no two systems, or are about fewer than two prompts.
    """
    if len(verdicts.systems) < 2:
        raise DataError(
            verdicts.name,
            "does not say whose the answers are, so that no systems can be compared; `comal audit` takes such files",
        )
    if len(verdicts.prompts) < 2:
        raise DataError(verdicts.name, "an interval needs verdicts on at least two prompts")
    systems = len(verdicts.systems)
    asked = np.zeros((len(verdicts.prompts), len(verdicts.owner), len(verdicts.owner)), dtype=np.bool_)
    x, first, second = (verdicts.column(name) for name in ("prompt", "first", "second"))
    asked[x, first, second] = asked[x, second, first] = True
    own = [np.flatnonzero(np.array(verdicts.owner) == system) for system in range(systems)]
    values = verdicts.tables()
    compared = np.ones((len(verdicts.prompts), systems, systems), dtype=np.bool_)
    tables = {}
    for i in range(systems):
        for j in range(i + 1, systems):
            block = asked[:, own[i]][:, :, own[j]]
            compared[:, i, j] = compared[:, j, i] = block.any(axis=(1, 2))
            if block.any():
                tables[i, j] = (values[:, own[i]][:, :, own[j]][block],)
    parts = CrossPlayParts(verdicts.systems, verdicts.prompts, verdicts.system_tables(), tables, compared)
    return from_rates(parts, bootstrap, _counts(verdicts))


def without_people(verdicts: Verdicts) -> Verdicts:
    """The verdicts without people's labels beside them, which are for an audit."""
    if "label" not in verdicts.raters or len(verdicts.raters) == 1:
        return verdicts
    return without_rater(verdicts, verdicts.raters.index("label"))


def _counts(verdicts: Verdicts) -> OracleStats:
    """What was asked, as an oracle counts it: a question is one rater's, in one order or both."""
    questions: dict[tuple[int, int, int, int, int], bool] = {}
    for row in verdicts.rows:
        key = (row.prompt, min(row.first, row.second), max(row.first, row.second), row.rater, row.repeat)
        questions[key] = questions.get(key, True) and bool(np.isfinite(row.probability))
    both = [(forth, back) for _, forth, back in verdicts.both_orders()]
    return OracleStats(
        comparisons=len(verdicts.rows),
        questions=len(questions),
        failures=sum(not given for given in questions.values()),
        both_orders=len(both),
        flips=sum((forth - 0.5) * (back - 0.5) < 0 for forth, back in both),
        # Pr(the answer presented first wins) is `forth` in the one order and 1 - `back` in the other.
        first_excess=sum((forth - back) / 2 for forth, back in both),
    )

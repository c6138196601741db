"""Tables that are nearly games, or nothing of the kind: solved, audited, or refused at the cell that is wrong."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comal.games import load_game
from command_line import comal
from fuzzing import TIERS, Tier, sound
from odd_values import damaged, mutated, numbers, some_of
from possible_results import audited, counts, probabilities

LABELS = ("a", "b", "c d", "é", "None", "5", "[/]")
RATES = st.one_of(
    st.integers(0, 20).map(lambda k: k / 20),
    st.sampled_from((0.0, 1.0, 0.5, 1e-300, 5e-324, 1 - 2**-53, 0.5 + 1e-16, 0.5 + 1e-9, 1e-9, 0.1 + 0.2)),
)


@st.composite
def tables(draw: st.DrawFn) -> list[list[Any]]:
    """Win rates, percents, counts, or any numbers."""
    n = draw(st.integers(1, 6))
    kind = draw(st.sampled_from(("rates", "rates", "rates", "percent", "counts", "any")))
    if kind == "any":
        return [[draw(numbers) for _ in range(n)] for _ in range(n)]
    if kind == "counts":
        cells = st.one_of(st.integers(0, 9), st.sampled_from((0, 0.5, 1e-300, 1e15, 1e300)))
        return [[0 if i == j else draw(cells) for j in range(n)] for i in range(n)]
    total, cell = (1.0, RATES) if kind == "rates" else (100.0, st.integers(0, 100))
    table = [[total / 2] * n for _ in range(n)]
    for i in range(n):
        for j in range(i):
            table[i][j] = draw(cell)
            table[j][i] = total - table[i][j]
    return table


def as_csv(table: Any) -> bytes:
    rows = [row if isinstance(row, list) else [row] for row in table] if isinstance(table, list) else [[table]]
    names = LABELS[: len(rows)]
    lines = [["", *names], *([name, *row] for name, row in zip(names, rows, strict=False))]
    return "\n".join(",".join(str(cell) for cell in line) for line in lines).encode("utf-8", "surrogatepass")


def as_json(table: Any) -> bytes:
    return json.dumps(table).encode()


def as_object(table: Any) -> dict[str, Any]:
    return {"labels": list(LABELS[: len(table)]), "P": table}


@st.composite
def arrays(draw: st.DrawFn) -> bytes:
    kind = draw(st.sampled_from(("float64", "float32", "float16", "int64", "bool", "complex64", ">f8", "U3", "object")))
    table = draw(tables())
    if draw(st.booleans()):
        table = draw(st.sampled_from((table[0], [table, table], table[1:], [], [[table]])))
    file = io.BytesIO()
    with np.errstate(all="ignore"):
        try:
            array = np.array(table).astype(kind)
        except (OverflowError, ValueError, TypeError):
            array = np.zeros((2, 2))
        np.save(file, np.asfortranarray(array) if draw(st.booleans()) else array, allow_pickle=True)
    return file.getvalue()


FILES = st.one_of(
    st.tuples(st.just("t.csv"), damaged(mutated(tables()).map(as_csv))),
    st.tuples(st.just("t.json"), damaged(mutated(tables()).map(as_json))),
    st.tuples(st.just("t.json"), damaged(mutated(tables().map(as_object)).map(as_json))),
    st.tuples(st.just("t.npy"), damaged(arrays())),
)
SOLVE_OPTIONS = (
    ("--symmetrise",), ("--wins",), ("--wins", "--prior", 0.5), ("--prior", "nan"), ("--prior", "inf"), ("--gap", 0),
    ("--prior", 1e308, "--wins"), ("--gap", "nan"), ("--gap", -1), ("--gap", 0.5), ("--start", "1,0,0"),
    ("--start", "nan,1"), ("--start", "inf"), ("--start", "0.5,0.5"), ("--algorithm", "mwu", "--set", "eta=1"),
    ("--algorithm", "inpo", "--set", "eta=1", "--set", "tau=0.1"), ("--algorithm", "omwu"), ("--set", "tau=0.1"),
    ("--algorithm", "sppo", "--set", "eta=1e300"), ("--algorithm", "mwu", "--set", "eta=1e308"),
    ("--algorithm", "inpo", "--set", "eta=1e-320", "--set", "tau=1"), ("--set", "sigma=0"), ("--max-products", 0),
    ("--max-products", -5), ("--set", "tau=1e-300"), ("--set", "tau=1e300"), ("--algorithm", "comal_sampled"),
    ("--algorithm", "mpo", "--set", "eta=1", "--set", "tau=0.1", "--set", "period=2"),
)  # fmt: skip


@TIERS
def test_a_table_is_solved_or_refused(tier: Tier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    @tier.share(0.13)
    @given(FILES, some_of(SOLVE_OPTIONS))
    def holds(file: tuple[str, bytes], chosen: tuple[tuple[Any, ...], ...]) -> None:
        Path(file[0]).write_bytes(file[1])
        options = [part for option in chosen for part in option]

        def solved(plain: dict[str, Any]) -> None:
            game = load_game(file[0], "--symmetrise" in options, "--wins" in options, _prior(options))
            P, policy = np.asarray(game.P), np.array(plain["policy"])
            assert np.abs(P + P.T - 1).max() < 1e-9
            assert P.min() >= 0
            probabilities(plain["policy"])
            counts(plain, ("n", "products", "steps", "linear_solves", "lp_solves"))
            assert len(policy) == len(plain["labels"]) == plain["n"] == len(P)
            assert plain["duality_gap"] >= 0
            assert abs(2 * (P @ policy).max() - 1 - plain["duality_gap"]) < 1e-9

        sound(comal("solve", file[0], "--json", "--max-products", 300, *options), solved)

    holds()


def _prior(options: list[Any]) -> float:
    places = [n for n, option in enumerate(options) if option == "--prior"]
    return float(options[places[-1] + 1]) if places else 0.0


@TIERS
def test_a_table_is_audited_or_refused(tier: Tier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = (
        (),
        (),
        ("--counts", 20),
        ("--wins",),
        ("--counts", 10**18),
        ("--counts", 1),
        ("--counts", 9, "--seed", -3),
    )

    @tier.share(0.04)
    @given(FILES, st.sampled_from(options))
    def holds(file: tuple[str, bytes], chosen: tuple[Any, ...]) -> None:
        Path(file[0]).write_bytes(file[1])
        sound(comal("audit", file[0], "--json", *chosen), audited)

    holds()

"""Records go to JSON and come back; whatever is wrong with a file is a user's error that names it and the field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import forked
import tiny_run
from comal.errors import RunError
from comal.evaluation.estimates import Estimate
from comal.evaluation.exploitability.adversaries import Adversary, WorstCase
from comal.evaluation.exploitability.certificate import AnsweredPrompt
from comal.evaluation.exploitability.scoreboard import PolicyFigures
from comal.judges.asking.oracle import Counts
from comal.pipeline.disk.exploiter_look import ExploiterLook
from comal.pipeline.disk.files import write_json
from comal.pipeline.disk.journal import read_entries
from comal.pipeline.disk.look import Final, Look
from comal.pipeline.disk.provenance import Machine, Provenance, Session
from comal.pipeline.disk.result import PolicyResult, RunResult, read_result
from comal.pipeline.disk.timing import read_timing
from comal.records import INLINE, OMITTED, from_json, key, read, to_json


@dataclass(frozen=True, slots=True)
class Inner:
    x: float
    y: int = 3


@dataclass(frozen=True, slots=True)
class Further:
    z: bool


@dataclass(frozen=True, slots=True)
class Outer:
    kind: Literal["a", "b"]
    pair: tuple[int, str]
    inner: Inner = field(metadata=INLINE)
    many: tuple[Inner, ...] = field(metadata=key("others"))
    named: Mapping[str, float] = field(default_factory=dict)
    further: Further | None = field(default=None, metadata=INLINE)
    perhaps: str | None = field(default=None, metadata=OMITTED)
    nothing: float | None = None

    def __post_init__(self) -> None:
        if self.pair[0] == 13:
            raise ValueError("13 is no number")


OUTER = Outer("a", (1, "one"), Inner(0.5), (Inner(1.0, 2),), {"k": 0.25})
PLAIN: dict[str, Any] = {
    "kind": "a", "pair": [1, "one"], "x": 0.5, "y": 3, "others": [{"x": 1.0, "y": 2}], "named": {"k": 0.25},
    "nothing": None,
}  # fmt: skip


def test_fields_are_keys_in_their_order() -> None:
    assert list(to_json(OUTER).items()) == list(PLAIN.items())
    assert from_json(Outer, PLAIN, "file") == OUTER
    whole = PLAIN | {"z": True, "perhaps": "so", "nothing": 1.5}
    found = from_json(Outer, whole, "file")
    assert (found.further, found.perhaps, found.nothing) == (Further(True), "so", 1.5)
    assert to_json(found) == whole
    del whole["y"], whole["nothing"]
    assert from_json(Outer, whole, "file") == Outer(
        "a", (1, "one"), Inner(0.5, 3), (Inner(1.0, 2),), {"k": 0.25}, Further(True), "so"
    ), "defaults stand for what is not there"


def test_whole_numbers_stay_what_they_are() -> None:
    """A file is written again byte by byte: 1 does not become 1.0."""
    assert json.dumps(to_json(from_json(Inner, {"x": 1, "y": 2}, "file"))) == '{"x": 1, "y": 2}'


def test_keys_that_no_field_knows_are_left_alone() -> None:
    assert from_json(Outer, PLAIN | {"newer": [1]}, "file") == OUTER


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"kind": "c"}, '`kind` is no one of a, b, got "c"'),
        ({"kind": []}, "`kind` is no one of a, b, got []"),
        ({"pair": [1]}, "`pair` is no list of 2, got [1]"),
        ({"pair": [1.5, "one"]}, "`pair.0` is no whole number, got 1.5"),
        ({"pair": [True, "one"]}, "`pair.0` is no whole number, got true"),
        ({"pair": [1, None]}, "`pair.1` is no text, got null"),
        ({"pair": "1x"}, '`pair` is no list, got "1x"'),
        ({"pair": [13, "one"]}, "13 is no number"),
        ({"x": False}, "`x` is no number, got false"),
        ({"x": None}, "`x` is no number, got null"),
        ({"others": {}}, "`others` is no list, got {}"),
        ({"others": [{"x": 1}, {}]}, "`others.1.x` is missing"),
        ({"named": {"k": "0.25"}}, '`named.k` is no number, got "0.25"'),
        ({"named": [1]}, "`named` is no object, got [1]"),
        ({"z": 1}, "`z` is no truth value, got 1"),
        ({"perhaps": 3}, "`perhaps` is no text, got 3"),
        ({"nothing": "x" * 99}, f'`nothing` is no number, got "{"x" * 59}…'),
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(RunError) as raised:
        from_json(Outer, PLAIN | wrong, "some/file.json")
    assert raised.value.place == "some/file.json"
    assert raised.value.problem.startswith(told)
    assert raised.value.problem.endswith("; restore or remove this file")


@pytest.mark.parametrize("name", ["kind", "pair", "x", "others"])
def test_what_is_missing_is_named(name: str) -> None:
    plain = {k: v for k, v in PLAIN.items() if k != name}
    with pytest.raises(RunError, match=f"`{name}` is missing"):
        from_json(Outer, plain, "file")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_a_file_that_is_no_json_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match="cannot be read") as raised:
        read(Inner, path)
    assert raised.value.place == str(path)
    with pytest.raises(RunError, match="cannot be read"):
        read(Inner, tmp_path / "nowhere.json")


def test_nan_is_null_only_where_that_is_said() -> None:
    @dataclass(frozen=True, slots=True, eq=False)
    class Table:
        rates: NDArray[np.float64]
        mean: float

    made = Table(np.array([[0.5, np.nan]]), float("nan"))
    assert to_json(made, nan_is_null=True) == {"rates": [[0.5, None]], "mean": None}
    with pytest.raises(ValueError, match="not JSON compliant"):
        json.dumps(to_json(made), allow_nan=False)


def test_arrays_and_null_as_nan_come_back() -> None:
    found = from_json(NDArray[np.float64], [[0.5, None]], "file")
    np.testing.assert_array_equal(found, [[0.5, np.nan]])
    assert np.isnan(from_json(float, None, "file", null_is_nan=True))
    for wrong in ("x", 3, [[1], [1, 2]], ["x"]):
        with pytest.raises(RunError):
            from_json(NDArray[np.float64], wrong, "file")


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(0, 10**6)
TEXTS = st.text(max_size=6)
ESTIMATES = st.builds(Estimate, NUMBERS, NUMBERS, NUMBERS, COUNTS, COUNTS)
ADVERSARIES = st.builds(Adversary.named, TEXTS)
WORST = st.builds(WorstCase, ESTIMATES, st.tuples(TEXTS, TEXTS))
SHARES = st.dictionaries(TEXTS, NUMBERS, max_size=2)
FIGURES = st.builds(
    PolicyFigures, WORST, ESTIMATES, st.dictionaries(ADVERSARIES, ESTIMATES, max_size=3), st.none() | ESTIMATES,
    st.none() | SHARES,
)  # fmt: skip
ORACLE = st.none() | st.builds(Counts, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, NUMBERS)
EXAMPLES = st.builds(AnsweredPrompt, TEXTS, st.dictionaries(TEXTS, TEXTS, max_size=2))
POLICY = st.builds(PolicyResult, FIGURES, ESTIMATES, NUMBERS, NUMBERS, COUNTS, st.none() | ESTIMATES)
SESSION = st.builds(
    Session, *[st.none() | TEXTS] * 4, st.dictionaries(TEXTS, TEXTS, max_size=2),
    st.none() | st.builds(Machine, TEXTS, st.none() | TEXTS, COUNTS, NUMBERS, st.lists(TEXTS, max_size=2).map(tuple)),
    COUNTS, st.none() | TEXTS,
)  # fmt: skip
RECORDS = {
    RunResult: st.builds(
        RunResult, name=TEXTS, seed=st.integers(), methods=st.just(("m",)), test_prompts=COUNTS, cyclic_prompts=NUMBERS,
        policies=st.dictionaries(TEXTS, POLICY, max_size=2).flatmap(lambda d: POLICY.map(lambda p: d | {"m": p})),
        picked=st.none() | st.dictionaries(TEXTS, TEXTS, max_size=2), oracle=ORACLE,
        examples=st.lists(EXAMPLES, max_size=2).map(tuple),
    ),
    Look: st.builds(
        Look, figures=FIGURES, step=COUNTS, checkpoint=TEXTS, kl_start=NUMBERS, mean_tokens=NUMBERS, unfinished=NUMBERS,
        win_rate_previous=st.none() | ESTIMATES, win_rate_best=st.none() | ESTIMATES, best_step=st.none() | COUNTS,
        oracle=ORACLE,
    ),
    ExploiterLook: st.builds(
        ExploiterLook, step=COUNTS, checkpoint=st.none() | TEXTS, win_rate=ESTIMATES, classes=st.none() | SHARES,
        mean_tokens=NUMBERS, unfinished=NUMBERS,
    ),
    Final: st.builds(Final, TEXTS, COUNTS, st.lists(COUNTS, max_size=3).map(tuple)),
    Provenance: st.builds(Provenance, st.lists(SESSION, max_size=2).map(tuple)),
}  # fmt: skip


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_a_record_comes_back_from_json_as_it_was(kind: type) -> None:
    @given(RECORDS[kind])
    def check(record: Any) -> None:
        plain = json.loads(json.dumps(to_json(record), allow_nan=False))
        assert from_json(kind, plain, "file") == record

    check()


def test_files_of_a_real_run_are_written_again_byte_by_byte(tmp_path: Path) -> None:
    values = tiny_run.values(tmp_path / "data", baselines={"self-play": {"name": "mwu", "eta": 2.0}})
    done = forked.call(tiny_run.command(tiny_run.write(tmp_path, values), tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    records = {
        run / "result.json": read_result(run / "result.json"),
        run / "provenance.json": read(Provenance, run / "provenance.json"),
        run / "timing.json": read_timing(run / "timing.json"),
        **{path: read(Look, path) for path in sorted(run.glob("*/looks/*.json"))},
        **{path: read(Final, path) for path in sorted(run.glob("*/final.json"))},
    }
    assert len(records) == 3 + 2 * 2 + 2
    for path, record in records.items():
        write_json(tmp_path / "again.json", to_json(record))
        assert (tmp_path / "again.json").read_bytes() == path.read_bytes(), path
    for method in ("comal", "self-play"):
        journal = run / method / "journal.jsonl"
        lines = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
        assert [entry.to_json() for entry in read_entries(journal)] == lines, "no figure of a journal is lost"

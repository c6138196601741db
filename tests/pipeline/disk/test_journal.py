from __future__ import annotations

import json
import math
from itertools import islice
from pathlib import Path

import pytest

from comal.algorithms.base import POLICY, REFERENCE, Certify, Copy, Instruction, PlayOnline, Report
from comal.algorithms.egpo import EGPO
from comal.algorithms.inpo import INPO
from comal.algorithms.variants.rspo import RSPO
from comal.algorithms.variants.slhf import SLHF
from comal.errors import RunError
from comal.pipeline.disk.journal import (
    FileJournal,
    JournalEntry,
    Metrics,
    describe_instruction,
    instruction_text,
    read_entries,
    read_instruction,
)

STEP = next(INPO(eta=2.0, tau=0.1).program())


def written(path: Path) -> FileJournal:
    journal = FileJournal(path)
    journal.metrics = {"loss": 0.25}
    journal.append(0, STEP, Report(kl_moved=0.125))
    journal.append(1, Copy(POLICY, REFERENCE), Report())
    return journal


def test_reports_come_back_and_metrics_belong_to_one_line(tmp_path: Path) -> None:
    written(tmp_path / "j.jsonl")
    journal = FileJournal(tmp_path / "j.jsonl")
    assert journal.reports == (Report(kl_moved=0.125), Report())
    assert [e["metrics"] for e in journal.entries] == [{"loss": 0.25}, {}]
    journal.check(0, STEP)
    journal.check(1, Copy(POLICY, REFERENCE))


def test_lines_are_read_as_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    assert read_entries(path) == ()
    written(path)
    entries = (
        JournalEntry(0, STEP, Report(kl_moved=0.125), Metrics(loss=0.25)),
        JournalEntry(1, Copy(POLICY, REFERENCE), Report(), Metrics()),
    )
    assert read_entries(path) == entries
    assert [entry.to_json() for entry in entries] == FileJournal(path).entries
    with path.open("a") as file:
        file.write('{"index": 2, "instr')
    assert read_entries(path) == entries, "a line that is under way does not count"


def test_only_a_line_feed_ends_a_line_of_a_journal_that_may_be_in_use(tmp_path: Path) -> None:
    """Roles are named by whoever writes the algorithm, and Python takes NEL and U+2028 for line ends too."""
    journal = FileJournal(tmp_path / "j.jsonl")
    journal.append(0, Copy("a\u2028b\x85c", REFERENCE), Report())
    assert read_entries(journal.path) == (JournalEntry(0, Copy("a\u2028b\x85c", REFERENCE), Report(), Metrics()),)


INSTRUCTIONS = [*islice(EGPO(eta=2.0, tau=0.1).program(), 2), Copy(POLICY, REFERENCE), Certify(0.25),
                PlayOnline(0.1, 0.5, 3), next(RSPO(2.0, 0.1, 0.2).program()),
                next(SLHF(2.0, 0.1, 0.3).program())]  # fmt: skip


@pytest.mark.parametrize("instruction", INSTRUCTIONS, ids=instruction_text)
def test_an_instruction_comes_back_from_its_description(instruction: Instruction) -> None:
    plain = json.loads(json.dumps(describe_instruction(instruction)))
    assert read_instruction(plain, "file:1") == instruction


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        (None, "no instruction None"),
        ({"do": []}, "no instruction"),
        ({"do": "prox"}, "`anchor` is missing"),
        (
            {"do": "prox", "anchor": {"a": 0.5}, "opponent": [[1, {"a": 1}]], "eta": 1, "out": "a"},
            "must be finite and sum to 1",
        ),
        ({"do": "prox", "anchor": {"a": 1}, "opponent": [[2, {"a": 1}]], "eta": 1, "out": "a"}, "must sum to 1"),
        ({"do": "prox", "anchor": {"a": 1}, "opponent": [[1]], "eta": 1, "out": "a"}, "`opponent.0` is no list of 2"),
    ],
)
def test_what_is_no_instruction_is_refused(plain: object, told: str) -> None:
    with pytest.raises(RunError, match=told) as raised:
        read_instruction(plain, "file:1")
    assert raised.value.place == "file:1"


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_line_torn_by_a_kill_is_dropped_and_the_rest_kept(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j.jsonl"
    written(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    journal = FileJournal(path)
    assert len(journal.entries) == 1
    assert path.read_bytes() == whole[: whole.index(b"\n") + 1]
    journal.append(1, Copy(POLICY, REFERENCE), Report())
    assert path.read_bytes() == whole


def test_a_line_broken_in_the_middle_is_refused_by_its_number(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    written(path)
    path.write_bytes(b"{not json\n" + path.read_bytes())
    with pytest.raises(RunError, match=r"j\.jsonl:1: not a line of a journal"):
        FileJournal(path)


@pytest.mark.parametrize("changed", [INPO(eta=2.0, tau=0.2), INPO(eta=1.0, tau=0.1), EGPO(eta=2.0, tau=0.1)])
def test_another_program_than_the_journals_is_refused(tmp_path: Path, changed) -> None:
    journal = written(tmp_path / "j.jsonl")
    with pytest.raises(RunError, match=r"j\.jsonl:1: the journal says .* but the program now says .*another output"):
        journal.check(0, next(changed.program()))


def test_a_failure_does_not_become_a_number(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "j.jsonl")
    journal.metrics = {"loss": math.nan}
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.append(0, STEP, Report())


def test_instructions_read_like_the_papers() -> None:
    assert instruction_text(STEP) == "policy ← prox of P(· ≻ policy) from reference^0.2 · policy^0.8, η = 2"
    assert instruction_text(Copy(POLICY, REFERENCE)) == "reference ← policy"
    assert "Nash policy of the game regularised to reference" in instruction_text(Certify(0.1))
    first, second = islice(EGPO(eta=2.0, tau=0.1).program(), 2)
    assert "half ←" in instruction_text(first)
    assert "P(· ≻ half)" in instruction_text(second)


def test_only_a_line_feed_ends_a_line(tmp_path):
    """U+2028 and U+0085 stand in JSON texts as they are: a journal with one could not be opened again."""
    path = tmp_path / "journal.jsonl"
    entry = {"index": 0, "instruction": {}, "report": {}, "metrics": {"example": "first\u2028second\x85"}}
    path.write_text(json.dumps(entry, ensure_ascii=False) + "\n", encoding="utf-8")
    assert FileJournal(path).entries == [entry]

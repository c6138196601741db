"""Kept verdicts as pairs of answers: both presentation orders of a question averaged, as an oracle does.

A judge whose verdicts depend on the order was asked both. So where a file has any question of a judge in both orders, a
question that is there in one only has no verdict: half an answer carries the whole position bias. Where it has none,
the judge is symmetric and one order is all there is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from comal.judges.kept.file import open_cache, transaction

ONE_ORDER = "one presentation order only"
WITHOUT_TEXTS = "texts not kept"
"""Verdicts of the first version of the file."""

_BOTH = (
    "SELECT EXISTS (SELECT 1 FROM verdicts v JOIN verdicts w ON w.judge = v.judge AND w.prompt = v.prompt"
    " AND w.first = v.second AND w.second = v.first WHERE v.judge = ? AND v.prompt IS NOT NULL)"
)
_PAIRS = (
    "SELECT p.text, a.text, b.text, v.probability, w.probability FROM verdicts v"
    " LEFT JOIN verdicts w ON w.judge = v.judge AND w.prompt = v.prompt AND w.first = v.second AND w.second = v.first"
    " JOIN texts p ON p.id = v.prompt JOIN texts a ON a.id = v.first JOIN texts b ON b.id = v.second"
    " WHERE v.judge = ? AND (w.key IS NULL OR v.first < v.second) ORDER BY v.prompt, v.first, v.second"
)
_BARE = "SELECT COUNT(*) FROM verdicts WHERE judge = ? AND prompt IS NULL"


@dataclass(frozen=True, slots=True)
class KeptPair:
    """Two answers to a prompt, and what the judge said.

    Attributes:
        prompt: as the judge was shown it; several turns are a transcript.
        first, second: the answers.
        probability: Pr(first ≻ second).
    """

    prompt: str
    first: str
    second: str
    probability: float


@dataclass(frozen=True, slots=True)
class KeptPairs:
    """Goes through one judge's verdicts in a file, prompt by prompt, as they are at one moment.

    Attributes:
        path: of the file.
        judge: the fingerprint.
        left_out: verdicts that make no pair, by reason, counted while going through.
    """

    path: Path
    judge: str
    left_out: Counter[str]

    def __iter__(self) -> Iterator[KeptPair]:
        """The pairs.

        Raises:
            JudgeError: see `comal.judges.kept.file.open_cache`.
        """
        self.left_out.clear()
        with open_cache(self.path) as connection, transaction(connection, "DEFERRED"):
            if bare := int(connection.execute(_BARE, (self.judge,)).fetchone()[0]):
                self.left_out[WITHOUT_TEXTS] = bare
            both = bool(connection.execute(_BOTH, (self.judge,)).fetchone()[0])
            for prompt, first, second, forth, back in connection.execute(_PAIRS, (self.judge,)):
                if back is None and both:
                    self.left_out[ONE_ORDER] += 1
                    continue
                yield KeptPair(prompt, first, second, forth if back is None else (forth + 1 - back) / 2)

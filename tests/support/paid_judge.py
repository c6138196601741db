"""A judge that costs something: every call leaves a line in a file, so that tests see what was paid for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from comal.judges.base import Judge


@dataclass(frozen=True)
class Paid(Judge):
    """A fixed preference for every pair, as good as random and with a bias for the first; `bill` is the file."""

    bill: str

    def identity(self):
        return {"name": "paid"}

    def compare(self, comparisons):
        with Path(self.bill).open("a") as bill:
            bill.writelines(f"{len(c.prompt)}\n" for c in comparisons)
        return [self.verdict(c.prompt, c.first, c.second) for c in comparisons]

    def verdict(self, *texts):
        return int.from_bytes(hashlib.sha256("\0".join(texts).encode()).digest()[:4], "big") / 2**32

    @staticmethod
    def calls(bill: Path) -> int:
        return len(bill.read_text().splitlines()) if bill.is_file() else 0

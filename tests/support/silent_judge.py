"""A judge that has no verdict, and says why."""

from __future__ import annotations

from dataclasses import dataclass

from comal.judges.base import NO_RECORDS, Judge, Verdict


@dataclass(frozen=True)
class Silent(Judge):
    """Times out on prompts whose number is divisible by three, and is unparsable on the others."""

    def identity(self):
        return {"name": "silent"}

    def compare(self, comparisons):
        return [None for _ in comparisons]

    def compare_in_parts(self, comparisons, records=NO_RECORDS):
        yield [Verdict(c, None, "timed out" if int(c.prompt[1:]) % 3 == 0 else "unparsable") for c in comparisons]

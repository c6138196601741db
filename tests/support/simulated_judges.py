"""Judges that are known, audited again and again: how often is the audit's verdict which?

Each compares three answers to a prompt in both orders, a verdict in a word each time. In a part of its verdicts it
follows the answers (their qualities on the prompt, or a circle), in the others the position or a coin. The table in
docs/evaluation.md is what `python tests/support/simulated_judges.py` prints, 200 audits a cell.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import Literal
from unittest.mock import patch

import numpy as np

from comal.evaluation.audit.audit import audit_verdicts
from comal.evaluation.audit.verdicts import Row, Verdicts

VERDICTS = ("unusable", "too little data", "cannot tell", "transitive", "cyclic")
PROMPTS = (15, 50, 150)


@dataclass(frozen=True)
class SimulatedJudge:
    """Follows the answers with probability `follows`; else shows its `otherwise`: Pr(the first is named)."""

    follows: float
    otherwise: float
    taste: Literal["qualities", "circle"] = "qualities"

    def verdicts(self, prompts: int, rng: np.random.Generator) -> Verdicts:
        rows = []
        for x in range(prompts):
            quality = np.array([0.35, 0.0, -0.35]) + rng.normal(size=3)
            for i, j in combinations(range(3), 2):
                for a, b in ((i, j), (j, i)):
                    better = quality[a] > quality[b] if self.taste == "qualities" else (b - a) % 3 == 1
                    named = better if rng.random() < self.follows else rng.random() < self.otherwise
                    rows.append(Row(x, a, b, float(named)))
        ids = tuple(f"q{x}" for x in range(prompts))
        return Verdicts("simulated", ids, tuple("abc"), (0, 1, 2), ("j",), tuple(rows), np.full((prompts, 3), np.nan))


JUDGES = {
    "position": SimulatedJudge(0.0, 1.0),
    "position in 9 of 10": SimulatedJudge(0.0, 0.9),
    "coin": SimulatedJudge(0.0, 0.5),
    "1/5 taste, else position": SimulatedJudge(0.2, 1.0),
    "1/2 taste, else position": SimulatedJudge(0.5, 1.0),
    "3/4 taste, else position": SimulatedJudge(0.75, 1.0),
    "1/2 taste, else a coin": SimulatedJudge(0.5, 0.5),
    "3/4 taste, else a coin": SimulatedJudge(0.75, 0.5),
    "good: 9/10 taste, else a coin": SimulatedJudge(0.9, 0.5),
    "a circle in 3/4, else position": SimulatedJudge(0.75, 1.0, "circle"),
    "a circle in 3/4, else a coin": SimulatedJudge(0.75, 0.5, "circle"),
}


def audits(judge: SimulatedJudge, prompts: int, times: int, seed: int = 0) -> Counter[str]:
    """How often each verdict came."""
    rng = np.random.default_rng(seed)
    # How often a system is in a resampled Nash mixture enters no verdict, and takes most of the time.
    with patch("comal.evaluation.audit.structure._support_frequency", lambda _: None):
        return Counter(audit_verdicts(judge.verdicts(prompts, rng)).verdict for _ in range(times))


def table(times: int) -> str:
    """Markdown."""
    lines = [f"| judge | prompts | {' | '.join(VERDICTS)} |", f"|---|---|{'---|' * len(VERDICTS)}"]
    for name, judge in JUDGES.items():
        for prompts in PROMPTS:
            found = audits(judge, prompts, times)
            cells = " | ".join(f"{found[v] / times:.1%}" if found[v] else "–" for v in VERDICTS)
            lines.append(f"| {name} | {prompts} | {cells} |")
            print(lines[-1], file=sys.stderr, flush=True)
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(int(sys.argv[1]) if len(sys.argv) > 1 else 200))

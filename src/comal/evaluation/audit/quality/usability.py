"""Whether verdicts are good enough for any advice: before asking what shape a preference has, is there one?

A judge can be read off its position, a coin and the answers. Only the last is a preference. The audit goes on to cycles
where something shows that the answers matter, and that they matter enough; it stops

unusable         - more than a fifth of the verdicts surely failed. A missing fifth moves a win rate by up to a tenth,
                   which is all that this audit lets pass (`WEAK`);
                 - every verdict is an even bet;
                 - the answers surely explain less than (2 WEAK)² of the verdicts, or the winner surely flips in more
                   than 1 - 2 WEAK of the pairs: a judge that follows the answers in a fifth of its verdicts and the
                   position in all others flips in four fifths, and averaged over both orders its win rates stay within
                   WEAK of even, whatever the answers are;
                 - nothing shows that the answers matter, although half of the verdicts following them would have been
                   seen: the share they explain (`comal.evaluation.audit.quality.information`) is surely below a
                   quarter;
                 - people's winner is surely named in less than 1/2 + WEAK of the pairs that they decided.

too little data  nothing shows that the answers matter, and so few verdicts would not have shown it

"Surely" is the end of a 95% interval over prompts. What can show that the answers matter: the share they explain is
above 0; some system is preferred to another; people are agreed with; a cycle. Each is tested at .05 over the number of
those that the data has, so pure noise passes in at most one audit of twenty.

Verdicts that were given in one order, once, by one rater, show only the last three. Where they show nothing either, a
coin and systems that are equally good look alike: the audit cannot tell, and says what to ask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from comal.evaluation.audit.agreement import Agreement
from comal.evaluation.audit.quality.consistency import SelfConsistency
from comal.evaluation.audit.quality.information import Information
from comal.evaluation.audit.quality.position import PositionBias
from comal.evaluation.audit.structure import LEVEL
from comal.evaluation.estimates import Estimate

WEAK = 0.1
"""Win rates within this of 1/2 are let pass."""
SEEN = 0.5
"""A judge that follows the answers in this part of its verdicts must be seen."""
_RUN_STOPS = 0.05  # `sampling.max_failure_rate`
_POWER = 0.8
_TRY = (
    "Try another template, sampled verdicts that reason first instead of label probabilities, or a larger model, and "
    "audit it again before anything is trained on it."
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an audit knows of the verdicts, before cycles.

    Attributes:
        failures: share of the verdicts that failed; None without any.
        even: whether every verdict is an even bet.
        information: None where it cannot be measured.
        position, consistency: None where they cannot be measured.
        people: agreement with people; empty without labels.
        systems_p: p-value that all systems are equally good, corrected for the choice of a pair; None without systems.
        cycles_p: p-value that the preference is transitive, of which a coin is one; None where nothing can be tested.
        exact: whether verdicts are the preference itself, so that there is no coin.
    """

    failures: Estimate | None = None
    even: bool = False
    information: Information | None = None
    position: PositionBias | None = None
    consistency: SelfConsistency | None = None
    people: Sequence[Agreement] = ()
    systems_p: float | None = None
    cycles_p: float | None = None
    exact: bool = False

    @property
    def answers_matter(self) -> bool:
        """Whether anything shows that verdicts depend on the answers."""
        tests = [p for p in (self.systems_p, self.cycles_p) if p is not None]
        tests += [self.information.p_value] if self.information is not None else []
        # An interval's lower end is a test at half of its level, one-sided.
        agree = [one.decided_accuracy.low > 0.5 for one in self.people if one.decided_accuracy is not None]
        level = LEVEL / max(1, len(tests) + len(agree))
        return any(p < level for p in tests) or any(agree)

    @property
    def nothing_shown(self) -> bool:
        """Whether the verdicts are draws that nothing tells from a coin's."""
        return not self.exact and not self.answers_matter


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the audit ends before cycles, in words."""

    verdict: Literal["unusable", "too little data"]
    lines: tuple[str, ...]


def judged(evidence: Evidence) -> Stop | None:
    """Whether the verdicts are no good, or too few to tell; None where the audit can go on to cycles."""
    reasons = _reasons(evidence)
    if reasons:
        return Stop("unusable", ("Unusable: " + " ".join(reasons), *_seen(evidence), _TRY))
    found = evidence.information
    if found is None or evidence.answers_matter:
        return None
    prompts = found.share.prompts
    return Stop(
        "too little data",
        (
            f"Too little data: nothing shows yet that the verdicts depend on the answers, and {prompts:,} "
            f"{'prompt is' if prompts == 1 else 'prompts are'} too few to have shown it. About "
            f"{more_prompts(found):,} prompts more would tell this judge from position and a coin.",
            *_seen(evidence),
            "Until then nothing can be said of cycles, and nothing should be trained on it.",
        ),
    )


def doubts(evidence: Evidence) -> tuple[str, ...]:
    """What to know of verdicts that are good enough."""
    found, failures = evidence.information, evidence.failures
    lines = []
    if failures is not None and failures.low > _RUN_STOPS:
        lines.append(
            f"No verdict in {failures.mean:.1%}: a run stops over {_RUN_STOPS:.0%} (`sampling.max_failure_rate`)."
        )
    if found is not None and found.share.mean < SEEN**2:
        lines.append(
            f"The judge is weak: it follows the answers in about {found.followed:.0%} of its verdicts, and "
            f"{'position or a coin' if found.between == 'orders' else 'a coin'} in the others."
        )
    return tuple(lines)


def more_prompts(found: Information) -> int:
    """Prompts beyond those there are at which 4 of 5 audits would see that this judge is noise, if it is."""
    reach = float(stats.norm.ppf(1 - LEVEL) + stats.norm.ppf(_POWER))
    needed = math.ceil((reach * found.spread / SEEN**2) ** 2)
    return max(needed - found.share.prompts, math.ceil(found.share.prompts / 2))


def _reasons(evidence: Evidence) -> list[str]:
    reasons = []
    if evidence.failures is not None and evidence.failures.low > 2 * WEAK:
        reasons.append(f"the judge has no verdict in {evidence.failures.mean:.1%} of its answers.")
    if evidence.even:
        reasons.append("every verdict is an even bet.")
    position, found = evidence.position, evidence.information
    if position is not None and position.flip_rate.low > 1 - 2 * WEAK:
        reasons.append(
            f"the winner flips with the order in {position.flip_rate.mean:.1%} of the pairs, "
            f"{position.first.mean:.1%} for whoever is shown first: the order decides, not the answers."
        )
    elif found is not None and (
        found.at_most < (2 * WEAK) ** 2 or (not evidence.answers_matter and found.at_most < SEEN**2)
    ):
        rest = "the presentation order and a coin" if found.between == "orders" else "a coin"
        reasons.append(
            f"the verdicts cannot be told from {rest}; the answers explain {max(found.share.mean, 0.0):.1%} of them, "
            f"at most {max(found.at_most, 0.0):.1%}."
        )
    reasons += [
        f"{one.rater} names {one.reference}'s winner in {one.decided_accuracy.mean:.1%} of the pairs; "
        "a coin does so in half."
        for one in evidence.people
        if one.decided_accuracy is not None and one.decided_accuracy.high < 0.5 + WEAK
    ]
    return reasons


def _seen(evidence: Evidence) -> tuple[str, ...]:
    """The figures behind the verdict, where they are not yet said."""
    position, consistency = evidence.position, evidence.consistency
    parts = []
    if position is not None and position.flip_rate.low <= 1 - 2 * WEAK:
        parts.append(
            f"the winner flips with the order in {position.flip_rate.mean:.1%} of the pairs, "
            f"{position.first.mean:.1%} for whoever is shown first"
        )
    if consistency is not None:
        parts.append(f"asked again it names the same winner {consistency.agreement.mean:.1%} of the time")
    if evidence.systems_p is not None and evidence.systems_p >= LEVEL:
        parts.append("no system is preferred to another beyond chance")
    if not parts:
        return ()
    text = "; ".join(parts)
    return (f"{text[0].upper()}{text[1:]}.",)

"""From figures to a verdict, and from the verdict to what to do, in words.

unusable, too little data
                the verdicts say nothing of the answers, or too few to tell (see `quality.usability`): these come
                first, since noise has no cycles worth finding and no order worth learning
cyclic          the transitive null is rejected, of system averages or on single prompts
transitive      it is not, and the data could have shown otherwise: one system is surely preferred to every other
                (whatever the rest does, the Nash policy is that one, and every score finds it), or the test would have
                found circles of win rates `WEAK` above 1/2, or next to no prompt has a cycle
cannot tell     neither, or no cycle where nothing shows that verdicts are more than a coin's
untested        win rates without counts
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from comal.evaluation.audit.prompt_cycles import PromptCycles
from comal.evaluation.audit.quality.usability import WEAK, Evidence, doubts, judged
from comal.evaluation.audit.result import Transitivity
from comal.evaluation.audit.structure import LEVEL, Structure

FEW = 0.1
"""A share of cyclic prompts (triples) that is surely below this is let pass."""
_USE_SCORES = "Any reward-model (Bradley-Terry) method will do: a score can express these preferences."
_USE_COMAL = "Use COMAL (`comal run`): no score can express these preferences, and a Bradley-Terry method would "


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The end of an audit."""

    verdict: Transitivity
    p_value: float | None
    advice: tuple[str, ...]


def conclude(
    structure: Structure | None,
    prompts: PromptCycles | None,
    num_prompts: int,
    evidence: Evidence = Evidence(exact=True),  # noqa: B008  frozen
) -> Conclusion:
    """Weigh the verdicts, then both kinds of cycles; with two tests the smaller p-value counts twice (Bonferroni).

    Args:
        structure: between systems.
        prompts: on single prompts.
        num_prompts: of the audit.
        evidence: what is known of the verdicts; by default they are taken at their word.
    """
    between = structure if structure is not None and structure.cycles.triples else None
    tests = [between.cycles.p_value] if between is not None and between.cycles.p_value is not None else []
    tests += [prompts.p_value] if prompts is not None else []
    p_value = min(1.0, len(tests) * min(tests)) if tests else None
    evidence = replace(evidence, cycles_p=p_value)
    stop = judged(evidence)
    if stop is not None:
        return Conclusion(stop.verdict, p_value, stop.lines)
    if between is not None and between.cycles.p_value is None:
        return Conclusion("untested", None, _untested(between))
    if p_value is not None and p_value < LEVEL:
        return Conclusion("cyclic", p_value, _cyclic(between, prompts, p_value, len(tests), doubts(evidence)))
    reasons = _reasons(between, prompts)
    settled = between is not None and between.condorcet_p is not None and between.condorcet_p < LEVEL
    if reasons and evidence.nothing_shown and not settled:
        return Conclusion("cannot tell", p_value, _coin(num_prompts))
    if reasons:
        lines = [_unsettled(prompts)] if prompts is not None and not _few(prompts) else []
        lines += [_missed(between)] if between is not None and (between.detectable or 0) > WEAK else []
        return Conclusion(
            "transitive", p_value, ("Transitive: " + " ".join(reasons), *lines, *doubts(evidence), _USE_SCORES)
        )
    return Conclusion("cannot tell", p_value, _cannot_tell(between, prompts, num_prompts))


def _untested(between: Structure) -> tuple[str, ...]:
    cycles = between.cycles
    seen = (
        f"The table has no cycle as it stands; {between.condorcet} is preferred to every other."
        if not cycles.cyclic and between.condorcet is not None
        else f"{cycles.cyclic} of {cycles.triples} triples go round as the table stands, e.g. "
        f"{' ≻ '.join((*cycles.listed[0].systems, cycles.listed[0].systems[0]))}."
        if cycles.cyclic
        else "The table has no cyclic triple as it stands, and no system that is preferred to every other."
    )
    beaten = between.leader_beaten
    score = (
        f"A score would pick {between.leader}, which another is preferred to {beaten:.1%} of the time: if that is no "
        "accident, use COMAL."
        if beaten > 0.5
        else f"A score would pick {between.leader}, which nothing beats: if that is no accident, any reward-model "
        "method will do."
    )
    return (seen, score, "Whether this is sampling noise cannot be told without counts: give --counts.")


def _coin(num_prompts: int) -> tuple[str, ...]:
    how = "ask about them in both orders, or again (--repeats 2)" if num_prompts else "audit the verdicts themselves"
    return (
        "Cannot tell: no cycle, but no system that is preferred to another either. Systems that are equally good look "
        "like this, and so does a judge that tosses a coin.",
        f"To tell the two apart, {how}.",
    )


def _cyclic(
    between: Structure | None, prompts: PromptCycles | None, p: float, tests: int, known: tuple[str, ...]
) -> tuple[str, ...]:
    lines = [f"Cyclic ({shown(p)} under a transitive preference)."]
    cost = "hide what goes round."
    if between is not None and between.cycles.p_value is not None and tests * between.cycles.p_value < LEVEL:
        lines.append(f"Between systems: {' ≻ '.join((*between.cycles.cycle, between.cycles.cycle[0]))}.")
        if between.leader_beaten_p is not None and between.leader_beaten_p < LEVEL:
            cost = f"pick {between.leader}, which another is preferred to {between.leader_beaten:.1%} of the time."
    if prompts is not None and tests * prompts.p_value < LEVEL:
        what, rate, null = _counted(prompts)
        lines.append(f"On single prompts {rate} of {what} go round {null}.")
    return (*lines, *known, _USE_COMAL + cost)


def _reasons(between: Structure | None, prompts: PromptCycles | None) -> list[str]:
    reasons = []
    if between is not None:
        if between.condorcet is not None and between.condorcet_p is not None and between.condorcet_p < LEVEL:
            reasons.append(
                f"{between.condorcet} is preferred to every other system ({shown(between.condorcet_p)}), "
                "and no cycle is significant."
            )
        if between.detectable is not None and between.detectable <= WEAK:
            reasons.append(
                f"No cycle between systems, where win rates of {0.5 + between.detectable:.1%} round a circle of three "
                "would have been seen in 4 of 5 such samples."
            )
    if prompts is not None and _few(prompts):
        what, rate, _ = _counted(prompts)
        reasons.append(f"On single prompts {rate} of {what} go round, at most {prompts.at_most:.0%}.")
    return reasons


def _cannot_tell(between: Structure | None, prompts: PromptCycles | None, num_prompts: int) -> tuple[str, ...]:
    lines = []
    if between is not None and between.detectable is not None and between.counts is not None:
        per_pair = float(between.counts[between.counts > 0].mean())
        needed = math.ceil(per_pair * (between.detectable / WEAK) ** 2)
        at_most = "even the strongest" if between.detectable >= 0.5 else f"win rates of {0.5 + between.detectable:.0%}"
        lines.append(
            f"Cannot tell: {per_pair:.0f} {between.unit} a pair of systems would show {at_most} round a circle of "
            f"three at best; to see {0.5 + WEAK:.0%} would need about {needed:,}."
        )
    if prompts is not None:
        lines.append(("" if lines else "Cannot tell: ") + _unsettled(prompts))
    if lines:
        return tuple(lines)
    return (
        "Cannot tell: a cycle needs three answers to a prompt, or three systems compared with one another; "
        + (f"the {num_prompts:,} prompts here have no such three." if num_prompts else "this table has no such three."),
    )


def _missed(between: Structure) -> str:
    assert between.detectable is not None
    return f"Circles between systems with win rates below {0.5 + between.detectable:.0%} may have been missed."


def _unsettled(prompts: PromptCycles) -> str:
    what, rate, null = _counted(prompts)
    seen = (
        f"On {prompts.prompts:,} single prompts {rate} of {what} go round {null}; with all that noise may hide, up to "
        f"{prompts.at_most:.0%} do"
    )
    if prompts.needed is None:
        return f"{seen}. With so few verdicts a pair cycles are hard to tell from noise: ask again (--repeats 4)."
    if prompts.needed > prompts.prompts:
        return f"{seen}. To tell whether half of them do would need about {prompts.needed:,} prompts."
    return f"{seen}. To tell would need more prompts, or more verdicts a pair (--repeats)."


def _counted(prompts: PromptCycles) -> tuple[str, str, str]:
    """What was counted, its rate, and what the null allows."""
    if prompts.verdicts == "probabilities":
        return "prompts", f"{prompts.cyclic_prompts.mean:.1%}", f"({prompts.bound:.0%} are let pass)"
    return "triples", f"{prompts.share.mean:.1%}", f"(noise alone makes up to {prompts.bound:.1%})"


def _few(prompts: PromptCycles) -> bool:
    return prompts.at_most <= FEW


def shown(p: float) -> str:
    """A p-value for people."""
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"

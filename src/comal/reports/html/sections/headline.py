"""What a finished run shows, in words: every sentence says a number of result.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comal.evaluation.estimates import Estimate, says_little
from comal.evaluation.exploitability.adversaries import Kind, WorstCase
from comal.evaluation.exploitability.scoreboard import START
from comal.models.gguf import PACKAGE, is_gguf
from comal.pipeline.disk.result import PolicyResult, method_of, step_of
from comal.reports.html.run_data import RunData
from comal.reports.html.sections.class_shares import ClassGame
from comal.reports.html.wording import join, pct, points, span

GROUPS: Mapping[Kind, str] = {
    "another policy": "the other policies of the run",
    "one class only": "answers of one class only",
    "best of N": "best-of-N under the judge",
}
"""Kinds of adversaries that a run's evaluation has, in the order of tables, and what sentences call them."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One of the few things to know first.

    Attributes:
        number: large, with its interval in `text`; empty for facts that are words.
        key: whether it is about the policy of the headline.
    """

    name: str
    number: str
    text: str
    key: bool = False


@dataclass(frozen=True, slots=True)
class Headline:
    """What a result shows.

    Attributes:
        sentence: the answer to "which policy is hardest to beat, and how hard is that?".
        facts: what to know first.
        paragraphs: the reasons, in the order of an argument.
        cycles: whether the judge is intransitive, on these answers.
        caveat: what the worst case can and cannot tell.
    """

    sentence: str
    facts: tuple[Fact, ...]
    paragraphs: tuple[str, ...]
    cycles: str
    caveat: str


def policy_text(recipe: Mapping[str, Any]) -> str:
    """What is aligned."""
    model = recipe["policy"]["model"]
    if model is not None:
        return f"the model in {str(model).replace(PACKAGE, 'the package ')}" if is_gguf(str(model)) else str(model)
    size = recipe["policy"]["from_scratch"]
    return f"a small language model trained on the spot ({size['layers']} layers of width {size['hidden_size']})"


def judge_text(spec: Mapping[str, Any]) -> str:
    """Whose preferences it is aligned to."""
    name = str(spec["name"]).rpartition(":")[2]
    if name == "population":
        count = len(spec.get("members") or spec.get("personas") or ())
        return f"a population of {count} users"
    if isinstance(spec.get("members"), list):
        members = spec["members"]
        kinds = " and ".join(sorted({str(m["name"]).rpartition(":")[2] for m in members}))
        how = "by majority vote" if spec.get("aggregate") == "majority" else "by their mean"
        return f"a committee of {len(members)} judges ({kinds}) that decides {how}"
    models = [spec["model"]] if isinstance(spec.get("model"), str) else spec.get("models") or ()
    return f"the judge {name}" + (f" ({join([str(m) for m in models])})" if models else "")


def setting_text(run: RunData) -> str:
    """What was aligned, to which judge, how."""
    was = "is being" if run.result is None else "was"
    return f"{_capital(policy_text(run.recipe))} {was} aligned to {judge_text(run.recipe['judge'])}. {_how(run)}"


def _how(run: RunData) -> str:
    """With what effort, and who judges what follows."""
    takes = "each take" if len(run.methods) > 1 else "takes"
    text = (
        f"{join([m.name for m in run.methods])} {takes} {run.recipe['steps']} proximal steps from the same starting "
        f"model{_cost(run)}."
    )
    shown = run.recipe.get("answers_shown", 1)
    if shown > 1:
        text += (
            f" Its users are shown {shown} answers and take the best: what is aimed at is the equilibrium for {shown}, "
            "and a worst case, which is of one answer, may be above that of a Nash policy."
        )
    other = run.recipe["evaluation"]["judge"]
    return text if other is None else f"{text} What follows is judged by another judge: {judge_text(other)}."


def headline(run: RunData, game: ClassGame | None, certified: Mapping[str, Estimate] | None = None) -> Headline:
    """What a finished run shows; `certified` has the worst case that `comal certify` found, by policy."""
    result = run.result
    assert result is not None
    policies = result.policies
    methods = list(result.methods)
    worst = {name: policy.figures.worst_case for name, policy in policies.items()}
    rate = _rates(worst)
    best = min(methods, key=lambda name: rate[name].mean)
    rest = [name for name in methods if name != best]
    apart = [name for name in rest if _apart(policies, best, name, methods[0])]
    by = f"its strongest adversary beats it {pct(rate[best].mean)} of the time"
    if not rest:
        sentence = f"{best}: {by}"
    elif len(apart) == len(rest):
        sentence = f"{best} is the hardest to beat: {by}"
    else:
        sentence = f"{best} looks hardest to beat, though not clearly: {by}"
    sharper = (certified or {}).get(best)
    if sharper is not None and sharper.mean <= rate[best].mean:
        sharper = None
    if sharper is not None:
        sentence += f", and one that was chosen or trained for it {pct(sharper.mean)}"
    elif rate[best].low <= 0.5:
        sentence += ", which cannot be told from an even match"
    paragraphs = (
        _how(run),
        _flattering(policies, worst),
        _exposed(policies, methods, worst),
        _separation(best, rest, apart, worst, methods[0]),
    )
    return Headline(
        sentence,
        _facts(run, best, sharper),
        tuple(paragraph for paragraph in paragraphs if paragraph),
        _cycles(result.cyclic_prompts, game),
        "The worst case is a lower bound: an adversary that nobody tried may do better, and the duality gap (twice the "
        "worst case's excess over 50%) is at least what the table says. Half of the test prompts choose the strongest "
        "adversary and the other half measure it, and the other way round, so the choice does not flatter it. "
        f"Intervals are 95%, over {result.test_prompts} held-out prompts by which nothing was chosen."
        + _too_few(result.test_prompts, worst),
    )


def _too_few(prompts: int, worst: Mapping[str, WorstCase]) -> str:
    if not any(says_little(case.win_rate.low, case.win_rate.high) for case in worst.values()):
        return ""
    return f" {prompts} prompts are too few to say anything: such intervals leave half of all win rates open, or more."


def _facts(run: RunData, best: str, sharper: Estimate | None) -> tuple[Fact, ...]:
    """What was aligned, to which judge, and how the least exploitable method's policy does."""
    assert run.result is not None
    figures = run.result.policies[best].figures
    worst, rate = sharper or figures.worst_case.win_rate, figures.win_rate
    facts = [Fact("Aligned", "", f"{_capital(policy_text(run.recipe))}, to {judge_text(run.recipe['judge'])}")]
    if rate is not None:
        start = "the supervised model" if run.recipe.get("supervised") else "the model it started from"
        facts.append(
            Fact(f"{best} beats {start}", pct(rate.mean), f"of the time ({span(rate.low, rate.high)})", key=True)
        )
    by = f"the strongest adversary beats it {pct(worst.mean)} of the time ({span(worst.low, worst.high)})"
    excess = f"{100 * (worst.mean - 0.5):.1f} points"
    facts.append(Fact(f"{best}'s exploitability, at least", excess, f"({points(worst)}): {by}", key=True))
    cyclic = run.result.cyclic_prompts
    text = "of the test prompts have sampled answers that beat one another in a strict circle"
    facts.append(Fact("The judge's cycles", f"{cyclic:.0%}", text))
    return tuple(facts)


def judge_sentence(run: RunData) -> str:
    """Who judges, in training and here."""
    other = run.recipe["evaluation"]["judge"]
    text = f"{_capital(judge_text(run.recipe['judge']))} was trained on"
    return f"{text}; held-out prompts are judged by {judge_text(other)}." if other else f"{text} and judges here too."


def _flattering(policies: Mapping[str, PolicyResult], worst: Mapping[str, WorstCase]) -> str:
    scored = {
        name: rate
        for name, policy in policies.items()
        if name != START and (rate := policy.figures.win_rate) is not None
    }
    if not scored:
        return ""
    looks = max(scored, key=lambda name: scored[name].mean)
    rate = scored[looks]
    step = step_of(looks)
    who = looks if step is None else f"{method_of(looks)} after {step} steps, the policy that this measure would pick,"
    text = (
        f"By the usual measure, how often a policy beats the model it started from, {who} looks best: "
        f"{pct(rate.mean)} ({span(rate.low, rate.high)})."
    )
    level = [name for name, other in scored.items() if name != looks and other.high >= rate.low]
    if level:
        text += f" {join(level)} {'is' if len(level) == 1 else 'are'} within the noise of it."
    return (
        f"{text} But that measure asks about one opponent only. Against {_names(worst[looks])} "
        f"{looks if step is None else 'it'} loses {pct(worst[looks].win_rate.mean)} of the time."
    )


def _exposed(policies: Mapping[str, PolicyResult], methods: Sequence[str], worst: Mapping[str, WorstCase]) -> str:
    count = min(len(policies[name].figures.adversaries) for name in methods)
    kinds = {adversary.kind for name in methods for adversary in policies[name].figures.adversaries}
    listed = [text for kind, text in GROUPS.items() if kind in kinds]
    rates = join([f"{name} {pct(rate.mean)} ({span(rate.low, rate.high)})" for name, rate in _rates(worst).items()])
    return (
        f"The worst case asks how often the strongest of {count} adversaries ({join(listed)}) wins: {rates}. "
        "The Nash policy's would be 50%: nobody beats it more than half of the time."
    )


def _rates(worst: Mapping[str, WorstCase]) -> dict[str, Estimate]:
    return {name: found.win_rate for name, found in worst.items()}


def _apart(policies: Mapping[str, PolicyResult], best: str, other: str, main: str) -> bool:
    """Whether `other` is beaten more often than `best` beyond chance: prompt by prompt where that was measured."""
    excess = policies[other].worst_case_excess
    if best == main and excess is not None:
        return excess.low > 0
    mine, theirs = (policies[name].figures.worst_case.win_rate for name in (best, other))
    return mine.high < theirs.low


def _separation(best: str, rest: list[str], apart: list[str], worst: Mapping[str, WorstCase], main: str) -> str:
    rate = _rates(worst)
    if not rest:
        text = ""
    elif len(apart) == len(rest):
        who = {1: "the other's", 2: "both others'"}.get(len(rest), "all others'")
        if all(rate[best].high < rate[name].low for name in rest):
            text = f"{best} is the least exploitable, and its interval is apart from {who}."
        else:
            text = (
                f"{best} is the least exploitable: compared prompt by prompt, its strongest adversary wins less often "
                f"than {who}, beyond what chance explains, though the intervals of the worst cases overlap."
            )
    else:
        overlap = join([n for n in rest if n not in apart])
        text = (
            f"{best} has the lowest worst case, but its interval overlaps that of {overlap}: "
            "this run does not separate them."
        )
        text += f" It is apart from that of {join(apart)}." if apart else ""
    if rate[best].low > 0.5:
        text += (
            f" {best} is not a Nash policy yet: more than half of the time it loses to {_names(worst[best])}, "
            "beyond what chance explains."
        )
    else:
        text += f" No adversary tried beats {best} more than half of the time beyond what chance explains."
    if best != main:
        text += f" Note that the delivered model (folder model) is that of {main}, the recipe's algorithm."
    return text.strip()


def _cycles(share: float, game: ClassGame | None) -> str:
    if share > 0:
        text = (
            f"The judge is intransitive: on {share:.0%} of the test prompts, three of the sampled answers beat one "
            "another in a strict circle (each win above 51%). No scoreboard of answers can express that."
        )
    else:
        text = (
            "Among the answers sampled to the test prompts, no three beat one another in a strict circle: a scoreboard "
            "(a reward model) could put these answers in the judge's order."
        )
    if game is not None and game.cyclic:
        a, b, c = game.names[:3]
        p = game.table
        text += (
            f" Between classes of answers: {a} beats {b} {p[0][1]:.0%} of the time, {b} beats {c} {p[1][2]:.0%}, "
            f"and {c} beats {a} {p[2][0]:.0%}."
        )
    return text


def _cost(run: RunData) -> str:
    if run.result is None:
        return ""
    pairs = sorted({run.result.policies[m.name].comparisons for m in run.methods})
    if len(pairs) > 1:
        return f", at {pairs[0]:,} to {pairs[-1]:,} judged pairs of answers"
    return f", at {pairs[0]:,} judged pairs of answers{' each' if len(run.methods) > 1 else ''}"


def _names(worst: WorstCase) -> str:
    first, second = worst.names
    return f"“{first}”" if first == second else f"“{first}” or “{second}” (each the choice of half of the prompts)"


def _capital(text: str) -> str:
    return text if "/" in text else text[:1].upper() + text[1:]

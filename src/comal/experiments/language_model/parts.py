"""The parts of `comal reproduce lm`: which methods each one enters, on which settings, under which judges.

Grids are factors of the recipe's values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from comal.errors import ConfigError, near_match
from comal.experiments.language_model.basis import Basis, changed
from comal.experiments.language_model.grouping import part_of
from comal.experiments.language_model.plan import Changes, Entry, Part
from comal.pipeline.run.check import check
from comal.pipeline.run.resolved import resolve
from comal.plugins import describe
from comal.recipes.settings import DataSource, Recipe
from comal.resolve import resolve_judge

ETA_FACTORS = (0.25, 0.5, 2.0)
TAU_FACTORS = (0.25, 0.5, 2.0)
INNER_FACTORS = (0.25, 0.5, 2.0)
SENTENCE_WORDS = 16
"""Longest answer of the part `sentences`; nine first sentences of ten of the standard library are no longer."""
SENTENCE_RATE = 0.5
"""Share of the recipe's learning rate there. At the whole rate log-probabilities of answers thrice as long drift by six
nats from the reference before it moves, and COMAL goes round; at a quarter its inner games are not solved."""

PARTS: Mapping[str, str] = {
    "methods": "every method at equal judged pairs: cross-play, worst case, KL, final and best checkpoints",
    "losses": "COMAL's proximal steps taken by every loss that can take them",
    "ablation": "step size, regularisation, and when the reference moves",
    "exploiters": "exploiters trained against COMAL, a fixed reference and self-play",
    "held-out": "the policies of `methods` under judges that nobody trained on",
    "sentences": f"whole first sentences, up to {SENTENCE_WORDS} words, instead of their openings",
    "transitive": "one reviewer instead of the committee: what COMAL costs where DPO is right",
}


def plan_part(name: str, recipe: Recipe) -> Part:
    """A part of the experiment on a recipe.

    Raises:
        ConfigError: no such part, or a recipe that it cannot be made from.
    """
    if name not in PARTS:
        raise ConfigError("--part", f"`{name}` is no part.{near_match(name, PARTS)}, all, list")
    check(resolve(recipe))
    return _MADE_BY[name](Basis.of(recipe))


def _methods(base: Basis) -> Part:
    regularised, two = base.regularised, base.inner_steps
    entries = [
        *base.core,
        Entry("comal-nash-md", "COMAL over Nash-MD", base.comal("nash_md")),
        Entry("comal-egpo", "COMAL over EGPO", base.comal("egpo", rounds=2)),
        Entry("comal-mirror-prox", "COMAL over Nash mirror prox", base.comal("nash_mirror_prox", rounds=2)),
        Entry("nash-md", "Nash-MD", {"name": "nash_md"} | regularised),
        Entry("egpo", "EGPO", {"name": "egpo"} | regularised),
        Entry("mirror-prox", "Nash mirror prox", {"name": "nash_mirror_prox"} | regularised),
        Entry("mpo", "MPO", {"name": "mpo", "period": two} | regularised),
        Entry("onpo", "ONPO", {"name": "onpo", "eta": base.eta}),
        Entry("omwu", "OMWU", {"name": "omwu", "eta": base.eta}),
        *base.preference_losses(),
        Entry("comal-exact", "COMAL by Newton's method", {"name": "comal"}),
    ]
    return part_of("methods", "Every method at equal judged pairs", PARTS["methods"], base, entries)


def _losses(base: Basis) -> Part:
    rule = base.recipe.algorithm
    entries = [base.core[0]]
    for loss, title in (
        ("group", "group regression, constant free"),
        ("dro", "DRO, value fitted"),
        ({"name": "dro", "value": "partition"}, "DRO, value estimated"),
        ("reinforce", "REINFORCE"),
        ("grpo", "GRPO, KL of the prox step"),
        ({"name": "grpo", "kl": "k3"}, "GRPO, published penalty"),
        ("sppo", "SPPO"),
    ):
        entries.append(Entry(_slug(loss), f"{title}", rule, base.with_loss(loss)))
    entries += [Entry(loss, f"{title}, independent pairs", rule, base.independent(loss))
                for loss, title in (("pair", "INPO's pair loss"), ("ipo", "IPO"), ("rebel", "REBEL"))]  # fmt: skip
    entries += [
        Entry(f"{loss}-{pairing}", f"{title}, {pairing}", rule, base.with_loss(loss, pairing))
        for loss, title, pairing in (("pair", "INPO's pair loss", "best-second"), ("dpo", "DPO", "best-worst"))
    ]
    return part_of("losses", "COMAL by every loss", PARTS["losses"], base, entries)


def _ablation(base: Basis) -> Part:
    entries = base.core[:2]
    for factor in ETA_FACTORS:
        entries.append(Entry(f"eta-x{factor:g}", f"COMAL, η × {factor:g}", base.comal(eta=base.eta * factor)))
    for factor in TAU_FACTORS:
        tau = base.tau * factor
        entries.append(Entry(f"tau-x{factor:g}", f"COMAL, τ × {factor:g}", base.comal(tau=tau)))
        fixed = {"name": "inpo", "eta": base.eta, "tau": tau}
        entries.append(Entry(f"inpo-tau-x{factor:g}", f"INPO, τ × {factor:g}", fixed))
    for count in dict.fromkeys(max(1, round(base.inner_steps * factor)) for factor in INNER_FACTORS):
        if count != base.inner_steps:
            title = f"COMAL, reference every {count} steps"
            entries.append(Entry(f"inner-{count}", title, base.comal(inner_steps=count)))
    entries += [
        Entry("certificate", "COMAL, the certificate moves the reference", base.comal(inner_steps=None)),
        Entry("no-knobs", "COMAL without knobs (EGPO, falling τ)", {"name": "comal_sampled"}),
        # COMAL moves away over Nash-MD at the recipe's eta·tau, which is above its 1/2 (`comal.algorithms.nash_md`).
        Entry("nash-md-eta-x0.5", "COMAL over Nash-MD, η × 0.5", base.comal("nash_md", eta=base.eta / 2)),
    ]
    return part_of("ablation", "Step size, regularisation and schedule", PARTS["ablation"], base, entries)


def _exploiters(base: Basis) -> Part:
    return part_of("exploiters", "Trained exploiters", PARTS["exploiters"], base, base.core, exploiters=True)


def _held_out(base: Basis) -> Part:
    methods = _methods(base)
    return Part(
        "held-out",
        "Under judges that nobody trained on",
        PARTS["held-out"],
        methods.runs,
        methods.titles,
        held_out_judges(base.recipe.judge),
        left_out=methods.left_out,
    )


def held_out_judges(judge: Any) -> dict[str, Any]:
    """Judges other than a committee of reviewers, from its members.

    `blunter` keeps their rankings and more noise, `lopsided` asks one member drawn at random, the first one more often,
    which moves the Nash policy; `one member` is transitive.

    Raises:
        ConfigError: the judge is no committee of reviewers of some sharpness.
    """
    plain = describe(resolve_judge(judge, "judge"))
    members = plain.get("members", [])
    if len(members) < 2 or not all("sharpness" in member for member in members):
        raise ConfigError(
            "judge",
            f"other judges are made from a committee's reviewers and their sharpness, `{plain['name']}` has none",
        )
    blunter = [dict(member) | {"sharpness": 0.4 * member["sharpness"]} for member in members]
    weights = [1.5] + [1.0] * (len(members) - 1)
    return {
        "blunter committee": {"name": "committee", "members": blunter},
        "lopsided committee": {"name": "committee", "members": members, "weights": weights, "aggregate": "mean"},
        "one member": members[0],
    }


def _sentences(base: Basis) -> Part:
    recipe = base.recipe
    policy = recipe.policy
    if recipe.supervised is None or not recipe.supervised.data.source.startswith("task:docstrings"):
        raise ConfigError("supervised.data.source", "longer answers are those of `task:docstrings`; use such a recipe")
    data = recipe.supervised.data
    separator = "&" if "?" in data.source else "?"
    source = DataSource(**data.model_dump() | {"source": f"{data.source}{separator}words={SENTENCE_WORDS}"})
    scratch = policy.from_scratch
    room = 4 * policy.max_new_tokens if scratch is None else scratch.max_positions - policy.max_prompt_tokens
    training, last = recipe.training, recipe.training.final_learning_rate
    rates = {
        "learning_rate": SENTENCE_RATE * training.learning_rate,
        "final_learning_rate": None if last is None else SENTENCE_RATE * last,
    }
    changes: Changes = {"supervised": {"data": source}, "policy": {"max_new_tokens": room}, "training": rates}
    entries = [
        Entry(entry.key, entry.title, entry.algorithm, changes)
        for entry in (*base.core, Entry("egpo", "EGPO", {"name": "egpo"} | base.regularised))
    ]
    return part_of("sentences", "Whole sentences", PARTS["sentences"], base, entries)


def _transitive(base: Basis) -> Part:
    one = held_out_judges(base.recipe.judge)["one member"]
    alone = changed(base.recipe, {"evaluation": {"judge": None}}).model_copy(update={"judge": one})
    base = Basis.of(alone)
    entries = [*(Entry(e.key, e.title, e.algorithm) for e in base.core), *base.preference_losses()]
    return part_of("transitive", "A transitive judge", PARTS["transitive"], base, entries)


_MADE_BY: Mapping[str, Callable[[Basis], Part]] = {
    "methods": _methods,
    "losses": _losses,
    "ablation": _ablation,
    "exploiters": _exploiters,
    "held-out": _held_out,
    "sentences": _sentences,
    "transitive": _transitive,
}


def _slug(loss: Any) -> str:
    return loss if isinstance(loss, str) else "-".join(str(value) for value in loss.values())

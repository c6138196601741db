"""What a recipe would cost, from its settings and the model's configuration alone."""

from __future__ import annotations

import dataclasses
from typing import Any

from comal.judges.base import Judge
from comal.pipeline.cost.certification import certify_cost, minutes_at_the_pace_of
from comal.pipeline.cost.memory import WIDTHS, memory
from comal.pipeline.cost.model_size import ModelSize, known_size
from comal.pipeline.cost.walk import method_cost
from comal.pipeline.data.known import known_prompts
from comal.pipeline.disk.layout import RUNS
from comal.pipeline.run.check import check
from comal.pipeline.run.resolved import resolve
from comal.plugins import describe
from comal.recipes.settings import PolicySettings, Recipe


def recipe_cost(recipe: Recipe) -> dict[str, Any]:
    """Roles, derived quantities and upper bounds of the cost; asks no hub for data, models or configurations.

    Raises:
        ComalError: anything wrong with the recipe, its data files or its model's folder.
    """
    resolved = resolve(recipe)
    check(resolved)
    known = known_prompts(recipe)
    known_model = known_size(recipe.policy)
    parameters = None if known_model is None else known_model.parameters
    judge = resolved.judge
    orders = 1 if judge.symmetric else 2
    methods = [method_cost(name, rule, recipe) for name, rule in resolved.methods.items()]
    evaluation = recipe.evaluation
    comparisons = sum(m["comparisons"] for m in methods)
    answers = sum(m["answers"] for m in methods)
    looks = sum(m["looks"] for m in methods)
    policies = len(methods) * (2 + evaluation.pool_size) + 1
    tests = _at_most(evaluation.test_prompts, known.test)
    validations = _at_most(evaluation.validation_prompts, known.validation)
    per_pair = evaluation.samples**2
    final_comparisons = (2 * len(methods) + 1) * (policies + 6) * tests * per_pair
    evaluation_comparisons = looks * validations * 5 * per_pair + final_comparisons
    certify = certify_cost(resolved, validations, tests)
    certify["minutes"] = minutes_at_the_pace_of(RUNS / recipe.name, recipe, certify, final_comparisons)
    longest = known.longest
    if known.available is None:  # the judge sees whole prompts, but few are longer than what the policy reads of them
        longest = max(longest, recipe.policy.max_prompt_tokens * _LONG_TOKEN)
    metered = {
        "training": judge_cost(judge, comparisons, longest, recipe.policy.max_new_tokens),
        "evaluation": judge_cost(
            resolved.evaluation_judge, evaluation_comparisons, longest, recipe.policy.max_new_tokens
        ),
    }
    unknown = list(known.unknown)
    if known.available is None and any(cost is not None for cost in metered.values()):
        unknown.append(f"how long the prompts are: what a paid judge costs takes {longest:,} bytes for each")
    size = None if parameters is None else parameters * WIDTHS[recipe.policy.dtype]
    if size is not None and recipe.policy.lora is not None:
        size //= 50
    checkpoints = looks + 3 * len(methods) + 1
    return {
        "name": recipe.name,
        "policy": _policy_line(recipe.policy, parameters),
        "judge": describe(judge)["name"],
        "methods": methods,
        "certify": certify,
        "total": {
            "methods": len(methods),
            "steps": recipe.steps,
            "prompts_available": known.available,
            "prompts_used": _at_most(max(m["prompts"] for m in methods), known.train),
            "longest_prompt_bytes": longest,
            "answers": answers,
            "tokens": answers * recipe.policy.max_new_tokens,
            "comparisons": comparisons,
            "judge_calls": comparisons * orders,
            "evaluation_comparisons": evaluation_comparisons,
            "judge_spend": {use: cost for use, cost in metered.items() if cost is not None},
            "checkpoints": checkpoints,
            "disk_bytes": None if size is None else size * checkpoints,
            "memory": None if known_model is None else _memory(recipe, known_model),
            "unknown": unknown,
        },
    }


def _at_most(count: int, known: int | None) -> int:
    return count if known is None else min(count, known)


_LONG_TOKEN = 8  # bytes of a sampled token; few texts reach 5 on average
_USUAL_TOKEN = 4


def judge_cost(judge: Judge, comparisons: int, prompt_bytes: int, answer_tokens: int) -> dict[str, Any] | None:
    """What comparing so many pairs costs at a metered service, without asking it; None for other judges.

    Args:
        judge: asked in both orders unless symmetric.
        comparisons: pairs of answers.
        prompt_bytes: of the longest prompt.
        answer_tokens: of the longest answer, in tokens of the policy.

    Returns:
        `most`: calls, input and output tokens, and cost if every prompt is the longest, every answer ends at the limit
            with tokens of 8 bytes, and every byte is a token of the judge; nothing is repeated or known already.
        `usual`: the same with tokens of 4 bytes on both sides.
        `budgets`: the judge's own limits, by option, where it has any.
    """
    orders = 1 if judge.symmetric else 2
    most = judge.spend_bound(prompt_bytes, answer_tokens * _LONG_TOKEN, 1)
    usual = judge.spend_bound(prompt_bytes, answer_tokens * _USUAL_TOKEN, _USUAL_TOKEN)
    if most is None or usual is None:
        return None
    limits = ("max_calls", "max_total_tokens", "max_cost")
    return {
        "most": dataclasses.asdict(most * (comparisons * orders)),
        "usual": dataclasses.asdict(usual * (comparisons * orders)),
        "budgets": {name: getattr(judge, name) for name in limits if getattr(judge, name, None) is not None},
    }


def _memory(recipe: Recipe, model: ModelSize) -> dict[str, int]:
    """Bytes of one accelerator by part; see `comal.pipeline.cost.memory`."""
    needed = memory(recipe, model)
    return dataclasses.asdict(needed.static) | {
        "activations": needed.activations,
        "answers": needed.answers,
        "peak": needed.peak,
    }


def _policy_line(policy: PolicySettings, parameters: int | None) -> str:
    name = policy.model or "a Llama made from scratch"
    size = "" if parameters is None else f" ({parameters / 1e6:,.2f}M parameters)"
    return name + size + (f" with LoRA of rank {policy.lora.r}" if policy.lora else "")

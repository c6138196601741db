"""What a recipe would cost, from its settings and the model's configuration alone."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from comal.algorithms.base import PlayOnline
from comal.judges.base import Judge
from comal.models.gguf import is_gguf
from comal.pipeline.cost.calls import calls_of, users_of
from comal.pipeline.cost.certification import certify_cost, minutes_at_the_pace_of
from comal.pipeline.cost.memory import WIDTHS, memory
from comal.pipeline.cost.model_size import ModelSize, known_size
from comal.pipeline.cost.walk import method_cost
from comal.pipeline.data.fit import encoder_of, fit_pairs, fit_prompts, require_positions
from comal.pipeline.data.known import known_prompts
from comal.pipeline.data.prompts import load_pairs, on_hub, split_prompts
from comal.pipeline.disk.layout import RUNS
from comal.pipeline.run.check import check
from comal.pipeline.run.resolved import ResolvedRecipe, resolve
from comal.pipeline.step.fits import refuse_unsampleable
from comal.pipeline.training.reach import optimizer_steps, too_short
from comal.plugins import describe
from comal.policies.adapter_folder import architecture_of, is_adapter, read_adapter
from comal.reading.paths import user_path
from comal.recipes.settings import PolicySettings, Recipe

logger = logging.getLogger(__name__)


def recipe_cost(recipe: Recipe, processes: int = 1) -> dict[str, Any]:
    """Roles, derived quantities and upper bounds of the cost; asks no hub for data, models or configurations.

    Args:
        recipe: the recipe.
        processes: that are to share its training, an accelerator each; only the memory depends on them.

    Raises:
        ComalError: anything wrong with the recipe, its data files or its model's folder.
    """
    resolved = resolve(recipe)
    check(resolved)
    known = known_prompts(recipe)
    if known.available is not None:
        _show_to_policy(recipe)
    known_model = known_size(recipe.policy)
    parameters = None if known_model is None else known_model.parameters
    judge = resolved.judge
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
    whole = None if parameters is None else parameters * WIDTHS[recipe.policy.dtype]
    adapted = recipe.policy.lora is not None
    merged_start = recipe.supervised is None and recipe.policy.model is not None and is_adapter(recipe.policy.model)
    # Among the checkpoints the start counts as an adapter where adapters are trained, but a supervised one is whole.
    supervised = adapted and recipe.supervised is not None
    short = None if _plays_online(resolved) else too_short(recipe)
    checkpoints = looks + 3 * len(methods) + 1
    dequantised = recipe.policy.model is not None and is_gguf(recipe.policy.model)
    return {
        "name": recipe.name,
        "policy": _policy_line(recipe.policy, parameters),
        "judge": describe(judge)["name"],
        "answers_shown": recipe.answers_shown,
        "engine": describe(resolved.engine),
        "methods": methods,
        "certify": certify,
        "total": {
            "methods": len(methods),
            "steps": recipe.steps,
            "optimizer_steps": None if _plays_online(resolved) else optimizer_steps(recipe),
            "prompts_available": known.available,
            "prompts_used": _at_most(max(m["prompts"] for m in methods), known.train),
            "longest_prompt_bytes": longest,
            "answers": answers,
            "tokens": answers * recipe.policy.max_new_tokens,
            "comparisons": comparisons,
            "users": len(users_of(judge)),
            "judge_calls": comparisons * calls_of(judge),
            "evaluation_comparisons": evaluation_comparisons,
            "judge_spend": {use: cost for use, cost in metered.items() if cost is not None},
            "checkpoints": checkpoints,
            "disk_bytes": None
            if whole is None
            else (whole // 50 if adapted else whole) * checkpoints
            + whole * (adapted + merged_start + supervised + dequantised),
            "memory": None if known_model is None else _memory(recipe, known_model, processes),
            "unknown": unknown,
            "warnings": [] if short is None else [short],
        },
    }


def _show_to_policy(recipe: Recipe) -> None:
    """Look at the prompts as the policy will be shown them, where its tokenizer lies in a folder.

    Raises:
        ComalError: the policy cannot be shown them.
    """
    policy = recipe.policy
    if policy.model is None or not (is_gguf(policy.model) or user_path(policy.model).is_dir()):
        return
    if is_adapter(policy.model):
        adapter = read_adapter(policy.model)
        if not adapter.has_tokenizer and not user_path(adapter.base).is_dir():
            return
    encoder = encoder_of(policy)
    fitted = fit_prompts(split_prompts(recipe.prompts, recipe.seed), encoder, policy)
    require_positions(fitted.longest, policy, architecture_of(policy.model))
    if recipe.supervised is not None and not on_hub(recipe.supervised.data):
        fit_pairs(load_pairs(recipe.supervised.data, "supervised.data", recipe.seed), encoder, policy)
    if (line := fitted.line()) is not None:
        logger.warning("%s", line)


def _plays_online(resolved: ResolvedRecipe) -> bool:
    """Whether some method's steps are online ones, whose updates the algorithm counts itself."""
    programs = (refuse_unsampleable(rule, "algorithm") for rule in resolved.methods.values())
    return any(isinstance(instruction, PlayOnline) for program in programs for instruction in program)


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


def _memory(recipe: Recipe, model: ModelSize, processes: int) -> dict[str, int]:
    """Bytes of one accelerator by part and by stage; see `comal.pipeline.cost.memory`."""
    needed = memory(recipe, model, processes)
    return dataclasses.asdict(needed.static) | {
        "activations": needed.activations,
        "answers": needed.answers,
        "engine": needed.engine,
        "shards": needed.shards,
        "sampling": needed.sampling,
        "training": needed.training,
        "peak": needed.peak,
    }


def _policy_line(policy: PolicySettings, parameters: int | None) -> str:
    name = policy.model or "a Llama made from scratch"
    size = "" if parameters is None else f" ({parameters / 1e6:,.2f}M parameters)"
    return name + size + (f" with LoRA of rank {policy.lora.r}" if policy.lora else "")

"""What the methods of a run share, opened from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from comal.evaluation.exploitability.adversaries import Answers
from comal.evaluation.exploitability.scoreboard import Field
from comal.evaluation.exploitability.several import SeveralAnswers, show_several
from comal.judges.asking.oracle import Oracle
from comal.judges.asking.users import Users
from comal.judges.population import Population
from comal.pipeline.data.fit import prompt_format
from comal.pipeline.disk.layout import HomeFolder
from comal.pipeline.processes.distributed import state
from comal.pipeline.run.resolved import ResolvedRecipe
from comal.pipeline.step.resources import Resources
from comal.pipeline.training.sharding import scores_in_shards
from comal.policies.adapters import LoraConfig
from comal.policies.engines.base import Drawing
from comal.policies.store import ModelSource, PolicyStore
from comal.policies.transformers import Batching, Decoding
from comal.recipes.settings import Recipe
from comal.resolve import resolve_engine


def open_store(folder: Path, recipe: Recipe) -> PolicyStore:
    """The store of a run's policies: of its settings only, so that they can be opened where its judge is unknown.

    Raises:
        PolicyError: the starting model cannot be loaded.
    """
    policy, sampling, home = recipe.policy, recipe.sampling, HomeFolder(folder)
    lora = policy.lora
    start = str(home.start(recipe))
    return PolicyStore(
        ModelSource(
            start,
            revision=policy.revision if start == policy.model else None,
            dtype=policy.dtype,
            trust_remote_code=policy.trust_remote_code,
            quantization=policy.quantization_config,
            lora=None if lora is None else LoraConfig(lora.r, lora.alpha, lora.target_modules),
        ),
        prompt_format(policy),
        Decoding(sampling.temperature, sampling.top_p, policy.max_new_tokens, sampling.batch_size),
        Batching(
            recipe.training.log_prob_batch,
            recipe.training.share_prompt,
            scores_in_shards(recipe, state().num_processes),
        ),
        seed=recipe.seed,
        drawing=Drawing(resolve_engine(sampling.engine, "sampling.engine"), home.engine_log(state().process_index)),
    )


def open_resources(folder: Path, resolved: ResolvedRecipe) -> Resources:
    """What the methods of a run share, from its folder."""
    recipe = resolved.recipe
    home = HomeFolder(folder)
    verdicts, spend = home.verdicts(recipe.verdict_cache), home.spend
    tolerated = recipe.sampling.max_failure_rate
    evaluation_oracle = oracle = Oracle(resolved.judge, verdicts, tolerated, spend_path=spend)
    if recipe.evaluation.judge is not None or recipe.evaluation.max_failure_rate is not None:
        if recipe.evaluation.max_failure_rate is not None:
            tolerated = recipe.evaluation.max_failure_rate
        evaluation_oracle = Oracle(resolved.evaluation_judge, verdicts, tolerated, spend_path=spend)
    store = open_store(folder, recipe)
    users = evaluation_users = None
    if recipe.answers_shown > 1 and isinstance(resolved.judge, Population):  # `check` lets no other judge through
        users = Users(resolved.judge, verdicts, recipe.sampling.max_failure_rate, spend)
    if isinstance(resolved.evaluation_judge, Population):
        evaluation_users = Users(resolved.evaluation_judge, verdicts, tolerated, spend)
    return Resources(
        recipe,
        store,
        resolved.loss,
        oracle,
        evaluation_oracle,
        resolved.classify,
        home.prompts(),
        home.shares_batches,
        users,
        evaluation_users,
    )


def numbers_shown(recipe: Recipe) -> tuple[int, ...]:
    """How many answers at once the final evaluation shows to the users of a population."""
    return tuple(sorted(set(recipe.evaluation.answers_shown) or {1, recipe.answers_shown}))


def several_answers(
    resources: Resources, field: Field, name: str, pool: Mapping[str, Answers], candidates: Mapping[str, Answers]
) -> tuple[SeveralAnswers, ...]:
    """What several answers at once of a policy of the pool are worth; nothing where the judge is no population."""
    users = resources.evaluation_users
    if users is None:
        return ()
    with users.counted():
        return show_several(field, users, name, pool, candidates, numbers_shown(resources.recipe))


def evaluation_field(resources: Resources, prompts: list[str], start: list[list[str]]) -> Field:
    """The adversaries of an evaluation, as the recipe describes them."""
    settings, classify = resources.recipe.evaluation, resources.classify
    classes = [] if classify is None else sorted({classify(a) for group in start for a in group})
    return Field(resources.evaluation_oracle, prompts, settings.best_of, classify, classes, resources.recipe.seed)

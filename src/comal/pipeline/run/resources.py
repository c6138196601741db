"""What the methods of a run share, opened from its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from comal.evaluation.exploitability.scoreboard import Field
from comal.judges.asking.oracle import Oracle
from comal.judges.base import Judge
from comal.losses.base import Loss
from comal.pipeline.data.prompts import PromptSplits
from comal.pipeline.disk.layout import HomeFolder
from comal.plugins import JUDGES, LOSSES, load_object
from comal.policies.adapters import LoraConfig
from comal.policies.store import PolicyStore
from comal.policies.transformers import Decoding
from comal.recipes.settings import EvaluationSettings, Recipe


@dataclass(frozen=True, slots=True)
class Parts:
    """What the methods of a run share.

    Attributes:
        loss: the prox loss.
        oracle: the judge trained on.
        evaluation_oracle: the judge of held-out figures.
        splits: prompts.
    """

    recipe: Recipe
    store: PolicyStore
    loss: Loss
    oracle: Oracle
    evaluation_oracle: Oracle
    splits: PromptSplits


def parts(folder: Path, recipe: Recipe) -> Parts:
    """What the methods of a run share, from its folder."""
    home = HomeFolder(folder)
    policy = recipe.policy
    lora = policy.lora
    store = PolicyStore(
        home.start(recipe),
        revision=policy.revision if recipe.supervised is None else None,
        lora=None if lora is None else LoraConfig(lora.r, lora.alpha, lora.target_modules),
        dtype=policy.dtype,
        chat_template=policy.chat_template,
        system_prompt=policy.system_prompt,
        max_prompt_tokens=policy.max_prompt_tokens,
        decoding=Decoding(
            recipe.sampling.temperature, recipe.sampling.top_p, policy.max_new_tokens, recipe.sampling.batch_size
        ),
        score_batch=recipe.training.log_prob_batch,
        seed=recipe.seed,
        trust_remote_code=policy.trust_remote_code,
        share_prompt=recipe.training.share_prompt,
    )
    judge: Judge = JUDGES.build(recipe.judge, "judge")
    verdicts, spend = home.verdicts(recipe.verdict_cache), home.spend
    tolerated = recipe.sampling.max_failure_rate
    evaluation_oracle = oracle = Oracle(judge, verdicts, tolerated, spend_path=spend)
    if recipe.evaluation.judge is not None or recipe.evaluation.max_failure_rate is not None:
        if recipe.evaluation.judge is not None:
            judge = JUDGES.build(recipe.evaluation.judge, "evaluation.judge")
        if recipe.evaluation.max_failure_rate is not None:
            tolerated = recipe.evaluation.max_failure_rate
        evaluation_oracle = Oracle(judge, verdicts, tolerated, spend_path=spend)
    loss: Loss = LOSSES.build(recipe.training.loss, "training.loss")
    return Parts(recipe, store, loss, oracle, evaluation_oracle, home.prompts())


def evaluation_field(parts: Parts, prompts: list[str], start: list[list[str]]) -> Field:
    """The adversaries of an evaluation, as the recipe describes them."""
    settings = parts.recipe.evaluation
    classify = classifier(settings)
    classes = [] if classify is None else sorted({classify(a) for group in start for a in group})
    return Field(parts.evaluation_oracle, prompts, settings.best_of, classify, classes, parts.recipe.seed)


def classifier(settings: EvaluationSettings) -> Callable[[str], str] | None:
    """The function that names an answer's class, where there is one.

    Raises:
        ConfigError: it cannot be imported.
    """
    if not settings.classes:
        return None
    classify = load_object(settings.classes, "evaluation.classes")
    return lambda text: str(classify(text))

"""What the methods of a run share: the model store, the judges, the loss and the prompts."""

from __future__ import annotations

from dataclasses import dataclass

from comal.judges.asking.oracle import Oracle
from comal.judges.asking.users import Users
from comal.losses.base import Loss
from comal.pipeline.data.prompts import PromptSplits
from comal.policies.store import PolicyStore
from comal.recipes.settings import Recipe
from comal.resolve import Classifier


@dataclass(frozen=True, slots=True)
class Resources:
    """What the methods of a run share.

    Attributes:
        recipe: settings.
        store: opens checkpoints.
        loss: the prox loss.
        oracle: the judge trained on.
        evaluation_oracle: the judge of held-out figures.
        users: of the population trained on, where its users are shown several answers; None: two are compared.
        evaluation_users: of the population that judges held-out figures; None: another judge does.
        classify: names an answer's class, where the recipe has classes.
        splits: prompts.
        shares_batches: whether several processes share the batch of an optimiser step.
    """

    recipe: Recipe
    store: PolicyStore
    loss: Loss
    oracle: Oracle
    evaluation_oracle: Oracle
    classify: Classifier | None
    splits: PromptSplits
    shares_batches: bool = True
    users: Users | None = None
    evaluation_users: Users | None = None

"""How far training can move a policy at all: what a recipe's rate and number of steps are held against beforehand.

Adam moves a weight by about the learning rate an optimiser step, and not by more (Kingma and Ba 2015, arXiv 1412.6980,
section 2.1). LoRA adds (α/r) B A to a matrix (Hu et al. 2021, arXiv 2106.09685, section 4.1); B is 0 at first, and PEFT
draws A uniformly from ±1/√d. So after n optimiser steps no entry of B is larger than n · rate. For an input x of d
coordinates of size 1 each of the r entries of A x has variance d · 1/(3d) = 1/3, and a mean size of √(2/(3π)) = .46. If
all of them are added up in one direction, a coordinate of the layer's output, which is of size 1 as well, moves by

    (α/r) · r · n · rate · .46  =  .46 · α · n · rate,

whatever the rank: the reach. Without an adapter the d coordinates of x are added up, .80 · d · n · rate; so an adapter
needs a learning rate about 1.7 · d/α times as large, 50 times for d = 900 and α = 32.
"""

from __future__ import annotations

import math

from comal.pipeline.training.batches import batch_of
from comal.recipes.settings import Recipe

LEAST_REACH = 0.01
"""An adapter whose reach is smaller changes no layer's output by more than 1%, and no answer's probability visibly."""

_MEAN_SIZE = math.sqrt(2 / (3 * math.pi))


def optimizer_steps(recipe: Recipe) -> int:
    """Optimiser steps of one proximal step, in any number of processes, if the judge gives all of its verdicts."""
    training, prompts = recipe.training, recipe.sampling.prompts
    trained_on = prompts - training.held_out(prompts)
    return math.ceil(training.epochs * math.ceil(trained_on / batch_of(training).rows))


def adapter_reach(recipe: Recipe) -> float | None:
    """The reach of all of a recipe's proximal steps together; None without an adapter."""
    if recipe.policy.lora is None:
        return None
    rates = sum(recipe.training.for_step(k, recipe.steps).learning_rate for k in range(recipe.steps))
    return _MEAN_SIZE * recipe.policy.lora.alpha * optimizer_steps(recipe) * rates


def too_short(recipe: Recipe) -> str | None:
    """What to raise, where a recipe's adapter cannot move; None where it can, or where there is none."""
    lora, reach, rate = recipe.policy.lora, adapter_reach(recipe), recipe.training.learning_rate
    if lora is None or reach is None or reach >= LEAST_REACH:
        return None
    taken = optimizer_steps(recipe) * recipe.steps
    enough = rate * 100 * LEAST_REACH / reach
    return (
        f"training.learning_rate: {rate:g} over {taken:,} optimiser steps moves an adapter of alpha {lora.alpha:g} by "
        f"{reach:.1g} of a layer's output at most: the policy will stay where it is. An adapter takes some 100 times "
        f"the rate of a whole model: raise it, {enough:.0e} would do, or epochs or steps"
    )

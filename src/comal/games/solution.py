"""`solve`: run an algorithm on a game until its policy is a Nash policy within a given gap."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from comal.algorithms.base import Algorithm, Instruction, Report, Step
from comal.engine import MemoryJournal, run
from comal.errors import GameError
from comal.games.backend import ExactBackend
from comal.games.central_path import CentralPath
from comal.games.game import Floats
from comal.games.payoffs import Game

MAX_PRODUCTS = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Trajectory:
    """What happened on the way, a row after every instruction; row 0 is the start.

    Attributes:
        products: products made until then, (T,).
        prox_steps: prox steps taken until then, into whatever policy, (T,).
        gaps: gap of the policy, as in `Solution.duality_gap`, (T,).
        policies: the policy, (T, n); None unless asked for.
    """

    products: NDArray[np.int64]
    prox_steps: NDArray[np.int64]
    gaps: Floats
    policies: Floats | None


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The outcome of `solve`.

    Attributes:
        policy: last iterate, (n,), or (B, n) for a batch.
        duality_gap: of the policy in the original game; the largest of a batch. Of a population that is shown k
            answers it is max_y w_k(y) − 1/(k + 1): how far above its share of wins the best deviation comes.
        gaps: the same for every game, (B,); one entry for a single game.
        converged: whether every gap is at most the one asked for.
        products: matrix-vector products made (a product with all games of a batch counts once).
        steps: instructions of the program carried out.
        linear_solves: of Newton's method and along the central path, of the game that needed most.
        lp_solves: linear programs, 0 unless the automatic path fell back to them.
        seconds: time taken.
        trajectory: None unless recorded.
    """

    policy: Floats
    duality_gap: float
    gaps: Floats
    converged: bool
    products: int
    steps: int
    linear_solves: int
    lp_solves: int
    seconds: float
    trajectory: Trajectory | None = None


def solve(
    game: Game,
    algorithm: Algorithm | None = None,
    gap: float = 1e-8,
    max_products: int = MAX_PRODUCTS,
    start: Floats | None = None,
    record: Literal["gaps", "policies"] | None = None,
) -> Solution:
    """Run `algorithm` from `start` until the duality gap of its policy is at most `gap` or the products are used up.

    Examples:
        >>> from comal.games import named_game, solve
        >>> solve(named_game("paper")).policy.round(3).tolist()
        [0.364, 0.273, 0.364]

    Args:
        game: one game, or a batch, or a population shown k answers, whose symmetric equilibrium is sought; games of a
            batch stop one by one as they converge.
        algorithm: `CentralPath()` unless given, which has nothing to tune.
        gap: largest duality gap accepted.
        max_products: matrix-vector products after which to give up.
        start: initial policy, (n,) or (B, n); uniform unless given. Answers of probability 0 stay out, except that
            `CentralPath()` and `COMAL()` may take them in.
        record: what to keep of the way there; for single games.

    Raises:
        GameError: a start that is no policy, a gap or a number of products that makes no sense, a recorded batch, or
            options so large or small that numbers overflow.
    """
    if not (math.isfinite(gap) and gap >= 0):
        raise GameError("gap", f"need a number ≥ 0, got {gap}")
    if max_products < 1:
        raise GameError("max_products", f"need at least 1, got {max_products}")
    if record is not None and game.batch is not None:
        raise GameError(game.name, "the way of a batch is not recorded; solve its games one by one")
    begun = time.perf_counter()
    backend = ExactBackend(game, start)
    rows: list[_Row] = []
    prox_steps = 0

    def look() -> bool:
        gaps = backend.gaps()
        if record is not None:
            policy = backend.policies()[0] if record == "policies" else None
            rows.append((backend.products, prox_steps, float(gaps[0]), policy))
        if game.batch is not None:
            backend.retire(gaps <= gap)
            finished = not len(backend.open_games)
        else:
            finished = bool(gaps[0] <= gap)
        return finished or backend.products >= max_products

    def stop(index: int, instruction: Instruction, report: Report) -> bool:
        nonlocal prox_steps
        del index, report
        prox_steps += isinstance(instruction, Step)
        return look()

    rule = algorithm or CentralPath()
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            steps = 0 if look() else run(rule, backend, MemoryJournal(), stop)
    except (FloatingPointError, np.linalg.LinAlgError) as error:
        # What would follow is a policy of NaN, or one that a warning was all the sign of.
        raise GameError(
            game.name,
            f"{rule} leaves the numbers that a computer holds ({error}); take options such as eta and tau nearer to 1",
        ) from error
    gaps = backend.all_gaps()
    policies = backend.policies()
    return Solution(
        policy=policies if game.batch is not None else policies[0],
        duality_gap=float(gaps.max()),
        gaps=gaps,
        converged=bool((gaps <= gap).all()),
        products=backend.products,
        steps=steps,
        linear_solves=backend.linear_solves,
        lp_solves=backend.lp_solves,
        seconds=time.perf_counter() - begun,
        trajectory=_trajectory(rows) if record is not None else None,
    )


_Row: TypeAlias = tuple[int, int, float, Floats | None]


def _trajectory(rows: list[_Row]) -> Trajectory:
    products, prox_steps, gaps, policies = zip(*rows, strict=True)
    kept = [policy for policy in policies if policy is not None]
    return Trajectory(np.array(products), np.array(prox_steps), np.array(gaps), np.stack(kept) if kept else None)

"""Newton's method for regularised games, and the linear equations that finish the original one; over batches.

The Nash policy p of the game tau-regularised to a reference solves, for x = log p,

    x = log reference + A eˣ / tau − c,      sum eˣ = 1.

Newton's matrix is I − A D / tau with D = diag(p). Scaled by D^½ it is I − D^½ A D^½ / tau, the identity minus a skew
matrix, which is never singular; and the direction is recovered by a product with A, never by dividing by p.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comal.algorithms.base import CERTIFICATE_ROUNDING
from comal.games.game import Floats
from comal.games.measures import kl, log_normalise, product

_LARGEST_RISE = 8.0  # of a log-probability in one Newton step: eˣ makes longer steps worthless
_CACHED = 2**18  # numbers
_TINY = float(np.finfo(np.float64).tiny)
_NEGLIGIBLE = 1e-40  # answers less likely than this do not move the others, so they stay out of the linear system


@dataclass(frozen=True, slots=True)
class RegularisedSolution:
    """What Newton's method found, for each game of the batch.

    Attributes:
        log_policy: p, (B, n).
        log_best_response: BR(p), (B, n).
        payoff: A p, (B, n).
        kl_best_response: KL(p || BR(p)), (B,).
        kl_reference: KL(p || reference), (B,).
        iterations: linear solves, (B,).
        solved: whether the certificate accepted p, (B,).
        products: products made, of the game that needed most.
    """

    log_policy: Floats
    log_best_response: Floats
    payoff: Floats
    kl_best_response: Floats
    kl_reference: Floats
    iterations: NDArray[np.int64]
    solved: NDArray[np.bool_]
    products: int


def solve_regularised(
    A: Floats, log_reference: Floats, start: Floats, tau: Floats, accept: float, max_iterations: int = 30
) -> RegularisedSolution:
    """Iterate from `start` until KL(p || BR(p)) ≤ accept · KL(p || reference), in every game of the batch on its own.

    Shapes: A (B, n, n); log_reference and start (B, n), start finite where the reference is; tau (B,).
    """
    B, n = log_reference.shape
    x, response, payoff = start.copy(), np.empty((B, n)), np.empty((B, n))
    kl_response, kl_reference = np.empty(B), np.empty(B)
    iterations = np.zeros(B, dtype=np.int64)
    solved = np.zeros(B, dtype=np.bool_)
    products = 0
    open_games = np.arange(B)
    for iteration in range(max_iterations + 1):
        here = slice(None) if len(open_games) == B else open_games  # a slice is a view: one large game is not copied
        A_, reference_, tau_ = A[here], log_reference[here], tau[here]
        x_ = x[here]
        payoff_ = product(A_, np.exp(x_))
        products += 1
        response_ = log_normalise(reference_ + payoff_ / tau_[:, None])
        payoff[here], response[here] = payoff_, response_
        kl_response[here], kl_reference[here] = kl(x_, response_), kl(x_, reference_)
        solved[here] = kl_response[here] <= accept * kl_reference[here] + CERTIFICATE_ROUNDING
        if solved.all() or iteration == max_iterations:
            break
        keep = ~solved[here]
        open_games = open_games[keep]
        if not keep.all():
            A_, x_, response_, tau_ = A_[keep], x_[keep], response_[keep], tau_[keep]
        x[open_games] = _newton_step(A_, x_, response_, tau_)
        products += 1
        iterations[open_games] += 1
    return RegularisedSolution(x, response, payoff, kl_response, kl_reference, iterations, solved, products)


def _newton_step(A: Floats, x: Floats, response: Floats, tau: Floats) -> Floats:
    """One damped Newton step on x = BR(eˣ) for normalised x, (B, n)."""
    p = np.exp(x)
    alive = np.isfinite(x)
    residual = np.zeros_like(x)
    np.subtract(response, x, out=residual, where=alive)
    active = (p > _NEGLIGIBLE).any(axis=0)
    root = np.sqrt(p[:, active])
    A_active = A[:, active] if active.all() else A[:, :, active]
    core = A if active.all() else A_active[:, active]
    matrix = -(root[:, :, None] * core * root[:, None, :]) / tau[:, None, None]
    k = root.shape[1]
    matrix[:, np.arange(k), np.arange(k)] += 1.0
    right = np.stack([root * residual[:, active], root], axis=-1)
    solution = np.linalg.solve(matrix, right)
    # sum p dx = 0 keeps eˣ a policy to first order; root · (I - skew)⁻¹ root > 0, so the division is safe
    along = (root[:, :, None] * solution).sum(axis=1)
    c = along[:, 0] / along[:, 1]
    weighted = root * (solution[..., 0] - c[:, None] * solution[..., 1])
    dx = residual - c[:, None] + product(A_active, weighted) / tau[:, None]
    rise = dx.max(axis=-1, where=alive, initial=0.0)
    damping = _LARGEST_RISE / np.maximum(rise, _LARGEST_RISE)
    return log_normalise(np.where(alive, x + damping[:, None] * dx, -np.inf))


def solve_regularised_from_afar(A: Floats, log_reference: Floats, tau: float, accept: float) -> RegularisedSolution:
    """One game (1, n, n) whose tau is too small to start at the reference: raise it until that works, then lower it."""
    high, factor = tau, 4.0
    products, iterations = 0, 0

    def attempt(start: Floats, value: float) -> RegularisedSolution:
        nonlocal products, iterations
        found = solve_regularised(A, log_reference, start, np.array([value]), accept)
        products += found.products
        iterations += int(found.iterations[0])
        return found

    solution = attempt(log_reference, high)
    while not solution.solved[0]:
        high *= factor
        solution = attempt(log_reference, high)
    while high > tau and factor > 1.01:
        lower = max(tau, high / factor)
        trial = attempt(solution.log_policy, lower)
        if trial.solved[0]:
            solution, high = trial, lower
        else:
            factor = factor**0.5
    if high > tau:
        solution = attempt(solution.log_policy, tau)
    return RegularisedSolution(
        solution.log_policy,
        solution.log_best_response,
        solution.payoff,
        solution.kl_best_response,
        solution.kl_reference,
        np.array([iterations]),
        solution.solved,
        products,
    )


def polish(A: Floats, policy: Floats, payoff: Floats, games: NDArray[np.intp] | None = None) -> Floats:
    """Policies that make every answer of the guessed support {y : p(y) > −(A p)(y)} an even bet, (B, n); NaN: none.

    The equations of a support of even size are skew of odd size once bordered, hence singular: the answer most in
    doubt, with p(y) and −(A p)(y) most alike, changes sides. Ties and duplicates stay singular; the path solves those
    without.

    Args:
        A: the games, (B, n, n).
        policy: guesses, (B, n).
        payoff: A p, (B, n).
        games: indices of those to polish; all unless given.
    """
    games = np.arange(len(A)) if games is None else games
    candidates = np.full_like(policy, np.nan)
    support = policy[games] > -payoff[games]
    doubt = np.abs(np.log(np.maximum(policy[games], _TINY)) - np.log(np.maximum(-payoff[games], _TINY)))
    even = np.flatnonzero(support.sum(axis=1) % 2 == 0)
    support[even, doubt[even].argmin(axis=1)] ^= True
    size = games_at_a_time(A.shape[-1] ** 2)
    for i in range(0, len(games), size):
        some = slice(i, i + size)
        candidates[games[some]] = _even_bets(A, games[some], support[some])
    return candidates


def _even_bets(A: Floats, games: NDArray[np.intp], support: NDArray[np.bool_]) -> Floats:
    """For some games the policy on its support to which all answers there are an even bet, (games, n); NaN: none."""
    sizes = support.sum(axis=1)
    k = int(sizes.max())
    answers = np.argsort(~support, axis=1, kind="stable")[:, :k]
    inside = np.arange(k) < sizes[:, None]
    matrix = np.zeros((len(games), k + 1, k + 1))
    n = A.shape[-1]
    cells = (games[:, None] * n + answers)[:, :, None] * n + answers[:, None, :]  # faster than three indices
    matrix[:, :k, :k] = np.where(inside[:, :, None] & inside[:, None, :], np.take(A, cells), 0.0)
    matrix[:, np.arange(k), np.arange(k)] += ~inside  # fills up smaller supports: p(y) = 0
    matrix[:, :k, k] = inside
    matrix[:, k, :k] = inside
    right = np.zeros((len(games), k + 1, 1))
    right[:, k] = 1.0
    found = solve_each(matrix, right)[:, :k, 0]
    with np.errstate(invalid="ignore"):
        mass = np.maximum(found, 0.0) * inside
        total = mass.sum(axis=1, keepdims=True)
        usable = np.isfinite(total[:, 0]) & (total[:, 0] > 0)
    policies = np.full(support.shape, np.nan)
    rows = np.zeros((int(usable.sum()), support.shape[1]))
    np.put_along_axis(rows, answers[usable], mass[usable] / total[usable], axis=1)
    policies[usable] = rows
    return policies


def games_at_a_time(numbers: int) -> int:
    """As many as have their matrices, of so many numbers a game, stay in the processor's cache; 1 at least."""
    return max(1, _CACHED // numbers)


def solve_each(matrix: Floats, right: Floats) -> Floats:
    """Solutions of a batch of linear systems; NaN for the singular ones."""
    try:
        solved = np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:  # numpy does not say which one
        solutions = np.full_like(right, np.nan)
        if len(matrix) > 1:
            for i in range(len(matrix)):
                solutions[i] = solve_each(matrix[i : i + 1], right[i : i + 1])[0]
        return solutions
    return np.asarray(solved, dtype=np.float64)

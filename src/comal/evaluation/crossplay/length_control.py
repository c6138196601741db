"""Length-controlled win rates: how often a system would win were its answers as long as the baseline's.

Dubois et al. 2024 (arXiv 2404.04475), AlpacaEval 2. A generalised linear model of the preference on each prompt,

    p_i = σ(w_len · tanh(Δ_i / std Δ) + w_diff · d_i + w_bias),    Δ_i = length of the baseline's answer − the system's

is fitted with an L1 penalty, |w|₁ / C, where C has the lowest log loss in 5-fold cross-validation among ten values; the
length-controlled win rate is its mean prediction with the length term at zero.

AlpacaEval knows a difficulty d_i of its 805 instructions, from a fit to all systems of its leaderboard, and adds rows
in which the baseline plays itself told to be concise or verbose, which keep w_len and w_diff from explaining a system
away. Other prompts have neither: without them the model is the one AlpacaEval calls `length_controlled_minimal`, length
and bias alone. Its figures compare systems on the same prompts; they are not figures of AlpacaEval's leaderboard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from comal.evaluation.intervals import Bootstrap, Interval

Floats = NDArray[np.float64]

FOLDS = 5
PENALTIES = np.logspace(-4, 4, 10)
"""The values of C that cross-validation chooses from."""


@dataclass(frozen=True, slots=True, eq=False)
class AnchorRows:
    """Rows of the baseline against itself under other instructions of length; they have no bias term.

    Attributes:
        preference: Pr(variant ≻ baseline), shape (m,).
        std_delta: Δ / std Δ, shape (m,).
        difficulty: d of the row's prompt, shape (m,).
        weight: of each row, where a row of the system weighs 1; AlpacaEval takes 0.2 / 2.
    """

    preference: Floats
    std_delta: Floats
    difficulty: Floats
    weight: float = 0.1


@dataclass(frozen=True, slots=True)
class LengthControl:
    """The fitted model.

    Attributes:
        win_rate: length-controlled, in [0, 1].
        raw: mean preference.
        length, difficulty, bias: weights; `difficulty` is None when there was none.
        C: the inverse penalty chosen.
        prompts: rows of the system that had a preference.
        interval: percentile bootstrap over prompts at the weakest penalty, when asked for.
        standard_error: of `win_rate`, the standard deviation over those resamples.
    """

    win_rate: float
    raw: float
    length: float
    difficulty: float | None
    bias: float
    C: float
    prompts: int
    interval: Interval | None = None
    standard_error: float | None = None


def length_control(
    preference: Floats,
    baseline_length: Floats,
    length: Floats,
    difficulty: Floats | None = None,
    anchors: AnchorRows | None = None,
    bootstrap: Bootstrap | None = None,
) -> LengthControl:
    """Fit the model to one system.

    Args:
        preference: Pr(system ≻ baseline) on each prompt, shape (n,); NaN where there is none. An AlpacaEval annotation
            is this plus 1, with 0 for a draw.
        baseline_length: characters of the baseline's answers, shape (n,).
        length: characters of the system's answers, shape (n,).
        difficulty: d of each prompt, shape (n,).
        anchors: rows that regularise the fit, see `AnchorRows`.
        bootstrap: resample the prompts for an interval.

    Raises:
        ValueError: fewer than ten prompts with a preference; answers that differ by the same length on every prompt,
            whose effect cannot be told from the system's; anchors without difficulties.
    """
    if anchors is not None and difficulty is None:
        raise ValueError("anchor rows have difficulties, so the prompts need them too")
    delta = np.asarray(baseline_length, dtype=np.float64) - length
    # ddof = 1 and before prompts without a preference leave, as in AlpacaEval
    spread = float(delta.std(ddof=1)) if len(delta) > 1 else 0.0
    if spread == 0 and delta.any():
        raise ValueError(
            f"all answers are {abs(delta[0]):g} characters {'shorter' if delta[0] > 0 else 'longer'} than the "
            "baseline's, so the effect of length cannot be told from the system's"
        )
    known = np.isfinite(preference)
    if known.sum() < 2 * FOLDS:
        raise ValueError(f"the fit needs at least {2 * FOLDS} prompts with a preference, got {known.sum()}")
    features = [np.tanh(delta / spread) if spread else np.zeros(len(delta))]
    if difficulty is not None:
        features.append(np.asarray(difficulty, dtype=np.float64))
    X = np.stack([*features, np.ones(len(delta))], axis=1)
    own_X, own_y = X[known], preference[known]
    above_X = np.empty((0, X.shape[1]))
    above_y = np.empty(0)
    if anchors is not None:
        above_X = np.stack([np.tanh(anchors.std_delta), anchors.difficulty, np.zeros(len(anchors.preference))], axis=1)
        above_y = anchors.preference
    rows, target = np.concatenate([above_X, own_X]), np.concatenate([above_y, own_y])
    weight = np.ones(len(target))
    weight[: len(above_y)] = 0.0 if anchors is None else anchors.weight
    C = _best_penalty(rows, target, weight)
    w = fit_l1(rows, target, weight, C)
    # AlpacaEval predicts for every prompt, those without a preference too
    found = LengthControl(
        win_rate=_predicted(X, w),
        raw=float(own_y.mean()),
        length=float(w[0]),
        difficulty=None if difficulty is None else float(w[1]),
        bias=float(w[-1]),
        C=C,
        prompts=int(known.sum()),
    )
    if bootstrap is None:
        return found
    # A strong penalty, chosen where a system is hard to tell from the baseline, would shrink every resample to 1/2.
    weakest = float(PENALTIES[-1])
    resampled = np.array(
        [
            _predicted(
                X[known], fit_l1(rows, target, np.concatenate([weight[: len(above_y)], counts]), weakest, w), counts
            )
            for counts in bootstrap.counts(len(own_y))
        ]
    )
    return LengthControl(
        **{name: getattr(found, name) for name in ("win_rate", "raw", "length", "difficulty", "bias", "C", "prompts")},
        interval=bootstrap.interval(found.win_rate, resampled),
        standard_error=float(resampled.std(ddof=1)),
    )


def fit_l1(X: Floats, y: Floats, weight: Floats, C: float, start: Floats | None = None) -> Floats:
    """The weights w, shape (k,), that minimise |w|₁ − C · Σ_i weight_i (y_i log p_i + (1 − y_i) log(1 − p_i)).

    p = σ(X w); y may be any probabilities. Solved by L-BFGS-B on w = u − v with u, v ≥ 0, where the penalty is smooth.
    AlpacaEval takes LIBLINEAR, which stops earlier: its published figures are up to 0.02 points from the minimum.
    """
    from scipy.optimize import minimize
    from scipy.special import expit, log_expit

    k = X.shape[1]

    def objective(z: Floats) -> tuple[float, Floats]:
        # einsum, not @: for so narrow a matrix the threads of a BLAS cost ten times what they compute
        logit = np.einsum("nk,k->n", X, z[:k] - z[k:])
        loss = -float((weight * (y * log_expit(logit) + (1 - y) * log_expit(-logit))).sum())
        slope = C * np.einsum("nk,n->k", X, weight * (expit(logit) - y))
        return C * loss + float(z.sum()), np.concatenate([slope + 1, 1 - slope])

    w0 = np.zeros(k) if start is None else start
    outcome = minimize(
        objective,
        np.concatenate([np.maximum(w0, 0), np.maximum(-w0, 0)]),
        jac=True,
        bounds=[(0, None)] * (2 * k),
        method="L-BFGS-B",
        options={"maxiter": 1000, "ftol": 1e-15, "gtol": 1e-9},
    )
    w: Floats = outcome.x[:k] - outcome.x[k:]
    return w


def _best_penalty(X: Floats, y: Floats, weight: Floats) -> float:
    """The C of least mean log loss over the folds, the first of several."""
    fold = np.arange(len(y)) % FOLDS
    losses = [
        np.mean([_log_loss(*_rows(fold == k, X, y, weight), _fit(fold != k, X, y, weight, C)) for k in range(FOLDS)])
        for C in PENALTIES.tolist()
    ]
    return float(PENALTIES[int(np.argmin(losses))])


def _fit(chosen: NDArray[np.bool_], X: Floats, y: Floats, weight: Floats, C: float) -> Floats:
    return fit_l1(*_rows(chosen, X, y, weight), C)


def _rows(chosen: NDArray[np.bool_], X: Floats, y: Floats, weight: Floats) -> tuple[Floats, Floats, Floats]:
    return X[chosen], y[chosen], weight[chosen]


def _log_loss(X: Floats, y: Floats, weight: Floats, w: Floats) -> float:
    from scipy.special import log_expit

    logit = np.einsum("nk,k->n", X, w)
    return -float(np.mean(weight * (y * log_expit(logit) + (1 - y) * log_expit(-logit))))


def _predicted(X: Floats, w: Floats, counts: Floats | None = None) -> float:
    """Mean prediction with the length term at zero."""
    from scipy.special import expit

    return float(np.average(expit(np.einsum("nk,k->n", X[:, 1:], w[1:])), weights=counts))

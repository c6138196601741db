"""What judging only k others of each answer costs in accuracy, against judging all pairs.

    OMP_NUM_THREADS=1 python benchmarks/comparison_designs.py [--games 20] [--prompts 48]

Games of 40 answers: `random` (independent uniform preferences), `Bradley-Terry` (normal strengths of
standard deviation 1.5) and `committee` (the demo's judge on its four styles, as frequent as in the demo's data). Every
prompt has K answers drawn uniformly. Errors are root mean squares in units of a win rate:

    ŵ       of a sample's win rate against its opponents' true mean: all pairs, the plain mean over the k judged
            neighbours, and completed as in `comal.judges.asking.completion`
    step    of the proximal step that group regression over the prompts makes, as (log-ratio − its mean)/η: all pairs,
            the design with as many prompts and k/(K−1) of the calls, and all pairs with as many calls and therefore
            fewer prompts

Measured with the defaults, 20 games a row (k/(K−1) of the calls):

    game            K  k   calls   ŵ: all  plain  completed   step: all  completed  all, equal calls
    random          6  2    .40     .125   .197    .197         .050       .081       .085
    random          8  4    .57     .107   .142    .143         .039       .051       .057
    random         16  4    .27     .072   .141    .141         .019       .035       .038
    Bradley-Terry   6  2    .40     .102   .161    .116         .016       .027       .026
    Bradley-Terry   8  4    .57     .089   .116    .092         .011       .014       .016
    Bradley-Terry  16  4    .27     .057   .112    .067         .005       .010       .010
    committee       6  2    .40     .103   .167    .156         .037       .063       .067
    committee       8  4    .57     .093   .123    .113         .025       .035       .036
    committee      16  4    .27     .064   .121    .108         .012       .023       .027
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from comal.judges.asking.completion import complete_self_play
from comal.judges.asking.design import regular_graph
from comal.judges.base import Comparison
from comal.plugins import JUDGES
from comal.recipes.load import load_recipe

Array = NDArray[np.float64]
ANSWERS = 40
STYLES = {"Return it.": 0.55, "Returns it.": 0.08, "The result.": 0.32, "x": 0.05}


def random_game(rng: np.random.Generator) -> Array:
    upper = np.triu(rng.random((ANSWERS, ANSWERS)), 1)
    P = upper + np.tril(1 - upper.T, -1)
    np.fill_diagonal(P, 0.5)
    return P


def bradley_terry(rng: np.random.Generator) -> Array:
    s = rng.normal(0, 1.5, ANSWERS)
    return 1 / (1 + np.exp(s[None, :] - s[:, None]))


def committee(rng: np.random.Generator) -> Array:
    judge = JUDGES.build(load_recipe("docstrings").judge, "judge")
    texts = list(STYLES)
    table = np.array(judge.compare([Comparison("x", a, b) for a in texts for b in texts]), dtype=float)
    styles = rng.choice(len(texts), ANSWERS, p=list(STYLES.values()))
    return table.reshape(len(texts), -1)[np.ix_(styles, styles)]


FAMILIES: dict[str, Callable[[np.random.Generator], Array]] = {
    "random": random_game,
    "Bradley-Terry": bradley_terry,
    "committee": committee,
}


def regression(samples: NDArray[np.intp], rates: Array) -> Array:
    """The log-ratio over η that group regression finds for every answer, up to a constant."""
    prompts, K = samples.shape
    X = np.zeros((prompts, K, ANSWERS))
    np.put_along_axis(X, samples[:, :, None], 1.0, axis=2)
    X -= X.mean(axis=1, keepdims=True)
    y = rates - rates.mean(axis=1, keepdims=True)
    return np.asarray(np.linalg.lstsq(X.reshape(-1, ANSWERS), y.ravel())[0])


def step_error(samples: NDArray[np.intp], rates: Array, w: Array) -> float:
    """Mean square over the answers that were sampled."""
    seen = np.unique(samples)
    error = regression(samples, rates)[seen] - w[seen]
    return float(np.mean((error - error.mean()) ** 2))


def one_game(P: Array, K: int, k: int, prompts: int, rng: np.random.Generator) -> list[float]:
    """Mean squares: ŵ by all pairs, plain mean, completed; step by all pairs, completed, all pairs at equal calls."""
    samples = rng.integers(0, ANSWERS, (prompts, K))
    w = P.mean(axis=1)
    tables = [P[np.ix_(row, row)] for row in samples]
    graphs = [regular_graph(K, k, int(rng.integers(2**31))) for _ in samples]
    masks = [graph | np.eye(K, dtype=bool) for graph in graphs]
    everything = np.stack([table.mean(axis=1) for table in tables])
    plain = np.stack([np.where(g, t, 0).sum(axis=1) / k for g, t in zip(graphs, tables, strict=True)])
    shown = [np.where(mask, table, np.nan) for mask, table in zip(masks, tables, strict=True)]
    completed = complete_self_play(shown, masks)
    fewer = max(2, round(prompts * k / (K - 1)))

    def against_others(rates: Array) -> Array:
        return (K * rates - 0.5) / (K - 1)

    return [
        *(
            float(np.mean((v - w[samples]) ** 2))
            for v in (against_others(everything), plain, against_others(completed))
        ),
        step_error(samples, everything, w),
        step_error(samples, completed, w),
        step_error(samples[:fewer], everything[:fewer], w),
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description="Accuracy of k comparisons an answer against all pairs.")
    arguments.add_argument("--games", type=int, default=20)
    arguments.add_argument("--prompts", type=int, default=48)
    options = arguments.parse_args()
    print("game            K   k   calls   ŵ: all   plain   completed   step: all   completed   all, equal calls")
    for name, make in FAMILIES.items():
        for K in (6, 8, 16):
            for k in (2, 4, 6, 8):
                if k >= K - 1:
                    continue
                rng = np.random.default_rng(1000 * K + k)
                games = [one_game(make(rng), K, k, options.prompts, rng) for _ in range(options.games)]
                a, p, c, step, design, equal = np.sqrt(np.mean(games, axis=0))
                print(
                    f"{name:14} {K:2}  {k:2}   {k / (K - 1):5.2f}   {a:6.3f}   {p:5.3f}   {c:9.3f}   "
                    f"{step:9.3f}   {design:9.3f}   {equal:16.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()

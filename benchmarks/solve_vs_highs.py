"""Time of `comal.games.solve`, no options, against HiGHS on the same random games.

    OMP_NUM_THREADS=1 python benchmarks/solve_vs_highs.py                        # one game of 1,000 answers, five seeds
    OMP_NUM_THREADS=1 python benchmarks/solve_vs_highs.py --answers 64 --batch 2000
    OMP_NUM_THREADS=1 python benchmarks/solve_vs_highs.py --answers 8 --batch 10000

HiGHS gets the linear program min v: A p ≤ v, p a policy, by its interior-point method with crossover and by its dual
simplex, through SciPy; the faster one is compared. A batch is solved in one call by comal, and its first 200 games one
by one by HiGHS. Processor seconds, so that what else the machine does counts for neither; both in turn, the smaller of
`--rounds`. Results, and where the time goes, are in docs/results.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.optimize import linprog

from comal.games import PreferenceGame, Solution, duality_gap, named_game, solve

_LP_GAMES = 200  # of a batch


def highs(game: PreferenceGame, method: str) -> float:
    """The duality gap of one linear program's policy."""
    n = game.n
    outcome = linprog(
        c=np.r_[np.zeros(n), 1.0],
        A_ub=np.c_[game.A, -np.ones(n)],
        b_ub=np.zeros(n),
        A_eq=np.r_[np.ones(n), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, None)] * n + [(None, None)],
        method=method,
    )
    policy = np.maximum(outcome.x[:n], 0.0)
    return float(duality_gap(game, policy / policy.sum()))


def batch(answers: int, count: int, seed: int) -> PreferenceGame:
    """Games like those of `random:n=...`."""
    upper = np.triu(np.random.default_rng(seed).random((count, answers, answers)), 1)
    P = upper + np.tril(1 - np.swapaxes(upper, 1, 2), -1)
    P[:, np.arange(answers), np.arange(answers)] = 0.5
    return PreferenceGame(P, name=f"{count} random games of {answers}")


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    arguments = argparse.ArgumentParser(description="Time of comal.games.solve against HiGHS.")
    arguments.add_argument("--answers", type=int, default=1000)
    arguments.add_argument("--batch", type=int, default=1, help="games solved at once")
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--rounds", type=int, default=2)
    options = arguments.parse_args()
    solve(batch(64, 400, 0))  # imports and thread pools are nobody's share
    ratios = []
    print("seed   comal s   gap      products   solves   highs-ipm s   highs-ds s   their gap   ratio")
    for seed in range(options.seeds):
        if options.batch == 1:
            game = named_game(f"random:n={options.answers},seed={seed}")
            singles = [game]
        else:
            game = batch(options.answers, options.batch, seed)
            singles = [PreferenceGame(P) for P in game.P[:_LP_GAMES]]
        found: list[Solution] = []
        gaps: list[float] = []
        times: dict[str, list[float]] = {"comal": [], "highs-ipm": [], "highs-ds": []}
        for _ in range(options.rounds):
            times["comal"].append(seconds(lambda game=game, found=found: found.append(solve(game))))
            for method in ("highs-ipm", "highs-ds"):
                spent = seconds(
                    lambda games=singles, method=method, gaps=gaps: gaps.extend(highs(g, method) for g in games)
                )
                times[method].append(spent * options.batch / len(singles))
        ours, ipm, simplex = (min(spent) for spent in times.values())
        ratios.append(ours / min(ipm, simplex))
        print(
            f"{seed:4}   {ours:7.3f}   {found[0].duality_gap:.0e}   {found[0].products:8}   "
            f"{found[0].linear_solves:6}   {ipm:11.2f}   {simplex:10.2f}   {max(gaps):9.0e}   {ratios[-1]:.3f}"
        )
    print(f"median ratio {statistics.median(ratios):.3f} (below 1: comal is faster)")


if __name__ == "__main__":
    main()

"""`comal solve --answers-shown k`: the symmetric equilibrium of a population that is shown k answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comal.games import Solution
    from comal.games.populations import PopulationGame


def refuse_table_options(options: dict[str, object], plot: Path | None) -> None:
    """Refuse what is about preference tables.

    Raises:
        ConfigError: an option that does nothing to a population.
    """
    from comal.errors import ConfigError

    for option, given in options.items():
        if given:
            raise ConfigError(option, "is for preference tables; --answers-shown reads a population, so leave it out")
    if plot is not None:
        raise ConfigError("--plot", "draws games of two players; `comal reproduce universal` draws populations")


def report(game: PopulationGame, solution: Solution, algorithm: str, settings: dict[str, Any], gap: float) -> str:
    """The solution as one JSON object."""
    import json

    from comal.games.populations import draws_win_rate

    k = game.answers_shown
    return json.dumps(
        {
            "population": game.name,
            "users": game.users,
            "n": game.n,
            "answers_shown": k,
            "algorithm": algorithm,
            "settings": settings,
            "policy": solution.policy.tolist(),
            "labels": list(game.labels),
            "gap": solution.duality_gap,
            "gap_asked_for": gap,
            "draws_win_rate": float(draws_win_rate(game, solution.policy)),
            "best_in_general": k / (k + 1),
            "products": solution.products,
            "steps": solution.steps,
            "linear_solves": solution.linear_solves,
            "seconds": solution.seconds,
            "converged": solution.converged,
        }
    )


def print_solution(game: PopulationGame, solution: Solution, algorithm: str, gap: float) -> None:
    """The policy, what k draws of it win, and the work."""
    from rich.console import Console
    from rich.markup import escape

    from comal.cli.display.policies import print_policy
    from comal.games.populations import draws_win_rate

    console = Console(highlight=False, soft_wrap=True)
    print_policy(console, game.labels, solution.policy.tolist())
    k = game.answers_shown
    state = "converged" if solution.converged else "not converged"
    console.print()
    console.print(
        f"population        {escape(game.name)}, {game.users} user{'s' * (game.users > 1)}, {game.n} "
        f"answer{'s' * (game.n > 1)}"
    )
    console.print(f"answers shown     {k}")
    console.print(f"gap               {solution.duality_gap:.3g} ({state}, {gap:g} asked for)")
    console.print(
        f"win rate          {float(draws_win_rate(game, solution.policy)):.6f} of {k} draw{'s' * (k > 1)} against any "
        f"single answer; {k}/{k + 1} is the most in general"
    )
    console.print(f"algorithm         {escape(algorithm)}")
    console.print(
        f"work              {solution.steps} steps, {solution.products} products, {solution.linear_solves} linear "
        f"solve{'s' * (solution.linear_solves != 1)}, {solution.seconds:.3f} s"
    )

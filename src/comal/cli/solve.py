"""`comal solve`: the Nash policy of a preference game, the equilibrium of a population that is shown k answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from comal.cli.completion import algorithms, games

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from comal.games import PreferenceGame, Solution

_DEFAULT = "central path"  # no algorithm of recipes, and so none to be named


def solve(
    game: Annotated[
        str,
        typer.Argument(
            help="A named game such as paper or random:n=50,seed=3, or a CSV, JSON or NPY file. With --answers-shown a "
            "named population such as majority:share=0.51 or rankings:users=25,answers=10, or a CSV or JSON file.",
            autocompletion=games,
        ),
    ],
    algorithm: Annotated[
        str | None,
        typer.Option(
            help="Name of an algorithm; if left out, the central path, which has no settings, or comal where --set is "
            "given.",
            show_default=False,
            autocompletion=algorithms,
        ),
    ] = None,
    gap: Annotated[float, typer.Option(help="Largest duality gap accepted.")] = 1e-8,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the algorithm, e.g. tau=0.1 or inner.name=inpo."),
    ] = None,
    max_products: Annotated[int, typer.Option(help="Matrix-vector products after which to give up.")] = 20_000,
    start: Annotated[
        str | None,
        typer.Option(metavar="P,P,...", help="Initial policy, in the order of the labels; uniform if left out."),
    ] = None,
    symmetrise: Annotated[
        bool, typer.Option("--symmetrise", help="Average both readings of every pair of a noisy table.")
    ] = False,
    wins: Annotated[bool, typer.Option("--wins", help="The table holds counts of wins: row against column.")] = False,
    prior: Annotated[
        float, typer.Option(min=0, help="Wins that each of a pair has before any are counted, e.g. 0.5.")
    ] = 0.0,
    answers_shown: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=1,
            max=1000,
            help="Users of a population are shown K answers and take the best; what is sought is the policy of which K "
            "draws win K/(K+1) against any single answer. 1 is the game of pairwise preferences.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the gap per product and, for three answers, the path.")
    ] = None,
) -> None:
    """Find the Nash policy of a preference game: the one that no other is preferred to more than half of the time.

    With --answers-shown K, the symmetric equilibrium of a population whose users take the best of several answers.

    Exit status: 0 converged, 3 not converged, 2 bad input.
    """
    from comal import games
    from comal.games.populations import NAMED_POPULATIONS, load_population
    from comal.recipes.overrides import parse_overrides
    from comal.resolve import resolve_algorithm

    given = parse_overrides(settings or [])
    if algorithm is None and given:
        algorithm = "comal"
    rule = None if algorithm is None else resolve_algorithm(given | {"name": algorithm}, "algorithm")
    algorithm = algorithm or _DEFAULT
    initial = None if start is None else parse_policy(start)
    if answers_shown is not None:
        from comal.cli.populations import solution as of_population

        of_population.refuse_table_options({"--symmetrise": symmetrise, "--wins": wins, "--prior": prior}, plot)
        population = load_population(game).showing(answers_shown)
        found = games.solve(population, rule, gap, max_products, initial)
        if as_json:
            typer.echo(of_population.report(population, found, algorithm, given, gap))
        else:
            of_population.print_solution(population, found, algorithm, gap)
        _exit(found, algorithm, gap)
        return
    if game.partition(":")[0] in NAMED_POPULATIONS and not Path(game).exists():
        from comal.errors import ConfigError

        raise ConfigError(
            "game", f"`{game}` is a population; say how many answers its users are shown: --answers-shown 1"
        )
    table = games.load_game(game, symmetrise, wins, prior)
    if table.batch is not None:
        from comal.errors import GameError

        raise GameError(
            game, f"holds {table.batch} games; one at a time here, all at once by comal.games.solve in Python"
        )
    record: Literal["gaps", "policies"] | None = None if plot is None else "policies" if table.n == 3 else "gaps"
    solution = games.solve(table, rule, gap, max_products, initial, record)
    if plot is not None:
        from comal.reports.figures.games import save, solution_figure

        save(solution_figure(table, solution, algorithm, gap), plot)
    if as_json:
        import json

        winner = table.condorcet_winner()
        outcome = {
            "game": game,
            "n": table.n,
            "algorithm": algorithm,
            "settings": given,
            "policy": solution.policy.tolist(),
            "labels": list(table.labels),
            "duality_gap": solution.duality_gap,
            "products": solution.products,
            "steps": solution.steps,
            "linear_solves": solution.linear_solves,
            "lp_solves": solution.lp_solves,
            "seconds": solution.seconds,
            "converged": solution.converged,
            "condorcet_winner": None if winner is None else table.labels[winner],
        }
        typer.echo(json.dumps(outcome))
    else:
        _print(table, solution, algorithm, gap)
    if plot is not None:
        typer.echo(f"figure: {plot}", err=True)
    _exit(solution, algorithm, gap)


def _exit(solution: Solution, algorithm: str, gap: float) -> None:
    """Say so, with status 3, where the gap was not reached."""
    if not solution.converged:
        typer.echo(
            f"not converged: gap {solution.duality_gap:.3g} > {gap:g} after {solution.products} products"
            + ("" if algorithm == _DEFAULT else "; without --algorithm and --set every game is solved"),
            err=True,
        )
        raise typer.Exit(3)


def parse_policy(text: str) -> NDArray[np.float64]:
    """Probabilities with commas between them.

    Raises:
        ConfigError: something else.
    """
    import numpy as np

    from comal.errors import ConfigError

    try:
        return np.array([float(part) for part in text.split(",")])
    except ValueError as error:
        raise ConfigError("--start", f"need numbers with commas between them, got `{text}`") from error


def _print(game: PreferenceGame, solution: Solution, algorithm: str, gap: float) -> None:
    from rich.console import Console
    from rich.markup import escape

    from comal.cli.display.policies import print_policy

    console = Console(highlight=False, soft_wrap=True)
    print_policy(console, game.labels, solution.policy.tolist())
    winner = game.condorcet_winner()
    state = "converged" if solution.converged else "not converged"
    console.print()
    console.print(f"game              {escape(game.name)}, {game.n} answer{'s' * (game.n > 1)}")
    console.print(f"duality gap       {solution.duality_gap:.3g} ({state}, {gap:g} asked for)")
    console.print(f"Condorcet winner  {'none' if winner is None else escape(game.labels[winner])}")
    console.print(f"algorithm         {escape(algorithm)}")
    console.print(
        f"work              {solution.steps} steps, {solution.products} products, "
        f"{solution.linear_solves} linear solve{'s' * (solution.linear_solves != 1)}"
        f"{', a linear program' if solution.lp_solves else ''}, {solution.seconds:.3f} s"
    )

"""`comal reproduce universal`: one answer or several, on populations of users who disagree."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from comal.experiments.matrix_games.universal import Study

_DRAWS = (1, 2, 4, 8, 16)


def universal(
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where the figure goes.")] = Path("universal.png"),
    products: Annotated[int, typer.Option(help="Payoff vectors that each method may ask for.", min=1)] = 6000,
    tau: Annotated[float, typer.Option(help="Weight of the KL to the reference.")] = 0.05,
    inner_steps: Annotated[int, typer.Option(help="COMAL's inner steps a reference update.", min=1)] = 50,
    seed: Annotated[int, typer.Option(help="Of the random populations.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Users are shown k answers and take the best: what do k draws of a policy win against any single answer?

    The Nash policy, which is best for one answer, may give only the majority's favourite, and then more draws of it
    help nobody. The symmetric equilibrium of k + 1 players wins k/(k+1). Which methods reach it for which k, from 51/49
    to random rankings, at equal products (Cai and Zheng 2026, arXiv 2601.08777).
    """
    from comal.experiments.matrix_games.universal import populations, study
    from comal.reports.figures.games import figure_of, save

    found = [study(title, spec, ks, products, tau, inner_steps) for title, (spec, ks) in populations(seed).items()]
    figure = figure_of(13, 7)
    _draw(figure, found)
    save(figure, output)
    if as_json:
        typer.echo(_as_json(found, products))
    else:
        _print(found, products)
    typer.echo(f"figure: {output}", err=True)


def _draw(figure: Figure, found: Sequence[Study]) -> None:
    from comal.reports.figures.populations import (
        MAJORITY,
        NASH,
        UNTRAINED,
        draw_best_of,
        draw_gaps,
        equilibrium_colour,
    )

    above, below = figure.subplots(2, 3)
    ranked = found[2]
    for axes, shown in zip(above, (ranked.shown[0], ranked.shown[1], ranked.shown[-1]), strict=True):
        draw_gaps(axes, {way.method: way.trajectory for way in shown.ways})
        axes.set_title(f"{ranked.title}, shown {shown.k}", fontsize=10, loc="left")
    for axes, one in zip(below, (found[0], found[2], found[3]), strict=True):
        policies = {
            "untrained": (one.start, UNTRAINED),
            "majority": (one.majority, MAJORITY),
            "Nash (k = 1)": (one.nash, NASH),
        }
        for shown in one.shown:
            if shown.k > 1:
                policies[f"equilibrium, k = {shown.k}"] = shown.equilibrium, equilibrium_colour(shown.k)
        draw_best_of(axes, one.game, policies, _DRAWS)
        axes.set_title(one.title, fontsize=10, loc="left")


def _print(found: Sequence[Study], products: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, title=f"after {products} products", title_justify="left")
    names = [way.method for way in found[0].shown[0].ways]
    table.add_column("population", no_wrap=True)
    for heading in ("k", *names, "k-policy", "Nash", "start", "majority", "k/(k+1)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found:
        for i, shown in enumerate(one.shown):
            gaps = [f"{way.trajectory.gaps[-1]:.1e}" for way in shown.ways]
            rates = (shown.win_rate, shown.nash_win_rate, shown.start_win_rate, shown.majority_win_rate)
            bound = shown.k / (shown.k + 1)
            table.add_row(
                "" if i else one.title, str(shown.k), *gaps, *(f"{rate:.3f}" for rate in rates), f"{bound:.3f}"
            )
    console = Console(highlight=False, soft_wrap=True, width=120)
    console.print(table)
    console.print(f"{', '.join(names)}: gap, the largest w_k(y) less 1/(k+1), of the last policy")
    console.print("the others: what k draws of the policy win against the worst single answer; the k-policy is")
    certified = max(shown.gap for one in found for shown in one.shown)
    console.print(f"the equilibrium, certified to a gap of {certified:.1e}")


def _as_json(found: Sequence[Study], products: int) -> str:
    import json

    return json.dumps(
        {
            "products": products,
            "populations": [
                {
                    "title": one.title,
                    "population": one.game.name,
                    "shown": [
                        {
                            "k": shown.k,
                            "gaps": {way.method: float(way.trajectory.gaps[-1]) for way in shown.ways},
                            "equilibrium_gap": shown.gap,
                            "win_rate": shown.win_rate,
                            "nash_win_rate": shown.nash_win_rate,
                            "start_win_rate": shown.start_win_rate,
                            "majority_win_rate": shown.majority_win_rate,
                            "bound": shown.k / (shown.k + 1),
                        }
                        for shown in one.shown
                    ],
                }
                for one in found
            ],
        }
    )

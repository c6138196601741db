"""Draw the figures of docs/concepts.md from the package's own exact games: `make docs`.

Every curve is computed here, in a second or so; nothing is drawn by hand. White background, colours of Okabe and Ito.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from comal.algorithms.base import CERTIFICATE_ROUNDING, REFERENCE, Algorithm, Certify, Instruction, ProxStep, Report
from comal.algorithms.comal import COMAL
from comal.algorithms.inpo import INPO
from comal.algorithms.mwu import MWU
from comal.engine import MemoryJournal, run
from comal.games import ExactBackend, duality_gap, kl, named_game, solve, win_rate, win_rates
from comal.games.game import Floats
from comal.games.populations import majority_policy, named_population
from comal.reports.figures.games import OKABE_ITO, figure_of, save
from comal.reports.figures.populations import MAJORITY, draw_best_of, equilibrium_colour
from comal.reports.figures.populations import NASH as NASH_COLOUR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAME = named_game("paper")
NASH = np.array([4.0, 3.0, 4.0]) / 11
START = np.array([0.2, 0.5, 0.3])
ETA, TAU = 0.15, 0.1  # the paper's, as in `comal reproduce synthetic`
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])
BLUE, ORANGE, GREEN, RED = OKABE_ITO[0], OKABE_ITO[1], OKABE_ITO[2], OKABE_ITO[4]
SELF_PLAY, FIXED, MOVING = "self-play", "fixed reference", "COMAL"
COLOURS = {SELF_PLAY: ORANGE, FIXED: BLUE, MOVING: GREEN}


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """Policies after every proximal step, (T + 1, 3); the references in turn; certificates where there were any.

    Attributes:
        policies: after every proximal step into the policy, the start first.
        references: the reference that was in force at each of these.
        certificates: KL(p‖BR(p)) and KL(p‖reference), NaN where none was asked for, (T + 1, 2).
    """

    policies: Floats
    references: Floats
    certificates: Floats


def walk(algorithm: Algorithm, steps: int, start: Floats = START) -> Walk:
    """Run an algorithm exactly for so many proximal steps into the policy."""
    backend = ExactBackend(GAME, start)
    policies, references, certificates = [start], [start], [(np.nan, np.nan)]

    def stop(index: int, instruction: Instruction, report: Report) -> bool:
        del index
        if isinstance(instruction, Certify):
            certificates[-1] = (report.kl_best_response or 0.0, report.kl_reference or 0.0)
        if isinstance(instruction, ProxStep) and instruction.out != REFERENCE:
            policies.append(backend.policies()[0])
            references.append(np.exp(backend.log_policy(REFERENCE))[0])
            certificates.append((np.nan, np.nan))
        return len(policies) > steps

    run(algorithm, backend, MemoryJournal(), stop)
    return Walk(np.array(policies), np.array(references), np.array(certificates))


def orbits() -> Figure:
    """Three methods in the simplex, from one start."""
    figure = figure_of(10, 3.7)
    axes = figure.subplots(1, 3)
    notes = {
        SELF_PLAY: "goes round, and outwards",
        FIXED: "comes to rest, beside the Nash policy",
        MOVING: "comes to rest on the Nash policy",
    }
    methods: dict[str, Algorithm] = {
        SELF_PLAY: MWU(eta=ETA),
        FIXED: INPO(eta=ETA, tau=TAU),
        MOVING: COMAL(inner=INPO(eta=ETA, tau=TAU), inner_steps=100),
    }
    for panel, (name, method) in zip(axes, methods.items(), strict=True):
        simplex(panel)
        way = walk(method, 1500)
        path(panel, way.policies, COLOURS[name])
        moved = np.unique(way.references, axis=0)
        if name == MOVING:
            panel.plot(*(moved @ CORNERS).T, ".", color="black", ms=4, zorder=4)
        star(panel)
        panel.set_title(f"{name}\n{notes[name]}", fontsize=10, color="0.15")
    return figure


def magnet() -> Figure:
    """Regularised equilibria for one reference and many tau, and COMAL's hops."""
    figure = figure_of(9.5, 3.2)
    left, right = figure.subplots(1, 2)
    simplex(left)
    taus = np.geomspace(3.0, 0.003, 60)
    curve = np.array([regularised_nash(START, tau) for tau in taus])
    left.plot(*(curve @ CORNERS).T, color=BLUE, lw=1.6)
    for tau in (1.0, 0.3, 0.1, 0.03):
        point = regularised_nash(START, tau) @ CORNERS
        left.plot(*point, "o", color=BLUE, ms=5)
        shift, align = ((-8, 5), "right") if tau < 0.2 else ((8, 5), "left")
        left.annotate(f"τ = {tau:g}", point, xytext=shift, textcoords="offset points", ha=align, fontsize=9)
    mark(left, START, "reference", (8, -4))
    closer(left)
    star(left)
    left.set_title("one reference: where the regularised game rests", fontsize=10)
    simplex(right)
    reference = START
    for _ in range(7):
        solved = regularised_nash(reference, TAU)
        ends = np.array([reference, solved]) @ CORNERS
        right.annotate(
            "", ends[1], ends[0], arrowprops={"arrowstyle": "->", "color": GREEN, "lw": 1.2, "shrinkA": 0, "shrinkB": 0}
        )
        reference = solved
    mark(right, START, "first reference", (8, -4))
    closer(right)
    star(right)
    right.set_title("COMAL: the solution becomes the reference (τ = 0.1)", fontsize=10)
    return figure


def misleading() -> Figure:
    """Win rate against the start, and against the best adversary, after every step of two methods."""
    figure = figure_of(9.5, 3.6)
    axes = figure.subplots(1, 2, sharey=True)
    methods: dict[str, Algorithm] = {
        SELF_PLAY: MWU(eta=ETA),
        MOVING: COMAL(inner=INPO(eta=ETA, tau=TAU), inner_steps=100),
    }
    for panel, (name, method) in zip(axes, methods.items(), strict=True):
        policies = walk(method, 400).policies
        against_start = [float(win_rate(GAME, policy, START)) for policy in policies]
        worst = [float(win_rates(GAME, policy).max()) for policy in policies]
        panel.axhline(0.5, color="0.75", lw=0.8)
        panel.plot(against_start, color="0.35", lw=1.5, ls="--")
        panel.plot(worst, color=COLOURS[name], lw=1.8)
        best = int(np.argmax(against_start))
        panel.plot([best, best], [against_start[best], worst[best]], color=RED, lw=1)
        panel.plot([best] * 2, [against_start[best], worst[best]], "o", color=RED, ms=4)
        panel.annotate(f"picked by the win rate:\nits best adversary wins {worst[best]:.2f}", (best, worst[best]),
                       xytext=(0.03, 0.88), textcoords="axes fraction", color=RED, fontsize=9,
                       arrowprops={"arrowstyle": "-", "color": RED, "lw": 0.6})  # fmt: skip
        panel.set_title(name, fontsize=10, loc="left")
        panel.set_xlabel("proximal steps")
        panel.set_ylim(0.4, 0.8)
        panel.spines[["top", "right"]].set_visible(False)
        panel.annotate(
            "against the start", (0.99, 0.02), xycoords="axes fraction", ha="right", color="0.35", fontsize=9
        )
        panel.annotate("its best adversary wins", (0.99, 0.94), xycoords="axes fraction", ha="right",
                       color=COLOURS[name], fontsize=9)  # fmt: skip
    axes[0].set_ylabel("win rate")
    return figure


def certificate() -> Figure:
    """Both sides of the certificate over the inner steps, and how far the reference is from the Nash policy."""
    figure = figure_of(9.5, 3.8)
    left, right = figure.subplots(1, 2)
    algorithm = COMAL(inner=INPO(eta=ETA, tau=TAU))
    way = walk(algorithm, 800)
    steps = np.arange(len(way.policies))
    response, asked = way.certificates[:, 0], algorithm.sigma * way.certificates[:, 1]
    for panel in (left, right):
        panel.set_yscale("log")
        panel.set_xlabel("proximal steps")
        panel.spines[["top", "right"]].set_visible(False)
    left.plot(steps, response, color=BLUE, lw=1.4)
    left.plot(steps, asked, color="0.35", lw=1.4, ls="--")
    passed = np.flatnonzero(response <= asked + CERTIFICATE_ROUNDING)
    left.plot(passed, response[passed], "v", color=RED, ms=6)
    left.set_title("the inner game counts as solved where the curves meet", fontsize=10, loc="left")
    left.annotate("KL(p ‖ BR(p))", (0.98, 0.94), xycoords="axes fraction", ha="right", color=BLUE, fontsize=9)
    left.annotate("½ · KL(p ‖ reference)", (0.98, 0.87), xycoords="axes fraction", ha="right", color="0.35", fontsize=9)
    left.annotate("▾ the reference moves", (0.98, 0.80), xycoords="axes fraction", ha="right", color=RED, fontsize=9)
    with np.errstate(divide="ignore"):
        distance = kl(np.log(NASH)[None], np.log(way.references))
        policy = kl(np.log(NASH)[None], np.log(way.policies))
    right.plot(steps, policy, color="0.75", lw=1)
    right.step(steps, distance, color=GREEN, lw=1.8, where="post")
    right.set_title("the reference never moves away from the Nash policy", fontsize=10, loc="left")
    right.annotate("KL(π* ‖ reference)", (0.98, 0.94), xycoords="axes fraction", ha="right", color=GREEN, fontsize=9)
    right.annotate("KL(π* ‖ policy)", (0.98, 0.87), xycoords="axes fraction", ha="right", color="0.55", fontsize=9)
    return figure


def several() -> Figure:
    """What k draws of several policies win, where users split 51 to 49 and where they rank at random."""
    figure = figure_of(10.5, 3.8)
    populations = {
        "51% prefer a, 49% prefer b": "majority:share=0.51",
        "25 users who rank 10 answers at random": "rankings:users=25,answers=10,seed=0",
    }
    for panel, (title, name) in zip(figure.subplots(1, 2), populations.items(), strict=True):
        game = named_population(name)
        policies = {"majority": (majority_policy(game), MAJORITY), "Nash (k = 1)": (solve(game).policy, NASH_COLOUR)}
        for k in (2, 8):
            policies[f"equilibrium, k = {k}"] = solve(game.showing(k)).policy, equilibrium_colour(k)
        draw_best_of(panel, game, policies, (1, 2, 4, 8, 16))
        panel.set_title(title, fontsize=10, loc="left")
    return figure


def regularised_nash(reference: Floats, tau: float) -> Floats:
    """The Nash policy of the game regularised to `reference`, by Newton's method."""
    algorithm = COMAL(tau=tau, update="copy", sigma=1e-9)
    backend = ExactBackend(GAME, reference)
    run(algorithm, backend, MemoryJournal(), lambda *_: True)  # one solve
    policy: Floats = backend.policies()[0]
    return policy


def simplex(axes: Axes) -> None:
    """The triangle of policies over a, b and c."""
    outline = np.vstack([CORNERS, CORNERS[:1]])
    axes.plot(outline[:, 0], outline[:, 1], color="0.6", lw=0.9)
    places = (((-3, -3), "right", "top"), ((3, -3), "left", "top"), ((0, 3), "center", "bottom"))
    for corner, label, (shift, ha, va) in zip(CORNERS, GAME.labels, places, strict=True):
        axes.annotate(label, tuple(corner), xytext=shift, textcoords="offset points", ha=ha, va=va, fontsize=10)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.margins(0.1)


def closer(axes: Axes) -> None:
    """Only the middle of the triangle."""
    axes.set_xlim(0.38, 0.75)
    axes.set_ylim(0.22, 0.43)


def path(axes: Axes, policies: Floats, colour: str) -> None:
    """A way through the simplex; a dot where it starts."""
    points = policies @ CORNERS
    axes.plot(points[:, 0], points[:, 1], color=colour, lw=1.0)
    axes.plot(*points[0], "o", color=colour, ms=5)


def star(axes: Axes) -> None:
    """The Nash policy."""
    axes.plot(*(NASH @ CORNERS), "*", color=RED, ms=11, zorder=5)


def mark(axes: Axes, policy: Floats, name: str, shift: tuple[float, float]) -> None:
    """A policy with its name."""
    point = policy @ CORNERS
    axes.plot(*point, "o", color="black", ms=5)
    axes.annotate(name, tuple(point), xytext=shift, textcoords="offset points", fontsize=8)


FIGURES = {"orbits": orbits, "magnet": magnet, "misleading": misleading, "certificate": certificate, "several": several}


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder", nargs="?", type=Path, default=Path(__file__).with_name("images"), help="of the figures"
    )
    folder = parser.parse_args(arguments).folder
    assert float(duality_gap(GAME, NASH)) < 1e-12
    for name, draw in FIGURES.items():
        save(draw(), folder / f"concept-{name}.png")


if __name__ == "__main__":
    main()

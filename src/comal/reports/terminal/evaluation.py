"""An evaluation's figures as text tables."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from comal.evaluation.crossplay.figures import Judging
from comal.evaluation.intervals import Interval
from comal.pipeline.crossplay.result import EvaluationResult
from comal.reports.terminal.several import several_table

_WIDEST = 12  # policies; a larger matrix is in matrix.csv


def print_evaluation(result: EvaluationResult) -> None:
    """Print the content of result.json for people."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(console.width, 140))
    console.print(policy_table(result))
    if len(result.policies) <= _WIDEST:
        console.print()
        console.print(matrix_table(result))
    console.print()
    console.print(pair_table(result))
    console.print()
    several = {name: policy.several for name, policy in result.policies.items() if policy.several}
    if several:
        console.print(several_table(several))
        console.print()
    for line in lines(result):
        console.print(line, markup=False)


def policy_table(result: EvaluationResult) -> Table:
    """One row a policy."""
    figures = result.figures
    table = _table(f"{figures.num_prompts} prompts, judged by {result.judge['name']}; 95% bootstrap intervals")
    table.add_column("policy")
    texts = any(policy.standing.lengths for policy in result.policies.values())
    headings = ["against the others", f"against {figures.baseline}"]
    headings += ["length-controlled"] * texts + ["Nash", "in support"] * (figures.game is not None)
    headings += ["Elo"] + ["characters"] * texts
    for heading in headings:
        table.add_column(escape(heading), justify="right")
    divergence = {name: policy.drawn.kl_reference for name, policy in result.policies.items() if policy.drawn}
    show_kl = any(divergence.values())
    if show_kl:
        table.add_column("KL", justify="right")
    for name, policy in result.policies.items():
        standing, kl = policy.standing, divergence.get(name)
        controlled = standing.length_controlled
        in_game = (
            [] if standing.in_support is None else [f"{standing.nash_averaging:.3f}", f"{standing.in_support:.0%}"]
        )
        table.add_row(
            escape(name),
            interval(standing.win_rate),
            interval(standing.against_baseline),
            *([interval(None if controlled is None else controlled.interval)] * texts),
            *in_game,
            interval(standing.elo, ".0f"),
            *([] if standing.lengths is None else [f"{standing.lengths.mean_characters:.0f}"]),
            *([interval(None if kl is None else kl.interval, ".2f")] if show_kl else []),
        )
    return table


def matrix_table(result: EvaluationResult) -> Table:
    """Win rates of rows against columns."""
    names = list(result.policies)
    table = _table("win rate of the row against the column")
    table.add_column("")
    for name in names:
        table.add_column(escape(name), justify="right")
    for i, (name, row) in enumerate(zip(names, result.figures.matrix, strict=True)):
        table.add_row(escape(name), *("·" if i == j else _number(p) for j, p in enumerate(row)))
    return table


def pair_table(result: EvaluationResult) -> Table:
    """One row a pair of policies: prompts won, tied, lost and without a verdict."""
    table = _table("prompts won, tied, lost and without a verdict; share won of those not tied, with Wilson's interval")
    table.add_column("policy")
    table.add_column("against")
    for heading in ("win rate", "won", "tied", "lost", "no verdict", "share won"):
        table.add_column(heading, justify="right")
    for pair in result.figures.pairs:
        counts = pair.prompts
        table.add_row(
            escape(pair.first),
            escape(pair.second),
            interval(pair.win_rate),
            *(str(count) for count in (counts.wins, counts.ties, counts.losses, counts.missing)),
            interval(pair.prompts_won),
        )
    return table


def lines(result: EvaluationResult) -> list[str]:
    """The game, the judge and the notes, a line each."""
    game, judging = result.figures.game, result.figures.judging
    parts = []
    if game is not None:
        mixture = {name: policy.standing.nash_averaging or 0.0 for name, policy in result.policies.items()}
        support = ", ".join(f"{name} {p:.3f}" for name, p in mixture.items() if p >= 0.0005)
        several = "" if game.nash_is_unique else " (of several, the one of maximal entropy)"
        parts = [
            f"Nash mixture      {support}{several}",
            f"its duality gap   0 here; on other prompts at most {game.gap.high:.3f} (95%), within this pool",
            f"Condorcet winner  {game.condorcet_winner or 'none'}",
            f"cycles            {len(game.cycles)} of three policies, {len(game.certain_cycles)} beyond doubt",
        ]
    parts.append(f"judge             {_failures(judging)}; {_orders(judging, asked=_asked(result))}")
    return [*parts, *(f"note              {note}" for note in result.notes)]


def interval(value: Interval | None, spec: str = ".3f") -> str:
    """`0.520 [0.480, 0.560]`, or a dash."""
    if value is None or value.value is None:
        return "–"
    if value.low is None or value.high is None:
        return format(value.value, spec)
    return f"{value.value:{spec}} \\[{value.low:{spec}}, {value.high:{spec}}]"


def _number(p: float | None) -> str:
    return "–" if p is None else f"{p:.3f}"


def _failures(judging: Judging) -> str:
    return f"no verdict on {judging.failures} of {judging.questions} questions"


def _asked(result: EvaluationResult) -> bool:
    """Whether the judge was asked here; a policy's texts are known then."""
    return any(policy.standing.lengths for policy in result.policies.values())


def _orders(judging: Judging, *, asked: bool) -> str:
    if judging.flip_rate is None:
        return "one presentation order asked, the judge is symmetric" if asked else "never in both presentation orders"
    return (
        f"the order of presentation changes {judging.flip_rate:.1%} of the winners, the first answer gains "
        f"{judging.position_bias:+.1%}"
    )


def _table(title: str) -> Table:
    return Table(title=escape(title), title_justify="left", box=None, pad_edge=False)

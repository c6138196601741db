"""An audit as a person reads it on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from comal.evaluation.audit.advice import shown
from comal.evaluation.audit.agreement import Agreement
from comal.evaluation.audit.foresight import SHARES, Foresight
from comal.evaluation.audit.prompt_cycles import PromptCycles
from comal.evaluation.audit.result import AuditResult
from comal.evaluation.audit.structure import LEVEL, Structure
from comal.evaluation.audit.versus import Difference
from comal.evaluation.estimates import Estimate

_MATRIX_UP_TO = 10
_TRIPLES = 5
_P_MEANS = (
    "p: at most how often a transitive preference would look so cyclic by chance. Below 0.05 it is rejected; "
    "a large p alone proves nothing."
)


def print_audit(result: AuditResult, console: Console | None = None) -> None:
    """Print biases, agreement, structure and advice."""
    out = console or Console(highlight=False, soft_wrap=True)
    out.print(f"[bold]{escape(result.name)}[/bold]")
    if result.raters:
        out.print(
            f"judged by {escape(', '.join(result.raters))}: {result.prompts:,} prompts, {result.verdicts:,} verdicts"
        )
    out.print()
    rows = _biases(result)
    if rows:
        _two_columns(out, rows)
    if result.agreement:
        _print_agreement(out, result.agreement)
    if result.users is not None:
        users, title = result.users, "would rather have the other answer"
        out.print("[bold]users of the population[/bold]")
        rows = [(title, f"{_percent(users.minority)} of the users, on {users.pairs:,} pairs")]
        _two_columns(out, rows)
        _print_agreement(out, users.agreement)
    if result.structure is not None:
        _print_structure(out, result.structure)
    if result.prompt_cycles is not None:
        found = result.prompt_cycles
        rows = [
            ("cyclic triples", f"{_percent(found.share)} of {found.triples:,} triples of answers"),
            ("prompts with a cycle", f"{_percent(found.cyclic_prompts)} of {found.prompts:,} prompts"),
            ("if transitive", _null(found)),
        ]
        out.print("[bold]on single prompts[/bold]")
        _two_columns(out, rows)
    if result.foresight is not None:
        _print_foresight(out, result.foresight)
    if result.p_value is not None:
        out.print(f"[dim]{_P_MEANS}[/dim]", soft_wrap=not out.is_terminal)
        out.print()
    for number, line in enumerate(result.advice):
        text = f"[bold]{escape(line)}[/bold]" if number in (0, len(result.advice) - 1) else escape(line)
        out.print(text, soft_wrap=not out.is_terminal)  # a pipe gets every sentence whole


def print_differences(
    first: str, second: str, differences: Sequence[Difference], console: Console | None = None
) -> None:
    """Print what one judge does more often than the other, and how sure that is."""
    out = console or Console(highlight=False, soft_wrap=True)
    out.print(f"[bold]{escape(first)} against {escape(second)}[/bold]")
    if not differences:
        out.print("nothing that both judges decided can be compared; ask about more prompts")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for heading in ("first", "second", "only first", "only second", "of", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in differences:
        counts = (f"{one.only_first:,}", f"{one.only_second:,}", f"{one.objects:,}")
        table.add_row(one.what, f"{one.first:.1%}", f"{one.second:.1%}", *counts, f"{one.p_value:.3g}")
    out.print(table)
    out.print("[dim]p: how often two judges that do it alike would differ so much; prompts are the units.[/dim]")


def _print_foresight(out: Console, found: Foresight) -> None:
    shares = " · ".join(f"{name} {share:.2f}" for name, share in zip(found.classes, found.class_shares, strict=True))
    out.print("[bold]what the run could show[/bold], if a judge saw no more of an answer than its class")
    rows = [("classes at the start", shares), ("strongest class against it", f"wins {found.start:.3f}")]
    if found.left_out:
        rows.append(("left out", f"{', '.join(found.left_out)}: too rare to have met the others"))
    _two_columns(out, rows)
    table = Table(box=None, pad_edge=False)
    table.add_column(f"against the end of {found.steps:,} steps, if of each arrives", no_wrap=True)
    for share in SHARES:
        table.add_column("all" if share == 1 else f"{share:g}", justify="right", no_wrap=True)
    for one in found.methods:
        cells = [f"{end.win_rate:.3f}" for end in one.ends] or ["–"] * len(SHARES)
        table.add_row(escape(one.method), *cells)
    out.print(table)
    for one in found.methods:
        if one.reason is not None:
            out.print(escape(f"{one.method}: {one.reason}"))
    out.print()


def _two_columns(out: Console, rows: list[tuple[str, str]]) -> None:
    # Lines, not a table: one that is wider than the terminal is better wrapped by it than torn into cells.
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        out.print(f"[dim]{escape(name.ljust(width))}[/dim]  {escape(value)}")
    out.print()


def _biases(result: AuditResult) -> list[tuple[str, str]]:
    rows = []
    if result.failure_rate is not None:
        rows.append(("without verdict", f"{result.failures:,} of {result.verdicts:,} ({result.failure_rate:.1%})"))
        rows += [("", f"{reason}: {count:,}") for reason, count in result.reasons.items()]
    if result.position is not None:
        rows.append(("winner flips with the order", f"{_percent(result.position.flip_rate)}"))
        rows.append(("first answer preferred", f"{_percent(result.position.first)}"))
    if result.information is not None:
        found = result.information
        what = "order and a coin" if found.between == "orders" else "a coin"
        share = (
            f"{found.share.mean:.1%} [{found.share.low:.1%}, {found.share.high:.1%}] of the verdicts; the rest: {what}"
        )
        rows.append(("explained by the answers", share))
    if result.length is not None:
        rows.append(("longer answer preferred", _percent(result.length.longer)))
        if result.length.per_doubling is not None:
            per = result.length.per_doubling
            held = ", systems held equal" if result.length.adjusted else ""
            rows.append(("log-odds a doubling of length", f"{per.mean:+.2f} [{per.low:+.2f}, {per.high:+.2f}]{held}"))
    if result.consistency is not None:
        rows.append(("same winner when asked again", _percent(result.consistency.agreement)))
    return rows


def _print_agreement(out: Console, agreements: Sequence[Agreement]) -> None:
    out.print("[bold]agreement[/bold]")
    for one in agreements:
        unjudged = f", {one.unjudged:,} more without verdict" if one.unjudged else ""
        out.print(f"{escape(f'{one.rater} with {one.reference}')}: {one.pairs:,} pairs{unjudged}")
        kappa = "" if one.kappa is None else f", kappa {one.kappa}"
        out.print(escape(f"  accuracy {one.accuracy}{kappa}"))
        if one.decided_accuracy is not None:
            out.print(escape(f"  accuracy without ties {one.decided_accuracy}"))
    out.print()


def _print_structure(out: Console, found: Structure) -> None:
    order = sorted(range(len(found.labels)), key=lambda i: -found.hodge.scores[i])
    if len(order) <= _MATRIX_UP_TO:
        table = Table("row preferred to column, %", *(escape(found.labels[i]) for i in order), box=None, pad_edge=False)
        for i in order:
            cells = ["·" if i == j else "?" if (p := found.rates[i, j]) != p else f"{100 * p:.1f}" for j in order]
            table.add_row(escape(found.labels[i]), *cells)
        out.print(table)
        out.print()
    rows = [("Condorcet winner", _winner(found)), ("Nash policy", _nash(found))]
    split = found.hodge
    if split.cyclic_share is not None and len(order) > 2:
        share = f"{split.cyclic_share:.1%} of the variance"
        if split.corrected_share is not None:
            share += f"; without noise {split.corrected_share:.1%} [{split.low:.1%}, {split.high:.1%}]"
        rows.append(("cyclic part", share))
    cycles = found.cycles
    if cycles.triples:
        test = "not tested" if cycles.p_value is None else f"{shown(cycles.p_value)}"
        rows.append(("cyclic triples", f"{cycles.cyclic:,} of {cycles.triples:,} ({cycles.cyclic_share:.1%}), {test}"))
        rows += [
            (
                "",
                f"{' ≻ '.join((*t.systems, t.systems[0]))}  {' '.join(f'{100 * r:.1f}' for r in t.rates)}"
                + ("" if t.p_value is None else f"  {shown(t.p_value)}"),
            )
            for t in cycles.listed[:_TRIPLES]
        ]
    if found.detectable is not None and cycles.triples:
        rows.append(("would be seen", f"a circle of win rates of {0.5 + found.detectable:.1%}, in 4 of 5 such samples"))
    out.print("[bold]between systems[/bold]")
    _two_columns(out, rows)


def _null(found: PromptCycles) -> str:
    what = "prompts" if found.verdicts == "probabilities" else "triples"
    return f"up to {found.bound:.1%} of {what} would, {shown(found.p_value)}"


def _winner(found: Structure) -> str:
    if found.condorcet is not None:
        if found.condorcet_p is None or found.condorcet_p < LEVEL:
            return found.condorcet + ("" if found.condorcet_p is None else f", {shown(found.condorcet_p)}")
        return f"not settled; {found.condorcet} in this sample, {shown(found.condorcet_p)}"
    if found.leader_beaten_p is None or found.leader_beaten_p < LEVEL:
        tested = "" if found.leader_beaten_p is None else f", {shown(found.leader_beaten_p)}"
        return f"none; a score picks {found.leader}, beaten {found.leader_beaten:.1%} of the time{tested}"
    return (
        f"none in this sample; a score would pick {found.leader}, and these {found.unit} do not say whether another "
        f"is preferred to it ({shown(found.leader_beaten_p)})"
    )


def _nash(found: Structure) -> str:
    if found.nash is None:
        return "not known: some systems were never compared"
    played = sorted(((p, label) for p, label in zip(found.nash.tolist(), found.labels, strict=True)), reverse=True)
    sample = "" if found.settled else f"not settled by these {found.unit}; in this sample "
    return sample + ", ".join(f"{label} {p:.1%}" for p, label in played if label in found.support)


def _percent(estimate: Estimate) -> str:
    return f"{estimate.mean:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"

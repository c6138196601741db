"""The page of `comal reproduce lm`: tables for the terminal, and the Markdown that goes into the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from comal.experiments.language_model.figures import cross_play_figure, worst_case_figure
from comal.experiments.language_model.over_seeds import OverSeeds
from comal.experiments.language_model.results import ExploitedResult, PartResult, ResultTable
from comal.pipeline.disk.experiment_folder import ExperimentFolder
from comal.reports.figures.games import save

if TYPE_CHECKING:
    from rich.table import Table

HEADINGS = (
    "method",
    "worst case",
    "each seed",
    "more than {first}",
    "best checkpoint",
    "beats start",
    "{first} beats it",
    "KL",
    "judged pairs",
)

READING = (
    "Worst case: win rate of the strongest adversary (every other policy of the table, one class only, best of N; "
    "cross-fitted) against the last policy; .5 would be unexploitable. Best checkpoint: the same of the policy that a "
    "validation win rate against the start would pick, and after how many steps. Mean over seeds ± half a 95% interval "
    "over seeds (Student's t; of one seed: over prompts). KL: to the supervised model, nats an answer. "
    "All policies of a part answer the same test prompts."
)


def rows(table: ResultTable) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of a part's table, the least exploitable method first."""
    first = table.methods[0]
    headings = [heading.format(first=first.title) for heading in HEADINGS]
    cells = []
    for method in sorted(table.methods, key=lambda m: m.worst_case.mean):
        own = method is first
        steps = ", ".join(f"@{step}" for step in dict.fromkeys(method.picked_steps))
        pairs = ", ".join(f"{count:,}" for count in dict.fromkeys(method.pairs))
        cells.append(
            [
                method.title,
                interval(method.worst_case),
                " ".join(number(seed.mean) for seed in method.worst_case.seeds),
                "" if own else interval(method.excess, signed=True),
                f"{number(method.picked.mean)} {steps}",
                interval(method.win_rate) if method.key != "start" else "",
                "" if own else interval(method.beaten),
                f"{method.kl.mean:.2f}",
                pairs,
            ]
        )
    return headings, cells


def exploited_rows(results: Sequence[ExploitedResult]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells of the certificates' table."""
    names = list(dict.fromkeys(name for result in results for name in result.trained))
    cells = [
        [
            result.title,
            *(interval(result.trained[name]) if name in result.trained else "" for name in names),
            interval(result.worst_case),
            " ".join(number(seed.mean) for seed in result.worst_case.seeds),
            number(result.ceiling),
        ]
        for result in results
    ]
    return ["method", *names, "strongest of all", "each seed", "ceiling"], cells


def terminal(headings: Sequence[str], cells: Sequence[Sequence[str]], title: str) -> Table:
    """Cells as a table for the terminal."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i == 0 else "right", no_wrap=i == 0)
    for row in cells:
        table.add_row(*row)
    return table


def markdown(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Cells as a Markdown table."""
    lines = [headings, ["---"] * len(headings), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_page(folder: Path, results: Sequence[PartResult], commands: Mapping[str, str], settings: str) -> Path:
    """Write `results.md` and its figures in `images/`.

    Args:
        folder: of the experiment.
        results: in the order of the page.
        commands: that make each part, by its name.
        settings: what all parts have in common, in words.
    """
    blocks = ["## The experiment on the embedded task", settings, READING]
    for result in results:
        part = result.part
        seeds = ", ".join(map(str, result.seeds))
        blocks += [f"### {part.title}", f"```console\n$ {commands[part.name]}\n```"]
        blocks.append(f"{part.about[0].upper()}{part.about[1:]}. Seeds {seeds}.")
        for table in result.tables:
            headings, cells = rows(table)
            prompts = ", ".join(map(str, dict.fromkeys(table.prompts)))
            blocks += [f"Judged by {table.judge}, {prompts} test prompts a seed:", markdown(headings, cells)]
            blocks += [f"![{what} of {part.title}](images/{path.name})" for what, path in _figures(folder, table)]
        if result.exploited:
            blocks += [
                "Exploiters trained for the purpose, on fresh prompts:",
                markdown(*exploited_rows(result.exploited)),
            ]
        blocks += [f"- Not run: {title}. {reason}" for title, reason in part.left_out.items()]
    path = ExperimentFolder(folder).page
    path.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    return path


def _figures(folder: Path, table: ResultTable) -> list[tuple[str, Path]]:
    stem = f"lm-{table.part}" if table.judge == "the judge" else f"lm-{table.part}-{table.judge.replace(' ', '-')}"
    found = []
    for what, figure, name in (
        ("Worst cases", worst_case_figure(table), "worst-case"),
        ("Cross-play", cross_play_figure(table), "cross-play"),
    ):
        path = ExperimentFolder(folder).image(f"{stem}-{name}")
        save(figure, path)
        found.append((what, path))
    return found


def number(value: float, signed: bool = False) -> str:
    """Three decimals without the leading zero, as the documentation writes shares."""
    digits = f"{abs(value):.3f}"
    sign = "−" if value < 0 and float(digits) else "+" if signed else ""
    return sign + (digits[1:] if digits.startswith("0.") else digits)


def interval(value: OverSeeds, signed: bool = False) -> str:
    """Mean ± half an interval."""
    return f"{number(value.mean, signed)} ± {number(value.half)}"

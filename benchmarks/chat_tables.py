"""The tables of docs/results-chat.md from folders of runs: what each policy was, look by look and at the end.

python benchmarks/chat_tables.py runs/chat runs/idpo
"""

from __future__ import annotations

import html
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from comal.algorithms.base import ProxStep
from comal.evaluation.estimates import Estimate
from comal.pipeline.disk.files import read_table
from comal.pipeline.disk.journal import read_entries
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.look import Look
from comal.pipeline.disk.method_folder import StepFolder
from comal.pipeline.run.resolved import method_names
from comal.records import read
from comal.tasks.everyday import kind_of

KINDS = ("brief", "list", "prose", "nothing")
EXAMPLES = 6


def main() -> None:
    for name in sys.argv[1:] or ["runs/chat"]:
        run = RunFolder(Path(name))
        print(f"## {name}\n")
        for method in method_names(run.recipe()):
            _steps(run, method)
            _moves(run, method)
            _looks(run, method)
        if run.is_finished:
            _end(run)
            _answers(run)


def _steps(run: RunFolder, method: str) -> None:
    """Kinds of the answers that each step was trained on; the first step's are the start's."""
    rows = []
    for step in run.method(method).step_folders():
        if step.samples.is_file():
            texts = read_table(step.samples)["text"]
            counts = Counter(map(kind_of, texts))
            rows.append([step.path.name.lstrip("0") or "0", *(f"{counts[kind] / len(texts):.2f}" for kind in KINDS)])
    print_table(f"{method}: kinds of the answers drawn at each step", ("after steps", *KINDS), rows)


def _moves(run: RunFolder, method: str) -> None:
    """What each step asked of the kinds and got, how far it moved the policy, and of what win rates are made.

    Asked and got are log-ratios to the reference, of the kind that won most over the one that won least. What a step
    got is seen on the next one's answers, unless the reference has moved in between.
    """
    folder = run.method(method)
    seen = [Seen.of(step) for step in folder.step_folders() if step.targets.is_file()]
    taken = [entry for entry in read_entries(folder.journal) if isinstance(entry.instruction, ProxStep)]
    rows = []
    for number, (now, entry) in enumerate(zip(seen, taken, strict=False), start=1):
        best, least = now.extremes()
        asked, got = now.asked(entry.instruction), seen[number].log_ratio() if number < len(seen) else None
        seen_of_it = None if got is None else seen[number].over(got, best, least)
        rows.append([number, now.over(asked, best, least), seen_of_it, entry.report.kl_moved, *now.variances()])
    columns = ("step", "asked", "got", "moved, nats", "variance of win rates between kinds", "within")
    complete = [row for row in rows if row[2] is not None]
    means = [_mean([row[i] for row in (complete if i in (1, 2) else rows)]) for i in range(1, len(columns))]
    shown = [[f"{row[0]}", *map(_number, row[1:])] for row in rows] + ([["mean", *map(_number, means)]] if rows else [])
    print_table(f"{method}: what steps asked of the kinds, and got; means are of steps that show both", columns, shown)


@dataclass(frozen=True)
class Seen:
    """The answers of a step that were judged: of which kind, and what was measured of them."""

    kinds: np.ndarray
    columns: dict[str, np.ndarray]

    @classmethod
    def of(cls, step: StepFolder) -> Seen:
        columns = {name: np.array(values) for name, values in read_table(step.targets).items() if name != "answer_id"}
        judged = np.isfinite(columns["win_rate"])
        kinds = np.array([kind_of(text) for text in read_table(step.samples)["text"]])
        return cls(kinds[judged], {name: values[judged] for name, values in columns.items()})

    def log_ratio(self) -> np.ndarray | None:
        """Of the policy to the reference; None where there is none, or they are the same."""
        if "logp_reference" not in self.columns:
            return None
        ratio: np.ndarray = self.columns["policy_logp"] - self.columns["logp_reference"]
        return ratio if ratio.any() else None

    def asked(self, step: ProxStep) -> np.ndarray | None:
        """The log-ratio to the reference that the exact step has, up to a constant."""
        if "logp_reference" not in self.columns:
            return None
        anchor = sum(weight * self.columns[f"logp_{role}"] for role, weight in step.anchor.weights.items())
        return np.asarray(anchor + step.eta * self.columns["win_rate"] - self.columns["logp_reference"])

    def extremes(self) -> tuple[str, str]:
        """The kinds that win most and least."""
        won = {kind: float(self.columns["win_rate"][self.kinds == kind].mean()) for kind in np.unique(self.kinds)}
        return max(won, key=won.__getitem__), min(won, key=won.__getitem__)

    def over(self, values: np.ndarray | None, one: str, other: str) -> float | None:
        """Mean of one kind's less the other's; None where there are no values, or no answers of both."""
        if values is None or not {one, other} <= set(self.kinds):
            return None
        return float(values[self.kinds == one].mean() - values[self.kinds == other].mean())

    def variances(self) -> tuple[float, float]:
        """Of win rates: between the kinds, and within them."""
        won = self.columns["win_rate"]
        explained = np.array([won[self.kinds == kind].mean() for kind in self.kinds])
        return float(explained.var()), float(((won - explained) ** 2).mean())


def _mean(values: list[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _looks(run: RunFolder, method: str) -> None:
    rows = []
    for step, path in run.method(method).look_files().items():
        look = read(Look, path)
        figures, shares = look.figures, look.figures.classes or {}
        rows.append(
            [str(step), _shown(figures.win_rate), _shown(figures.worst_case.win_rate), f"{look.kl_start:.2f}"]
            + [f"{shares.get(kind, 0.0):.2f}" for kind in KINDS]
        )
    columns = ("steps", "against the start", "its strongest adversary wins", "KL to the start", *KINDS)
    print_table(f"{method}: on validation prompts", columns, rows)


def _end(run: RunFolder) -> None:
    result = run.result()
    rows = []
    for name, policy in result.policies.items():
        shares = policy.figures.classes or {}
        rows.append(
            [name, _shown(policy.figures.win_rate), _shown(policy.figures.worst_case.win_rate), _shown(policy.kl_start)]
            + [f"{shares.get(kind, 0.0):.2f}" for kind in KINDS]
            + [f"{policy.mean_tokens:.1f}", f"{policy.unfinished:.0%}"]
        )
    columns = ("policy", "against the start", "its strongest adversary wins", "KL to the start", *KINDS)
    print_table(
        f"At the end, {result.test_prompts} test prompts, seed {result.seed}", (*columns, "tokens", "cut"), rows
    )


def _answers(run: RunFolder) -> None:
    """The first answers to the first prompts, not selected."""
    shown = run.result().examples[:EXAMPLES]
    policies = list(shown[0].answers)
    rows = [[example.prompt, *(cell(example.answers[name]) for name in policies)] for example in shown]
    print_table("Answers side by side", ("prompt", *policies), rows)


def cell(answer: str) -> str:
    """An answer as the cell of a table: its lines kept, nothing in it taken for markup."""
    lines = [
        html.escape(line, quote=False).replace("|", "&#124;").replace("*", "&#42;") for line in answer.splitlines()
    ]
    return "<br>".join(lines)


def _shown(figure: Estimate | None) -> str:
    return "–" if figure is None else str(figure)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table in Markdown under its title; nothing where there are no rows."""
    if rows:
        print(f"{title}\n")
        for row in (list(columns), ["---"] * len(columns), *rows):
            print(f"| {' | '.join(row)} |")
        print()


if __name__ == "__main__":
    main()

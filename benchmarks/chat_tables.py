"""The tables of docs/results-chat.md from folders of runs: what each policy was, look by look and at the end.

python benchmarks/chat_tables.py runs/chat runs/idpo
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from comal.evaluation.estimates import Estimate
from comal.pipeline.disk.files import read_table
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.look import Look
from comal.pipeline.run.resolved import method_names
from comal.records import read
from comal.tasks.everyday import kind_of

KINDS = ("brief", "list", "prose")


def main() -> None:
    for name in sys.argv[1:] or ["runs/chat"]:
        run = RunFolder(Path(name))
        print(f"## {name}\n")
        for method in method_names(run.recipe()):
            _steps(run, method)
            _looks(run, method)
        if run.is_finished:
            _end(run)


def _steps(run: RunFolder, method: str) -> None:
    """Kinds of the answers that each step was trained on; the first step's are the start's."""
    rows = []
    for step in run.method(method).step_folders():
        if step.samples.is_file():
            texts = read_table(step.samples)["text"]
            counts = Counter(map(kind_of, texts))
            rows.append([step.path.name.lstrip("0") or "0", *(f"{counts[kind] / len(texts):.2f}" for kind in KINDS)])
    _print(f"{method}: kinds of the answers drawn at each step", ("after steps", *KINDS), rows)


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
    _print(f"{method}: on validation prompts", columns, rows)


def _end(run: RunFolder) -> None:
    result = run.result()
    rows = []
    for name, policy in result.policies.items():
        shares = policy.figures.classes or {}
        rows.append(
            [name, _shown(policy.figures.win_rate), _shown(policy.figures.worst_case.win_rate), _shown(policy.kl_start)]
            + [f"{shares.get(kind, 0.0):.2f}" for kind in KINDS]
        )
    columns = ("policy", "against the start", "its strongest adversary wins", "KL to the start", *KINDS)
    _print(f"At the end, {result.test_prompts} test prompts, seed {result.seed}", columns, rows)


def _shown(figure: Estimate | None) -> str:
    return "–" if figure is None else str(figure)


def _print(title: str, columns: tuple[str, ...], rows: list[list[str]]) -> None:
    if rows:
        print(f"{title}\n")
        for row in (list(columns), ["---"] * len(columns), *rows):
            print(f"| {' | '.join(row)} |")
        print()


if __name__ == "__main__":
    main()

"""`report.html` of a run, finished or not: one file that needs no network, made from the run's artifacts only.

Prompts and answers are other people's text: the template escapes everything, and the page may run no script.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import yaml

from comal.pipeline.folder import atomic_path
from comal.reports.class_shares import ClassData, class_data, classifier
from comal.reports.curves import colours, result_plots, share_plots, simplex_plots, step_plots
from comal.reports.figures_svg import ON_DARK, ON_LIGHT
from comal.reports.run_data import START, RunData, load_run
from comal.reports.verdict import GROUPS, pct, setting_text, span, strongest, verdict

_SHOWN_AT_ONCE = 6  # sample prompts that are not folded away


def write_report(folder: Path) -> None:
    """Write `report.html` into a run's folder.

    Raises:
        RunError: there is no run in the folder.
    """
    page = render(load_run(folder))
    with atomic_path(folder / "report.html") as temporary:
        temporary.write_bytes(page.encode("utf-8", errors="replace"))  # a model can utter half a surrogate pair


def render(run: RunData) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"pct": pct, "span": span, "duration": duration}
    classify = classifier(run)
    classes = class_data(run, classify)
    return environment.get_template("run_report.html.j2").render(
        run=run,
        start=START,
        steps=run.recipe["steps"],
        setting=setting_text(run),
        verdict=None if run.result is None else verdict(run, classes.game if classes else None),
        colour=colours(run),
        on_light=ON_LIGHT,
        on_dark=ON_DARK,
        groups=GROUPS,
        table=policy_table(run),
        result_plots=result_plots(run),
        step_plots=step_plots(run),
        moved=[m.name for m in run.methods if m.moves],
        classes=classes,
        nash_text=_nash_text(classes),
        share_plots=share_plots(run, classes) if classes else [],
        simplex_plots=simplex_plots(run, classes) if classes else [],
        cross=cross_play(run),
        examples=examples(run, classify),
        shown=_SHOWN_AT_ONCE,
        times=stage_times(run),
        recipe=yaml.safe_dump(dict(run.recipe), sort_keys=False, allow_unicode=True, width=100),
    )


def policy_table(run: RunData) -> list[dict[str, Any]]:
    """A row a policy: where it looks good and where it is exposed."""
    if run.result is None:
        return []
    return [
        {
            "name": name,
            "win_rate": policy.get("win_rate"),
            "worst_case": policy["worst_case"],
            "adversary": " / ".join(dict.fromkeys(policy["worst_case"]["adversaries"])),
            "groups": strongest(policy["adversaries"]),
            "gap": policy["duality_gap"],
            "kl": policy["kl_start"],
            "tokens": policy["mean_tokens"],
            "unfinished": policy["unfinished"],
            "adversaries": sorted(policy["adversaries"].items(), key=lambda item: -item[1]["mean"]),
        }
        for name, policy in run.result["policies"].items()
    ]


def cross_play(run: RunData) -> dict[str, Any] | None:
    """Win rates of the rows' policies against the columns': final policies first, then earlier ones of the pool."""
    if run.result is None:
        return None
    policies = run.result["policies"]
    finals = list(policies)
    others = {a for policy in policies.values() for a in policy["adversaries"] if "@" in a and a not in policies}
    earlier = sorted(others, key=lambda a: (a.partition("@")[0], int(a.partition("@")[2]) if _numbered(a) else 0))
    return {
        "columns": finals,
        "rows": [(row, [policies[c]["adversaries"].get(row) for c in finals]) for row in [*finals, *earlier]],
    }


def _numbered(name: str) -> bool:
    return name.partition("@")[2].isdecimal()


def examples(run: RunData, classify: Callable[[str], str] | None) -> list[dict[str, Any]]:
    """Prompts with one answer of each policy and, where there is a classifier, its class."""
    if run.result is None:
        return []
    return [
        {
            "prompt": example["prompt"],
            "answers": [
                (name, answer, classify(answer) if classify is not None else "")
                for name, answer in example["answers"].items()
            ],
        }
        for example in run.result["examples"]
    ]


def stage_times(run: RunData) -> dict[str, Any]:
    """Seconds by method and stage, with judged pairs."""
    stages = list(dict.fromkeys(stage for m in run.methods for step in m.steps for stage in step.seconds))
    rows = []
    for m in run.methods:
        seconds = [sum(step.seconds.get(stage, 0.0) for step in m.steps) for stage in stages]
        rows.append((m.name, len(m.steps), seconds, sum(seconds), sum(step.comparisons for step in m.steps)))
    return {"stages": stages, "rows": rows}


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> [duration(s) for s in (0.04, 7.26, 75, 7300)]
    ['0.0 s', '7.3 s', '1 min 15 s', '2 h 1 min']
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _nash_text(classes: ClassData | None) -> str:
    if classes is None or classes.game is None:
        return ""
    return ", ".join(f"{name} {share:.0%}" for name, share in zip(classes.game.names, classes.game.nash, strict=True))

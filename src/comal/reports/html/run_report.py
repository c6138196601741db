"""`report.html` of a run, finished or not: one file that needs no network, made from the run's artifacts only."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import yaml

from comal.reports.html.audit import read_audit
from comal.reports.html.certificates import read_certificates
from comal.reports.html.checks import checks
from comal.reports.html.class_shares import ClassData, class_data, classifier
from comal.reports.html.cost import cost
from comal.reports.html.cross_play import cross_play, sign
from comal.reports.html.curves import (
    class_toggles,
    colours,
    keys,
    length_plots,
    result_plots,
    share_plots,
    simplex_plots,
    step_plots,
)
from comal.reports.html.oracle_record import oracle_record
from comal.reports.html.page import render_page, write_page
from comal.reports.html.provenance_table import provenance_table
from comal.reports.html.run_data import START, RunData, load_run
from comal.reports.html.sample_answers import sample_answers
from comal.reports.html.settings_table import flat
from comal.reports.html.stages import missing, stages
from comal.reports.html.verdict import GROUPS, judge_sentence, setting_text, strongest, verdict

_SHOWN_AT_ONCE = 6  # sample prompts that are not folded away


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Write the report of a run's folder to `output`, by default `report.html` in it; returns where it is.

    Raises:
        RunError: there is no run in the folder, a file of it cannot be read, or the page cannot be written.
    """
    text = render(load_run(folder))
    path = folder / "report.html" if output is None else output
    write_page(path, text)
    return path


def render(run: RunData) -> str:
    """The page as text."""
    classify = classifier(run)
    classes = class_data(run, classify)
    table = policy_table(run)
    hidden_by, colour = keys(run), colours(run)
    method_toggles = [(hidden_by[m.name], colour[m.name], m.name) for m in run.methods]
    certificates = read_certificates(run)
    found = {c.policy: c.worst_case or (c.strongest.rate if c.strongest else None) for c in certificates}
    certified = {policy: rate for policy, rate in found.items() if rate is not None}
    return render_page(
        "run_report.html.j2",
        [*(key for key, _, _ in method_toggles), *(f"k{i}" for i in range(len(classes.names) if classes else 0))],
        run=run,
        sections=_sections(bool(certificates)),
        start=START,
        steps=run.recipe["steps"],
        setting=setting_text(run),
        stages=stages(run),
        missing=missing(run),
        verdict=None if run.result is None else verdict(run, classes.game if classes else None, certified),
        colour=colour,
        groups=GROUPS,
        table=table,
        earlier=any("@" in row["name"] for row in table),
        result_plots=result_plots(run),
        step_plots=step_plots(run),
        method_toggles=method_toggles,
        looks=[(m.name, look) for m in run.methods for look in m.looks],
        moved=[m.name for m in run.methods if m.moves],
        cross=cross_play(run),
        sign=sign,
        certificates=certificates,
        length_plots=length_plots(run),
        result_classes=list(dict.fromkeys(name for row in table for name in row["classes"])),
        classes=classes,
        class_toggles=class_toggles(classes) if classes else [],
        nash_text=_nash_text(classes),
        share_plots=share_plots(run, classes) if classes else [],
        simplex_plots=simplex_plots(run, classes) if classes else [],
        judge=judge_sentence(run),
        audit=read_audit(run),
        asked=oracle_record(run),
        examples=sample_answers(run, classify),
        shown=_SHOWN_AT_ONCE,
        cost=cost(run),
        recipe=yaml.safe_dump(dict(run.recipe), sort_keys=False, allow_unicode=True, width=100),
        settings_count=len(flat(run.recipe)),
        sessions=run.sessions,
        provenance=provenance_table(run.sessions),
        checks=checks(run.folder),
        commanded=bool(_command(run)),
        command=_command(run) or f"comal run {shlex.quote(str(run.recipe['name']))}.yaml",
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
            "classes": policy.get("classes", {}),
            "adversaries": sorted(policy["adversaries"].items(), key=lambda item: -item[1]["mean"]),
        }
        for name, policy in run.result["policies"].items()
    ]


def _sections(certified: bool) -> list[tuple[str, str]]:
    """The page's sections: names of their templates, and headings."""
    certificates = [("certificates", "Can anything beat it?")] if certified else []
    return [
        ("policies", "Policies"),
        ("course", "On the way"),
        ("cross-play", "Everybody against everybody"),
        *certificates,
        ("drift", "What the answers become"),
        ("judge", "The judge"),
        ("answers", "Sample answers"),
        ("cost", "Time and cost"),
        ("configuration", "Configuration"),
        ("provenance", "Where it comes from"),
    ]


def _nash_text(classes: ClassData | None) -> str:
    if classes is None or classes.game is None:
        return ""
    return ", ".join(f"{name} {share:.0%}" for name, share in zip(classes.game.names, classes.game.nash, strict=True))


def _command(run: RunData) -> str | None:
    """The command of the first session that recorded one."""
    return next((str(s["command"]) for s in run.sessions if s.get("command")), None)

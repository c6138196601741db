"""`report.html` of a run, finished or not: one file that needs no network, made from the run's artifacts only."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from comal.evaluation.estimates import Estimate
from comal.evaluation.exploitability.adversaries import Kind
from comal.evaluation.exploitability.scoreboard import START, PolicyFigures
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.result import PolicyResult
from comal.reports.html.page import render_page, write_page
from comal.reports.html.run_data import RunData, load_run
from comal.reports.html.sections.audit import audit_of, shown_audit
from comal.reports.html.sections.certificates import earlier_certificates, read_certificates
from comal.reports.html.sections.checks import checks
from comal.reports.html.sections.class_shares import ClassData, class_data, classifier
from comal.reports.html.sections.cost import cost
from comal.reports.html.sections.cross_play import cross_play, sign
from comal.reports.html.sections.curves import (
    class_toggles,
    colours,
    keys,
    length_plots,
    result_plots,
    share_plots,
    simplex_plots,
    step_plots,
)
from comal.reports.html.sections.headline import GROUPS, headline, judge_sentence, setting_text
from comal.reports.html.sections.oracle_record import oracle_record
from comal.reports.html.sections.provenance_table import provenance_table
from comal.reports.html.sections.sample_answers import sample_answers
from comal.reports.html.sections.stages import missing, stages
from comal.reports.html.settings_table import flat

_SHOWN_AT_ONCE = 6  # sample prompts that are not folded away


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Write the report of a run's folder to `output`, by default `report.html` in it; returns where it is.

    Raises:
        RunError: there is no run in the folder, a file of it cannot be read, or the page cannot be written.
    """
    text = render(load_run(folder))
    path = RunFolder(folder).report if output is None else output
    write_page(path, text)
    return path


def render(run: RunData) -> str:
    """The page as text."""
    classify = classifier(run)
    classes = class_data(run, classify)
    table = policy_table(run)
    hidden_by, colour = keys(run), colours(run)
    method_toggles = [(hidden_by[m.name], colour[m.name], m.name) for m in run.methods]
    certificates, audit = read_certificates(run), audit_of(run)
    earlier = earlier_certificates(run)
    certified = {c.policy: c.certificate.worst_case.win_rate for c in certificates}
    return render_page(
        "run_report.html.j2",
        [*(key for key, _, _ in method_toggles), *(f"k{i}" for i in range(len(classes.names) if classes else 0))],
        run=run,
        sections=_sections(bool(certificates or earlier)),
        start=START,
        steps=run.recipe["steps"],
        setting=setting_text(run),
        stages=stages(run),
        missing=missing(run),
        headline=None if run.result is None else headline(run, classes.game if classes else None, certified),
        colour=colour,
        groups=list(GROUPS),
        table=table,
        earlier=any("@" in row.name for row in table),
        shown_several=[(row.name, row.result.several) for row in table if row.result.several],
        result_plots=result_plots(run),
        step_plots=step_plots(run),
        method_toggles=method_toggles,
        looks=[(m.name, look) for m in run.methods for look in m.looks],
        moved=[m.name for m in run.methods if m.moves],
        cross=cross_play(run),
        sign=sign,
        certificates=certificates,
        earlier_certificates=earlier,
        length_plots=length_plots(run),
        result_classes=list(dict.fromkeys(name for row in table for name in row.result.figures.classes or ())),
        classes=classes,
        class_toggles=class_toggles(classes) if classes else [],
        nash_text=_nash_text(classes),
        share_plots=share_plots(run, classes) if classes else [],
        simplex_plots=simplex_plots(run, classes) if classes else [],
        judge=judge_sentence(run),
        audit=None if audit is None else shown_audit(audit),
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


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A policy in the page's tables: where it looks good and where it is exposed.

    Attributes:
        adversary: who its strongest adversary is.
        groups: win rate of the strongest adversary of each kind, where there is one.
        adversaries: by name, the strongest first.
    """

    name: str
    result: PolicyResult
    adversary: str
    groups: Mapping[Kind, Estimate]
    adversaries: Sequence[tuple[str, Estimate]]


def policy_table(run: RunData) -> list[PolicyRow]:
    """A row a policy."""
    if run.result is None:
        return []
    return [
        PolicyRow(
            name,
            policy,
            " / ".join(dict.fromkeys(policy.figures.worst_case.names)),
            _strongest(policy.figures),
            sorted(
                ((adversary.name, rate) for adversary, rate in policy.figures.adversaries.items()),
                key=lambda item: -item[1].mean,
            ),
        )
        for name, policy in run.result.policies.items()
    ]


def _strongest(figures: PolicyFigures) -> dict[Kind, Estimate]:
    """The win rate of the strongest adversary of each kind, where there is one."""
    found = {kind: figures.strongest(kind) for kind in GROUPS}
    return {kind: figures.adversaries[adversary] for kind, adversary in found.items() if adversary is not None}


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
    return next((s.command for s in run.sessions if s.command), None)

"""`certify/<policy>/certificate.json` of a run: what tried to beat each policy, and how often it did."""

from __future__ import annotations

from dataclasses import dataclass

from comal.evaluation.exploitability.certificate import Certificate, read_certificate
from comal.pipeline.disk.certification_folder import CertificationFolder
from comal.pipeline.disk.layout import RunFolder
from comal.reports.html.plots.lines import LinePlot, Series, ValueAxis, line_plot
from comal.reports.html.run_data import RunData


@dataclass(frozen=True, slots=True)
class CertifiedPolicy:
    """A policy and its certificate.

    Attributes:
        policy: the name of its folder.
        plot: win rates of trained exploiters while they are trained.
    """

    policy: str
    certificate: Certificate
    plot: LinePlot | None


@dataclass(frozen=True, slots=True)
class EarlierCertificates:
    """Certificates of the policies that a run had before it was extended.

    Attributes:
        path: the folder that holds them, within the run's.
        steps: after which.
        policies: names of the certified ones.
    """

    path: str
    steps: int
    policies: list[str]


def earlier_certificates(run: RunData) -> list[EarlierCertificates]:
    """Those in a run's folder; they are about other policies than the page."""
    found = []
    for path in RunFolder(run.folder).earlier_certifications():
        policies = list(CertificationFolder(path).certified())
        if policies:
            found.append(EarlierCertificates(path.name, int(path.name.split("-")[2]), policies))
    return found


def read_certificates(run: RunData) -> list[CertifiedPolicy]:
    """The certificates in a run's folder, those of its own policies first.

    Raises:
        RunError: a file that is no certificate.
    """
    certified = CertificationFolder(RunFolder(run.folder).certification).certified()
    paths = {name: own.certificate_path for name, own in certified.items()}
    order = [name for name in run.policies if name in paths] + [name for name in paths if name not in run.policies]
    found = {name: read_certificate(paths[name]) for name in order}
    return [CertifiedPolicy(name, found[name], _plot(name, found[name], number)) for number, name in enumerate(order)]


def _plot(policy: str, certificate: Certificate, number: int) -> LinePlot | None:
    series = [
        Series(
            exploiter.name,
            i % 7 + 1,
            [(float(point.step), point.win_rate.mean) for point in exploiter.curve],
            [(point.win_rate.low, point.win_rate.high) for point in exploiter.curve],
            label=f"from {exploiter.start}",
        )
        for i, exploiter in enumerate(certificate.exploiters)
    ]
    last = max((int(x) for s in series for x, _ in s.points), default=0)
    title = f"Exploiters of {policy}, while they are trained"
    shown = certificate.settings.get("answers_shown", 1)
    against = "" if shown == 1 else f" against {shown} answers"
    note = f"win rate on validation prompts{against}, 95% intervals"
    even = 1 / (shown + 1)
    return line_plot(
        f"exploiters-{number}", title, series, last, note=note, axis=ValueAxis(shares=True, rule=(even, f"{even:.0%}"))
    )

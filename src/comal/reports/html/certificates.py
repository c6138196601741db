"""`certify/<policy>/certificate.json` of a run: what tried to beat each policy, and how often it did.

Read are `adversaries` (a list of mappings with `name`, `kind` and an estimate, or a mapping of names to estimates),
`worst_case` (the strongest one's estimate on prompts that did not choose it), `verdict` (a sentence), and of the
trained `exploiters` each `name`, `start` (what it was trained from) and `curve` (points with `step` and an estimate).
An estimate is `mean`, `low` and `high`, in place or under `win_rate`. Whatever else is there is left alone, and
whatever is not there is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comal.pipeline.disk.certification_folder import CertificationFolder
from comal.pipeline.disk.layout import RunFolder
from comal.reports.html.plots.lines import LinePlot, Series, ValueAxis, line_plot
from comal.reports.html.run_data import RunData, optional

Estimate = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Adversary:
    """One adversary's win rate against a policy."""

    name: str
    kind: str
    rate: Estimate


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is known about one policy.

    Attributes:
        adversaries: the strongest first.
        worst_case: the strongest one's win rate on prompts that did not choose it; None where it was not measured so.
        verdict: sentences.
        plot: win rates of trained exploiters while they are trained.
    """

    policy: str
    adversaries: tuple[Adversary, ...]
    worst_case: Estimate | None
    verdict: tuple[str, ...]
    plot: LinePlot | None

    @property
    def strongest(self) -> Adversary | None:
        """The adversary with the highest win rate."""
        return self.adversaries[0] if self.adversaries else None


def read_certificates(run: RunData) -> list[Certificate]:
    """The certificates in a run's folder, those of its own policies first.

    Raises:
        RunError: a file is not JSON.
    """
    certified = CertificationFolder(RunFolder(run.folder).certification).certified()
    paths = {name: own.certificate_path for name, own in certified.items()}
    order = [name for name in run.policies if name in paths] + [name for name in paths if name not in run.policies]
    found = []
    for number, name in enumerate(order):
        content = optional(paths[name])
        if isinstance(content, Mapping):
            found.append(_certificate(name, content, number))
    return found


def _certificate(policy: str, content: Mapping[str, Any], number: int) -> Certificate:
    adversaries = sorted(_adversaries(content.get("adversaries")), key=lambda a: -a.rate["mean"])
    verdict = content.get("verdict")
    sentences = [verdict] if isinstance(verdict, str) else [v for v in verdict or () if isinstance(v, str)]
    worst = _estimate(content.get("worst_case"))
    return Certificate(policy, tuple(adversaries), worst, tuple(sentences), _plot(policy, content, number))


def _adversaries(found: Any) -> Iterator[Adversary]:
    if isinstance(found, Mapping):
        items = [(str(name), value) for name, value in found.items()]
    elif isinstance(found, list):
        items = [(str(v.get("name", "an adversary")), v) for v in found if isinstance(v, Mapping)]
    else:
        items = []
    for name, value in items:
        if (rate := _estimate(value)) is not None:
            yield Adversary(name, str(value.get("kind", "")), rate)


def _estimate(value: Any) -> Estimate | None:
    """A mean with its interval, in place or under `win_rate`."""
    if not isinstance(value, Mapping):
        return None
    nested = value.get("win_rate")
    if isinstance(nested, Mapping):
        return _estimate(nested)
    wanted = {key: value.get(key) for key in ("mean", "low", "high")}
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in wanted.values()):
        return None
    return {key: float(v) for key, v in wanted.items() if v is not None} | {
        key: value[key] for key in ("prompts", "missing") if isinstance(value.get(key), int)
    }


def _plot(policy: str, content: Mapping[str, Any], number: int) -> LinePlot | None:
    exploiters = content.get("exploiters")
    series = []
    for i, exploiter in enumerate(exploiters if isinstance(exploiters, list) else ()):
        if not isinstance(exploiter, Mapping):
            continue
        known = [(float(p["step"]), r) for p in _steps(exploiter.get("curve")) if (r := _estimate(p)) is not None]
        means, ends = [(x, r["mean"]) for x, r in known], [(r["low"], r["high"]) for _, r in known]
        label = f"from {exploiter['start']}" if "start" in exploiter else ""
        series.append(Series(str(exploiter.get("name", "an exploiter")), i % 7 + 1, means, ends, label=label))
    last = max((int(x) for s in series for x, _ in s.points), default=0)
    title = f"Exploiters of {policy}, while they are trained"
    note = "win rate on validation prompts, 95% intervals"
    return line_plot(
        f"exploiters-{number}", title, series, last, note=note, axis=ValueAxis(shares=True, rule=(0.5, "50%"))
    )


def _steps(points: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(points, list):
        return ()
    return [p for p in points if isinstance(p, Mapping) and isinstance(p.get("step"), (int, float))]

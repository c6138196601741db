"""What the server counts, as Prometheus reads it."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from comal.judges.asking.oracle import OracleStats
from comal.judges.base import Spend

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)


class Metrics:
    """The counts of one server, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()

        def counter(name: str, says: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"comal_{name}", says, labels, registry=registry)

        def gauge(name: str, says: str) -> Gauge:
            return Gauge(f"comal_{name}", says, registry=registry)

        self.judging = gauge("requests_judging", "Requests that are being judged.")
        self.waiting = gauge("requests_waiting", "Requests that wait for their turn.")
        self._requests = counter("requests", "Requests answered, by path and status.", ("path", "status"))
        self._seconds = Histogram(
            "comal_request_seconds", "Seconds to an answer.", ("path",), buckets=_SECONDS, registry=registry
        )
        self._questions = counter("questions", "Pairs of answers that verdicts were wanted on.")
        self._failures = counter("questions_without_verdict", "Pairs of answers that got no verdict.")
        self._reasons = counter("failures", "Presentations without a verdict, by reason.", ("reason",))
        self._calls = counter("judge_calls", "Presentations put to the judge.")
        self._kept = counter("kept_verdicts", "Presentations answered from disk, or by another request's.")
        self._both = counter("both_orders", "Pairs with a verdict in both presentation orders.")
        self._flips = counter("flips", "Those of them whose winner depends on the order.")
        self._masked = counter("masked_groups", "Groups without a reward.")
        self._spent = {
            name: gauge(f"spent_{name}", f"{says} spent on this judge, as its file counts them.")
            for name, says in (("calls", "Requests"), ("tokens", "Tokens"), ("cost", "Money"))
        }

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def judged(self, counts: OracleStats, reasons: Mapping[str, int], *, masked: bool) -> None:
        """Count what a request asked of the judge."""
        self._questions.inc(counts.questions)
        self._failures.inc(counts.failures)
        self._calls.inc(counts.judge_calls)
        self._kept.inc(counts.cache_hits)
        self._both.inc(counts.both_orders)
        self._flips.inc(counts.flips)
        self._masked.inc(masked)
        for reason, count in reasons.items():
            self._reasons.labels(reason).inc(count)

    def page(self, spent: Spend | None) -> bytes:
        """The text that Prometheus fetches."""
        for name, gauge in self._spent.items():
            gauge.set(0 if spent is None else getattr(spent, name))
        return generate_latest(self._registry)

"""Several ways of doing one thing, by turns in one run, and a table of them.

A machine that does other things as well slows all ways down, each at another time. So every round has all ways, in
another order each time; what is compared is the processors' seconds, of this process and of those that it started; and
a ratio is the median of the rounds' ratios. The first round warms up and does not count.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from statistics import median

import psutil
import torch

from comal.pipeline.processes.garbage import young_garbage_only

Work = Callable[[], object]
Way = Callable[[], Work]
"""Gets everything ready, which is not measured, and returns the work, which is."""

PACKAGES = ("torch", "transformers", "trl")


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of processors, and seconds that passed."""

    cpu: float
    wall: float


def processor_seconds() -> float:
    """Of this process, and of the ones that it started which are still there."""
    total = time.process_time()
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def spent_on(work: Work) -> Spent:
    """What a piece of work takes."""
    gc.collect()
    _wait_for_device()
    # A trainer collects garbage once as it begins, among all that is imported: no matter of how fast it trains.
    with young_garbage_only():
        cpu, wall = processor_seconds(), time.perf_counter()
        work()
        _wait_for_device()
    return Spent(processor_seconds() - cpu, time.perf_counter() - wall)


def by_turns(ways: Mapping[str, Way], repeats: int) -> dict[str, list[Spent]]:
    """What each way takes, in each of so many rounds."""
    found: dict[str, list[Spent]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(-1, repeats):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            spent = spent_on(ways[name]())
            print(f"round {number + 1}: {name}, {spent.cpu:.2f} CPU s, {spent.wall:.2f} s", file=sys.stderr, flush=True)
            if number >= 0:
                found[name].append(spent)
    return found


def ratios(found: Mapping[str, Sequence[Spent]], way: str, peer: str, what: str = "cpu") -> list[float]:
    """How many times as fast as its peer a way was, round by round."""
    return [getattr(b, what) / getattr(a, what) for a, b in zip(found[way], found[peer], strict=True)]


def table(
    found: Mapping[str, Sequence[Spent]], units: float, unit: str, peer: str, what: str = "cpu"
) -> list[tuple[str, ...]]:
    """Rows of a table, the head first.

    Args:
        found: as of `by_turns`.
        units: that each way's work was of.
        unit: its name.
        peer: the way that all are compared with.
        what: of `Spent`, what is compared: `cpu`, or `wall` where the work is done by an accelerator.
    """
    rows: list[tuple[str, ...]] = [("", f"{unit} a CPU second", f"{unit} a second", f"times {peer}", "from", "to")]
    for way, spent in found.items():
        times = ratios(found, way, peer, what)
        rows.append((
            way, f"{units / median(s.cpu for s in spent):.1f}", f"{units / median(s.wall for s in spent):.1f}",
            f"{median(times):.2f}", f"{min(times):.2f}", f"{max(times):.2f}",
        ))  # fmt: skip
    return rows


def show(rows: Sequence[Sequence[str]]) -> None:
    """Print rows as a Markdown table."""
    head, *rest = rows
    for row in (head, ["---"] + ["--:"] * (len(head) - 1), *rest):
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def show_settings(options: argparse.Namespace) -> None:
    """Print what was measured with: options, versions, threads, and how busy the machine is."""
    given = ", ".join(f"{key.replace('_', '-')} {value}" for key, value in vars(options).items())
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.machine()
    print(
        f"{given}; {', '.join(filter(None, map(_version, PACKAGES)))}; {device}, {torch.get_num_threads()} of"
        f" {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n",
        flush=True,
    )


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def _wait_for_device() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()

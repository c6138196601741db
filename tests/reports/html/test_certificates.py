"""Certificates are shown where they are there, and what they lack is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comal.pipeline.disk.files import write_json
from comal.reports.html.sections.certificates import read_certificates
from comal.reports.html.run_data import load_run
from comal.reports.html.run_report import write_report
from fake_run import SCRIPT, interval, write_run
from parsed_page import parse

CERTIFICATE = {
    "verdict": f"{SCRIPT} beats it",
    "worst_case": interval(0.55) | {"adversaries": ["trained exploiter", "best of 8"]},
    "adversaries": [
        {"name": "best of 8", "kind": "best of N"} | interval(0.51),
        {"name": "trained exploiter", "kind": "trained exploiter", "more": 1} | interval(0.56),
        {"name": "broken", "mean": None, "low": 0.1, "high": 0.2},
    ],
    "exploiters": [
        {
            "name": "trained exploiter",
            "curve": [{"step": s} | interval(0.5 + s / 100) for s in (0, 4, 8)] + ["nonsense"],
        }
    ],
}


def write(folder: Path, policy: str, content: Any) -> None:
    write_json(folder / "certify" / policy / "certificate.json", content)


def test_adversaries_stand_in_a_table_with_intervals_the_strongest_first(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    write(folder, "zeta", {"adversaries": {"x": {"win_rate": interval(0.4)}}})
    write(folder, "comal", CERTIFICATE)
    tree = parse(write_report(folder).read_text(encoding="utf-8"))
    section = tree.one("section", id="certificates")
    assert [h.text for h in section.all("h3")] == ["comal", "zeta"]
    comal, zeta = section.all("table")
    assert comal.rows[1:] == [
        ["trained exploiter", "trained exploiter", "▲ 56.0 54.0–58.0", "50"],
        ["best of 8", "best of N", "≈ 51.0 49.0–53.0", "50"],
    ]  # fmt: skip
    assert zeta.rows[1:] == [["x", "", "▼ 40.0 38.0–42.0", "50"]]
    assert f"{SCRIPT} beats it" in section.text
    (curve,) = json.loads(section.one("script", data_figure="exploiters-0").raw)
    assert [p[2:] for p in curve["points"]] == [
        ["0", "50.0% (48.0–52.0%)"], ["4", "54.0% (52.0–56.0%)"], ["8", "58.0% (56.0–60.0%)"],
    ]  # fmt: skip
    assert "comal was also certified against 2 adversaries" in tree.text
    assert "the strongest wins 55.0% of the time (53.0–57.0%)" in tree.text
    assert "the strongest wins 40.0% of the time (38.0–42.0%)" in tree.text
    assert tree.one("h1").text.endswith(
        "beats it 54.3% of the time, and one that was chosen or trained for it 55.0%"
    ), "the headline does not hide what a certificate found"
    assert "5.0 points (3.0 to 7.0): the strongest adversary beats it 55.0% of the time" in tree.text


def test_without_certificates_there_is_no_such_section(tmp_path: Path) -> None:
    tree = parse(write_report(write_run(tmp_path / "run")).read_text(encoding="utf-8"))
    assert not tree.all("section", id="certificates")


@pytest.mark.parametrize(
    "content",
    [{}, [], "x", {"adversaries": 3}, {"adversaries": {"a": 0.5}}, {"adversaries": [1]}, {"verdict": {"a": 1}},
     {"worst_case": 3}, {"exploiters": 3}, {"exploiters": [1, {}]},
     {"exploiters": [{"curve": [{"step": "x"}, {"step": 1}, 2]}]}],
)  # fmt: skip
def test_missing_keys_and_other_shapes_are_no_error(tmp_path: Path, content: Any) -> None:
    folder = write_run(tmp_path / "run", steps=0, finished=False)
    write(folder, "comal", content)
    for certificate in read_certificates(load_run(folder)):
        assert certificate.adversaries == ()
        assert certificate.plot is None
    write_report(folder)

"""Certificates are shown where they are there; what is no certificate is a user's error that names file and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comal.errors import RunError
from comal.pipeline.disk.files import write_json
from comal.reports.html.run_data import load_run
from comal.reports.html.run_report import write_report
from comal.reports.html.sections.certificates import read_certificates
from fake_run import SCRIPT, interval, write_run
from parsed_page import parse

TRAINED = f"trained exploiter {SCRIPT}"
CERTIFICATE = {
    "format": 1,
    "policy": "comal",
    "weights": "ab",
    "judge": {"name": "matrix"},
    "prompts": 50,
    "seen": 0,
    "worst_case": interval(0.55) | {"adversaries": [TRAINED, "best of 8 from start"]},
    "ceiling": 0.58,
    "spread": 0.2,
    "adversaries": [
        {"name": TRAINED, "kind": "trained exploiter", "more": 1} | interval(0.56),
        {"name": "best of 8 from start", "kind": "best of N"} | interval(0.51),
    ],
    "exploiters": [
        {
            "name": TRAINED,
            "start": "policy",
            "picked": 8,
            "comparisons": 960,
            "curve": [{"step": s} | interval(0.5 + s / 100) for s in (0, 4, 8)],
        }
    ],
    "classes": {},
    "settings": {},
    "examples": [],
}
OTHER = CERTIFICATE | {
    "policy": "zeta",
    "worst_case": interval(0.4) | {"adversaries": ["x", "x"]},
    "adversaries": [{"name": "x", "kind": "another policy"} | interval(0.4)],
    "exploiters": [],
}


def write(folder: Path, policy: str, content: Any) -> None:
    write_json(folder / "certify" / policy / "certificate.json", content)


def test_adversaries_stand_in_a_table_with_intervals_the_strongest_first(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    write(folder, "zeta", OTHER)
    write(folder, "comal", CERTIFICATE)
    tree = parse(write_report(folder).read_text(encoding="utf-8"))
    section = tree.one("section", id="certificates")
    assert [h.text for h in section.all("h3")] == ["comal", "zeta"]
    comal, zeta = section.all("table")
    assert comal.rows[1:] == [
        [TRAINED, "trained exploiter", "▲ 56.0 54.0–58.0", "50"],
        ["best of 8 from start", "best of N", "≈ 51.0 49.0–53.0", "50"],
    ]  # fmt: skip
    assert zeta.rows[1:] == [["x", "another policy", "▼ 40.0 38.0–42.0", "50"]]
    assert f"exploitable: a {TRAINED} or “best of 8 from start”" in section.text
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
    ("content", "told"),
    [({}, "format None"), ([], "no object|an object"), ("x", "an object"),
     (CERTIFICATE | {"format": 2}, "format 2, this comal reads 1"),
     (CERTIFICATE | {"adversaries": 3}, "`adversaries` is no list, got 3"),
     (CERTIFICATE | {"adversaries": {"a": 0.5}}, "`adversaries` is no list"),
     (CERTIFICATE | {"adversaries": [1]}, "`adversaries.0` is no object, got 1"),
     (CERTIFICATE | {"adversaries": [{"name": "a", "kind": "best of N", "mean": None}]}, "`adversaries.0.mean`"),
     (CERTIFICATE | {"worst_case": 3}, "`worst_case` is no object"),
     (CERTIFICATE | {"worst_case": interval(0.4)}, "`worst_case.adversaries` is missing"),
     (CERTIFICATE | {"exploiters": 3}, "`exploiters` is no list"),
     (CERTIFICATE | {"exploiters": [1, {}]}, "`exploiters.0` is no object"),
     (CERTIFICATE | {"exploiters": [CERTIFICATE["exploiters"][0] | {"curve": [{"step": "x"}]}]},
      "`exploiters.0.curve.0.step` is no whole number")],
)  # fmt: skip
def test_what_is_no_certificate_is_named_with_the_field(tmp_path: Path, content: Any, told: str) -> None:
    folder = write_run(tmp_path / "run", steps=0, finished=False)
    write(folder, "comal", content)
    with pytest.raises(RunError, match=told) as raised:
        read_certificates(load_run(folder))
    assert raised.value.place == str(folder / "certify" / "comal" / "certificate.json")

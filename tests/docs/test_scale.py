"""The table of docs/scale.md is that of the memory formula."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from comal.pipeline.cost.memory import static_memory

DOCS = Path(__file__).parents[2] / "docs"
MAKER = runpy.run_path(str(DOCS / "make_scale.py"))


def rows(name: str) -> list[str]:
    page = (DOCS / "scale.md").read_text(encoding="utf-8")
    table = page.partition(MAKER["BEGIN"])[2].partition(MAKER["END"])[0]
    return [line for line in table.splitlines() if line.startswith(f"| {name} (")]


@pytest.mark.parametrize(
    "name", ["1.5B", pytest.param("8B", marks=pytest.mark.slow), pytest.param("70B", marks=pytest.mark.slow)]
)
def test_the_page_has_the_formulas_rows(name: str) -> None:
    assert rows(name) == [line for line in MAKER["table"]([name]).splitlines() if line.startswith(f"| {name} (")]


@pytest.mark.parametrize(("name", "parameters"), [("1.5B", 1.544e9), ("8B", 8.03e9), ("70B", 70.55e9)])
def test_weights_of_whole_models_are_four_bytes_a_parameter(name: str, parameters: float) -> None:
    """By the publishers' own counts of their models."""
    gib = static_memory(round(parameters), "float32").weights / 2**30
    whole = [row.split(" | ") for row in rows(name) if "| whole" in row]
    assert len(whole) == 3
    for cells in whole:
        assert float(cells[2].removesuffix(" GiB").replace(",", "")) == pytest.approx(gib, abs=0.051)

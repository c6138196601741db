from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from comal.evaluation.estimates import SHARE, Estimate
from comal.experiments.language_model.over_seeds import over_seeds
from comal.experiments.language_model.page import exploited_rows, interval, number, rows, write_page
from comal.experiments.language_model.plan import Part
from comal.experiments.language_model.results import ExploitedResult, PartResult, table_of
from comal.experiments.language_model.scores import Figures, SeedScores


def at(mean: float, half: float = 0.01) -> Estimate:
    return Estimate(mean, mean - half, mean + half, 100, 0)


def figures(worst: float, step: int, pairs: int) -> Figures:
    kinds = {"best of N": at(worst), "another policy": at(worst - 0.02)}
    return Figures(at(worst), ("a", "b"), kinds, at(worst - 0.54), at(0.6), at(1.25), step, pairs, {})


def scores(seed: int, shift: float = 0.0) -> SeedScores:
    final = {"start": figures(0.7, 0, 0), "comal": figures(0.54 + shift, 72, 900), "dpo": figures(0.85, 72, 890)}
    picked = final | {"dpo": figures(0.62, 24 + seed, 890)}
    matrix = np.array([[0.5, 0.4, 0.3], [0.6, 0.5, 0.45 + shift], [0.7, 0.55 - shift, 0.5]])
    names = ("start", "comal", "dpo")
    return SeedScores(seed, 100, final, picked, names, matrix, matrix - 0.03, matrix + 0.03)


PART = Part("methods", "Every method", "every method at equal pairs", (), {"comal": "COMAL", "dpo": "DPO"}, {},
            left_out={"Newton": "needs the matrix"})  # fmt: skip
TABLE = table_of(PART, "the judge", [scores(0), scores(1, 0.02)])


@pytest.mark.parametrize(
    ("value", "signed", "text"),
    [(0.5436, False, ".544"), (-0.012, True, "−.012"), (0.03, True, "+.030"), (1.0, False, "1.000"),
     (-0.0001, False, ".000"), (12.5, False, "12.500")],
)  # fmt: skip
def test_numbers_are_written_as_in_the_documentation(value: float, signed: bool, text: str) -> None:
    assert number(value, signed) == text


def test_the_table_orders_methods_by_their_worst_case_and_shows_every_seed() -> None:
    headings, cells = rows(TABLE)
    assert [row[0] for row in cells] == ["COMAL", "start", "DPO"]
    shown = dict(zip(headings, cells[0], strict=True))
    assert shown["worst case"] == interval(over_seeds([at(0.54), at(0.56)], SHARE))
    assert shown["each seed"] == ".540 .560"
    assert shown["judged pairs"] == "900"
    assert shown["more than COMAL"] == ""
    dpo = dict(zip(headings, cells[2], strict=True))
    assert dpo["best checkpoint"] == ".620 @24, @25"
    assert dpo["COMAL beats it"].startswith(".460 ±")


def test_cross_play_is_the_mean_over_seeds_with_the_error_of_that_mean() -> None:
    """Two seeds of half-width .03 each: the mean's is .03/√2."""
    np.testing.assert_allclose(TABLE.matrix + TABLE.matrix.T, 1)
    assert TABLE.matrix[1, 2] == pytest.approx(0.46)
    np.testing.assert_allclose(TABLE.half, 0.03 / np.sqrt(2))
    assert TABLE.policies == ("start", "COMAL", "DPO")


def test_the_page_has_all_that_was_found_and_what_was_not_run(tmp_path: Path) -> None:
    trained = {"trained exploiter (from start)": over_seeds([at(0.6)], SHARE)}
    exploited = (ExploitedResult("comal", "COMAL", trained, over_seeds([at(0.61)], SHARE), 0.63),)
    result = PartResult(PART, (0, 1), (TABLE,), exploited)
    page = write_page(tmp_path, [result], {"methods": "comal reproduce lm --part methods"}, "Settings.")
    text = page.read_text(encoding="utf-8")
    for piece in (
        "### Every method", "$ comal reproduce lm --part methods", "Seeds 0, 1.", "| COMAL | ", "Settings.",
        "- Not run: Newton. needs the matrix", "(images/lm-methods-cross-play.png)",
        "| COMAL | .600 ± .010 | .610 ± .010 | .610 | .630 |",
    ):  # fmt: skip
        assert piece in text
    for image in ("worst-case", "cross-play"):
        assert (tmp_path / "images" / f"lm-methods-{image}.png").stat().st_size > 5_000
    assert exploited_rows(exploited)[0][0] == "method"

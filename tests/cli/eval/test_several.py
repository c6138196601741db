"""`comal eval` by a population: what one and several answers are worth, and who is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comal.pipeline.crossplay.settings import EvalSettings
from command_line import refused
from toy_eval import LONGER, PROMPTS, comal

ADA = "{name: rules, sharpness: 60, rules: [{measure: starts_with, pattern: a}]}"
GRACE = "{name: rules, sharpness: 60, rules: [{measure: starts_with, pattern: b}]}"
POPULATION = f"{{name: population, members: [{ADA}, {GRACE}], weights: [3, 1], names: [ada, grace]}}"


def letter(text: str) -> str:
    return text[0]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """`both` answers a and b, `one` answers a twice, and `other` b twice."""
    found = []
    for name, said in {"both": "ab", "one": "aa", "other": "bb"}.items():
        rows = [{"instruction": x, "output": f"{y}!", "generator": name} for x in PROMPTS for y in said]
        found.append(tmp_path / f"{name}.json")
        found[-1].write_text(json.dumps(rows), encoding="utf-8")
    return found


def test_every_number_of_three_policies(files: list[Path], tmp_path: Path) -> None:
    """Shown `both`, ada ties with the lone a and takes hers in half of the cases; shown bb she takes the lone a.

    Two of `both` against `other`: ada always prefers them, grace's b is there and a lone b is as good: ¾ + ¼/2.
    Two of `both` against `one`:   ada's a is there, grace's b as well:                              ¾/2 + ¼.
    Two of `one` against `other`:  ada prefers them, grace prefers the lone b:                       ¾.
    Two of `other` against `one`:                                                                    ¼.
    """
    outcome = comal(*files, "--judge", POPULATION, "--output-dir", tmp_path / "out", "--draws", 20, "--json")
    assert outcome.exit_code == 0, outcome.output
    found = json.loads(outcome.stdout)["policies"]
    assert [row["answers_shown"] for row in found["both"]["several"]] == [1, 2]
    two = {name: policy["several"][1] for name, policy in found.items()}
    wins = {(name, other): rate["mean"] for name, row in two.items() for other, rate in row["adversaries"].items()}
    assert wins["both", "other"] == pytest.approx(0.875)
    assert wins["both", "one"] == pytest.approx(0.625)
    assert wins["one", "other"] == pytest.approx(0.75)
    assert wins["other", "one"] == pytest.approx(0.25)
    assert two["both"]["win_rate"]["mean"] == pytest.approx(0.625)
    assert [two[name]["favourites"]["mean"] for name in ("both", "one", "other")] == pytest.approx([1.0, 0.75, 0.25])
    assert two["one"]["of_users"]["ada"]["mean"] == 1.0
    assert two["one"]["of_users"]["grace"]["mean"] == 0.0
    assert "classes" not in two["one"]


def test_classes_are_adversaries_and_are_counted(files: list[Path], tmp_path: Path) -> None:
    where = ("--output-dir", tmp_path / "out", "--draws", 20, "--answers-shown", "2")
    outcome = comal(*files[:2], "--judge", POPULATION, "--classes", f"{__name__}:letter", *where)
    assert outcome.exit_code == 0, outcome.output
    assert "several answers at once" in outcome.stdout
    found = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))["policies"]
    (both,) = found["both"]["several"]
    assert both["classes"]["mean"] == 2.0
    assert both["adversaries"]["only b"]["mean"] == pytest.approx(0.875)


@pytest.mark.parametrize(
    ("judge", "options", "told"),
    [
        (POPULATION, ["--answers-shown", "3"], "serve k from 1 to 2, got [3]. Raise --answers"),
        (POPULATION, ["--answers-shown", "two"], "--answers-shown: need numbers from 1, as in 1,2,4, got 'two'"),
        (POPULATION, ["--answers-shown", "0"], "need numbers from 1"),
        (POPULATION, ["--answers-shown", ""], "need numbers from 1"),
        (POPULATION, ["--classes", "absent:f"], "--classes: "),
        (
            LONGER,
            ["--answers-shown", "2"],
            "--answers-shown: is for the users of a `population`, and the judge is `python`",
        ),
        (LONGER, ["--classes", f"{__name__}:letter"], "--classes: is for the users of a `population`"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    files: list[Path], tmp_path: Path, judge: str, options: list[str], told: str
) -> None:
    refused(comal(*files, "--judge", judge, "--output-dir", tmp_path / "out", "--draws", 20, *options), told)


def test_evaluations_that_know_nothing_of_it_keep_their_name() -> None:
    """The folder of an evaluation is named by its settings; those of older ones must be found again."""
    plain = EvalSettings(policies=("a", "b")).plain()
    assert not {"answers_shown", "classes"} & plain.keys()
    assert EvalSettings(policies=("a", "b"), answers_shown=(2,)).plain()["answers_shown"] == [2]

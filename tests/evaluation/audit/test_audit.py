"""Whole audits: what the issue asks of them, on real data, on the embedded committee and on drawn verdicts."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from comal.errors import DataError
from comal.evaluation.audit.advice import conclude
from comal.evaluation.audit.asking import AnswerSets, Asking, ask
from comal.evaluation.audit.audit import audit_counts, audit_rates, audit_verdicts
from comal.evaluation.audit.cycles import system_cycles
from comal.evaluation.audit.formats.sources import read_source
from comal.evaluation.audit.pairwise import Pairwise
from comal.evaluation.audit.prompt_cycles import prompt_cycles
from comal.evaluation.audit.structure import structure
from comal.evaluation.audit.verdicts import Row
from comal.games import read_game
from comal.judges.base import Comparison, Judge
from comal.judges.committee import Committee
from comal.judges.docstring_style import StyleReviewer
from comal.tasks.docstrings import harvest, of_split
from drawn_verdicts import CIRCLE, bradley_terry, drawn, exact, strongly_transitive, verdicts

DATA = Path(__file__).parents[3].parent / "shared" / "data"
COMMITTEE = Committee(
    tuple(
        StyleReviewer(ranking, sharpness=2.5)
        for ranking in (
            ("command", "label", "description"),
            ("label", "description", "command"),
            ("description", "command", "label"),
        )
    )
)
STYLES = {"command": "Return the value.", "description": "Returns the value.", "label": "The value of it."}


def of_data(path):
    if not (DATA / path).exists():
        pytest.skip(f"{DATA / path} is not here")
    return DATA / path


def of_all(P, prompts):
    return np.broadcast_to(P, (prompts, *P.shape))


def p_value(sample):
    """The audit's p-value, without the parts that do not enter it."""
    pairs = Pairwise.of_prompts(sample.system_tables(), sample.systems)
    return min(1.0, 2 * min(system_cycles(pairs).p_value, prompt_cycles(sample).p_value))


def test_pandalm_people_are_transitive():
    """And their win rates are those of preference_matrices/pandalm.csv, made by others from the same verdicts."""
    result = audit_verdicts(read_source(of_data("pandalm/testset-v1.json")).verdicts)
    assert result.verdict == "transitive"
    assert result.structure.condorcet == "llama-7b"
    assert result.structure.condorcet_p < 0.01
    assert result.structure.cycles.significant == 0
    assert result.structure.support == ("llama-7b",)
    assert result.p_value == 1
    table = read_game(of_data("preference_matrices/pandalm.csv"))
    assert table.labels == result.structure.labels
    np.testing.assert_allclose(result.structure.rates, table.P, atol=1e-8)
    assert len(result.agreement) == 3


def test_models_on_pandalm_agree_with_people_and_their_garbage_is_no_verdict():
    """The accuracies were counted by hand from the files: 697 of the 974 that gpt-3.5 judged, 667 of 999."""
    found = {}
    for model in ("gpt-3.5-turbo", "pandalm-7b"):
        source = read_source(of_data(f"pandalm/{model}-testset-v1.json"))
        found[model] = audit_verdicts(source.verdicts, source.people)
    gpt, panda = found["gpt-3.5-turbo"], found["pandalm-7b"]
    assert gpt.failures == 25
    assert (gpt.agreement[0].pairs, gpt.agreement[0].unjudged) == (974, 25)
    assert gpt.agreement[0].accuracy.mean == pytest.approx(697 / 974)
    assert panda.agreement[0].accuracy.mean == pytest.approx(667 / 999)
    assert {r.verdict for r in found.values()} <= {"transitive", "cannot tell"}
    assert any("may have been missed" in line for line in panda.advice)  # 100 prompts a pair do not show everything


def test_the_embedded_committee_is_cyclic_between_styles():
    prompts = tuple(e.prompt for e in of_split(harvest(), "test")[:40])
    texts = tuple(tuple(STYLES.values()) for _ in prompts)
    answers = AnswerSets("styles", prompts, prompts, tuple(STYLES), (0, 1, 2), texts)
    result = audit_verdicts(ask(COMMITTEE, answers))
    assert result.verdict == "cyclic"
    assert result.p_value < 0.01
    assert result.structure.cycles.p_value < 0.01
    assert result.prompt_cycles.cyclic_prompts.mean == 1
    assert result.position is None  # a rule that does not see the order is asked once
    assert "COMAL" in result.advice[-1]


def test_the_embedded_committee_is_cyclic_on_answers_without_names():
    """Six answers a prompt in natural shares of styles, as a policy would give them."""
    rng = np.random.default_rng(0)
    picks = rng.choice(3, size=(60, 6), p=[0.6, 0.1, 0.3])
    texts = tuple(tuple(f"{list(STYLES.values())[k][:-1]} {i}." for i, k in enumerate(row)) for row in picks)
    ids = tuple(f"q{x}" for x in range(60))
    result = audit_verdicts(ask(COMMITTEE, AnswerSets("samples", ids, ids, (), (0,) * 6, texts)))
    assert result.structure is None
    assert (result.verdict, result.p_value < 0.01) == ("cyclic", True)


def test_one_reviewer_alone_is_transitive():
    ids = tuple(f"q{x}" for x in range(40))
    answers = AnswerSets("styles", ids, ids, tuple(STYLES), (0, 1, 2), tuple(tuple(STYLES.values()) for _ in ids))
    result = audit_verdicts(ask(COMMITTEE.members[0], answers))
    assert result.verdict == "transitive"
    assert "reward-model" in result.advice[-1]


@pytest.mark.parametrize("named", [True, False])
def test_a_planted_circle_with_a_fifth_of_noise_is_cyclic(named):
    result = audit_verdicts(drawn(of_all(CIRCLE, 80), np.random.default_rng(0), named=named))
    assert (result.verdict, result.p_value < 0.01) == ("cyclic", True)


def bradley_terry_judge(rng):
    """Systems, prompts, spread of strengths between systems and on single prompts: all at random."""
    n, prompts = int(rng.integers(3, 7)), int(rng.integers(10, 100))
    spread, on_prompts = rng.choice([0, 0.1, 0.5, 1, 3]), rng.choice([0, 0.5, 2])
    strengths = rng.normal(size=n) * spread + rng.normal(size=(prompts, n)) * on_prompts
    return drawn(bradley_terry(strengths), rng, repeats=int(rng.choice([1, 2])))


def strongly_transitive_judge(rng):
    n, prompts = int(rng.integers(3, 6)), int(rng.integers(10, 60))
    return drawn(of_all(strongly_transitive(n, rng), prompts), rng)


@pytest.mark.slow
@pytest.mark.parametrize("judge", [bradley_terry_judge, strongly_transitive_judge])
def test_two_hundred_transitive_judges_and_hardly_a_false_alarm(judge):
    rng = np.random.default_rng(0)
    assert np.mean([p_value(judge(rng)) < 0.05 for _ in range(200)]) <= 0.05


@pytest.mark.parametrize("judge", [bradley_terry_judge, strongly_transitive_judge])
def test_transitive_judges_raise_hardly_a_false_alarm(judge):
    """The 200 of the slow test, less: at a level of 5%, more than 4 of 20 happens once in 400."""
    rng = np.random.default_rng(1)
    assert sum(p_value(judge(rng)) < 0.05 for _ in range(20)) <= 4


def test_a_steep_but_transitive_judge_that_is_not_bradley_terry_is_not_cyclic():
    """Everything beats the next at .51 and the last at 1: as far from a score's differences as order allows."""
    P = np.array([[0.5, 0.51, 1.0], [0.49, 0.5, 0.51], [0.0, 0.49, 0.5]])
    assert audit_counts(np.round(P * 2000) * (1 - np.eye(3)), tuple("abc"), "steep").p_value > 0.3


def test_too_little_data_says_how_much_it_would_take():
    result = audit_verdicts(drawn(of_all(np.full((3, 3), 0.5), 12), np.random.default_rng(3)))
    assert result.verdict == "cannot tell"
    assert result.advice[0].startswith("Cannot tell: 12 prompts a pair of systems")
    assert "would need about" in result.advice[0]


def test_two_systems_cannot_be_cyclic():
    rows = [Row(x, 0, 1, float(x % 3 > 0)) for x in range(30)]
    result = audit_verdicts(verdicts(rows, 2, 30))
    assert result.verdict == "cannot tell"
    assert result.p_value is None
    assert "three" in result.advice[0]


def test_two_tests_cost_a_factor_of_two():
    sample = drawn(of_all(CIRCLE, 30), np.random.default_rng(0))
    between, within = structure(Pairwise.of_prompts(sample.system_tables(), sample.systems)), prompt_cycles(sample)
    assert conclude(between, within, 30).p_value == pytest.approx(2 * min(between.cycles.p_value, within.p_value))
    assert conclude(None, within, 30).p_value == within.p_value


def test_tables_without_counts_are_not_tested():
    result = audit_rates(CIRCLE, ("a", "b", "c"), "circle")
    assert (result.verdict, result.p_value) == ("untested", None)
    assert "--counts" in result.advice[-1]
    assert audit_counts(CIRCLE * 100 * (1 - np.eye(3)), tuple("abc"), "circle").verdict == "cyclic"


def test_results_are_plain_json_and_nothing_unknown_is_a_number():
    P = of_all(CIRCLE, 6).copy()
    P[:, 0, 1] = np.nan
    plain = json.loads(json.dumps(audit_verdicts(exact(P)).to_json(), allow_nan=False))
    assert plain["structure"]["rates"][0][1] is None
    assert plain["structure"]["nash"] is None
    assert plain["failures"] == 6
    assert plain["failure_rate"] == pytest.approx(1 / 3)


def test_relabelling_and_swapping_change_nothing():
    sample = drawn(bradley_terry(np.random.default_rng(0).normal(size=(40, 4))), np.random.default_rng(1))
    moved = [2, 0, 3, 1]
    rows = tuple(
        replace(r, first=moved[r.second], second=moved[r.first], probability=1 - r.probability) for r in sample.rows
    )
    names = tuple(sample.systems[moved.index(i)] for i in range(4))
    one, other = audit_verdicts(sample), audit_verdicts(replace(sample, rows=rows, systems=names))
    assert other.p_value == pytest.approx(one.p_value)
    assert other.verdict == one.verdict
    assert other.structure.condorcet == one.structure.condorcet
    assert other.structure.hodge.corrected_share == pytest.approx(one.structure.hodge.corrected_share)
    assert other.prompt_cycles == one.prompt_cycles


class Biased(Judge):
    """Prefers what is shown first; no verdict on `dunno`."""

    def compare(self, comparisons: list[Comparison]) -> list[float | None]:
        return [None if "dunno" in (c.first, c.second) else 0.7 for c in comparisons]

    def identity(self):
        return {"name": "biased"}


def test_a_judge_is_asked_in_both_orders_and_its_failures_are_kept(monkeypatch):
    for module in ("evaluation.audit.asking", "judges.asking.oracle", "judges.asking.keeping"):
        monkeypatch.setattr(f"comal.{module}.describe", lambda judge: {"name": "biased"})
    texts = (("x", "y", "dunno"), ("x", "x", "y"))
    told = []
    found = ask(Biased(), AnswerSets("a", ("1", "2"), ("p", "q"), tuple("abc"), (0, 1, 2), texts), Asking(2),
                progress=lambda done, total: told.append((done, total)))  # fmt: skip
    result = audit_verdicts(found)
    # Prompt p: 3 pairs, q: a tie that is not asked about, and one question twice over; both orders, twice.
    assert result.failures == 2 * 2 * 2
    assert result.position.first.mean == pytest.approx(0.7)
    assert result.position.flip_rate.mean == 1
    assert result.consistency.agreement.mean == 1
    assert found.tables()[1, 0, 1] == 0.5
    assert told[-1] == (16, 16)


def test_people_who_judged_other_prompts_are_refused():
    mine = verdicts([Row(0, 0, 1, 1.0)], 2, 1)
    with pytest.raises(DataError, match="none of its pairs"):
        audit_verdicts(mine, replace(mine, prompts=("other",)))


def test_answers_that_cannot_be_compared_are_refused():
    with pytest.raises(DataError, match="no prompt has two answers of a, b"):
        ask(COMMITTEE, AnswerSets("x", ("1",), ("p",), ("a", "b"), (0, 1), (("text", None),)))


@pytest.mark.parametrize("wrong", [{"repeats": 0}, {"draws": 0}])
def test_a_judge_is_asked_once_at_least(wrong):
    with pytest.raises(ValueError, match="one repeat and one draw or more"):
        Asking(**wrong)

"""Verdicts that say nothing of the answers are told so, before anything is advised."""

import json
import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from comal.evaluation.audit.audit import audit_counts, audit_verdicts
from comal.evaluation.audit.quality.information import information
from comal.evaluation.audit.quality.usability import more_prompts
from comal.evaluation.audit.result import AuditResult
from comal.evaluation.audit.verdicts import Row
from drawn_verdicts import CIRCLE, drawn, exact, verdicts
from simulated_judges import JUDGES, SimulatedJudge, audits

NAN = float("nan")
NOISE = ("position", "position in 9 of 10", "coin")


def asked(pairs):
    """Verdicts in both orders on one pair of answers a prompt: (named with i first, named with j first)."""
    rows = [row for x, (f, b) in enumerate(pairs) for row in (Row(x, 0, 1, f), Row(x, 1, 0, 1 - b))]
    return verdicts(rows, 2, len(pairs))


def the_newcomers_judge(first=1.0):
    """The winner flips in 95.8% of the pairs, 89.6% for whoever is shown first, and win rates are even: 48 prompts with
    three pairs each, of which 126 go to the first both times, 12 to the second, 6 to the same answer."""
    kinds = [(first, 1 - first)] * 126 + [(1 - first, first)] * 12 + [(first, first), (1 - first, 1 - first)] * 3
    rng = np.random.default_rng(0)
    order = rng.permutation(138)
    kinds = [kinds[i] for i in order] + kinds[138:]
    slots = [(x, i, j) for x in range(48) for i, j in combinations(range(3), 2)]
    rows = []
    for (x, i, j), (f, b) in zip(slots, kinds, strict=True):
        rows += [Row(x, i, j, f), Row(x, j, i, 1 - b)]
    return verdicts(rows, 3, 48)


@pytest.mark.parametrize("first", [1.0, 0.95])
def test_a_judge_whose_winner_flips_is_unusable_and_not_transitive(first):
    result = audit_verdicts(the_newcomers_judge(first))
    assert result.position.flip_rate.mean == pytest.approx(0.958, abs=0.001)
    rates = result.structure.rates[np.triu_indices(3, 1)]
    assert np.abs(rates - 0.5).max() < 0.03
    assert result.verdict == "unusable"
    assert result.advice[0].startswith("Unusable: the winner flips with the order in 95.8% of the pairs")
    assert "another template" in result.advice[-1]
    assert not any("reward-model" in line or "COMAL" in line for line in result.advice)


@pytest.mark.parametrize("name", NOISE)
def test_noise_is_never_advised_on_and_is_seen_with_150_prompts(name):
    """Of 12 audits none goes on to cycles in 12 of 20 batches, one or two in the others; three are once in 50."""
    found = audits(JUDGES[name], 150, 12, seed=3)
    assert found["unusable"] >= 10
    assert found["transitive"] + found["cyclic"] <= 2


def test_a_good_judge_is_never_stopped():
    found = audits(JUDGES["good: 9/10 taste, else a coin"], 50, 12, seed=3)
    assert found["unusable"] + found["too little data"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("prompts", [15, 50, 150])
@pytest.mark.parametrize("name", JUDGES)
def test_the_advice_errs_as_rarely_as_the_docs_say(name, prompts):
    """200 audits each; noise passes at 5%, to within four standard errors, .0154."""
    judge, found = JUDGES[name], audits(JUDGES[name], prompts, 200)
    if judge.follows == 0:
        assert (found["transitive"] + found["cyclic"] + found["cannot tell"]) / 200 <= 0.05 + 4 * 0.0154
        assert prompts < 150 or found["unusable"] / 200 >= 0.9
    elif judge.follows >= 0.5:
        assert found["unusable"] / 200 <= 0.05 + 4 * 0.0154
        if prompts == 150:
            assert found["unusable"] + found["too little data"] <= 4
    if judge.taste == "circle":
        assert found["transitive"] == 0
        assert found["cyclic"] / 200 >= (0.9 if prompts >= 50 else 0.5)
    else:
        assert found["cyclic"] / 200 <= 0.05


@pytest.mark.parametrize("name", NOISE)
def test_a_few_prompts_of_noise_are_too_little_data_and_say_how_many_more(name):
    result = audit_verdicts(JUDGES[name].verdicts(4, np.random.default_rng(0)))
    assert result.verdict == "too little data"
    assert f"About {more_prompts(result.information):,} prompts more" in result.advice[0]
    assert more_prompts(result.information) > 0


@pytest.mark.parametrize(
    ("judge", "share"),
    [
        (SimulatedJudge(0.0, 1.0), 0),
        (SimulatedJudge(0.0, 0.5), 0),
        (SimulatedJudge(0.0, 0.8), 0),
        (SimulatedJudge(0.5, 1.0), 0.25),
        (SimulatedJudge(0.7, 0.5), 0.49),
        (SimulatedJudge(1.0, 0.5), 1),
    ],
)
def test_a_judge_that_follows_the_answers_in_a_part_w_has_a_share_of_w_squared(judge, share):
    found = information(judge.verdicts(1500, np.random.default_rng(1)))
    assert found.share.mean == pytest.approx(share, abs=0.05)
    assert share == 0 or found.followed == pytest.approx(math.sqrt(share), abs=0.05)
    assert found.between == "orders"


def test_the_share_by_hand():
    """Both orders name the better in 2 of 4, once the first, once the second: flips 1/2, first 1/2, so 1 − 1 + 0; with
    the first twice: flips 1/2, first 3/4, so 1 − 1 + 1/4."""
    assert information(asked([(1, 1), (0, 0), (1, 0), (0, 1)])).share.mean == pytest.approx(0)
    assert information(asked([(1, 1), (0, 0), (1, 0), (1, 0)])).share.mean == pytest.approx(0.25)


def test_weak_but_steady_probabilities_are_information():
    """A judge that says .52 and .48, whichever is shown first, follows the answers in all it says."""
    found = information(asked([(0.52, 0.52), (0.48, 0.48)] * 10))
    assert found.share.mean == pytest.approx(1)
    assert found.p_value < 0.001


def test_repeats_take_the_place_of_orders():
    rng = np.random.default_rng(0)
    coin = drawn(np.full((200, 3, 3), 0.5), rng, repeats=2)
    assert information(coin).between == "repeats"
    assert audit_verdicts(coin).verdict == "unusable"
    assert "a coin" in audit_verdicts(coin).advice[0]
    sure = drawn(np.broadcast_to(np.array([[0.5, 0.9, 0.9], [0.1, 0.5, 0.9], [0.1, 0.1, 0.5]]), (60, 3, 3)), rng, 2)
    assert information(sure).share.mean == pytest.approx(0.64, abs=0.15)
    assert audit_verdicts(sure).verdict == "transitive"


def test_single_verdicts_that_nothing_tells_from_a_coins_are_not_called_transitive():
    """1,000 prompts would have shown any circle that matters; that there is none is no praise of a coin."""
    result = audit_verdicts(drawn(np.full((1000, 3, 3), 0.5), np.random.default_rng(1)))
    assert result.information is None
    assert result.verdict == "cannot tell"
    assert "both orders, or again (--repeats 2)" in result.advice[-1]
    even = audit_counts(np.full((3, 3), 500.0) * (1 - np.eye(3)), tuple("abc"), "even")
    assert even.verdict == "cannot tell"


def test_a_judge_without_a_verdict_every_third_time_is_unusable():
    rows = [Row(x, 0, 1, NAN if x % 3 == 0 else 1.0) for x in range(120)]
    result = audit_verdicts(verdicts(rows, 2, 120))
    assert result.verdict == "unusable"
    assert "no verdict in 33.3%" in result.advice[0]


def test_a_tenth_without_a_verdict_is_a_doubt():
    rows = [Row(x, 0, 1, NAN if x % 10 == 0 else 1.0) for x in range(400)] + [Row(x, 0, 2, 1.0) for x in range(400)]
    rows += [Row(x, 1, 2, 1.0) for x in range(400)]
    result = audit_verdicts(verdicts([replace(r, probability=NAN) if r.prompt % 8 == 0 else r for r in rows], 3, 400))
    assert result.verdict == "transitive"
    assert any("max_failure_rate" in line for line in result.advice)


def test_a_judge_that_always_says_tie_is_unusable():
    result = audit_verdicts(asked([(0.5, 0.5)] * 30))
    assert result.verdict == "unusable"
    assert "every verdict is an even bet" in result.advice[0]
    assert result.information is None


def test_a_judge_that_names_peoples_winner_half_of_the_time_is_unusable():
    """Sure of itself, and no better than a coin at what people prefer."""
    rng = np.random.default_rng(0)
    sure = np.array([[0.5, 0.9], [0.1, 0.5]])
    mine = exact(np.where(rng.random((300, 1, 1)) < 0.5, sure, 1 - sure))
    theirs = drawn(np.full((300, 2, 2), 0.5), rng)
    result = audit_verdicts(mine, replace(theirs, raters=("people",)))
    assert result.verdict == "unusable"
    assert "a coin does so in half" in result.advice[0]
    assert audit_verdicts(mine, replace(mine, raters=("people",))).verdict != "unusable"


def test_raters_who_disagree_with_each_other_are_not_measured_as_people():
    """Agreement of several raters is a figure; only labels given as people's make a judge unusable."""
    rng = np.random.default_rng(1)
    two = [Row(x, 0, 1, float(rng.random() < 0.5), rater=r) for x in range(300) for r in (0, 1)]
    result = audit_verdicts(verdicts(two, 2, 300, raters=("x", "y")))
    assert result.verdict == "unusable"
    assert "names" not in result.advice[0]


def test_a_weak_judge_is_called_so():
    result = audit_verdicts(SimulatedJudge(0.4, 1.0, "circle").verdicts(200, np.random.default_rng(0)))
    assert result.verdict == "cyclic"
    assert any("The judge is weak: it follows the answers in about" in line for line in result.advice)


def test_planted_circles_in_both_orders_are_cyclic_still():
    rng = np.random.default_rng(0)
    rows = [
        Row(x, a, b, float(rng.random() < CIRCLE[a, b]))
        for x in range(60)
        for i, j in combinations(range(3), 2)
        for a, b in ((i, j), (j, i))
    ]
    assert audit_verdicts(verdicts(rows, 3, 60)).verdict == "cyclic"


def test_an_audit_of_before_is_read_and_a_new_one_comes_back():
    made = audit_verdicts(JUDGES["coin"].verdicts(20, np.random.default_rng(0)))
    plain = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert AuditResult.from_json(plain, "f").information == made.information
    old = {name: value for name, value in plain.items() if name not in ("information", "reasons")}
    assert AuditResult.from_json(old, "f").information is None

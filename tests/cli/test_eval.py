"""`comal eval` as a person types it: a toy whose every number is derived here, mistakes, models, runs, and kills."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy import stats

import command_line
import forked
import tiny_models
import tiny_run
from comal.games import PreferenceGame, duality_gap, nash_policy, read_game
from comal.policies.base import Prompt
from command_line import refused

PROMPTS = ["p1", "p2", "p3", "p4"]
MATRIX = [[0.5, 0.2, 0.9], [0.8, 0.5, 0.3], [0.1, 0.7, 0.5]]
"""rock beats scissors .9, paper beats rock .8, scissors beat paper .7."""
TOY = {"A": ["rock", "rock", "rock", "rock"], "B": ["paper", "paper", "rock", "paper"], "C": ["scissors"] * 4}
DRAWS = 200
LONGER = "{name: python, function: 'judge_functions:longer'}"


def comal(*arguments: object):
    return command_line.comal("eval", *arguments)


def outputs(folder: Path, name: str, answers: dict[str, str], **more: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    rows = [{"instruction": x, "output": y, "generator": name} | more for x, y in answers.items()]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def judge_file(folder: Path) -> Path:
    path = folder / "judge.yaml"
    games = dict.fromkeys(PROMPTS, MATRIX)
    path.write_text(yaml.safe_dump({"name": "matrix", "games": games, "answers": ["rock", "paper", "scissors"]}))
    return path


@pytest.fixture
def toy(tmp_path: Path) -> list[object]:
    """The policies of the toy and its judge, as arguments."""
    files = [outputs(tmp_path / "in", name, dict(zip(PROMPTS, said, strict=True))) for name, said in TOY.items()]
    return [*files, "--judge", judge_file(tmp_path), "--output-dir", tmp_path / "out", "--draws", DRAWS]


def rates_by_hand() -> np.ndarray:
    """Per-prompt win rates, shape (4, 3, 3).

    A against B: .2 .2 .5 .2, mean .275.  A against C: .9 each.  B against C: .3 .3 .9 .3, mean .45.
    """
    rates = np.full((4, 3, 3), 0.5)
    rates[:, 0, 1] = [0.2, 0.2, 0.5, 0.2]
    rates[:, 0, 2] = 0.9
    rates[:, 1, 2] = [0.3, 0.3, 0.9, 0.3]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        rates[:, j, i] = 1 - rates[:, i, j]
    return rates


def by_hand() -> np.ndarray:
    """The matrix of every resample of the four prompts and four invented ones, on which each pair is a toss-up."""
    rates, rng = rates_by_hand(), np.random.default_rng(0)
    counts = rng.multinomial(8, [1 / 8] * 8, size=DRAWS)
    invented = counts[:, 4:].sum(axis=1)
    won = rng.binomial(invented[:, None], 0.5, size=(DRAWS, 3))
    found = np.full((DRAWS, 3, 3), 0.5)
    for pair, (i, j) in enumerate(((0, 1), (0, 2), (1, 2))):
        found[:, i, j] = (counts[:, :4] @ rates[:, i, j] + won[:, pair]) / 8
        found[:, j, i] = 1 - found[:, i, j]
    return found[invented < 8]  # a resample without any real prompt is none


def ends_by_hand(values: np.ndarray, least: float = 0.0) -> tuple[float, float]:
    """Student's t of the values and two invented at either bound."""
    padded = np.array([*values, least, least, 1.0, 1.0])
    reach = stats.t.ppf(0.975, len(padded) - 1) * padded.std(ddof=1) / math.sqrt(len(padded))
    low, high = padded.mean() - reach, padded.mean() + reach
    return max(least, min(values.mean(), low)), min(1.0, max(values.mean(), high))


def test_every_number_of_a_toy_of_three_policies(toy, tmp_path: Path) -> None:
    outcome = comal(*toy, "--json")
    assert outcome.exit_code == 0, outcome.output
    found = json.loads(outcome.stdout)
    resampled = by_hand()
    assert found["num_prompts"] == 4

    # Win rates and their intervals.
    assert np.array(found["matrix"]) == pytest.approx(
        np.array([[0.5, 0.275, 0.9], [0.725, 0.5, 0.45], [0.1, 0.55, 0.5]])
    )
    rates = rates_by_hand()
    for i, j in ((0, 1), (0, 2), (1, 2), (2, 0)):
        assert (found["low"][i][j], found["high"][i][j]) == pytest.approx(ends_by_hand(rates[:, i, j]))

    # Counts: prompt 3 is a tie of A and B (both say rock). Wilson for 0 of 3: [0, z²/(3 + z²)].
    first, second, third = found["pairs"]
    assert (first["first"], first["second"]) == ("A", "B")
    assert first["prompts"] == first["verdicts"] == {"wins": 0, "ties": 1, "losses": 3, "missing": 0}
    z2 = stats.norm.ppf(0.975) ** 2
    assert first["prompts_won"] == pytest.approx({"value": 0, "low": 0, "high": z2 / (3 + z2)}, abs=1e-12)
    assert second["prompts"] == {"wins": 4, "ties": 0, "losses": 0, "missing": 0}
    assert second["prompts_won"] == pytest.approx({"value": 1, "low": 4 / (4 + z2), "high": 1})
    assert third["prompts"] == {"wins": 1, "ties": 0, "losses": 3, "missing": 0}
    centre, reach = (0.25 + z2 / 8) / (1 + z2 / 4), math.sqrt(z2) * math.sqrt(0.1875 / 4 + z2 / 64) / (1 + z2 / 4)
    assert third["prompts_won"] == pytest.approx({"value": 0.25, "low": centre - reach, "high": centre + reach})

    # Means against the others: A (.275 + .9)/2, B (.725 + .45)/2, C (.1 + .55)/2.
    policies = found["policies"]
    assert [p["win_rate"]["value"] for p in policies.values()] == pytest.approx([0.5875, 0.5875, 0.325])
    assert policies["C"]["win_rate"]["high"] == pytest.approx(ends_by_hand(rates[:, 2, :2].mean(axis=1))[1])

    # Differences against the baseline A: B .725, C .1 on the same prompts: .625, paired.
    (difference,) = found["differences"]
    low, high = ends_by_hand(rates[:, 1, 0] - rates[:, 2, 0], least=-1.0)
    assert difference["difference"] == pytest.approx({"value": 0.625, "low": low, "high": high})

    # Nash: B beats A by .225, A beats C by .4, C beats B by .05. Each share is as the edge between the other two.
    nash = np.array([0.05, 0.4, 0.225]) / 0.675
    assert [p["nash"] for p in policies.values()] == pytest.approx(nash, abs=1e-7)
    assert [p["nash_averaging"] for p in policies.values()] == pytest.approx(nash, abs=1e-7)
    assert [p["skill"] for p in policies.values()] == pytest.approx([0.5] * 3, abs=1e-7)
    assert found["game"]["nash_is_unique"] is True
    assert found["game"]["cycles"] == [["A", "C", "B"]]
    mixtures = np.array([nash_policy(PreferenceGame.symmetrised(P)) for P in resampled])
    # Of several Nash mixtures the one with the largest support counts; there are several only where a pair is level.
    level = np.mean([(np.isclose(P, 0.5).sum() > 3) for P in resampled])
    more = np.array([p["in_support"] for p in policies.values()]) - (mixtures > 1e-4).mean(axis=0)
    assert (more > -1e-9).all()
    assert (more < level + 1e-9).all()
    game = PreferenceGame(np.array(found["matrix"]))
    gaps = [float(duality_gap(game, p)) for p in mixtures]
    assert found["game"]["gap"]["value"] == pytest.approx(0, abs=1e-9)
    assert found["game"]["gap"]["high"] == pytest.approx(np.quantile(gaps, 0.95), abs=1e-6)
    assert found["game"]["condorcet_winner"] is None
    winners = [(P[1] > 0.5).sum() == 2 for P in resampled]
    assert policies["B"]["condorcet_share"] == pytest.approx(np.mean(winners))

    # Elo: A and B have equal scores (1.175), so equal ratings r, and C, of score .65, has −2r: 2σ(−3r) = .65.
    r = -math.log(0.325 / 0.675) / 3
    scale = 400 / math.log(10)
    assert [p["elo"]["value"] for p in policies.values()] == pytest.approx(
        [1000 + scale * r, 1000 + scale * r, 1000 - 2 * scale * r], abs=1e-4
    )
    assert found["elo"]["misleading"] == [], "A and B are rated alike and B wins .725, but four prompts do not show it"

    # Lengths, the judge, and what is too small for a fit.
    assert policies["B"]["lengths"]["mean_characters"] == pytest.approx((5 * 3 + 4) / 4)
    assert policies["B"]["lengths"]["median_characters"] == 5
    assert policies["C"]["lengths"]["mean_words"] == 1
    assert found["judging"]["comparisons"] == 12
    assert found["judging"]["questions"] == 11, "equal answers are not asked about"
    assert found["judging"]["failures"] == 0
    assert policies["B"]["length_controlled"] is None
    assert any("at least 10 prompts" in note for note in found["notes"])

    # Files: the same figures, and a matrix that `comal solve` reads.
    out = tmp_path / "out"
    assert json.loads((out / "result.json").read_text()) == found
    assert pytest.approx(np.array(found["matrix"])) == read_game(out / "matrix.csv").P
    solved = command_line.comal("solve", out / "matrix.csv", "--json")
    assert json.loads(solved.stdout)["policy"] == pytest.approx(nash, abs=1e-6)
    annotations = json.loads((out / "annotations.json").read_text())
    of_b = [a["preference"] for a in annotations if (a["generator_1"], a["generator_2"]) == ("A", "B")]
    assert of_b == pytest.approx([1.8, 1.8, 1.5, 1.8])
    with (out / "leaderboard.csv").open(newline="") as file:
        board = {row[""]: row for row in csv.DictReader(file)}
    assert float(board["B"]["win_rate"]) == pytest.approx(72.5)
    # Preferences .8 .8 .5 .8: deviations .075 ×3 and −.225, variance .0675/3, error sqrt(.0225)/2.
    assert float(board["B"]["standard_error"]) == pytest.approx(7.5)
    assert float(board["B"]["discrete_win_rate"]) == pytest.approx(100 * 3.5 / 4)


def test_people_see_tables_and_files_come_back_in(toy, tmp_path: Path) -> None:
    outcome = comal(*toy, "--baseline", "C")
    assert outcome.exit_code == 0, outcome.output
    for part in ("against C", "Nash mixture", "no verdict", "Condorcet winner", "0.275"):
        assert part in outcome.stdout
    assert "result.json" in outcome.stderr
    again = [tmp_path / "out" / "outputs" / f"{name}.json" for name in TOY]
    second = comal(*again, *toy[3:5], "--output-dir", tmp_path / "second", "--draws", DRAWS, "--json")
    assert json.loads(second.stdout)["matrix"] == json.loads((tmp_path / "out" / "result.json").read_text())["matrix"]


def test_a_policy_can_be_renamed_and_prompts_limited(toy, tmp_path: Path) -> None:
    first, second = toy[:2]
    found = comal(f"mine={first}", second, *toy[3:5], "--output-dir", tmp_path / "o", "--limit", 3, "--json")
    result = json.loads(found.stdout)
    assert list(result["policies"]) == ["mine", "B"]
    assert result["num_prompts"] == 3
    assert result["baseline"] == "mine"


def test_length_control_on_ordinary_files(tmp_path: Path) -> None:
    """The judge likes the longer answer, whoever gives it: controlled for length the long-winded gains nothing."""
    rng = np.random.default_rng(0)
    prompts = [f"x{i}" for i in range(120)]
    long = {x: "w" * int(rng.integers(30, 100)) for x in prompts}
    short = {x: "v" * int(rng.integers(10, 80)) for x in prompts}
    files = [outputs(tmp_path, "short", short), outputs(tmp_path, "long", long)]
    judge = "{name: python, function: 'judge_functions:longer'}"
    found = json.loads(comal(*files, "--judge", judge, "--output-dir", tmp_path / "o", "--json").stdout)
    raw = found["policies"]["long"]["against_baseline"]["value"]
    controlled = found["policies"]["long"]["length_controlled"]
    assert raw > 0.6
    assert controlled["win_rate"] < raw - 0.1
    assert controlled["weights"]["length"] < 0
    assert controlled["low"] < 0.5 < raw
    off = comal(*files, "--judge", judge, "--output-dir", tmp_path / "o", "--json", "--no-length-control")
    assert json.loads(off.stdout)["policies"]["long"]["length_controlled"] is None


def test_mistakes_are_one_message(toy, tmp_path: Path) -> None:
    a, b, _, *rest = toy
    judge = ["--judge", judge_file(tmp_path)]
    refused(comal(a, *rest), "policies: cross-play needs at least two policies, got 1")
    refused(comal(a, a, *rest), "A: two policies have this name", "NAME=SOURCE")
    refused(
        comal(a, tmp_path / "in" / "b.json", *rest), "there is no such file of model outputs", "Known: A.json, B.json"
    )
    refused(comal(a, b, *rest, "--baseline", "D"), "--baseline: `D` is not one of the policies: A, B")
    refused(
        comal(a, b, "--judge", "matrx"), "--judge: `matrx` is no judge, recipe, file or run. Did you mean `matrix`?"
    )
    refused(comal(a, b, "--judge", tmp_path / "no.yaml"), "--judge: there is no file")
    refused(comal(a, b, "--judge", "{a: ["), "--judge: not YAML")
    refused(comal(a, b, *rest, "--limit", 1), "--limit: ", "got 1")
    refused(comal(a, b, *rest, "--draws", 3), "--draws: ", "got 3")
    refused(comal(a, "./nowhere", *rest), "there is no folder `./nowhere`")
    refused(comal(a, b, *rest, "--prompts", "no.jsonl"), "--prompts: there is no file `no.jsonl`")
    other = outputs(tmp_path / "in", "D", {"p1": "rock", "p2": "rock"})
    refused(comal(a, other, *rest), "D: has no answer to 2 of the 4 instructions", "'p3'", "--intersection")
    assert not (tmp_path / "out").exists(), "nothing was judged"
    both = comal(a, other, *judge, "--output-dir", tmp_path / "both", "--intersection", "--json")
    assert json.loads(both.stdout)["num_prompts"] == 2
    assert "2 of 4 instructions are left out" in both.stderr
    empty = outputs(tmp_path / "in", "E", dict.fromkeys(PROMPTS, "rock") | {"p2": ""})
    refused(comal(a, empty, *rest), "1 of 4 outputs are empty", "--allow-empty")
    (tmp_path / "in" / "F.json").write_text('[{"instruction": "p1", "answer": "x"}]')
    refused(comal(a, tmp_path / "in" / "F.json", *rest), "F.json, row 1: there is no `output`")
    (tmp_path / "in" / "G.json").write_text("{}")
    refused(comal(a, tmp_path / "in" / "G.json", *rest), "G.json: expected a list")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("mine")
    refused(comal(a, b, *judge, "--output-dir", tmp_path / "foreign"), "is not empty and holds no evaluation")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--split", "train"], "--split: says how to read --prompts, which is not given; leave it out"),
        (["--prompt-column", "q"], "--prompt-column: says how to read --prompts"),
        (["--prompts", "p.jsonl", "--split", "test"], "--split: does nothing to a file of prompts"),
        (["--answers", 1], "--answers: is for models; the answers of these policies are there already"),
        (["--temperature", 1], "--temperature: is for models"),
        (["--top-p", 0.9], "--top-p: is for models"),
        (["--max-new-tokens", 4], "--max-new-tokens: is for models"),
        (["--batch-size", 4], "--batch-size: is for models"),
        (["--system-prompt", "Be brief."], "--system-prompt: is for models"),
        (["--reference", "m"], "--reference: is for models"),
    ],
)
def test_options_that_touch_no_output_file_are_refused(toy, tmp_path: Path, options, message) -> None:
    refused(comal(*toy, *options), message)
    assert not (tmp_path / "out").exists()


def test_an_unknown_prompt_of_the_judge_is_one_message(tmp_path: Path) -> None:
    files = [outputs(tmp_path, name, {"p1": "rock", "q": said}) for name, said in (("A", "rock"), ("B", "paper"))]
    refused(
        comal(*files, "--judge", judge_file(tmp_path), "--output-dir", tmp_path / "o"), "no game for the prompt 'q'"
    )


def test_too_many_failures_stop_and_some_are_shown(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "fussy.py").write_text(
        "def f(x, a, b):\n    return None if x == 'x0' else .5 + .3 * (a > b) - .3 * (a < b)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    prompts = [f"x{i}" for i in range(10)]
    files = [outputs(tmp_path, name, dict.fromkeys(prompts, name)) for name in "AB"]
    judge = ["--judge", "{name: python, function: 'fussy:f'}", "--output-dir", tmp_path / "o"]
    refused(comal(*files, *judge), "no verdict on 1 of 10 questions, more than 5%")
    found = json.loads(comal(*files, *judge, "--max-failures", 0.2, "--json").stdout)
    (pair,) = found["pairs"]
    assert pair["prompts"] == {"wins": 0, "ties": 0, "losses": 9, "missing": 1}
    assert found["judging"]["failures"] == 1
    assert found["matrix"][0][1] == pytest.approx(0.2)


KILLER = """
import os, signal
def f(x, a, b):
    with open({log!r}, "a") as file:
        print(repr((x, a, b)), file=file)
    if "KILL" in os.environ and sum(1 for _ in open({log!r})) > int(os.environ["KILL"]):
        os.kill(os.getpid(), signal.SIGKILL)
    return .5 + .4 * (len(a) > len(b)) - .4 * (len(a) < len(b))
"""


def test_a_killed_evaluation_continues_without_asking_or_sampling_again(tmp_path: Path, monkeypatch) -> None:
    log = tmp_path / "asked.log"
    (tmp_path / "killer.py").write_text(KILLER.format(log=str(log)))
    model = tiny_models.save_causal_lm(tmp_path / "model")
    prompts = [f"What is {i}?" for i in range(40)]
    files = [outputs(tmp_path, name, {x: name * (1 + i % 5) for i, x in enumerate(prompts)}) for name in ("a", "bb")]
    judge = "{name: python, function: 'killer:f', expensive: true}"
    arguments = [*files, model, "--judge", judge, "--draws", 40, "--max-new-tokens", 4, "--json"]
    command = [sys.executable, "-m", "comal", "eval", *map(str, arguments), "--output-dir", str(tmp_path / "out")]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = tiny_run.environment() | {"PYTHONPATH": path, "KILL": "100"}
    killed = forked.call(command, environment=environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    asked_before = log.read_text().splitlines()
    assert len(asked_before) == 101, "80 of the first pair, and 21 of the second, whose chunk was not finished"
    samples = sorted((tmp_path / "out" / "samples").rglob("*.parquet"))
    assert len(samples) == 2, "40 prompts in blocks of 32"
    times = [p.stat().st_mtime_ns for p in samples]

    monkeypatch.syspath_prepend(str(tmp_path))
    log.unlink()
    resumed = comal(*arguments, "--output-dir", tmp_path / "out")
    assert resumed.exit_code == 0, resumed.output
    assert [p.stat().st_mtime_ns for p in samples] == times, "nothing was sampled again"
    asked_after = log.read_text().splitlines()
    assert not set(asked_after) & set(asked_before[:80]), "no kept verdict was asked for again"
    assert "80 verdicts were kept from before" in resumed.stderr
    log.unlink()
    again = comal(*arguments, "--output-dir", tmp_path / "out")
    assert again.stdout == resumed.stdout
    assert not log.exists(), "everything was there"
    whole = comal(*arguments, "--output-dir", tmp_path / "whole")
    assert whole.stdout == resumed.stdout, "as if never killed"


def test_models_need_prompts_and_draw_their_own_answers(tmp_path: Path) -> None:
    models = [tiny_models.save_causal_lm(tmp_path / name, seed=seed) for seed, name in enumerate(("one", "two"))]
    judge = ["--judge", "{name: python, function: 'judge_functions:longer', symmetric: true}"]
    refused(comal(*models, *judge, "--output-dir", tmp_path / "o"), "--prompts: models need prompts")
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"q": f"Say {i}"}) + "\n" for i in range(6)))
    options = ["--prompts", tmp_path / "prompts.jsonl", "--prompt-column", "q", "--max-new-tokens", 4, "--answers", 2]
    common = [*judge, *options, "--draws", 20, "--json", "--output-dir", tmp_path / "o"]
    found = comal(*models, f"copy={models[0]}", *common, "--reference", models[0])
    assert found.exit_code == 0, found.output
    result = json.loads(found.stdout)
    policies = result["policies"]
    assert policies["one"]["lengths"]["answers"] == 12
    assert policies["one"]["kl_reference"]["value"] == 0
    assert policies["two"]["kl_reference"]["reference"] == "one"
    assert policies["two"]["kl_reference"]["low"] < policies["two"]["kl_reference"]["high"]
    assert 0 <= policies["one"]["unfinished"] <= 1
    texts = {name: (tmp_path / "o" / "outputs" / f"{name}.json").read_text() for name in policies}
    assert texts["one"].replace('"one"', "") == texts["copy"].replace('"copy"', ""), (
        "one model, other name: kept answers"
    )
    tempered = comal(*models, *common, "--temperature", 0.5, "--reference", models[0])
    assert json.loads(tempered.stdout)["policies"]["two"]["kl_reference"] is None
    assert "no KL of two" in tempered.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished tiny run."""
    folder = tmp_path_factory.mktemp("run")
    recipe = tiny_run.write(folder, tiny_run.values(folder / "data"))
    done = command_line.comal("run", recipe, "--output-dir", folder / "run")
    assert done.exit_code == 0, done.output
    return folder / "run"


def test_the_policies_of_a_run_play_on_its_test_prompts(run: Path, tmp_path: Path) -> None:
    from comal.pipeline.crossplay.sources import find_model
    from comal.pipeline.disk.layout import RunFolder
    from comal.pipeline.run.resources import open_store
    from comal.pipeline.step.samples import Samples, score

    common = ["--judge", run, "--draws", 20, "--answers", 3, "--json"]
    outcome = comal(run, f"{run}:comal@2", *common, "--output-dir", tmp_path / "o")
    assert outcome.exit_code == 0, outcome.output
    found = json.loads(outcome.stdout)
    assert list(found["policies"]) == ["start", "comal", "comal@2"]
    assert found["num_prompts"] == 2
    assert "was trained on this very judge" in outcome.stderr
    assert found["policies"]["start"]["kl_reference"]["value"] == 0
    (folder,) = (p for p in (tmp_path / "o" / "samples").iterdir() if p.name.startswith("comal-"))
    store = open_store(run, RunFolder(run).recipe())
    prompts = [
        Prompt.of_text(row["instruction"]) for row in json.loads((tmp_path / "o/outputs/comal.json").read_text())[::3]
    ]
    samples = Samples.load(folder / "000000.parquet", prompts)
    policy = find_model(f"{run}/comal", "x").checkpoint
    ratio = score(store.open(policy), samples) - score(store.open(run / "supervised"), samples)
    assert found["policies"]["comal"]["kl_reference"]["value"] == pytest.approx(ratio.mean(), abs=1e-6)
    same = comal(f"first={run}/start", f"{run}/comal", *common, "--output-dir", tmp_path / "p")
    assert list(json.loads(same.stdout)["policies"]) == ["first", "comal"]


def test_a_runs_policies_are_there_without_the_judge_it_was_trained_on(run: Path, tmp_path: Path) -> None:
    """The judge's module has gone since the run: another judge compares the same weights."""
    from comal.pipeline.crossplay.sources import find_model
    from comal.pipeline.disk.layout import RunFolder
    from comal.pipeline.run.resources import open_store

    moved = tmp_path / "moved"
    shutil.copytree(run, moved)
    written = json.loads((moved / "run.json").read_text())
    written["recipe"]["judge"] = {"name": "judge_that_has_gone:Critic", "strictness": 2}
    written["recipe"]["evaluation"]["judge"] = {"name": "judge_that_has_gone:Critic"}
    (moved / "run.json").write_text(json.dumps(written))
    other = ["--judge", LONGER, "--draws", 20, "--json"]
    outcome = comal(moved, *other, "--output-dir", tmp_path / "o")
    assert outcome.exit_code == 0, outcome.output
    assert list(json.loads(outcome.stdout)["policies"]) == ["start", "comal"]
    assert "was trained on this judge is not known" in outcome.stderr
    assert "cannot import `judge_that_has_gone`" in outcome.stderr
    prompts = [Prompt.of_text("a"), Prompt.of_text("b")]
    opened = []
    for folder in (run, moved):
        policy = open_store(folder, RunFolder(folder).recipe()).open(find_model(f"{folder}/comal", "x").checkpoint)
        answer = tuple(policy.tokenizer("c", add_special_tokens=False)["input_ids"])
        opened.append(policy.score_groups([(policy.encoder(p), [answer]) for p in prompts]))
    np.testing.assert_array_equal(opened[0], opened[1])
    refused(comal(moved, "--judge", moved, "--output-dir", tmp_path / "p"), "cannot import `judge_that_has_gone`")


def test_policies_that_a_run_has_not(run: Path, tmp_path: Path) -> None:
    common = ["--judge", run, "--output-dir", tmp_path / "o"]
    refused(comal(run, f"{run}/comel", *common), "the run has no method `comel`. Did you mean `comal`?")
    refused(comal(run, f"{run}:comal@3", *common), "no policy was kept after `3` steps of comal; kept: @2, @4")
    refused(comal(run, *common, "--reference", "x.json"), "there is no such file")


def test_options_that_touch_no_policy_of_a_run_are_refused(run: Path, tmp_path: Path) -> None:
    command = [run, "--judge", run, "--output-dir", tmp_path / "o"]
    refused(comal(*command, "--system-prompt", "Be brief."), "--system-prompt: is for models outside runs")
    refused(comal(*command, "--intersection"), "--intersection: is for output files; these policies are models")
    refused(comal(*command, "--allow-empty"), "--allow-empty: is for output files")
    assert not (tmp_path / "o").exists()


def test_a_broken_run_is_one_message(tmp_path: Path) -> None:
    for number, content in enumerate(("{", "{}", '{"recipe": {"name": 3}}')):
        broken = tmp_path / str(number)
        broken.mkdir()
        (broken / "run.json").write_text(content)
        refused(comal(broken, "--judge", LONGER), "run.json: this file of the run cannot be read")
        refused(comal("a.json", "b.json", "--judge", broken), "run.json: this file of the run cannot be read")


def test_training_prompts_are_told(run: Path, tmp_path: Path) -> None:
    source = tmp_path / "prompts.jsonl"
    source.write_text('{"prompt": "game 1"}\n{"prompt": "held out 2"}\n')
    found = comal(run, "--judge", run, "--prompts", source, "--draws", 20, "--output-dir", tmp_path / "o")
    assert "trained or watched on 1 of the 2 prompts" in found.stderr

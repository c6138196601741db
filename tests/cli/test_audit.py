"""`comal audit` as a person types it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import command_line
from paid_judge import Paid

CYCLE = {"a": "Return it.", "b": "Returns it.", "c": "The result."}
LONGER = "name=python function=judge_functions:longer"


def comal(*arguments):
    return command_line.comal("audit", *arguments)


def as_json(*arguments):
    outcome = comal(*arguments, "--json")
    assert outcome.exit_code == 0, outcome.stderr
    return json.loads(outcome.stdout)


@pytest.fixture
def outputs(tmp_path):
    paths = []
    for system, text in CYCLE.items():
        path = tmp_path / f"{system}.json"
        path.write_text(json.dumps([{"instruction": f"q{x}", "output": text, "generator": system} for x in range(30)]))
        paths.append(path)
    return paths


@pytest.fixture
def verdicts(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "verdicts.jsonl"
    with path.open("w") as file:
        for x in range(120):  # 60 give p < .01 in 59 of 60 draws, 120 in all
            for pair in (("a", "b"), ("b", "c"), ("c", "a")):
                row = {"prompt_id": x, "system_1": pair[0], "system_2": pair[1]}
                file.write(json.dumps(row | {"preference": 1 if rng.random() < 0.8 else 2, "label": 1}) + "\n")
    return path


def test_outputs_and_the_judge_of_a_recipe(outputs):
    text = comal(*outputs, "--judge", "docstrings").stdout
    assert "Cyclic (p < 0.0001" in text
    assert re.search("Condorcet winner +none", text)
    assert text.strip().endswith("of the time.")
    assert "Use COMAL" in text


def test_ready_verdicts_with_peoples_labels(verdicts):
    found = as_json(verdicts)
    assert found["verdict"] == "cyclic"
    assert found["p_value"] < 0.01
    assert found["raters"] == ["rater"]
    assert found["agreement"][0]["reference"] == "label"
    assert found["agreement"][0]["accuracy"]["mean"] == pytest.approx(0.8, abs=0.1)


def test_labels_from_a_file_of_their_own(verdicts, tmp_path):
    labels = tmp_path / "labels.jsonl"
    labels.write_text('{"prompt_id": "3", "system_1": "b", "system_2": "a", "preference": 2, "rater": "Ann"}\n')
    (found,) = as_json(verdicts, "--labels", labels)["agreement"][:1]
    assert (found["reference"], found["pairs"]) == ("Ann", 1)


def test_a_judge_with_options_repeats_and_a_limit(outputs):
    found = as_json(*outputs, "--judge", LONGER, "--repeats", 2, "--prompts", 5)
    assert found["prompts"] == 5
    assert found["verdicts"] == 5 * 3 * 2 * 2
    assert found["consistency"]["agreement"]["mean"] == 1
    assert found["position"]["flip_rate"]["mean"] == 0


def test_labelled_pairs(tmp_path):
    rows = [{"input": f"q{x}", "output_1": "long text", "output_2": "x", "label": 1 + x % 2} for x in range(10)]
    (tmp_path / "bar.json").write_text(json.dumps(rows))
    found = as_json(tmp_path / "bar.json", "--judge", LONGER)
    assert found["agreement"][0]["accuracy"]["mean"] == 0.5
    assert found["length"]["longer"]["mean"] == pytest.approx(0.9)
    assert found["verdict"] == "cannot tell"


def test_a_seed_below_0_is_refused(verdicts):
    outcome = comal(verdicts, "--seed", -1)
    assert outcome.exit_code == 2
    assert "Traceback" not in outcome.stderr
    assert "--seed" in outcome.stderr


def test_tables_and_a_figure(tmp_path):
    (tmp_path / "t.csv").write_text(",[red]a,b,c\n[red]a,0.5,0.8,0.2\nb,0.2,0.5,0.8\nc,0.8,0.2,0.5\n")
    outcome = comal(tmp_path / "t.csv", "--plot", tmp_path / "t.png")
    assert outcome.exit_code == 0
    assert "[red]a" in outcome.stdout
    assert "give --counts" in outcome.stdout
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    assert as_json(tmp_path / "t.csv", "--counts", 100)["verdict"] == "cyclic"


def test_the_seed_moves_the_intervals_of_counts(tmp_path):
    (tmp_path / "t.csv").write_text(",a,b,c\na,0.5,0.6,0.4\nb,0.4,0.5,0.7\nc,0.6,0.3,0.5\n")
    found = [as_json(tmp_path / "t.csv", "--counts", 50, *seed) for seed in ([], ["--seed", 0], ["--seed", 1])]
    assert found[0] == found[1]
    assert found[1]["structure"] != found[2]["structure"]
    assert found[1]["verdict"] == found[2]["verdict"]


def test_exact_verdicts_are_not_draws(verdicts):
    assert as_json(verdicts)["prompt_cycles"]["verdicts"] == "draws"
    assert as_json(verdicts, "--exact")["prompt_cycles"]["verdicts"] == "probabilities"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.jsonl"], "nothing.jsonl: no such file"),
        (["a.json"], "a.json: holds the outputs of one system"),
        (["a.json", "b.json"], "--judge: a.json, b.json holds answers; say whom to ask"),
        (
            ["a.json", "b.json", "--judge", "comittee"],
            "`comittee` is no judge, recipe, file or run. Did you mean `committee`?",
        ),
        (["a.json", "b.json", "--judge", "committee"], "--judge.members: `committee` needs a value"),
        (["a.json", "b.json", "--judge", "no.yaml"], "--judge: there is no file `no.yaml`"),
        (["a.json", "b.json", "--judge", "name=python funktion=x:y"], "Did you mean `function`?"),
        (["a.json", "b.json", "--judge", "docstrings", "--counts", "3"], "--counts: is for tables"),
        (["verdicts.jsonl", "--judge", "docstrings"], "--judge: does nothing to ready verdicts"),
        (["verdicts.jsonl", "--repeats", "2"], "--repeats: does nothing to ready verdicts"),
        (["verdicts.jsonl", "--exact", "--draws", "4"], "--exact: a mean of sampled verdicts"),
        (["verdicts.jsonl", "--labels", "t.csv"], "t.csv: holds no verdicts"),
        (["verdicts.jsonl", "--cache", "c.sqlite"], "--cache: does nothing to ready verdicts"),
        (["verdicts.jsonl", "--prompts", "3"], "--prompts: does nothing to ready verdicts"),
        (["t.csv", "--judge", "docstrings"], "--judge: does nothing to a table"),
        (["t.csv", "--labels", "verdicts.jsonl"], "--labels: does nothing to a table"),
        (["t.csv", "--prompts", "3"], "--prompts: does nothing to a table"),
        (["t.csv", "--repeats", "2"], "--repeats: does nothing to a table"),
        (["t.csv", "--draws", "2"], "--draws: does nothing to a table"),
        (["t.csv", "--exact"], "--exact: does nothing to a table"),
        (["t.csv", "--cache", "c.sqlite"], "--cache: does nothing to a table"),
        (["t.csv", "--seed", "0"], "--seed: does nothing to win rates without --counts"),
        (["t.csv", "--plot", "t.xyz"], "t.xyz: the figure cannot be written"),
        (["bar.json", "--judge", LONGER, "--plot", "x.png"], "--plot: the figure shows win rates between systems"),
    ],
)
def test_bad_input_is_one_message_and_status_2(arguments, message, outputs, verdicts, tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text(",a,b\na,0.5,0.8\nb,0.2,0.5\n")
    (tmp_path / "bar.json").write_text(json.dumps([{"input": "q", "output_1": "xx", "output_2": "y", "label": 1}]))
    monkeypatch.chdir(tmp_path)
    outcome = comal(*arguments)
    assert outcome.exit_code == 2
    assert outcome.stdout == ""
    errors = [line for line in outcome.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in outcome.stderr
    assert not (tmp_path / "x.png").exists()


def test_no_overlap_of_prompts(tmp_path):
    for system in "ab":
        rows = [{"instruction": f"only {system}", "output": "x", "generator": system}]
        (tmp_path / f"{system}.json").write_text(json.dumps(rows))
    outcome = comal(tmp_path / "a.json", tmp_path / "b.json", "--judge", "docstrings")
    assert outcome.exit_code == 2
    assert "no prompt in common" in outcome.stderr


def test_an_expensive_judge_is_not_paid_twice(outputs, tmp_path):
    judge = tmp_path / "judge.yaml"
    judge.write_text("name: python\nfunction: judge_functions:longer\nexpensive: true\n")
    cache = tmp_path / "verdicts.sqlite"
    first = as_json(*outputs, "--judge", judge, "--cache", cache)
    size = cache.stat().st_size
    assert size > 0
    assert as_json(*outputs, "--judge", judge, "--cache", cache) == first


def test_a_folder_without_a_run(tmp_path):
    outcome = comal(tmp_path)
    assert outcome.exit_code == 2
    assert "holds no run" in outcome.stderr
    assert Path(tmp_path).is_dir()


def test_an_evaluations_folder_is_audited_by_its_verdicts(tmp_path: Path) -> None:
    row = {"instruction": "q", "output_1": "x", "output_2": "y", "generator_1": "a", "generator_2": "b"}
    (tmp_path / "eval.json").write_text('{"format": 1}')
    command_line.refused(comal(tmp_path), "this evaluation has not come to its end")
    (tmp_path / "annotations.json").write_text(json.dumps([row | {"annotator": "j", "preference": 2.0}]))
    outcome = comal(tmp_path, "--json")
    assert outcome.exit_code == 0, outcome.output
    assert json.loads(outcome.stdout)["structure"]["rates"] == [[0.5, 0.0], [1.0, 0.5]]


@pytest.fixture
def paid(tmp_path, monkeypatch):
    """A judge that is paid, its bill, and a home of one's own."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    bill = tmp_path / "bill"
    judge = tmp_path / "paid.json"
    judge.write_text(json.dumps({"name": "paid_judge:Paid", "bill": str(bill)}))
    return judge, bill


@pytest.mark.parametrize("repeats", [1, 2])
def test_a_second_audit_pays_nothing_and_the_place_is_named(outputs, paid, tmp_path, repeats):
    judge, bill = paid
    first = comal(*outputs, "--judge", judge, "--prompts", 5, "--repeats", repeats, "--json")
    assert first.exit_code == 0, first.stderr
    kept = tmp_path / "home" / "comal" / "verdicts.sqlite"
    assert str(kept) in first.stderr
    assert kept.is_file()
    calls = Paid.calls(bill)
    assert calls == 5 * 3 * 2 * repeats
    again = comal(*outputs, "--judge", judge, "--prompts", 5, "--repeats", repeats, "--json")
    assert again.stdout == first.stdout
    assert Paid.calls(bill) == calls, "everything was kept"
    as_json(*outputs, "--judge", judge, "--prompts", 6, "--repeats", repeats)
    assert Paid.calls(bill) == calls + 3 * 2 * repeats, "one prompt more is all that is new"
    assert not list((tmp_path / "home" / "comal").glob("spend*")), "a budget is one audit's"


def test_a_judge_that_costs_nothing_keeps_nothing(outputs, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    outcome = comal(*outputs, "--judge", LONGER)
    assert "kept" not in outcome.stderr
    assert not (tmp_path / "home").exists()


def test_reasons_without_a_verdict_are_said_by_count(outputs):
    judge = json.dumps({"name": "python", "function": "judge_functions:at_times_silent"})
    found = as_json(*outputs, "--judge", judge, "--prompts", 6)
    assert found["reasons"] == {"not said": found["failures"]}
    committee = json.dumps({"name": "silent_judge:Silent"})
    found = as_json(*outputs, "--judge", committee, "--prompts", 6)
    assert found["failures"] == 6 * 3 * 2
    assert found["reasons"] == {"unparsable": 24, "timed out": 12}
    text = comal(*outputs, "--judge", committee, "--prompts", 6).stdout
    assert re.search(r"without verdict +36 of 36 \(100.0%\)\n +unparsable: 24\n +timed out: 12\n", text)
    assert "Unusable: the judge has no verdict in 100.0% of its answers" in text

"""`comal reproduce lm` as a person types it: parts carried out whole on a tiny recipe, continued, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import command_line
import tiny_lm
import tiny_run
from comal.experiments.language_model.parts import plan_part
from comal.experiments.language_model.results import finished
from comal.pipeline.disk.files import read_json, write_json
from comal.recipes.load import load_recipe
from command_line import refused


def lm(*arguments: object):
    return command_line.comal("reproduce", "lm", *arguments)


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """All that must not change when nothing is left to do."""
    made = (folder / "results.md", folder / "results.json", folder / "images")
    return {
        str(p): (p.stat().st_mtime_ns, p.stat().st_size)
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != ".lock" and not any(p.is_relative_to(m) for m in made)
    }


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    return tiny_run.write(folder, tiny_lm.values(folder / "data"))


@pytest.fixture(scope="module")
def transitive(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("experiment")
    done = lm("--part", "transitive", "--recipe", recipe, "--seeds", "0", "--folder", folder, "--json")
    assert done.exit_code == 0, done.output
    return folder, json.loads(done.stdout)


def test_a_part_carried_out_whole(transitive: tuple[Path, dict[str, Any]]) -> None:
    folder, printed = transitive
    assert printed["folder"] == str(folder)
    assert printed["seeds"] == [0]
    (table,) = printed["parts"]["transitive"]["tables"]
    methods = {method["key"]: method for method in table["methods"]}
    assert list(methods) == [
        "comal", "inpo", "self-play", "iterative-dpo", "iterative-dpo-selected", "iterative-ipo", "sppo", "start",
    ]  # fmt: skip
    assert read_json(folder / "results.json")["transitive"] == printed["parts"]["transitive"]
    (first,) = (index for index, name in enumerate(table["cross_play"]["policies"]) if name == "COMAL")
    for index, key in enumerate(["start", *list(methods)[:-1]]):
        win_rate = table["cross_play"]["win_rate"]
        assert win_rate[index][first] + win_rate[first][index] == pytest.approx(1)
        assert methods[key]["beaten"]["mean"] == pytest.approx(win_rate[first][index])
        for name in ("worst_case", "picked", "win_rate"):
            assert 0 <= methods[key][name]["mean"] <= 1
    assert methods["comal"]["excess"]["mean"] == 0
    assert methods["self-play"]["kl"]["mean"] != 0
    assert methods["start"]["kl"]["mean"] == 0


def test_judged_pairs_are_counted_where_they_are_judged_and_equal(transitive: tuple[Path, dict[str, Any]]) -> None:
    """4 steps of 8 prompts with the 6 pairs of their 4 answers each, by every method's journal."""
    folder, printed = transitive
    (table,) = printed["parts"]["transitive"]["tables"]
    assert {m["key"]: m["pairs"] for m in table["methods"]} == {
        m["key"]: [0 if m["key"] == "start" else 4 * 8 * 6] for m in table["methods"]
    }
    runs = sorted(p.parent.name for p in folder.glob("transitive/*/run.json"))
    assert runs == [
        "iterative-dpo-seed0", "iterative-dpo-selected-seed0", "iterative-ipo-seed0", "sppo-seed0", "together-seed0",
    ]  # fmt: skip


def test_the_runs_of_a_seed_start_from_one_model(transitive: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = transitive
    assert len(list((folder / "supervised").iterdir())) == 1
    starts = {p.read_bytes() for p in folder.glob("transitive/*/supervised/model.safetensors")}
    assert len(starts) == 1


def test_the_page_has_figures_and_the_command_that_made_it(
    transitive: tuple[Path, dict[str, Any]], recipe: Path
) -> None:
    folder, _ = transitive
    page = (folder / "results.md").read_text(encoding="utf-8")
    assert f"$ comal reproduce lm --part transitive --recipe {recipe} --seeds 0 --folder {folder}" in page
    assert "| COMAL | " in page
    for name in ("worst-case", "cross-play"):
        assert f"(images/lm-transitive-{name}.png)" in page
        assert (folder / "images" / f"lm-transitive-{name}.png").stat().st_size > 10_000


def test_the_same_command_again_does_nothing_and_prints_the_same(
    transitive: tuple[Path, dict[str, Any]], recipe: Path
) -> None:
    folder, printed = transitive
    before = files(folder)
    again = lm("--part", "transitive", "--recipe", recipe, "--seeds", "0", "--folder", folder, "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout) == printed
    assert files(folder) == before
    listed = lm("--part", "transitive", "--recipe", recipe, "--seeds", "0", "--folder", folder, "--dry-run", "--json")
    assert json.loads(listed.stdout)["total"]["methods_left"] == 0


def test_figures_that_were_lost_are_made_again(transitive: tuple[Path, dict[str, Any]], recipe: Path) -> None:
    folder, printed = transitive
    for path in folder.glob("transitive/scores-*.json"):
        path.unlink()
    (folder / "transitive" / "sppo-seed0" / "result.json").unlink()
    again = lm("--part", "transitive", "--recipe", recipe, "--seeds", "0", "--folder", folder, "--json")
    assert json.loads(again.stdout) == printed


def test_another_configuration_is_refused(transitive: tuple[Path, dict[str, Any]], recipe: Path) -> None:
    folder, _ = transitive
    other = ("--set", "algorithm.inner.eta=1.0")
    outcome = lm("--part", "transitive", "--recipe", recipe, "--seeds", "0", "--folder", folder, *other)
    refused(outcome, "another configuration", "algorithm.inner.eta was 2.0, is 1.0")


def test_exploiters_and_held_out_judges_use_the_runs_that_are_there(recipe: Path, tmp_path: Path) -> None:
    given = ("--recipe", recipe, "--seeds", "0", "--folder", tmp_path, "--json")
    done = lm("--part", "exploiters", *given)
    assert done.exit_code == 0, done.output
    part = json.loads(done.stdout)["parts"]["exploiters"]
    assert [found["key"] for found in part["exploited"]] == ["comal", "inpo", "self-play"]
    for found in part["exploited"]:
        assert set(found["trained"]) == {"trained exploiter (from itself)", "trained exploiter (from start)"}
        assert 0 <= found["worst_case"]["mean"] <= found["ceiling"]
    assert "Exploiters trained for the purpose" in (tmp_path / "results.md").read_text(encoding="utf-8")
    before = files(tmp_path)
    again = lm("--part", "exploiters", *given)
    assert again.stdout == done.stdout
    assert files(tmp_path) == before
    planned, marker = plan_part("exploiters", load_recipe(str(recipe), [])), tmp_path / "exploiters/seed0/certify.json"
    assert finished(tmp_path, planned, [0]) is not None
    write_json(marker, (written := read_json(marker)) | {"recipe": written["recipe"] | {"seed": 9}})
    assert finished(tmp_path, planned, [0]) is None, "another configuration's, which other parts' pages leave out"


@pytest.mark.slow
def test_every_part_of_a_recipe(recipe: Path, tmp_path: Path) -> None:
    done = lm("--recipe", recipe, "--seeds", "0,1", "--folder", tmp_path, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["parts"]
    assert list(found) == ["methods", "losses", "ablation", "exploiters", "held-out", "transitive"]
    assert "part sentences is left out" in done.stderr
    assert [table["judge"] for table in found["held-out"]["tables"]] == [
        "blunter committee", "lopsided committee", "one member",
    ]  # fmt: skip
    for part in found.values():
        for table in part["tables"]:
            assert table["seeds"] == [0, 1]
            for method in table["methods"]:
                assert len(method["worst_case"]["seeds"]) == 2


def test_parts_and_costs_are_listed_without_running_anything(recipe: Path, tmp_path: Path) -> None:
    folder = tmp_path / "nothing"
    outcome = lm("--part", "list", "--recipe", recipe, "--folder", folder)
    assert outcome.exit_code == 0
    assert [line.split()[0] for line in outcome.stdout.splitlines()[1:7]] == [
        "methods", "losses", "ablation", "exploiters", "held-out", "transitive",
    ]  # fmt: skip
    assert "part sentences is left out: supervised.data.source" in outcome.stderr
    detailed = lm("--part", "losses", "--dry-run", "--recipe", recipe, "--folder", folder).stdout
    assert "not run: SPPO" in detailed
    assert "COMAL: 4 steps, 192 judged pairs, 128 answers, in methods/core-seed*" in detailed
    assert not folder.exists()


@pytest.mark.parametrize(
    ("options", "seeds"),
    [([], [0, 1, 2]), (["--quick"], [0]), (["--quick", "--seeds", "0,1,2"], [0, 1, 2]), (["--seeds", "5"], [5])],
)
def test_seeds_that_are_named_are_taken(options: list[str], seeds: list[int], tmp_path: Path) -> None:
    outcome = lm("--part", "list", "--folder", tmp_path / "nothing", "--json", *options)
    assert outcome.exit_code == 0, outcome.output
    assert json.loads(outcome.stdout)["seeds"] == seeds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--part", "transitve"], "Did you mean `transitive`?"),
        (["--seeds", "0,x"], "--seeds: need different whole numbers"),
        (["--seeds", "1,1"], "--seeds: need different whole numbers"),
        (["--set", "steps=0"], "steps"),
        (["--set", "algorithm.name=inpo"], "needs a value"),
        (["--recipe", "docstring"], "Did you mean `docstrings`?"),
    ],
)
def test_bad_input(arguments: list[str], message: str, tmp_path: Path) -> None:
    refused(lm(*arguments, "--folder", tmp_path / "lm"), message)
    assert not (tmp_path / "lm").exists()


def test_a_folder_of_something_else_is_refused(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    refused(lm("--part", "transitive", "--recipe", recipe, "--folder", tmp_path / "file"), "this is a file")

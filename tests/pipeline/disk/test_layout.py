"""One place knows the files that a run leaves: what it reads is what it wrote, and nobody else spells their names."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import comal
import fake_run
from comal.errors import RunError
from comal.evaluation.exploitability.certificate import Certificate
from comal.judges.kept.cache import shared_cache_path
from comal.pipeline.data.prompts import Pair, PromptSplits
from comal.pipeline.disk.certification_folder import CertificationFolder
from comal.pipeline.disk.files import read_json, write_json, write_table
from comal.pipeline.disk.layout import HomeFolder, RunFolder
from comal.pipeline.disk.look import Final
from comal.pipeline.disk.method_folder import INITIAL, MethodFolder, StepFolder
from comal.pipeline.disk.result import RunResult
from comal.pipeline.disk.work_folder import FORMAT
from comal.policies.base import Prompt
from comal.recipes.load import load_recipe

PACKAGE = Path(comal.__file__).parent
DISK = PACKAGE / "pipeline" / "disk"
OWNERS = [DISK / "layout.py", *sorted(DISK.glob("*_folder.py"))]
LENT = PACKAGE / "judges" / "kept" / "cache.py"
SHIPPED = PACKAGE / "tasks" / "everyday.py"
"""Reads a file of the package's own, which is in no folder of a run."""
"""Names the two files that judges write outside of runs too; the owners import these names."""
SUFFIXES = (".json", ".jsonl", ".parquet", ".sqlite", ".html", ".md", ".csv", ".png", ".pt", ".log", ".lock")
OTHERS = {
    "config.json", "adapter_config.json", "tokenizer_config.json", "direct_url.json", "README.md", "testset-v1.json",
    "synthetic.png",
    "universal.png",
}  # fmt: skip
"""Files of other libraries, and the default of an option that names a single figure."""
PATH_CALLS = {"Path", "joinpath", "glob", "rglob", "with_name", "with_suffix", "with_stem"}
HELP = {"help", "show_default", "metavar", "epilog", "short_help"}


@dataclass(frozen=True)
class Literal:
    """A string in a syntax tree; what is filled in is `*`. `in_path`: it is joined to a path, or made one."""

    text: str
    line: int
    in_path: bool


def literals(tree: ast.AST) -> Iterator[Literal]:
    """All strings of the code but documentation, help texts and types."""
    documentation = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }

    def visit(node: ast.AST, in_path: bool) -> Iterator[Literal]:
        if id(node) in documentation:
            return
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str):
                yield Literal(node.value, node.lineno, in_path)
            return
        if isinstance(node, ast.JoinedStr):
            whole = "".join(str(v.value) if isinstance(v, ast.Constant) else "*" for v in node.values)
            yield Literal(whole, node.lineno, in_path)
            for value in node.values:
                if isinstance(value, ast.FormattedValue):
                    yield from visit(value.value, in_path=False)
            return
        if isinstance(node, ast.keyword) and node.arg in HELP:
            return
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            yield from visit(node.left, in_path=True)
            yield from visit(node.right, in_path=True)
            return
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield from visit(node.func, in_path=False)
            for argument in [*node.args, *node.keywords]:
                yield from visit(argument, in_path=name in PATH_CALLS)
            return
        for child in ast.iter_child_nodes(node):
            keeps = isinstance(node, ast.IfExp | ast.BoolOp | ast.Tuple | ast.List | ast.keyword)
            yield from visit(child, in_path=in_path and keeps)

    yield from visit(tree, in_path=False)


def constants_in_paths(tree: ast.AST) -> set[str]:
    """Names of the constants that are joined to paths, own and imported ones."""
    joined = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)]
    inside = [inner for node in joined for inner in ast.walk(node.right)]
    names = {node.id for node in inside if isinstance(node, ast.Name)}
    names |= {node.attr for node in inside if isinstance(node, ast.Attribute)}
    return {name for name in names if name.isupper()}


def owned() -> tuple[set[str], set[str]]:
    """Names of the artifacts: those of files (with `*` where a name is filled in), and those of folders."""
    found: set[str] = set()
    modules = [importlib.import_module(f"comal.pipeline.disk.{path.stem}") for path in OWNERS]
    classes = [value for module in modules for value in vars(module).values() if isinstance(value, type)]
    for path in OWNERS:
        tree = ast.parse(path.read_text())
        found |= {literal.text for literal in literals(tree) if literal.in_path}
        for name in constants_in_paths(tree):
            values = [getattr(owner, name) for owner in (*modules, *classes) if hasattr(owner, name)]
            found |= {value for value in values if isinstance(value, str)}
    parts = {part for text in found for part in text.split("/") if re.fullmatch(r"[\w.*@+-]+", part)}
    files = {
        p for p in parts if p.endswith(SUFFIXES) and p.strip("*")[0] != "[" and p not in {f"*{s}" for s in SUFFIXES}
    }
    folders = {p for p in parts - files if re.fullmatch(r"\.?[a-z-]+", p)}
    return files, folders


FILES, FOLDERS = owned()


def strays(tree: ast.AST) -> list[str]:
    """Artifacts that are named in a syntax tree."""
    found = []
    for literal in literals(tree):
        words = [word.rstrip(".") for word in re.findall(r"[\w.*@+-]+", literal.text)]
        named = [w for w in words if w not in OTHERS and any(fnmatchcase(w, name) for name in FILES)]
        if literal.in_path:
            named += [part for part in literal.text.split("/") if part in FOLDERS]
            named += [w for w in words if w.endswith(SUFFIXES) and w not in OTHERS]
        elif "/" in literal.text and not re.search(r"\s", literal.text):  # a pattern, to be joined to a path elsewhere
            named += [part for part in literal.text.split("/") if part in FOLDERS]
        found += [f"{literal.line}: {name}" for name in dict.fromkeys(named)]
    return found


def test_the_owners_name_what_a_run_leaves() -> None:
    assert {
        "run.json", "result.json", "provenance.json", "timing.json", "progress.json", "prompts.json", "pairs.json",
        "audit.json", "report.html", "verdicts.sqlite", "spend.sqlite", ".lock", "journal.jsonl", "final.json",
        "worker.log", "error.json", "samples.parquet", "targets.parquet", "trained.json", "optimizer.pt",
        "verdicts-*.parquet", "opponent-*.parquet", "certify.json", "policy.json", "certificate.json", "eval.json",
        "annotations.json", "leaderboard.csv", "matrix.csv", "results.json", "results.md", "whole.json", "batches.json",
    } <= FILES  # fmt: skip
    assert {
        "data", "supervised", ".supervised-trainer", "evaluation", "model", "certify", "steps", "looks", "certificates",
        "checkpoint", "trainer", "updates", "answers", "samples", "outputs", "images", "optimizer",
    } <= FOLDERS  # fmt: skip


@pytest.mark.parametrize(
    "planted",
    [
        'x = folder / "result.json"',
        'x = folder / name / f"verdicts-{number}.parquet"',
        'x = folder / "verdicts-0.parquet"',
        'x = folder.glob("*/steps/*")',
        'x = f"{folder}/run.json"',
        'x = folder / "steps" / checkpoint',
        'x = folder / "anything-else.parquet"',
        'for name in ("journal.jsonl", "x"): read(folder / name)',
        'x = ("supervised", "*/steps")',
        'raise RunError(folder, "there is no run here (run.json is missing)")',
        'x = path.with_name("spend.sqlite")',
        'x = Path("checkpoint")',
        'def f():\n    """A docstring."""\n    return [p for p in folder.iterdir() if p.name != ".lock"]',
        'x = folder / ("model" if done else "supervised")',
        'with filelock.FileLock(folder / ".lock", timeout=5): pass',
    ],
)
def test_a_planted_name_is_found(planted: str) -> None:
    assert strays(ast.parse(planted))


@pytest.mark.parametrize(
    "innocent",
    [
        '"""Writes result.json."""',
        'def f():\n    """Reads run.json."""',
        'x = typer.Option(help="Print result.json on stdout.", show_default="report.html in the run")',
        'x = recipe["supervised"]["model"], result["steps"], plain["samples"]',
        'progress.stage("supervised", 0)',
        'x = (folder / "config.json").is_file()',
        'x = 1 / total["answers"]',
        'x = "the evaluation/training split"',
    ],
)
def test_other_words_are_let_through(innocent: str) -> None:
    assert strays(ast.parse(innocent)) == []


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(PACKAGE.rglob("*.py")) if p not in [*OWNERS, LENT, SHIPPED]],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_no_other_module_names_an_artifact(path: Path) -> None:
    assert strays(ast.parse(path.read_text())) == []


def test_the_lent_names_are_spelled_once() -> None:
    found = strays(ast.parse(LENT.read_text()))
    assert sorted(name.partition(": ")[2] for name in found) == ["spend.sqlite", "verdicts.sqlite"]
    [shipped] = strays(ast.parse(SHIPPED.read_text()))
    assert SHIPPED.with_name(shipped.partition(": ")[2]).is_file()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    splits = PromptSplits(*((Prompt.of_text(f"{name} é"),) for name in ("train", "validation", "test")))
    run.write_prompts(splits)
    assert run.prompts() == splits
    pairs = [Pair(Prompt.of_text("q"), "a")]
    run.write_pairs(pairs)
    assert run.pairs() == pairs
    result = RunResult.from_json(fake_run.result() | {"examples": []}, "result.json")
    run.write_result(result)
    assert run.is_finished
    assert run.result() == result
    assert run.timing() == {}
    run.add_seconds("methods", 1.5)
    run.add_seconds("methods", 2.25)
    run.add_seconds("evaluation", 1.0)
    assert run.timing() == {"methods": 3.75, "evaluation": 1.0}


def test_prompts_that_are_not_there_yet(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="has not prepared its prompts yet"):
        HomeFolder(tmp_path).prompts()


def test_the_recipe_of_a_run(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    recipe = load_recipe("docstrings")
    write_json(run.marker, {"format": FORMAT, "comal": "0", "recipe": recipe.model_dump(mode="json")})
    assert run.recipe() == recipe
    assert run.start(recipe) == tmp_path / "supervised"
    with_model = recipe.model_copy(
        update={"supervised": None, "policy": recipe.policy.model_copy(update={"model": "m"})}
    )
    assert run.start(with_model) == "m"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "Expecting"),
        ("[]", "it is no JSON object"),
        ("{}", "`format` is missing"),
        ('{"recipe": {}}', "`format` is missing"),
        ('{"format": 1}', "`recipe` is missing"),
        ('{"format": 2, "comal": "9.1", "plan": {}}', "comal 9.1 wrote it in format 2"),
        ('{"format": 0, "recipe": {}}', "another comal wrote it in format 0"),
        ('{"format": "1", "recipe": {}}', "in format '1'"),
        ('{"format": 1, "recipe": {"name": 3}}', "its recipe is not one of this comal's: recipe."),
        ('{"format": 1, "comal": "0.1", "recipe": []}', "`recipe` is no JSON object"),
        (
            '{"format": 1, "comal": "0.1", "recipe": {"x": 1}}',
            "a recipe of comal 0.1 is not one of this comal's: recipe",
        ),
        (b'{"format": 1, "recipe": "\xff"}', "can't decode"),
    ],
)
def test_a_marker_of_another_version_is_a_users_error(tmp_path: Path, content: str | bytes, why: str) -> None:
    (tmp_path / "run.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunError, match=r"run\.json: this file of the run cannot be read") as raised:
        RunFolder(tmp_path).recipe()
    assert why in raised.value.problem
    assert raised.value.problem.endswith(("restore or remove it", "use the comal that wrote it, or another folder"))


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"there is no run here \(run\.json is missing\)"):
        RunFolder(tmp_path).recipe()
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="this is a file; give the folder of a run"):
        RunFolder(tmp_path / "file").recipe()
    with pytest.raises(RunError, match=r"there are no certificates here \(certify\.json is missing\)"):
        CertificationFolder(tmp_path).written()


def test_where_a_recipe_keeps_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    run = RunFolder(Path("runs/x"))
    assert run.verdicts("run") == run.verdicts() == Path("runs/x/verdicts.sqlite")
    assert run.verdicts("shared") == shared_cache_path()
    assert run.verdicts("~/my.sqlite") == tmp_path / "my.sqlite"
    assert run.spend == Path("runs/x/spend.sqlite")


def test_looks_and_the_final_checkpoint(tmp_path: Path) -> None:
    method = MethodFolder(tmp_path / "comal")
    assert method.looks() == []
    for steps in (120_000, 4, 20):
        look = {"step": steps, "checkpoint": "00003", "kl_start": 0.1, "mean_tokens": 5.0, "unfinished": 0.0}
        write_json(method.look(steps), fake_run.scores(0.6, 0.7, {"start": 0.4}) | look)
        method.look_samples(steps).touch()
    assert list(method.look_files()) == [4, 20, 120_000], "by number, whatever the length of the name"
    assert [look.step for look in method.looks()] == [4, 20, 120_000]
    assert not method.is_final
    method.write_final("00019", 20)
    assert method.is_final
    assert method.look_after(20) == method.looks()[1]
    assert method.final() == Final("00019", 20, (4, 20, 120_000))
    assert method.policy("00019", "start") == tmp_path / "comal" / "steps" / "00019" / "checkpoint"
    assert method.policy(INITIAL, "start") == "start"


def test_answers_and_verdicts_of_a_step(tmp_path: Path) -> None:
    step = StepFolder(tmp_path)
    assert step.all_samples() == []
    assert step.samples_of_update(0) == step.samples
    assert step.verdicts_of_update(0) == step.verdicts(0)
    for update in range(3):
        for path in (step.samples_of_update(update), step.verdicts_of_update(update)):
            write_table(path, {"x": [update]})
    assert sorted(p.relative_to(tmp_path).as_posix() for p in step.all_samples()) == [
        "samples.parquet", "updates/00001-samples.parquet", "updates/00002-samples.parquet",
    ]  # fmt: skip
    assert step.all_verdicts() == [step.verdicts(0)]
    write_table(step.opponent("reference"), {"x": [0]})
    assert step.judged_answers() == [step.opponent("reference"), step.samples]
    step.write_trained({"loss": 1.0})
    assert not step.is_trained, "the checkpoint is missing"
    step.checkpoint.mkdir()
    assert step.is_trained
    step.remove_updates()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint", "opponent-reference.parquet", "trained.json"]


def test_answers_to_audit(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.last_answers() == []
    assert run.step_samples() == []
    for path in (
        run.answers("start"), run.answers("comal"), run.answers("comal@4"), run.validation_answers,
        *(run.method(m).step(s).samples for m in ("inpo", "comal") for s in ("00001", "00000")),
    ):  # fmt: skip
        write_table(path, {"x": [0]})
    assert run.last_answers() == [run.answers("comal"), run.answers("start")]
    drawn = [path.relative_to(tmp_path).parts for path in run.step_samples()]
    assert [(parts[0], parts[2]) for parts in drawn] == [
        ("comal", "00000"), ("inpo", "00000"), ("comal", "00001"), ("inpo", "00001"),
    ]  # fmt: skip


def test_an_exploiters_name_leads_to_its_folder(tmp_path: Path) -> None:
    work = CertificationFolder(tmp_path)
    name = work.exploiter_name("comal@4", "policy")
    policy, start, folder = work.exploiter(name)
    assert (policy, start) == (work.policy("comal@4"), "policy")
    assert folder == policy.exploiter("policy")
    assert folder.path == tmp_path / name
    assert work.certified() == {}
    rate = fake_run.interval(0.56)
    found = {"name": "x", "kind": "another policy"} | rate
    plain = {"format": 1, "policy": "comal@4", "weights": "ab", "judge": {"name": "matrix"}, "prompts": 50, "seen": 0}
    plain |= {"worst_case": rate | {"adversaries": ["x", "x"]}, "ceiling": 0.6, "spread": 0.2, "adversaries": [found]}
    certificate = Certificate.from_json(plain | {"exploiters": []}, "certificate.json")
    policy.write_certificate(certificate)
    assert work.certified() == {"comal@4": policy}
    assert policy.certificate() == certificate
    assert read_json(policy.certificate_path) == certificate.to_json()

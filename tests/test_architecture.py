"""What a reader may rely on wherever he enters: no circles, no warehouses, one door to the plug-ins, short calls."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import grimp
import pytest

import comal

SOURCE = Path(comal.__file__).parent
MOST_FILES = 18
"""Of a folder; about a dozen is the aim."""
MOST_PARAMETERS = 8
DOORS = {"plugins.py", "resolve.py"}
"""Files that build plug-ins: a family and its inner members, and the one door to it."""

Imports = Mapping[str, Set[str]]


def imports_of(package: str) -> Imports:
    """Who imports whom, at the top of a module or within a function."""
    graph = grimp.build_graph(package, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def circle(imports: Imports) -> list[str]:
    """Some circle of imports, from a node back to it; empty where there is none."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def among_children(imports: Imports, package: str) -> Imports:
    """The imports among a package's own modules and folders, each folder taken as one."""
    depth = package.count(".") + 2
    within = {module for module in imports if module.startswith(f"{package}.")}
    children: dict[str, set[str]] = {}
    for module in within:
        child = ".".join(module.split(".")[:depth])
        used = {".".join(other.split(".")[:depth]) for other in imports[module] & within}
        children.setdefault(child, set()).update(used - {child})
    return children


def folder_circles(imports: Imports) -> dict[str, list[str]]:
    """For every package a circle among what lies in it, where there is one."""
    packages = {module.rpartition(".")[0] for module in imports if "." in module}
    found = {package: circle(among_children(imports, package)) for package in sorted(packages)}
    return {package: nodes for package, nodes in found.items() if nodes}


@pytest.fixture(scope="module")
def imports() -> Imports:
    return imports_of("comal")


def test_no_module_imports_itself_by_way_of_others(imports: Imports) -> None:
    assert len(imports) > 200, "the whole package is looked at"
    assert circle(imports) == []


def test_no_folder_imports_itself_by_way_of_others(imports: Imports) -> None:
    assert folder_circles(imports) == {}


@pytest.mark.parametrize("late", [False, True], ids=["at the top", "in a function"])
def test_a_planted_circle_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    """Folders `left` and `right` use each other, though none of their modules does."""
    name = f"planted_{late}".lower()
    modules = {"left.a": "right.a", "right.b": "left.b", "left.b": None, "right.a": None, "c": "d", "d": None}
    for folder in ("", "left", "right"):
        (tmp_path / name / folder).mkdir()
        (tmp_path / name / folder / "__init__.py").touch()
    for module, used in modules.items():
        line = "pass" if used is None else f"import {name}.{used}"
        path = tmp_path / name / f"{module.replace('.', '/')}.py"
        path.write_text(f"def f():\n    {line}\n" if late else f"{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = imports_of(name)
    assert circle(found) == []
    assert set(folder_circles(found)[name]) == {f"{name}.left", f"{name}.right"}
    with (tmp_path / name / "d.py").open("a") as file:
        file.write(f"import {name}.c\n")
    assert set(circle(imports_of(name))) == {f"{name}.c", f"{name}.d"}


def test_no_folder_is_a_warehouse() -> None:
    folders = {path.parent for path in SOURCE.rglob("*.py")}
    crowded = {str(f.relative_to(SOURCE)): n for f in folders if (n := len(list(f.glob("*.py")))) > MOST_FILES}
    assert crowded == {}


def trees() -> Iterator[tuple[str, ast.Module]]:
    """The package's syntax trees, by path."""
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def builders(tree: ast.Module) -> list[int]:
    """Lines that take `.build` of something."""
    return sorted(n.lineno for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr == "build")


def test_plug_ins_are_built_behind_one_door() -> None:
    found = {path: lines for path, tree in trees() if (lines := builders(tree))}
    assert found.keys() == DOORS, f"take what `comal.resolve` or a ResolvedRecipe gives: {found}"


def test_a_planted_build_is_found() -> None:
    planted = "judge = JUDGES.build(spec, 'judge')\nmake = plugins.LOSSES.build\nbuild(judge)\n"
    assert builders(ast.parse(planted)) == [1, 2]


def long_calls(tree: ast.Module) -> dict[str, int]:
    """Functions and constructors of more parameters than `MOST_PARAMETERS`, and how many; commands are not counted."""
    found = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_command(node):
            continue
        count = len(parameters(node)) + (node.args.vararg is not None) + (node.args.kwarg is not None)
        if count > MOST_PARAMETERS:
            found[node.name] = count
    return found


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.arg]:
    """Those that a caller gives."""
    named = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    return named[1:] if named and named[0].arg in ("self", "cls") else named


def is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether each of a function's parameters is an option or argument as typer declares them, or typer's context."""
    declared = [ast.unparse(p.annotation) if p.annotation is not None else "" for p in parameters(function)]
    given = [text for text in declared if text != "typer.Context"]
    return all("typer.Option(" in text or "typer.Argument(" in text for text in given)


def test_no_call_takes_more_than_eight_parameters() -> None:
    found = {path: calls for path, tree in trees() if (calls := long_calls(tree))}
    assert found == {}, "group what belongs together in a frozen dataclass"


def test_only_the_command_line_declares_options() -> None:
    """So the exemption of commands exempts nothing else."""
    outside = [
        path
        for path, tree in trees()
        if not path.startswith("cli/")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and parameters(node) and is_command(node)
    ]
    assert outside == []


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ("def f(a, b, c, d, e, f, g, h): ...", {}),
        ("def f(a, b, c, d, e, f, g, h, i): ...", {"f": 9}),
        ("def f(a, b, c, d, /, e, f, *, g, h, i): ...", {"f": 9}),
        ("def f(a, b, c, d, e, f, g, *h, **i): ...", {"f": 9}),
        ("class C:\n    def __init__(self, a, b, c, d, e, f, g, h): ...", {}),
        ("class C:\n    def __init__(self, a, b, c, d, e, f, g, h, i): ...", {"__init__": 9}),
        ("async def f(a, b, c, d, e, f, g, h, i): ...", {"f": 9}),
        (f"def f({', '.join(f'o{i}: Annotated[int, typer.Option()] = 0' for i in range(9))}): ...", {}),
        (f"def f({', '.join(f'o{i}: Annotated[int, typer.Option()] = 0' for i in range(9))}, k=0): ...", {"f": 10}),
    ],
)
def test_planted_parameters_are_counted(planted: str, found: dict[str, int]) -> None:
    assert long_calls(ast.parse(planted)) == found

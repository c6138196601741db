"""The documentation's examples work, and the site builds with every link right."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from comal.cli import app

ROOT = Path(__file__).parents[2]
GENERATED = {"commands.md", "losses.md"}
PAGES = [ROOT / "README.md", *sorted(p for p in (ROOT / "docs").glob("*.md") if p.name not in GENERATED)]


def blocks(page: Path, language: str) -> Iterator[str]:
    """The fenced blocks of one language."""
    return iter(re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))


def of(language: str) -> list[Any]:
    return [
        pytest.param(block, id=f"{page.stem}-{i}") for page in PAGES for i, block in enumerate(blocks(page, language))
    ]


def commands() -> list[str]:
    """Every `comal ...` of the console examples, without its comment."""
    lines = (line for page in PAGES for block in blocks(page, "console") for line in block.splitlines())
    return sorted({line.removeprefix("$ ") for line in lines if line.startswith("$ comal ")})


def modules_with_examples() -> list[str]:
    """The modules with `>>>` in a docstring."""
    sources = sorted((ROOT / "src").rglob("*.py"))
    found = (path for path in sources if re.search(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE))
    return [".".join(path.relative_to(ROOT / "src").with_suffix("").parts) for path in found]


def parse(line: str) -> None:
    """Let click parse a command line, without running the command.

    Raises:
        UsageError: of Typer's own click: no such command, option or argument.
    """
    command: Any = typer.main.get_command(app)
    words = shlex.split(line, comments=True)[1:]
    context = command.make_context("comal", words, resilient_parsing=False)
    while hasattr(command, "resolve_command"):
        # click keeps the sub-command's words apart from the rest
        words = [*getattr(context, "_protected_args", ()), *context.args]
        if not words and command.invoke_without_command:
            return
        name, command, words = command.resolve_command(context, words)
        context = command.make_context(name, words, parent=context)


@pytest.mark.parametrize("code", of("python"))
def test_python_examples_run(code: str, tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(code, encoding="utf-8")
    subprocess.run([sys.executable, "-W", "error", "example.py"], cwd=tmp_path, check=True, env=_environment())


@pytest.mark.parametrize("line", commands())
def test_console_examples_parse(line: str) -> None:
    parse(line)


@pytest.mark.parametrize("line", ["comal solv paper", "comal solve paper --gab 1", "comal solve", "comal cache sats"])
def test_a_wrong_example_would_be_found(line: str) -> None:
    with pytest.raises(Exception, match=r"No such|Missing") as caught:
        parse(line)
    assert "click" in type(caught.value).__module__


@pytest.mark.parametrize("text", of("yaml"))
def test_yaml_examples_are_settings(text: str) -> None:
    from comal.plugins import JUDGES
    from comal.recipes.settings import Recipe

    values = yaml.safe_load(text)
    if "steps" in values:
        Recipe.model_validate(values)
    if "judge" in values and ":" not in values["judge"]["name"]:
        JUDGES.build(values["judge"], "judge")


@pytest.mark.parametrize("module", modules_with_examples())
def test_docstring_examples_hold(module: str) -> None:
    results = doctest.testmod(importlib.import_module(module))
    assert results.attempted > 0
    assert results.failed == 0


needs_the_tools = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("mkdocs", "material", "mkdocstrings")),
    reason="the site's tools are not installed: pip install -c constraints.txt '.[docs]'",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=_environment() | {"NO_MKDOCS_2_WARNING": "1"},
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


@needs_the_tools
def test_the_site_builds_strictly(site: Path) -> None:
    fetched = r"<(?:script|img|link rel=\"stylesheet\")[^>]*(?:src|href)=\"https?://"
    for page in site.glob("*.html"):
        assert not re.search(fetched, page.read_text(encoding="utf-8")), f"{page.name} needs the network"


CLIPPED = (
    "[...document.querySelectorAll('pre > code')].filter(c => c.scrollWidth > c.clientWidth).map(c => c.innerText)"
)


@needs_the_tools
def test_no_code_is_clipped_at_1280_pixels(site: Path) -> None:
    chromium = pytest.importorskip("chromium", reason="Playwright is not installed: `pip install playwright`")
    if chromium.PATH is None:
        pytest.skip(chromium.WHY_NOT)
    with chromium.browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 1500})
        for file in sorted(site.glob("*.html")):
            page.goto(file.as_uri())
            assert page.evaluate(CLIPPED) == [], file.name


def _environment() -> dict[str, str]:
    return dict(os.environ) | {"PYTHONPATH": str(ROOT / "src")}

"""The shell of the project's web pages: one file that asks for nothing from elsewhere and runs one known script.

Prompts, answers and names are other people's text. Templates escape all of it; should that ever fail, the page's
content security policy still names the hashes of its one style sheet and its one script, so that no other script, no
event handler and no style in the page's body has any effect, and nothing is fetched or sent.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from comal.errors import RunError
from comal.evaluation.estimates import Estimate
from comal.pipeline.disk.files import atomic_path, write_failure
from comal.reports.html.plots.axes import ON_DARK, ON_LIGHT
from comal.reports.html.wording import duration, pct, span

_TEMPLATES = Path(__file__).parent / "templates"
HEAT_LEVELS = 12
"""Shades of a heat map's cells on either side of an even match."""
SHADE = 4.4
"""Per cent of colour a level adds; at the highest, letters of the page's colour still have a contrast of 4.5."""
_LIGHT = {"page": "#fdfdfb", "card": "#f3f3ef", "ink": "#1d1f21", "soft": "#5d6268", "edge": "#d9d9d2",
          "grid": "#e6e6e0", "link": "#00629b", "found": "#ffe48a"}  # fmt: skip
_DARK = {"page": "#17191b", "card": "#202326", "ink": "#e8e6e1", "soft": "#a4a9ae", "edge": "#3a3e42",
         "grid": "#2d3134", "link": "#7cc4f0", "found": "#6b5600"}  # fmt: skip


def render_page(template: str, toggles: Iterable[str] = (), **context: Any) -> str:
    """A page as text.

    Args:
        template: file name of a template that extends `page.html.j2`.
        toggles: names of CSS classes that checkboxes `show-<name>` of the page hide; never text from outside.
        context: the template's variables.
    """
    style = style_sheet(toggles)
    script = (_TEMPLATES / "page.js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; "
        "form-action 'none'"
    )
    return (
        _environment()
        .get_template(template)
        .render(
            policy=policy,
            style=Markup(style),
            script=Markup(script),
            **context,
        )
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "pct": pct,
        "span": _span,
        "duration": duration,
        "level": heat_level,
    }
    return environment


def write_page(path: Path, text: str) -> None:
    """Write a page, atomically.

    Raises:
        RunError: it cannot be written there.
    """
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(text.encode("utf-8", errors="replace"))  # a model can utter half a surrogate pair
    except RunError as error:
        reason = None if error.__cause__ is None else write_failure(error.__cause__)
        raise RunError(
            str(path), f"the page cannot be written here ({reason or error.problem}); choose another --output"
        ) from error


def style_sheet(toggles: Iterable[str] = ()) -> str:
    """`page.css`, the two palettes, the shades of heat maps, and the rules that make checkboxes hide lines."""
    light, dark = _variables(_LIGHT, ON_LIGHT), _variables(_DARK, ON_DARK)
    rules = [
        f":root {{ color-scheme: light dark; {light} }}",
        f"@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}",
        f":root:has(#theme-light:checked) {{ color-scheme: light; {light} }}",
        f":root:has(#theme-dark:checked) {{ color-scheme: dark; {dark} }}",
        f"@media print {{ :root, :root:has(#theme-dark:checked) {{ color-scheme: light; {light} }} }}",
        *(f".c{i} {{ --c: var(--c{i}); }} .b{i} {{ background: var(--c{i}); }}" for i in range(len(ON_LIGHT))),
        *(f".l{i} {{ --s: {SHADE * i:.1f}%; }}" for i in range(HEAT_LEVELS + 1)),
        *(f":root:has(#show-{name}:not(:checked)) .{name} {{ display: none; }}" for name in toggles),
    ]
    return "\n".join([*rules, (_TEMPLATES / "page.css").read_text(encoding="utf-8")])


def _span(estimate: Estimate) -> str:
    return span(estimate.low, estimate.high)


def heat_level(rate: float) -> int:
    """How strongly a win rate shades its cell, 0 (an even match) to `HEAT_LEVELS` (85% or 15% and beyond)."""
    return min(HEAT_LEVELS, round(abs(rate - 0.5) * HEAT_LEVELS / 0.35))


def _variables(named: dict[str, str], numbered: tuple[str, ...]) -> str:
    values = named | {f"c{i}": colour for i, colour in enumerate(numbered)}
    return " ".join(f"--{name}: {value};" for name, value in values.items())


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"

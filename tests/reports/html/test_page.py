"""The page is one file that runs one known script, whatever people write; and everybody can read it."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import itertools
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comal.errors import RunError
from comal.pipeline.disk.provenance import Machine, Session
from comal.pipeline.disk.result import RunResult
from comal.reports.html.page import _DARK, _LIGHT, HEAT_LEVELS, SHADE, heat_level, write_page
from comal.reports.html.plots.axes import ON_DARK, ON_LIGHT
from comal.reports.html.run_data import RunData, load_run
from comal.reports.html.run_report import render
from fake_run import SCRIPT, interval, result, write_run
from parsed_page import Element, parse

NASTY = [
    SCRIPT,
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "<!-- ",
    "]]>",
    "{{ 7 * 7 }} {% raw %}",
    "javascript:alert(1)",
    "&lt;b&gt; &amp; &#60;",
    "\u202eabc\u2066",
    "\ud800",
    "a\x00b\x1b[0m",
    "-->--!>",
    "\n\nleading lines",
]
TEXT = st.one_of(st.sampled_from(NASTY), st.text(max_size=30), st.builds("".join, st.lists(st.sampled_from(NASTY))))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    return load_run(write_run(tmp_path_factory.mktemp("page") / "run"))


@pytest.fixture(scope="module")
def tree(finished: RunData) -> Element:
    return parse(render(finished))


def hash_of(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_names_the_style_and_the_script_that_are_there_and_nothing_else(tree: Element) -> None:
    policy = tree.one("meta", http_equiv="Content-Security-Policy").attributes["content"] or ""
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": hash_of(tree.one("style").raw),
        "script-src": hash_of(the_script(tree).raw),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    head = [e.tag for e in tree.one("head").children if isinstance(e, Element)]
    assert head.index("style") > head.index("meta"), "a policy holds for what comes after it"


def the_script(tree: Element) -> Element:
    (script,) = [e for e in tree.all("script") if e.attributes.get("type") != "application/json"]
    return script


def test_nothing_is_asked_for_from_elsewhere(tree: Element, finished: RunData) -> None:
    assert not {"link", "img", "iframe", "object", "embed", "audio", "video", "base", "form"} & {
        e.tag for e in tree.walk()
    }
    for element in tree.walk():
        assert not {"src", "srcset", "action", "data", "style", "xlink:href"} & element.attributes.keys()
        assert not [name for name in element.attributes if name.startswith("on")]
        if "href" in element.attributes:
            assert (element.attributes["href"] or "").startswith("#")
    without_namespace = render(finished).replace('"http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?://|@import|url\(|import\(", without_namespace)


def test_the_script_makes_no_markup_of_text(tree: Element) -> None:
    script = the_script(tree).raw
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function|DOMParser", script)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompt=TEXT, answer=TEXT, other=TEXT, adversary=TEXT, name=TEXT, judge=TEXT, advice=TEXT)
def test_whatever_people_write_is_shown_as_text(
    finished: RunData, prompt: str, answer: str, other: str, adversary: str, name: str, judge: str, advice: str
) -> None:
    plain = _page(finished, ["a"] * 7)
    nasty = _page(finished, [prompt, answer, other, adversary, name, judge, advice])
    assert Counter(e.tag for e in nasty.walk()) == Counter(e.tag for e in plain.walk()) or not (
        answer.strip() and other.strip()
    ), "an empty answer is marked as such"
    assert {k for e in nasty.walk() for k in e.attributes} <= {k for e in plain.walk() for k in e.attributes}
    (article,) = nasty.all("article")
    shown = [p.raw for p in article.all("p", class_="text")]
    assert shown == [text if text.strip() else "(empty)" for text in (answer, other)]
    assert article.one("pre").raw.removeprefix("\n") == prompt
    assert the_script(nasty).raw == the_script(plain).raw
    for data in nasty.all("script", type="application/json"):
        json.loads(data.raw)
        assert not set("<>&") & set(data.raw)


def _page(run: RunData, texts: list[str]) -> Element:
    """A page of a finished run without steps, whose outside texts are these."""
    prompt, answer, other, adversary, name, judge, advice = texts
    changed: dict[str, Any] = result()
    changed["examples"] = [{"prompt": prompt, "answers": {"start": answer, "comal": other}}]
    changed["policies"]["comal"]["adversaries"] = {"start": interval(0.4), f"only {adversary}": interval(0.5)}
    changed["policies"]["comal"]["worst_case"]["adversaries"] = [f"only {adversary}", "start"]
    recipe = {**run.recipe, "name": name, "judge": {"name": judge, "model": advice}}
    recipe["evaluation"] = {"judge": None, "classes": None}
    methods = tuple(dataclasses.replace(m, steps=()) for m in run.methods)
    session = Session(command=name, machine=Machine(system=advice), libraries={judge: advice})
    found = RunResult.from_json(changed, "result.json")
    return parse(render(dataclasses.replace(run, result=found, recipe=recipe, methods=methods, sessions=(session,))))


def test_class_and_method_names_are_text_even_in_the_data_of_figures(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", evaluation={"judge": None, "classes": "nasty_classes:classify"})
    tree = parse(render(load_run(folder)))
    names = {line["name"] for s in tree.all("script", type="application/json") for line in json.loads(s.raw)}
    assert "</script><script>alert(1)</script>" in names
    assert len([e for e in tree.all("script") if e.attributes.get("type") != "application/json"]) == 1


def test_ids_are_unique_and_references_lead_somewhere(tree: Element) -> None:
    ids = Counter(e.attributes["id"] for e in tree.walk() if "id" in e.attributes)
    assert max(ids.values()) == 1
    for element in tree.walk():
        for name in ("aria-labelledby", "aria-describedby", "for", "data-figure", "data-copy"):
            assert set((element.attributes.get(name) or "").split()) <= ids.keys()
        if (element.attributes.get("href") or "").startswith("#"):
            assert (element.attributes["href"] or "")[1:] in ids


def test_headings_come_in_order(tree: Element) -> None:
    levels = [int(e.tag[1]) for e in tree.walk() if re.fullmatch(r"h[1-6]", e.tag)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_tables_figures_and_controls_say_what_they_are(tree: Element) -> None:
    assert len(tree.all("table")) > 8
    for table in tree.all("table"):
        assert all(cell.attributes.get("scope") in ("col", "row") for cell in table.all("th"))
        for row in table.one("tbody").all("tr"):
            assert row.one("th").attributes["scope"] == "row"
        assert len({len(row) for row in table.rows}) == 1
    for figure in tree.all("figure"):
        assert figure.one("figcaption").text
        drawing = figure.one("svg", role="img")
        title, description = (drawing.attributes["aria-labelledby"] or "").split()
        assert figure.one("title", id=title).text
        assert figure.one("desc", id=description).text
    for control in tree.all("input"):
        labelled = [label for label in tree.all("label") if label.attributes.get("for") == control.attributes["id"]]
        assert labelled or any(control in label.all("input") for label in tree.all("label"))
    assert tree.one("html").attributes["lang"] == "en"


def test_every_checkbox_hides_what_it_names(tree: Element) -> None:
    style = tree.one("style").raw
    boxes = [e.attributes["id"] or "" for e in tree.all("input", type="checkbox")]
    assert len(boxes) == 2 + 4  # methods and classes
    for box in boxes:
        key = box.removeprefix("show-")
        assert f":root:has(#{box}:not(:checked)) .{key} {{ display: none; }}" in style
        assert tree.all(class_=key)


def channels(colour: str) -> list[float]:
    return [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]


def contrast(one: list[float], two: list[float]) -> float:
    """WCAG 2.2's contrast ratio of two sRGB colours."""

    def luminance(colour: list[float]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    darker, lighter = sorted((luminance(one), luminance(two)))
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_of_black_and_white() -> None:
    assert contrast(channels("#000000"), channels("#ffffff")) == pytest.approx(21)  # WCAG's largest value


@pytest.mark.parametrize(("named", "numbered"), [(_LIGHT, ON_LIGHT), (_DARK, ON_DARK)], ids=["light", "dark"])
def test_all_letters_have_enough_contrast(named: dict[str, str], numbered: tuple[str, ...]) -> None:
    page, ink = channels(named["page"]), channels(named["ink"])
    for ground in (page, channels(named["card"])):
        assert contrast(ink, ground) >= 7
        assert contrast(channels(named["soft"]), ground) >= 4.5
    for colour in (named["link"], *numbered):  # names stand at the ends of their curves
        assert contrast(channels(colour), page) >= 4.5
    assert contrast(ink, channels(named["found"])) >= 4.5
    share = HEAT_LEVELS * SHADE / 100
    for colour in numbered[1:3]:  # color-mix in srgb, at the strongest shade
        mixed = [share * c + (1 - share) * p for c, p in zip(channels(colour), page, strict=True)]
        assert contrast(ink, mixed) >= 4.5


@given(st.floats(0, 1))
def test_shades_grow_with_the_distance_from_an_even_match(rate: float) -> None:
    assert heat_level(rate) in range(HEAT_LEVELS + 1)
    assert heat_level(rate) == heat_level(1 - rate) or abs(heat_level(rate) - heat_level(1 - rate)) == 1  # rounding
    assert heat_level(0.5) == 0
    assert heat_level(rate) <= heat_level(1 if rate > 0.5 else 0)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written here"):
        write_page(tmp_path / "file" / "page.html", "text")

"""The report in a real browser: nothing hostile runs, nothing is fetched, it fits a phone, and its script works."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from comal.evaluation.audit.audit import audit_counts
from comal.pipeline.disk.files import write_json
from comal.reports.html.compare_report import write_comparison
from comal.reports.html.page import _DARK, _LIGHT
from comal.reports.html.run_report import write_report
from fake_run import SCRIPT, result, write_run
from waiting import LIMIT, wait_until

chromium = pytest.importorskip("chromium", reason="Playwright is not installed: `pip install playwright`")
pytestmark = pytest.mark.skipif(chromium.PATH is None, reason=chromium.WHY_NOT)

ATTACKS = [
    SCRIPT,
    "</script><script>window.hacked = 1; alert(1)</script>",
    "</pre></style><img src=x onerror='window.hacked = 1'>",
    '"><svg onload="window.hacked = 1">',
    "<iframe srcdoc='<script>parent.hacked = 1</script>'></iframe>",
    "<a href='javascript:window.hacked = 1' autofocus onfocus='window.hacked = 1'>x</a>",
    "<meta http-equiv=refresh content='0;url=https://example.com/'>",
]
LONG = "unbroken" * 60


@dataclass
class Seen:
    """What a page did while it was shown."""

    dialogs: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with chromium.browser() as started:
        yield started


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run whose prompts, answers, classes, adversaries and names attack."""
    folder = tmp_path_factory.mktemp("hostile") / "run"
    write_run(folder, name=ATTACKS[2], evaluation={"judge": None, "classes": "nasty_classes:classify"})
    changed = result()
    changed["examples"] = [
        {"prompt": attack, "answers": {"start": attack + LONG, "comal": attack, "fixed": "fine words"}}
        for attack in ATTACKS
    ]
    changed["policies"]["comal"]["adversaries"][f"only {ATTACKS[3]}"] = changed["policies"]["comal"]["worst_case"]
    write_json(folder / "result.json", changed)
    wins = np.array([[0, 31, 9], [9, 0, 31], [31, 9, 0]])
    audit = dataclasses.replace(audit_counts(wins, ["a", "b", ATTACKS[1]], "counts"), advice=(ATTACKS[2],))
    write_json(folder / "audit.json", audit.to_json())
    estimate = {"mean": 0.5, "low": 0.4, "high": 0.6, "prompts": 50, "missing": 0}
    curve = [{"step": s} | estimate for s in (1, 2)]
    certificate = {
        "format": 1, "policy": "comal", "weights": "ab", "judge": {"name": ATTACKS[5]}, "prompts": 50, "seen": 0,
        "worst_case": estimate | {"adversaries": [ATTACKS[3], ATTACKS[3]]}, "ceiling": 0.6, "spread": 0.2,
        "adversaries": [{"name": ATTACKS[3], "kind": "another policy"} | estimate],
        "exploiters": [{"name": ATTACKS[1], "start": "policy", "picked": 2, "comparisons": 9, "curve": curve}],
    }  # fmt: skip
    write_json(folder / "certify" / "comal" / "certificate.json", certificate)
    return write_report(folder)


@pytest.fixture
def show(browser) -> Iterator:
    contexts = []

    def shown(path: Path, **options):
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options))
        contexts[-1].set_default_timeout(LIMIT * 1000)
        page, seen = contexts[-1].new_page(), Seen()
        page.on("dialog", lambda dialog: (seen.dialogs.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("console", lambda message: seen.errors.append(message.text) if message.type == "error" else None)
        page.goto(path.as_uri())
        return page, seen

    yield shown
    for context in contexts:
        context.close()


def test_attacks_show_as_text_and_nothing_runs_or_is_fetched(show, hostile: Path) -> None:
    page, seen = show(hostile)
    page.locator("#answers details").evaluate("e => e.open = true")
    shown = page.locator(".example pre").all_text_contents()
    assert shown == ATTACKS
    assert page.locator(".example pre").first.is_visible()
    assert page.locator(".example .text").nth(1).text_content() == SCRIPT
    assert page.evaluate("window.hacked") is None
    assert page.locator("img, iframe, a[href^=javascript]").count() == 0
    assert seen == Seen(requests=[hostile.as_uri()])


def test_the_policy_stops_what_should_ever_slip_through(show, hostile: Path) -> None:
    page, seen = show(hostile)
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.hacked = 1";
        document.body.append(script);
        const holder = document.createElement("div");
        holder.innerHTML = "<img src='https://example.com/x.png' onerror='window.hacked = 1'>"
            + "<p id=styled style='color: rgb(1, 2, 3)'>x</p><a id=trap href='javascript:window.hacked = 1'>x</a>";
        document.body.append(holder);
    }""")
    page.locator("#trap").click()

    def told() -> bool:
        return any("Content Security Policy" in error for error in seen.errors)

    page.wait_for_timeout(100)
    wait_until(lambda: page.wait_for_timeout(20) or told(), "the browser to say so")
    assert page.evaluate("window.hacked") is None
    assert page.locator("#styled").evaluate("e => getComputedStyle(e).color") != "rgb(1, 2, 3)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["finished", "comparison", "unfinished"])
def test_nothing_is_wider_than_a_phone(show, tmp_path: Path, hostile: Path, kind: str, scheme: str) -> None:
    path = hostile
    if kind == "unfinished":
        path = write_report(write_run(tmp_path / LONG[:80], steps=2, finished=False))
    if kind == "comparison":
        runs = [write_run(tmp_path / name) for name in ("one", LONG[:80])]
        path = write_comparison(runs, tmp_path / "comparison.html")
    page, _ = show(path, viewport={"width": 390, "height": 844}, color_scheme=scheme, is_mobile=True, has_touch=True)
    page.evaluate("for (const e of document.querySelectorAll('details')) e.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    outside = page.evaluate("""() => [...document.querySelectorAll('main *')].filter(e => {
        const box = e.getBoundingClientRect();
        return box.right > 391 && box.width && !e.closest('.scroll, pre, svg');
    }).map(e => e.outerHTML.slice(0, 80))""")
    assert outside == []
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_labels_of_figures_stay_inside_them(show, hostile: Path) -> None:
    page, _ = show(hostile)
    outside = page.evaluate("""() => [...document.querySelectorAll('figure > svg text')].filter(e => {
        const box = e.getBoundingClientRect(), frame = e.closest('figure').getBoundingClientRect();
        return box.width && (box.left < frame.left - 12 || box.right > frame.right + 12);
    }).map(e => e.textContent)""")
    assert [text for text in outside if not any(text.startswith(a[:3]) for a in ATTACKS)] == []


def background(page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))})"


def test_colours_follow_the_system_until_somebody_chooses(show, hostile: Path) -> None:
    light, _ = show(hostile, color_scheme="light")
    dark, _ = show(hostile, color_scheme="dark")
    assert (background(light), background(dark)) == (rgb(_LIGHT["page"]), rgb(_DARK["page"]))
    light.locator("#theme-dark").check()
    dark.locator("#theme-light").check()
    assert (background(light), background(dark)) == (rgb(_DARK["page"]), rgb(_LIGHT["page"]))
    light.reload()
    assert background(light) == rgb(_DARK["page"]), "the choice is remembered"
    light.emulate_media(media="print")
    assert background(light) == rgb(_LIGHT["page"]), "paper is white"


def test_the_whole_page_works_by_keyboard(show, hostile: Path) -> None:
    page, _ = show(hostile)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#theme-auto").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#theme-light").is_checked()
    page.locator("#show-m1").focus()
    page.keyboard.press("Space")
    assert not page.locator("#gap g.m1").is_visible()
    assert page.locator("#gap g.m2").is_visible()
    page.locator("#gap").focus()
    page.keyboard.press("End")
    pointer = page.locator("figure:has(#gap) .pointer")
    assert pointer.is_visible()
    assert "step 4" in pointer.inner_text()
    assert "fixed" in pointer.inner_text()
    assert "comal" not in pointer.inner_text(), "what is hidden is not named either"
    page.keyboard.press("Home")
    assert "step 2" in pointer.inner_text()
    page.keyboard.press("Escape")
    assert not pointer.is_visible()


def test_values_show_under_the_pointer(show, hostile: Path) -> None:
    page, _ = show(hostile)
    figure = page.locator("figure:has(#win-rate)")
    page.locator("#win-rate").hover(position={"x": 40, "y": 40})
    assert "step 2\ncomal 54.0% (52.0–56.0%)" in figure.locator(".pointer").inner_text().replace("\n\n", "\n")
    names = page.locator("figure:has(#shares-0) .pointer")
    page.locator("#shares-0").focus()
    page.keyboard.press("Home")
    assert "</script><script>alert(1)</script>" in names.inner_text()
    assert page.evaluate("window.hacked") is None


def test_search_finds_text_and_leaves_it_text(show, hostile: Path) -> None:
    page, seen = show(hostile)
    search = page.locator("#search")
    search.fill("<IFRAME srcdoc='<script>")
    visible = [e.text_content() for e in page.locator(".example pre").all() if e.is_visible()]
    assert visible == [ATTACKS[4]]
    assert page.locator("#answers output").inner_text() == f"1 of {len(ATTACKS)} prompts"
    assert page.evaluate("CSS.highlights.get('found').size") == 3, "the prompt and the two answers that repeat it"
    search.fill("example.com")
    assert page.locator(".example:visible").count() == 1, "also of those that were folded away"
    search.fill("no such words")
    assert page.locator(".example:visible").count() == 0
    search.fill("")
    assert page.locator(".example:visible").count() == 6, "what was folded is folded again"
    assert page.evaluate("CSS.highlights.size") == 0
    assert (seen.errors, seen.dialogs) == ([], [])


def test_without_a_script_everything_is_still_there(show, hostile: Path) -> None:
    page, _ = show(hostile, java_script_enabled=False)
    assert page.locator("#gap path.line").count() == 2
    assert page.locator(".example").count() == len(ATTACKS)
    assert not page.locator("#search").is_visible()
    page.locator("#theme-dark").check()
    page.locator("#show-m2").uncheck()
    assert not page.locator("#gap g.m2").is_visible()
    assert page.locator("#gap g.m1").is_visible()


def test_paper_has_what_the_screen_folds_away(show, tmp_path: Path) -> None:
    page, _ = show(write_report(write_run(tmp_path / "run")), viewport={"width": 718, "height": 1000})
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 718, "an A4 page less Chromium's margins"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#recipe").is_visible()
    assert not page.locator(".theme").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
    assert page.pdf().startswith(b"%PDF")

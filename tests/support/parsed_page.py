"""A web page as a tree, for tests: strict about nesting, with text as a browser would take it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset({"meta", "input"})


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    children: list[Element | str] = field(default_factory=list)

    def walk(self) -> Iterator[Element]:
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, tag: str | None = None, **attributes: str) -> list[Element]:
        """Elements below with a tag and attributes; `class_` looks for one class among several."""
        return [e for e in self.walk() if e is not self and tag in (None, e.tag) and e.has(**attributes)]

    def one(self, tag: str | None = None, **attributes: str) -> Element:
        (found,) = self.all(tag, **attributes)
        return found

    def has(self, class_: str | None = None, **attributes: str) -> bool:
        classes = (self.attributes.get("class") or "").split()
        return (class_ is None or class_ in classes) and all(
            self.attributes.get(name.replace("_", "-")) == value for name, value in attributes.items()
        )

    @property
    def raw(self) -> str:
        """The text below, as it is."""
        return "".join(c if isinstance(c, str) else c.raw for c in self.children)

    @property
    def text(self) -> str:
        """The text below in one line, without scripts and styles."""
        parts = [c if isinstance(c, str) else c.text for c in self.children]
        return "" if self.tag in ("script", "style") else re.sub(r"\s+", " ", " ".join(parts)).strip()

    @property
    def rows(self) -> list[list[str]]:
        """Texts of a table's cells."""
        return [[cell.text for cell in row.walk() if cell.tag in ("td", "th")] for row in self.all("tr")]


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, tag

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(text: str) -> Element:
    """The page's tree; fails on a tag that is closed without having been opened last."""
    builder = _Builder()
    builder.feed(text)
    builder.close()
    assert builder.open == [builder.root], [e.tag for e in builder.open]
    return builder.root

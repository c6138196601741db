"""Values that nobody means to write and somebody does: wrong types, huge numbers, texts that look like other things."""

from __future__ import annotations

import copy
import gzip
import itertools
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

TEXTS = (
    "", " ", "\n", "\0", "a\0b", "None", "NA", "null", "nan", "true", "no", "1e-8", "010", "1:30", "0b1", "2024-01-01",
    "-inf", "=", "~", "~nobody-of-that-name/x", ".", "..", "/", "//x", ".jsonl", "/dev/null", "a/b/c", ":", "a:", ":b",
    "json:dumps", "math:sqrt", "os:no", ".a:b", "task:", "task:docstrings?words=0", "task:docstrings?words=x", "\ufeff",
    "\u2028", "\x85", "é", "🙂", "\ud83d", "\udc00", "\u202eabc", "x" * 2000, "{{ prompt }}", "{% for %}", "[bold]",
    "[/]", "</think>", "<think>", "../x", "x" * 300, "%(x)s", "\\ud800", "a\nb", "-> x", "start",
    "a,b", '"', "'", "${x}", "%s", "-", "- a", "*a", "&a b", "!!python/object:os.system x",
    "<|im_end|>", "[{\"role\": \"user\", \"content\": \"x\"}]", "-1", "1_000", "0x10", "１２", "²",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 3, 7, 255, 1000, 10**6, 2**31, 2**63, 10**20, -(10**20), 10**400, 0.0, -0.0, 0.5, 1.0, 1.5, -0.5, 1e-8,
    1e-300, 5e-324, 1e16, 1e300, 1.7e308, float("nan"), float("inf"), float("-inf"),
)  # fmt: skip

texts = st.one_of(st.sampled_from(TEXTS), st.text(max_size=8))
numbers = st.one_of(st.sampled_from(NUMBERS), st.integers(-5, 20), st.floats())
scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=5,
)


def some_of(options: Sequence[T], most: int = 2) -> st.SearchStrategy[tuple[T, ...]]:
    """A few of the options or none; each number of them is as likely, and so is each of as many.

    Hypothesis' own lists repeat what they began with: most of a thousand may be empty.
    """
    return st.integers(0, most).flatmap(
        lambda count: st.sampled_from(list(itertools.permutations(options, count)) or [()])
    )


def mutated(plain: st.SearchStrategy[Any], more: Sequence[Any] = ()) -> st.SearchStrategy[Any]:
    """Plain values with a few changes or none, each somewhere in the tree.

    Args:
        plain: what is changed.
        more: values that are likely to be somewhere near right, put in as they are.
    """
    # Copies: a later change would otherwise change what the next case is given.
    near = st.sampled_from(more).map(copy.deepcopy) if more else st.nothing()
    odd = st.one_of(values, numbers, near)

    @st.composite
    def made(draw: st.DrawFn) -> Any:
        value = copy.deepcopy(draw(plain))
        for _ in range(draw(st.sampled_from((0, 0, 1, 1, 2, 3)))):
            value = _changed(draw, value, odd)
        return value

    return made()


def damaged(content: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes of a file, mostly whole, else in another encoding, compressed, torn, or with something foreign in them."""

    @st.composite
    def made(draw: st.DrawFn) -> bytes:
        data = draw(content)
        if draw(st.sampled_from((True,) * 7 + (False,))):
            return data
        place = draw(st.integers(0, len(data)))
        ways: list[Callable[[], bytes]] = [
            lambda: b"\xef\xbb\xbf" + data,
            lambda: data.decode("utf-8", "replace").encode("utf-16"),
            lambda: data.decode("utf-8", "replace").encode("utf-16-le"),
            lambda: data.decode("utf-8", "replace").encode("utf-32"),
            lambda: data.decode("utf-8", "replace").encode("latin-1", "replace"),
            lambda: gzip.compress(data, mtime=0),
            lambda: data[:place],
            lambda: data[:place] + draw(st.binary(max_size=4)) + data[place:],
            lambda: data[:place] + draw(texts).encode("utf-8", "surrogatepass") + data[place + 3 :],
            lambda: data.replace(b"\n", b"\r"),
            lambda: data + data,
            lambda: b"version https://git-lfs.github.com/spec/v1\n" + data,
            lambda: b"",
            lambda: b"[" * 3000,
        ]
        return draw(st.sampled_from(ways))()

    return made()


def _changed(draw: st.DrawFn, value: Any, odd: st.SearchStrategy[Any]) -> Any:
    path = draw(st.sampled_from(list(_paths(value, ()))))
    if not path:
        return draw(odd) if draw(st.sampled_from((False,) * 20 + (True,))) else value
    parent = value
    for part in path[:-1]:
        parent = parent[part]
    key = path[-1]
    how = draw(
        st.sampled_from(("replace", "replace", "near", "near", "delete", "rename", "add", "move", "wrap", "text"))
    )
    if how == "replace":
        parent[key] = draw(odd)
    elif how == "near":
        parent[key] = _near(draw, parent[key], odd)
    elif how == "delete":
        del parent[key]
    elif how == "rename" and isinstance(parent, dict):
        parent[draw(st.one_of(st.just(f"{key}s"), st.just(str(key)[:-1]), texts))] = parent.pop(key)
    elif how == "add" and isinstance(parent, dict):
        parent[draw(st.one_of(st.just(f"{key}x"), scalars.filter(lambda k: k == k)))] = draw(odd)
    elif how == "move":
        other = draw(st.sampled_from(list(_paths(value, ()))))
        found = value
        for part in other:
            found = found[part]
        parent[key] = copy.deepcopy(found)
    elif how == "wrap":
        parent[key] = draw(st.sampled_from(([parent[key]], {"name": parent[key]}, [parent[key], parent[key]], {})))
    elif how == "text":
        parent[key] = str(parent[key])
    return value


def _near(draw: st.DrawFn, old: Any, odd: st.SearchStrategy[Any]) -> Any:
    """Something of the same type."""
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        return draw(
            st.one_of(
                st.integers(-1, 12),
                st.sampled_from((old + 1, old - 1, -old, old / 2 if abs(old) < 10**300 else 0.5, 10**9, 10**30)),
            )
        )
    if isinstance(old, float):
        return draw(st.one_of(st.sampled_from((0.0, -old, old * 1e6, 1 / 3, 1, 1e-320)), st.floats()))
    if isinstance(old, str):
        at = draw(st.integers(0, len(old)))
        return old[:at] + draw(texts) + old[at + draw(st.integers(0, 2)) :]
    if isinstance(old, list):
        return draw(st.sampled_from((old * 2, old[1:], old[::-1], [])))
    return draw(odd)


def _paths(value: Any, above: tuple[Any, ...]) -> Any:
    yield above
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _paths(inner, (*above, key))

r"""The embedded task: write the docstring of a Python function or class.

The main job must run where there is no model, no network and no data set, so the data is what every Python
carries: its own standard library. It is parsed, never imported, and nothing is shipped or downloaded.

    prompt   ``def capwords(s, sep):\n return (sep or``    the head and the beginning of the body, cut to a budget
    answer   ``Capitalize the words ...``                 the opening of the docstring's first sentence, or all of
                                                          a short one

What somebody documented is for the supervised stage; what nobody did, for which the tool exists, are the prompts of
alignment, validation and test. Answers are openings because two CPU cores are the budget: what the reviewers judge is
decided by the first words, and an answer's length is what a step costs.

The data depends on the running Python's version, not on the machine: files and functions are taken in sorted
order, and a prompt's split is decided by a hash of the function's *name*, so it stays there whatever else is
added or removed. A name that is held out for validation or test occurs in no other split, with or without a
docstring; prompts are unique altogether.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import os
import random
import re
import sysconfig
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

Split = Literal["supervised", "alignment", "validation", "test"]

HELD_OUT: Final[Mapping[Split, float]] = {"validation": 0.08, "test": 0.12}
"""Shares of function *names* held out; the shares of prompts are close to these."""

PROMPT_CHARS: Final = 28
"""Longest prompt. Every sample of a prompt pays for it again, and a tiny model reads little more than the
name."""

ANSWER_WORDS: Final = 4
"""Longest answer. Longer first sentences are cut and end in an ellipsis: an answer's length is the cost of
a step, and its noise."""

_SKIPPED_FOLDERS: Final = frozenset(
    {
        "site-packages",
        "dist-packages",
        "test",
        "tests",
        "idlelib",
        "lib2to3",
        "turtledemo",
        "__pycache__",
        "ensurepip",
    }
)
_SENTENCE_END: Final = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\betc)[.](?=\s|$)")
_READABLE: Final = re.compile(r"[A-Za-z][A-Za-z'-]*[,:]?( \S+)+")


@dataclass(frozen=True, slots=True)
class Example:
    """One function: what is asked, what its author wrote, and where."""

    prompt: str
    answer: str
    """The author's sentence; empty outside the supervised split, whose functions alone have one."""
    name: str
    source: str
    """File, relative to the standard library, e.g. ``asyncio/queues.py``."""
    split: Split


def harvest(
    *, root: Path | None = None, prompt_chars: int = PROMPT_CHARS, answer_words: int = ANSWER_WORDS
) -> list[Example]:
    """All usable functions of the Python library under `root`, the running one by default, shuffled.

    Shuffled because neighbours in a file resemble each other, and a sorted prefix would be a biased sample;
    the order is the same on every machine with the same library.
    """
    library = Path(sysconfig.get_path("stdlib")) if root is None else root
    examples = sorted(
        {
            replace(found, answer=opening(found.answer, answer_words)) if found.answer else found
            for found in _whole_examples(library, prompt_chars)
        },
        key=lambda example: (example.source, example.name, example.prompt, example.answer),
    )
    random.Random(0).shuffle(examples)
    return _without_repeats(examples)


def of_split(examples: Sequence[Example], split: Split) -> list[Example]:
    """The examples of one split, in their given order."""
    return [example for example in examples if example.split == split]


def held_out(name: str) -> Split | None:
    """The split that every function called `name` is held out for, if any: its hash against cumulated shares.

    A hash rather than a seeded draw: the answer does not depend on which other functions a Python version
    has.
    """
    position = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) / 2**64
    for split, share in HELD_OUT.items():
        if position < share:
            return split
        position -= share
    return None


def first_sentence(docstring: str) -> str:
    r"""The first sentence on one line, ended by a full stop; empty if it does not begin as prose.

    >>> first_sentence("Return a copy.\n\nMore text.")
    'Return a copy.'
    >>> first_sentence(">>> f(1)")
    ''
    """
    paragraph = " ".join(inspect.cleandoc(docstring).split("\n\n", 1)[0].split())
    sentence = _SENTENCE_END.split(paragraph, maxsplit=1)[0].rstrip(" .:;,-")
    return f"{sentence}." if _READABLE.fullmatch(sentence) and sentence.isascii() and "=" not in sentence else ""


def opening(sentence: str, words: int) -> str:
    """The sentence if it has at most `words` words, else so many and an ellipsis: an end is always written.

    >>> opening("Return a list of all the names.", 4)
    'Return a list of ...'
    """
    split = sentence.split()
    return sentence if len(split) <= words else " ".join([*split[:words], "..."])


Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def prompt_of(definition: Definition, prompt_chars: int = PROMPT_CHARS) -> str:
    """The head of a function or class and what fits of its first statement.

    Annotations, defaults, `self` and the docstring are left out.
    """
    if isinstance(definition, ast.ClassDef):
        head = f"class {definition.name}({', '.join(ast.unparse(base) for base in definition.bases)})"
    else:
        arguments = definition.args
        named = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        starred = [f"*{arguments.vararg.arg}"] if arguments.vararg else []
        starred += [f"**{arguments.kwarg.arg}"] if arguments.kwarg else []
        shown = [*(name for name in named if name not in ("self", "cls")), *starred]
        head = f"def {definition.name}({', '.join(shown)})"
    body = definition.body if ast.get_docstring(definition) is None else definition.body[1:]
    room = len(head) + len(":\n ") < prompt_chars
    first = f"\n {ast.unparse(body[0])}" if body and room else ""
    return f"{head}:{first}"[:prompt_chars].rstrip()


def _sources(library: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(library):
        folders[:] = [name for name in folders if name not in _SKIPPED_FOLDERS]
        yield from (Path(folder, name) for name in files if name.endswith(".py"))


@functools.lru_cache(maxsize=1)
def _whole_examples(library: Path, prompt_chars: int) -> tuple[Example, ...]:
    """With whole sentences as answers; kept, for the tasks made of one library are read one after another."""
    return tuple(found for path in _sources(library) for found in _examples_in(path, library, prompt_chars))


def _examples_in(path: Path, library: Path, prompt_chars: int) -> Iterator[Example]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in others' files are no concern of our users
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):  # templates and broken samples exist in some distributions
            return
    source = path.relative_to(library).as_posix()
    for node in _definitions_in(tree):
        docstring, split = ast.get_docstring(node), held_out(node.name)
        if docstring is None:
            yield Example(prompt_of(node, prompt_chars), "", node.name, source, split or "alignment")
        elif split is None:
            answer = first_sentence(docstring)
            if answer:
                yield Example(prompt_of(node, prompt_chars), answer, node.name, source, "supervised")


def _definitions_in(tree: ast.AST) -> Iterator[Definition]:
    """All of them, in no order that matters; expressions, most of a tree's nodes, hold none and are not walked."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Definition):
            yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(node, field, ())


def _without_repeats(examples: Sequence[Example]) -> list[Example]:
    """The first example of each prompt and of each answer, documented functions first.

    Boilerplate ("Internal function.") would otherwise teach a tiny model one sentence.
    """
    prompts: set[str] = set()
    answers: set[str] = set()
    kept: set[Example] = set()
    for example in sorted(examples, key=lambda example: example.answer == ""):
        answer = example.answer.casefold()
        if example.prompt not in prompts and answer not in answers:
            prompts.add(example.prompt)
            if answer:
                answers.add(answer)
            kept.add(example)
    return [example for example in examples if example in kept]

"""The embedded task: write the docstring of a Python function.

The main job must run where there is no model, no network and no data set, so the data is what every Python carries: its own
standard library, about 6,000 documented functions under sysconfig's `stdlib` path. They are parsed, never imported, and nothing is
shipped or downloaded. A pair is

    prompt   ``def capwords(s, sep):\\n    return``   the function's head and the beginning of its body, cut to a budget
    answer   ``Capitalize the words of a string.``    the docstring's first sentence, ending in a full stop

Only short, whole first sentences are kept, rather than longer ones cut off: answers should read like docstrings, and an answer's
length is what a step of alignment costs.

The corpus depends on the running Python's version, not on the machine: files and functions are taken in sorted order and splits are
decided by a hash of the function's *name*, so a pair stays in its split whatever else is added or removed. Prompts, names and answers
are each unique to one split; nothing a policy is tested on has been trained on under another disguise.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import random
import re
import sysconfig
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Split = Literal["supervised", "alignment", "validation", "test"]

SPLITS: Final[Mapping[Split, float]] = {
    "supervised": 0.45,
    "alignment": 0.35,
    "validation": 0.08,
    "test": 0.12,
}
"""Shares of function *names*; the shares of pairs are close to these."""

PROMPT_CHARS: Final = 56
"""Longest prompt. Longer ones cost every sample of a prompt again, and a tiny model reads little more than the name."""

ANSWER_CHARS: Final = 48
"""Longest answer: whole sentences of about 12 tokens. Longer first sentences are left out, not cut."""

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
    """One documented function: what is asked, what its author wrote, and where."""

    prompt: str
    answer: str
    name: str
    source: str
    """File, relative to the standard library, e.g. ``asyncio/queues.py``."""
    split: Split


def harvest(
    max_examples: int | None = None,
    *,
    root: Path | None = None,
    prompt_chars: int = PROMPT_CHARS,
    answer_chars: int = ANSWER_CHARS,
    seed: int = 0,
) -> list[Example]:
    """All usable pairs of the Python library under `root` (the running Python's by default), shuffled by `seed`.

    Shuffled because neighbours in a file resemble each other, and a sorted prefix would be a biased sample; the order is the same on every
    machine with the same library. `max_examples` keeps the first so many of that order.
    """
    library = Path(sysconfig.get_path("stdlib")) if root is None else root
    pairs = sorted(
        {pair for path in _sources(library) for pair in _pairs_in(path, library, prompt_chars, answer_chars)},
        key=lambda pair: (pair.source, pair.name, pair.prompt, pair.answer),
    )
    random.Random(seed).shuffle(pairs)
    unique = _without_repeats(pairs)
    return unique if max_examples is None else unique[:max_examples]


def of_split(examples: Sequence[Example], split: Split) -> list[Example]:
    """The examples of one split, in their given order."""
    return [example for example in examples if example.split == split]


def split_of(name: str) -> Split:
    """The split in which every function called `name` lies: its hash as a number in [0, 1), against the cumulated shares."""
    position = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) / 2**64
    for split, share in SPLITS.items():
        if position < share:
            return split
        position -= share
    return "test"  # only by rounding of the shares' sum


def first_sentence(docstring: str) -> str:
    """The docstring's first sentence on one line, ended by a full stop; empty if it does not begin as prose.

    >>> first_sentence("Return a copy.\\n\\nMore text.")
    'Return a copy.'
    >>> first_sentence(">>> f(1)")
    ''
    """
    paragraph = " ".join(inspect.cleandoc(docstring).split("\n\n", 1)[0].split())
    sentence = _SENTENCE_END.split(paragraph, maxsplit=1)[0].rstrip(" .:;,-")
    return f"{sentence}." if _READABLE.fullmatch(sentence) and sentence.isascii() else ""


def prompt_of(function: ast.FunctionDef | ast.AsyncFunctionDef, prompt_chars: int = PROMPT_CHARS) -> str:
    """The function's head, without annotations and defaults, and what fits of its body, without the docstring."""
    arguments = function.args
    named = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    starred = [f"*{arguments.vararg.arg}"] if arguments.vararg else []
    starred += [f"**{arguments.kwarg.arg}"] if arguments.kwarg else []
    head = f"def {function.name}({', '.join([*(name for name in named if name not in ('self', 'cls')), *starred])}):"
    body = "".join(f"\n {ast.unparse(statement)}" for statement in function.body[1:2])
    return (head + body)[:prompt_chars].rstrip()


def _sources(library: Path) -> list[Path]:
    return sorted(
        path for path in library.rglob("*.py") if _SKIPPED_FOLDERS.isdisjoint(path.relative_to(library).parts)
    )


def _pairs_in(path: Path, library: Path, prompt_chars: int, answer_chars: int) -> Iterator[Example]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in others' files are no concern of our users
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):  # templates and broken samples exist in some distributions
            return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            answer = first_sentence(ast.get_docstring(node) or "")
            if answer and len(answer) <= answer_chars:
                source = path.relative_to(library).as_posix()
                yield Example(prompt_of(node, prompt_chars), answer, node.name, source, split_of(node.name))


def _without_repeats(examples: Sequence[Example]) -> list[Example]:
    """The first example of each prompt and of each answer.

    Boilerplate ("Internal function.") would otherwise teach a tiny model one sentence, and let a test answer be seen in training.
    """
    prompts: set[str] = set()
    answers: set[str] = set()
    kept = []
    for example in examples:
        answer = example.answer.casefold()
        if example.prompt not in prompts and answer not in answers:
            prompts.add(example.prompt)
            answers.add(answer)
            kept.append(example)
    return kept

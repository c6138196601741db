"""Everyday instructions for a chat model, made by a small generator: topics × tasks × forms.

    topic    packing a suitcase
    task     advice
    form     Give me some advice on {topic}.

No text of anybody's is in it, so it can be shipped, and it needs no download. Every task is one that people answer in a
sentence, as a list, or in prose, whichever they like better, which is what the readers of the recipe `chat` differ in:
a question that has only one kind of answer would say nothing about an alignment method.

A *topic* is in one split only, with all its tasks and forms: what a policy learned about one is of no use in another.

The kind of an answer is told by what survives a limit of forty tokens, which cuts nearly every answer of a small chat
model:

    list     some line begins as an item does: a bullet, or a number of one or two digits with a full stop or bracket
    brief    no list, and its first sentence has at most `BRIEF_WORDS` words: it comes to the point
    prose    any other
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Literal

Split = Literal["train", "validation", "test"]
Kind = Literal["list", "brief", "prose"]

HELD_OUT: Final[Mapping[Split, int]] = {"validation": 10, "test": 14}
"""How many topics are held out for each."""

BRIEF_WORDS: Final = 12
"""Most words of a brief answer's first sentence."""

LIST: Final = r"(?m)^\s*([-*•]|\d{1,2}[.)])\s+\S"
"""A line that is an item of a list."""
BRIEF: Final = rf"(?m)\A(?![\s\S]*^\s*([-*•]|\d{{1,2}}[.)])\s+\S)\S+(\s+\S+){{0,{BRIEF_WORDS - 1}}}(?<=[.!?])(\s|\Z)"
"""A first sentence of at most `BRIEF_WORDS` words, in an answer without such a line."""

TOPICS: Final = (
    "airing a damp flat",
    "babysitting a toddler",
    "baking bread",
    "brewing good coffee",
    "buying a used car",
    "caring for an old cat",
    "choosing a birthday present",
    "cleaning a small kitchen",
    "cooking rice",
    "cutting down on sugar",
    "drinking more water",
    "dyeing a shirt",
    "eating more vegetables",
    "falling asleep at night",
    "fixing a flat bicycle tyre",
    "getting rid of ants",
    "giving a short speech",
    "going to the gym",
    "growing tomatoes on a balcony",
    "hiking in the rain",
    "hosting a dinner",
    "joining a choir",
    "keeping a diary",
    "keeping houseplants alive",
    "knitting a scarf",
    "learning a new language",
    "learning the guitar",
    "learning to swim",
    "making a good omelette",
    "making new friends",
    "meeting the neighbours",
    "moving to another city",
    "organising a picnic",
    "packing a suitcase",
    "painting a room",
    "planning a family trip",
    "playing chess",
    "preparing for a job interview",
    "quitting a bad habit",
    "reading more books",
    "recycling at home",
    "removing a coffee stain",
    "riding a bicycle to work",
    "running a first race",
    "saving money on groceries",
    "sewing on a button",
    "sharing a flat",
    "sorting old photos",
    "staying calm in traffic",
    "storing winter clothes",
    "studying for an exam",
    "taking better photographs",
    "teaching a child to read",
    "training a puppy",
    "travelling by train",
    "waking up early",
    "walking a big dog",
    "working from home",
    "writing a cover letter",
    "writing a thank-you note",
)

TASKS: Final[Mapping[str, tuple[str, ...]]] = {
    "advice": ("Give me some advice on {topic}.", "What is your advice on {topic}?"),
    "tips": ("Tips for {topic}?", "Share some tips for {topic}."),
    "help": ("I need help with {topic}. What do you suggest?", "Can you help me with {topic}?"),
    "plan": ("Make a short plan for {topic}.", "How would you plan {topic}?"),
    "mistakes": ("What mistakes should I avoid when {topic}?", "What goes wrong when people are {topic}?"),
    "needs": ("What do I need for {topic}?", "What should I have ready for {topic}?"),
    "basics": ("What should I know about {topic}?", "Teach me the basics of {topic}."),
    "ideas": ("Any ideas for {topic}?", "Give me ideas for {topic}."),
}
"""Forms of every task."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction and where it comes from."""

    prompt: str
    topic: str
    task: str
    split: Split


def instructions() -> list[Instruction]:
    """All of them, topic by topic."""
    return [
        Instruction(form.format(topic=topic), topic, task, split_of(topic))
        for topic in TOPICS
        for task, forms in TASKS.items()
        for form in forms
    ]


def split_of(topic: str) -> Split:
    """The split of one of `TOPICS`: by the rank of its hash, so that no order of the list decides."""
    rank = sorted(TOPICS, key=_hash).index(topic)
    for split, count in HELD_OUT.items():
        if rank < count:
            return split
        rank -= count
    return "train"


def _hash(topic: str) -> bytes:
    return blake2b(topic.encode(), digest_size=8).digest()


def kind_of(answer: str) -> Kind:
    """The kind of an answer; see the module's docstring for the rule.

    >>> [kind_of(text) for text in ("1. Fold the shirts.", "Fold the shirts.", "")]
    ['list', 'brief', 'prose']
    """
    text = answer.strip()
    if _LIST.search(text):
        return "list"
    return "brief" if _BRIEF.search(text) else "prose"


_LIST: Final = re.compile(LIST)
_BRIEF: Final = re.compile(BRIEF)

"""Everyday instructions for a chat model, made by a small generator: topics × tasks × forms.

    topic    packing a suitcase
    task     advice
    form     Give me some advice on {topic}.

No text of anybody's is in it, so it can be shipped, and it needs no download. Every task is one that people answer in a
sentence, as a list, or in prose, whichever they like better, which is what the readers of the recipe `chat` differ in:
a question that has only one kind of answer would say nothing about an alignment method.

A *topic* is in one split only, with all its tasks and forms: what a policy learned about one is of no use in another.

The kind of an answer is told by how it is written, whatever it says:

    nothing  fewer than `FEWEST_WORDS` words, of whatever sort
    list     some line begins as an item does: a bullet, or a number of one or two digits with a full stop or bracket
    brief    no list, and at most `BRIEF_WORDS` words in all
    prose    any other

The split `supervised` has answers too. They are what SmolLM2-135M-Instruct (Apache-2.0) itself said of the topics of
the training prompts when asked for one kind or another, made whole short answers by a rule: the source repository's
`benchmarks/chat_answers.py` makes the file anew.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from importlib import resources
from typing import Final, Literal

Split = Literal["train", "validation", "test", "supervised"]
Kind = Literal["nothing", "list", "brief", "prose"]

HELD_OUT: Final[Mapping[Split, int]] = {"validation": 10, "test": 30}
"""How many topics are held out for each."""

BRIEF_WORDS: Final = 14
"""Most words of a brief answer."""

FEWEST_WORDS: Final = 3
"""Fewest words that say anything."""

SAID: Final = rf"\S+(\s+\S+){{{FEWEST_WORDS - 1}}}"
"""At least `FEWEST_WORDS` words."""
LIST: Final = r"(?m)^\s*([-*•]|\d{1,2}[.)])\s+\S"
"""A line that is an item of a list."""
BRIEF: Final = rf"(?m)\A(?![\s\S]*^\s*([-*•]|\d{{1,2}}[.)])\s+\S)\S+(\s+\S+){{0,{BRIEF_WORDS - 1}}}\Z"
"""At most `BRIEF_WORDS` words, and no such line."""

TOPICS: Final = (
    "airing a damp flat",
    "arranging flowers",
    "babysitting a toddler",
    "baking bread",
    "bathing a nervous dog",
    "becoming a better listener",
    "beginning to meditate",
    "bicycling with children",
    "boiling eggs",
    "brewing good coffee",
    "building a snowman",
    "buying a used car",
    "buying fresh fish",
    "calming a crying baby",
    "camping with friends",
    "caring for an old cat",
    "carving a pumpkin",
    "catching an early flight",
    "celebrating a small success",
    "changing a light bulb",
    "choosing a birthday present",
    "choosing a mattress",
    "cleaning a small kitchen",
    "cleaning windows",
    "climbing a long staircase",
    "collecting stamps",
    "comforting a sad friend",
    "cooking for one",
    "cooking rice",
    "crossing a busy road",
    "cutting down on sugar",
    "cutting onions",
    "dancing at a wedding",
    "decorating a tiny room",
    "defrosting a freezer",
    "descaling a kettle",
    "dividing chores fairly",
    "doing the laundry",
    "drawing a portrait",
    "dressing for cold weather",
    "drinking more water",
    "drying herbs",
    "dyeing a shirt",
    "eating more vegetables",
    "entertaining visitors",
    "exercising at home",
    "falling asleep at night",
    "feeding birds in winter",
    "finding a lost key",
    "finding a new hobby",
    "fixing a flat bicycle tyre",
    "folding fitted sheets",
    "following a recipe",
    "freezing leftovers",
    "getting over a cold",
    "getting rid of ants",
    "getting to know a city",
    "giving a short speech",
    "going to the gym",
    "greeting new colleagues",
    "growing basil indoors",
    "growing tomatoes on a balcony",
    "handling a complaint",
    "hanging a picture",
    "hemming trousers",
    "hiking in the rain",
    "hosting a dinner",
    "ironing a shirt",
    "joining a choir",
    "keeping a diary",
    "keeping a house cool",
    "keeping bees",
    "keeping houseplants alive",
    "knitting a scarf",
    "learning a new language",
    "learning the guitar",
    "learning to swim",
    "lighting a campfire",
    "looking after a goldfish",
    "mailing a fragile parcel",
    "making a budget",
    "making a good omelette",
    "making a paper plane",
    "making jam",
    "making new friends",
    "making pancakes",
    "managing a busy week",
    "meeting the neighbours",
    "memorising a poem",
    "mending a torn pocket",
    "mixing colours",
    "moving to another city",
    "mowing the lawn",
    "naming a kitten",
    "negotiating a lower rent",
    "opening a stuck jar",
    "organising a bookshelf",
    "organising a picnic",
    "packing a suitcase",
    "painting a room",
    "parking in a narrow street",
    "peeling garlic",
    "picking mushrooms",
    "planning a family trip",
    "planting a tree",
    "playing chess",
    "playing with a kitten",
    "polishing shoes",
    "potting a cactus",
    "practising the piano",
    "preparing a packed lunch",
    "preparing for a job interview",
    "pruning roses",
    "putting up a tent",
    "quieting a noisy fridge",
    "quitting a bad habit",
    "raising chickens",
    "reading a map",
    "reading more books",
    "recycling at home",
    "remembering names",
    "removing a coffee stain",
    "renting a car",
    "repairing a wobbly chair",
    "riding a bicycle to work",
    "roasting vegetables",
    "running a first race",
    "sailing a small boat",
    "saving money on groceries",
    "setting the table",
    "sewing on a button",
    "sharing a flat",
    "sharpening a kitchen knife",
    "shopping with a list",
    "singing in public",
    "skating on ice",
    "sleeping on a train",
    "sorting old photos",
    "speaking with a shy child",
    "splitting a restaurant bill",
    "spotting birds",
    "starting a compost heap",
    "starting a small business",
    "staying calm in traffic",
    "storing winter clothes",
    "stretching after a run",
    "studying for an exam",
    "surprising an old friend",
    "taking better photographs",
    "tasting cheese",
    "teaching a child to read",
    "telling a good joke",
    "tidying a wardrobe",
    "training a puppy",
    "travelling by train",
    "tying a tie",
    "using public transport",
    "visiting a museum",
    "waking up early",
    "walking a big dog",
    "washing a car",
    "watering plants on holiday",
    "working from home",
    "wrapping a present",
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


def instructions(tasks: Collection[str] = tuple(TASKS)) -> list[Instruction]:
    """Those of some tasks, of all if none are named, topic by topic."""
    return [
        Instruction(form.format(topic=topic), topic, task, split_of(topic))
        for topic in TOPICS
        for task, forms in TASKS.items()
        if task in tasks
        for form in forms
    ]


def supervised(tasks: Collection[str] = tuple(TASKS)) -> list[tuple[str, str]]:
    """Training prompts of some tasks, of all if none are named, each with an answer to imitate."""
    wanted = {i.prompt for i in instructions(tasks) if i.split == "train"}
    lines = resources.files("comal.tasks").joinpath("everyday_answers.jsonl").read_text("utf-8").splitlines()
    pairs = [(row["prompt"], row["answer"]) for row in map(json.loads, lines)]
    return [(prompt, answer) for prompt, answer in pairs if prompt in wanted]


def split_of(topic: str) -> Split:
    """The split of one of `TOPICS`: by the rank of its hash, so that no order of the list decides."""
    rank = _ranks()[topic]
    for split, count in HELD_OUT.items():
        if rank < count:
            return split
        rank -= count
    return "train"


@functools.cache
def _ranks() -> Mapping[str, int]:
    return {topic: rank for rank, topic in enumerate(sorted(TOPICS, key=_hash))}


def _hash(topic: str) -> bytes:
    return blake2b(topic.encode(), digest_size=8).digest()


def kind_of(answer: str) -> Kind:
    """The kind of an answer; see the module's docstring for the rule.

    >>> [kind_of(text) for text in ("1. Fold the shirts.", "Fold the shirts.", "")]
    ['list', 'brief', 'nothing']
    """
    text = answer.strip()
    if not _SAID.search(text):
        return "nothing"
    if _LIST.search(text):
        return "list"
    return "brief" if _BRIEF.search(text) else "prose"


_SAID: Final = re.compile(SAID)
_LIST: Final = re.compile(LIST)
_BRIEF: Final = re.compile(BRIEF)

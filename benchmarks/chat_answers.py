"""The answers that the recipe `chat` begins with: the untrained model's own, of the three kinds, whole and short.

python benchmarks/chat_answers.py         # ten minutes on one core; writes src/comal/tasks/everyday_answers.jsonl

Untrained, the model rambles: its answers run into any limit, and hardly anything that it learns about one kind of them
is of use for another prompt's (benchmarks/chat_signal.py). So it is asked about the topics of the training prompts
once more in words that call for a kind, and what it says is made a whole short answer to the plain instruction:

    brief    the first sentence, if it begins with "First," and is brief; cut before a clause or phrase to nine words
    list     two to four items, numbered anew, without their explanations
    prose    as many sentences as the limit allows, if they have 20 words or more

No word is anybody else's. Prose that apologises, or that speaks of language models, is left out. What an answer begins
with tells of which kind it will be, and brief ones are far from too long: a policy learns that at its first token.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path

from chat_kinds import untrained
from comal.policies.base import Prompt
from comal.recipes.load import load_recipe
from comal.tasks.everyday import TASKS, TOPICS, kind_of, split_of

FILE = Path("src/comal/tasks/everyday_answers.jsonl")
FORMS = TASKS["advice"]
ASKED = (
    ("brief", "In one short sentence, tell me what to do first when {topic}.", 8, 24),
    ("list", "List a few short tips for {topic}.", 8, 56),
    ("prose", "Give me some advice on {topic}.", 3, 48),
    ("prose", "Give me ideas for {topic}.", 3, 48),
)
"""Which kind a question is to bring, the question, how often it is asked, and tokens of an answer at most."""
SHARES = {"list": 0.14, "brief": 0.28}
"""Of the pairs; the rest is prose."""
LONGEST, TEMPERATURE, SEED = 39, 0.6, 0
"""Tokens of an answer, to which its end comes; of the model; of the draw."""

MARK = re.compile(r"\s*(?:[-*•]|\d{1,2}[.)])\s+")
ABOUT_ITSELF = re.compile(r"(?i)\bas an ai\b|language model|i'm sorry")
OPENING = "First, "
"""Of brief answers; prose begins otherwise."""
NO_PROSE = ("First", "Q:")
BREAK = re.compile(
    r"(?<=\w)(?:,|:|\.|!|\?|;)?\s+"
    r"(?:and|to|before|so|by|with|then|for|when|while|that|or|in|from)\s"
)
"""Where a sentence can end earlier."""
UNENDED = ("are", "is", "a", "the")
FEWEST_PROSE_WORDS, FEWEST_BRIEF_WORDS, MOST_BRIEF_WORDS, LONGEST_ITEM = 20, 4, 9, 11

Count = Callable[[str], int]


def main() -> None:
    topics = [topic for topic in TOPICS if split_of(topic) == "train"]
    found: dict[tuple[str, str], list[str]] = {}
    for number, (kind, form, times, longest) in enumerate(ASKED):
        changes = [f"policy.temperature={TEMPERATURE}", f"policy.max_new_tokens={longest}"]
        with untrained(load_recipe("chat", changes)) as policy:
            groups = policy.sample([Prompt.of_text(form.format(topic=t)) for t in topics], times, SEED + number)
            for topic, group in zip(topics, groups, strict=True):
                made = (MADE[kind](answer.text, lambda text: len(policy.encode_answer(text))) for answer in group)
                kept = [text for text in made if text is not None and kind_of(text) == kind]
                found[kind, topic] = list(dict.fromkeys([*found.get((kind, topic), []), *kept]))
        of_kind = [texts for (which, _), texts in found.items() if which == kind]
        print(f"{kind}: {sum(map(len, of_kind))} for {sum(map(bool, of_kind))} topics", file=sys.stderr)
    rows = list(pairs(found))
    FILE.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    kinds = [kind_of(row["answer"]) for row in rows]
    print({kind: kinds.count(kind) for kind in ("brief", "list", "prose")}, "pairs in", FILE, file=sys.stderr)


def pairs(found: dict[tuple[str, str], list[str]]) -> Iterator[dict[str, str]]:
    """Instructions with an answer each, in the order of the instructions; scarce kinds choose their places first."""
    asked = [(topic, form) for topic in TOPICS if split_of(topic) == "train" for form in FORMS]
    places = sorted(asked, key=lambda place: blake2b("|".join(place).encode(), digest_size=8).digest())
    left = {cell: list(texts) for cell, texts in found.items()}
    chosen: dict[tuple[str, str], str] = {}
    for kind, share in SHARES.items():
        wanted = round(share * len(asked))
        for most in (1, 2, 3):  # to a topic
            for topic, form in places:
                mine = [f for t, f in chosen if t == topic and kind_of(chosen[t, f]) == kind]
                if wanted and (topic, form) not in chosen and len(mine) < most and left[kind, topic]:
                    chosen[topic, form] = left[kind, topic].pop(0)
                    wanted -= 1
    for topic, form in places:
        if (topic, form) not in chosen and left["prose", topic]:
            chosen[topic, form] = left["prose", topic].pop(0)
    for topic, form in asked:
        if (topic, form) in chosen:
            yield {"prompt": form.format(topic=topic), "answer": chosen[topic, form]}


def brief(said: str, tokens: Count) -> str | None:
    """The first sentence, or so much of it."""
    found = re.match(r".*?[.!?](?=\s|$)", " ".join(said.split()))
    sentence = "" if found is None else found[0]
    if not sentence.startswith(OPENING) or "*" in sentence or kind_of(sentence) != "brief":
        return None
    if len(sentence.split()) > MOST_BRIEF_WORDS:
        heads = [sentence[: place.start()] for place in BREAK.finditer(sentence)]
        fitting = [head for head in heads if _has_brief_words(head) and head.split()[-1].lower() not in UNENDED]
        if not fitting:
            return None
        sentence = fitting[-1].rstrip(" ,:;") + "."
    return sentence if _has_brief_words(sentence) and tokens(sentence) <= LONGEST else None


def _has_brief_words(text: str) -> bool:
    return FEWEST_BRIEF_WORDS <= len(text.split()) <= MOST_BRIEF_WORDS


def a_list(said: str, tokens: Count) -> str | None:
    """Its first distinct short items."""
    lines = said.strip().split("\n")
    items = [line for line in lines[: None if said.rstrip().endswith((".", "!", "?")) else -1] if MARK.match(line)]
    if not items or not items[0].strip()[0].isdigit():
        return None  # one opening for all lists
    rows: list[str] = []
    openings: set[tuple[str, ...]] = set()
    for item in items:
        text = MARK.sub("", item, count=1).replace("*", "").strip()
        if len(text.split()) > LONGEST_ITEM - 2:
            text = re.split(r"(?<=\w)[:.!?](?=\s)|\s[-–]\s", text)[0]
        text = text.rstrip(".:;,!")
        opening = tuple(text.lower().split()[:3])
        if not 2 <= len(text.split()) <= LONGEST_ITEM or not text[0].isupper() or opening in openings:
            continue
        row = f"{len(rows) + 1}. {text}"
        if len(rows) < 4 and tokens("\n".join([*rows, row])) <= LONGEST:
            rows.append(row)
            openings.add(opening)
    return "\n".join(rows) if len(rows) > 1 else None


def prose(said: str, tokens: Count) -> str | None:
    """The sentences that the limit has room for."""
    if any(MARK.match(line) for line in said.split("\n")) or ABOUT_ITSELF.search(said):
        return None
    if said.strip().startswith(NO_PROSE):
        return None
    text = " ".join(said.replace("*", "").split())
    ends = [text[: end.end()] for end in re.finditer(r"[.!?](?=\s|$)", text)]
    fitting = [whole for whole in ends if tokens(whole) <= LONGEST]
    long_enough = bool(fitting) and len(fitting[-1].split()) >= FEWEST_PROSE_WORDS and text[0].isupper()
    return fitting[-1] if long_enough else None


MADE: dict[str, Callable[[str, Count], str | None]] = {"brief": brief, "list": a_list, "prose": prose}

if __name__ == "__main__":
    main()

"""Short instructions of a file as prompts for the recipe `chat`: the same readers on questions that people wrote.

    python benchmarks/chat_instructions.py prompts.jsonl short.jsonl
    comal run chat --set name=chat-people --set prompts.train.source=short.jsonl \
        --set prompts.validation=null --set prompts.test=null

Of a JSONL file with a `prompt` a line those are taken that are one line of at most 160 characters.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from comal.pipeline.data.prompts import read_rows
from comal.pipeline.disk.files import atomic_path

LONGEST = 160


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    texts = [row["prompt"].strip() for _, row in read_rows(source)]
    short = list(dict.fromkeys(text for text in texts if len(text) <= LONGEST and "\n" not in text))
    with atomic_path(target) as temporary:
        temporary.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in short), encoding="utf-8")
    print(f"{len(short)} of {len(texts)} instructions are short: {target}")


if __name__ == "__main__":
    main()

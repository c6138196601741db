"""Files of prompts and answers with whatever cells: `comal plan` counts them, or names the row that it cannot."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_models
import tiny_run
from command_line import comal
from fuzzing import TIERS, Tier, sound
from odd_values import damaged, mutated, scalars, texts
from possible_results import planned

MESSAGE = {"role": "user", "content": "Why is the sky blue?"}
ROWS = (
    {"prompt": "What is in the box?", "answer": "a"},
    {"prompt": "Translate.", "input": "der Hund", "answer": "b"},
    {"instruction": "Translate.", "input": "die Katze", "prompt": "Translate.", "answer": "b"},
    {"prompt": [MESSAGE], "answer": "c"},
    {"prompt": [{"role": "system", "content": "Be brief."}, MESSAGE], "answer": "d"},
    {"prompt": [MESSAGE, {"role": "assistant", "content": "It is not."}, MESSAGE], "answer": "e"},
    {"prompt": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}], "answer": "e", "tools": None},
    {"prompt": "x" * 900, "answer": "a b " * 300},
)
NEAR = (
    MESSAGE,
    {"role": "tool", "content": "x"},
    {"type": "image", "image": "x.png"},
    {"role": "user", "content": None},
)


def rows() -> st.SearchStrategy[list[Any]]:
    """Most often enough of them for all three uses."""
    numbered = st.lists(st.sampled_from(ROWS), min_size=4, max_size=9).map(
        lambda chosen: [
            row | ({"prompt": f"{row['prompt']} {n}"} if isinstance(row["prompt"], str) else {})
            for n, row in enumerate(chosen)
        ]
    )
    return mutated(numbered, NEAR)


def json_lines(found: Any) -> bytes:
    lines = found if isinstance(found, list) else [found]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def json_whole(found: Any) -> bytes:
    return json.dumps(found).encode()


def comma_separated(found: Any) -> bytes:
    flat = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    names = list(dict.fromkeys(str(key) for row in flat for key in row))
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([[row.get(name, "") for name in names] for row in flat])
    return text.getvalue().encode("utf-8", "surrogatepass")


def parquet(found: Any) -> bytes:
    """Where Arrow finds a type for every column; else without the columns that it has none for."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    flat = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    columns = {}
    for name in dict.fromkeys(str(key) for row in flat for key in row):
        try:
            columns[name] = pa.array([row.get(name) for row in flat])
        except (pa.ArrowException, UnicodeEncodeError, OverflowError):
            continue
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(pa.table(columns), sink)
    except (pa.ArrowException, UnicodeEncodeError):
        return b"PAR1"
    return bytes(sink.getvalue())


FORMATS: dict[str, Callable[[Any], bytes]] = {
    "rows.jsonl": json_lines,
    "rows.json": json_whole,
    "rows.csv": comma_separated,
    "rows.parquet": parquet,
    "rows.jsonl.gz": lambda found: gzip.compress(json_lines(found), mtime=0),
    "rows.JSON": json_whole,
}


@TIERS
def test_prompts_and_pairs_are_read_or_refused(tier: Tier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    judge = {"name": "python", "function": "judge_functions:longer"}
    tiny = tiny_run.values(tmp_path, tiny_run.INPO, judge=judge)
    policy = {"max_prompt_tokens": 96, "max_new_tokens": 8}
    of_template = tiny_models.save_causal_lm(tmp_path / "chat")
    plain = tiny_models.save_causal_lm(tmp_path / "plain", chat_template=False)
    policies = [tiny["policy"], *(policy | {"model": model} for model in (of_template, plain))]
    contents = st.sampled_from(sorted(FORMATS)).flatmap(
        lambda name: st.tuples(st.just(name), damaged(rows().map(FORMATS[name])))
    )

    @tier.share(0.28)
    @given(
        contents,
        st.sampled_from(policies),
        st.sampled_from(("prompts", "pairs", "both")),
        st.sampled_from(("cut", "drop", "refuse")),
        st.one_of(st.just({}), st.dictionaries(st.sampled_from(("prompt", "answer", "limit", "split")), scalars)),
        st.one_of(st.none(), texts),
    )
    def holds(
        file: tuple[str, bytes], model: dict[str, Any], use: str, long: str, columns: dict[str, Any], system: str | None
    ) -> None:
        name, content = file
        Path(name).write_bytes(content)
        source = {"source": name} | columns
        recipe = tiny | {"policy": model | {"long_prompts": long, "system_prompt": system}}
        if use != "pairs":
            recipe |= {"prompts": {"train": source, "held_out": 2}}
        if use != "prompts":
            recipe |= {"supervised": tiny["supervised"] | {"data": source}}
        Path("fuzzed.yaml").write_text(json.dumps(recipe), encoding="utf-8")
        sound(comal("plan", "fuzzed.yaml", "--json"), planned)

    holds()

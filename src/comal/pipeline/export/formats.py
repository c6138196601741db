"""Rows of other people's formats, named by the columns that their own documentation names.

    trl-dpo       prompt, chosen, rejected                   TRL's preference data, read by DPO, reward and CPO trainers
    openrlhf      prompt, chosen, rejected                   for --prompt_key, --chosen_key, --rejected_key
    llamafactory  instruction, input, chosen, rejected       as texts (Alpaca, `ranking: true`)
                  conversations, chosen, rejected            as messages (ShareGPT, `ranking: true`)
    trl-grpo      prompt                                     the run's training prompts
    alpaca-eval   instruction, output, generator             a policy's answers to the test prompts
    arena-hard    uid, category, prompt                      questions
                  uid, ans_id, model, messages               a policy's answers

Pairs have `probability` (of the chosen answer) and `margin` besides, and those of a run `method` and `step`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from comal.pipeline.export.pairs import JudgedPair
from comal.policies.base import Prompt

Format = Literal["trl-dpo", "trl-grpo", "openrlhf", "llamafactory", "alpaca-eval", "arena-hard", "parquet"]
Written = Literal["messages", "text"]
PAIRS: Final = ("trl-dpo", "openrlhf", "llamafactory", "parquet")
"""Formats of judged pairs."""
OUTPUTS: Final = ("alpaca-eval", "arena-hard")
"""Formats of policies' answers."""
COLUMNS: Final[Mapping[str, str]] = {
    "prompt": "the prompt",
    "chosen": "the preferred answer",
    "rejected": "the other answer",
    "instruction": "the prompt",
    "input": "empty; LLaMA-Factory joins it to the instruction",
    "conversations": "the prompt's turns",
    "probability": "Pr(chosen ≻ rejected), both presentation orders averaged; of parquet Pr(first ≻ second)",
    "margin": "|2·probability − 1|: 0 is a toss-up, 1 certain",
    "method": "whose training the answers are from",
    "step": "proximal step, from 0",
    "prompt_id": "a stable name of the prompt",
    "first": "an answer",
    "second": "another answer",
}
_SHAREGPT: Final = {"system": "system", "user": "human", "assistant": "gpt"}


def preference_row(pair: JudgedPair, target: Format, written: Written) -> dict[str, Any]:
    """A pair as a row of `trl-dpo`, `openrlhf` or `llamafactory`."""
    if target == "llamafactory":
        row = _llamafactory(pair, written)
    elif written == "messages":
        row = {
            "prompt": [dict(m) for m in pair.prompt.messages],
            "chosen": [_turn(pair.chosen)],
            "rejected": [_turn(pair.rejected)],
        }
    else:
        row = {"prompt": pair.prompt.text, "chosen": pair.chosen, "rejected": pair.rejected}
    p = max(pair.probability, 1 - pair.probability)
    of_run = {} if pair.method is None else {"method": pair.method, "step": pair.step}
    return row | {"probability": p, "margin": pair.margin} | of_run


def table_row(pair: JudgedPair) -> dict[str, Any]:
    """A pair as it was judged, for `parquet`."""
    return {
        "prompt_id": pair.prompt.id,
        "prompt": [{"role": m["role"], "content": m["content"]} for m in pair.prompt.messages],
        "first": pair.first,
        "second": pair.second,
        "probability": pair.probability,
        "method": pair.method,
        "step": pair.step,
    }


def prompt_row(prompt: Prompt, written: Written) -> dict[str, Any]:
    """A prompt of `trl-grpo`."""
    return {"prompt": [dict(m) for m in prompt.messages] if written == "messages" else prompt.text}


def dataset_info(name: str, file: str, written: Written) -> dict[str, Any]:
    """How LLaMA-Factory reads the rows, to be put among its own data sets."""
    if written == "text":
        columns = {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"}
        return {name: {"file_name": file, "ranking": True, "columns": columns}}
    columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"}
    return {name: {"file_name": file, "formatting": "sharegpt", "ranking": True, "columns": columns}}


def alpaca_row(prompt: Prompt, answer: str, policy: str) -> dict[str, Any]:
    """A policy's answer for AlpacaEval."""
    return {"instruction": prompt.text, "output": answer, "generator": policy}


def arena_question(prompt: Prompt) -> dict[str, Any]:
    """A prompt for Arena-Hard."""
    return {"uid": prompt.id, "category": "comal", "subcategory": "comal", "prompt": prompt.text}


def arena_answer(prompt: Prompt, answer: str, policy: str) -> dict[str, Any]:
    """A policy's answer for Arena-Hard v2."""
    messages = [
        {"role": "user", "content": prompt.text},
        {"role": "assistant", "content": {"answer": answer}},
    ]
    return {"uid": prompt.id, "ans_id": f"{prompt.id}-{policy}", "model": policy, "messages": messages}


def _llamafactory(pair: JudgedPair, written: Written) -> dict[str, Any]:
    if written == "text":
        return {
            "instruction": pair.prompt.text,
            "input": "",
            "chosen": pair.chosen,
            "rejected": pair.rejected,
        }
    turns = [{"from": _SHAREGPT.get(m["role"], m["role"]), "value": m["content"]} for m in pair.prompt.messages]
    return {
        "conversations": turns,
        "chosen": {"from": "gpt", "value": pair.chosen},
        "rejected": {"from": "gpt", "value": pair.rejected},
    }


def _turn(answer: str) -> dict[str, str]:
    return {"role": "assistant", "content": answer}

"""Weights of judges that are Transformers models: checked without loading, loaded once a process, let go on request."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal

from comal.errors import JudgeError, first_line
from comal.models import weights
from comal.models.chat import left_out, standing_clock
from comal.models.gguf import find_gguf, is_gguf
from comal.models.tokens import embedding_rows
from comal.models.weights import Task
from comal.reading.paths import user_path


def check_model(place: str, model: str) -> None:
    """Raise JudgeError unless `model` is a folder with a model, a GGUF file, or could be a Hub id."""
    if is_gguf(model):
        find_gguf(model, lambda problem: JudgeError(place, problem))
        return
    folder = user_path(model)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise JudgeError(place, f"the folder `{model}` has no config.json; name one written by `save_pretrained`")
    elif not weights.could_be_hub_id(model):
        raise JudgeError(place, f"no folder `{model}`, and a Hub id looks like `organisation/name`")


def state_of(model: str) -> list[tuple[str, int, int]]:
    """What tells one state of local weights from another: names, sizes and times of files; of a Hub id nothing."""
    folder = user_path(model)
    files = sorted(f for f in folder.iterdir() if f.is_file()) if folder.is_dir() else []
    if is_gguf(model):
        files = [find_gguf(model, lambda problem: JudgeError("judge", problem))]
    return [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]


@functools.cache
def load(place: str, task: Task, model: str, revision: str | None, dtype: str, device: str) -> tuple[Any, Any]:
    """The model, ready to be asked, and its tokenizer; kept in memory until `release`.

    Raises:
        JudgeError: it cannot be loaded, or weights that the task needs are not in it.
    """
    check_model(place, model)
    import torch

    def refuse(problem: str) -> JudgeError:
        return JudgeError(place, problem)

    tokenizer = tokenizer_at_hand(place, model, revision)
    if tokenizer is None:
        tokenizer = weights.load_tokenizer(model, refuse, revision=revision)
    network = weights.load_network(task, model, refuse, revision=revision, dtype=dtype)
    if device == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        device = accelerator.type if accelerator else "cpu"
    return network.to(device).eval(), tokenizer


def release() -> None:
    """Let go of all models that `load` keeps, and of their tokenizers."""
    load.cache_clear()
    tokenizer_at_hand.cache_clear()


@functools.cache
def tokenizer_at_hand(place: str, model: str, revision: str | None) -> Any:
    """The tokenizer of a folder or GGUF file; None for a Hub id, which is not asked for before the first question.

    Raises:
        JudgeError: it cannot be loaded.
    """
    if not (is_gguf(model) or user_path(model).is_dir()):
        return None
    return weights.load_tokenizer(model, lambda problem: JudgeError(place, problem), revision=revision)


def chat_ids(place: str, tokenizer: Any, messages: Sequence[dict[str, str]], *, answer_next: bool) -> list[int]:
    """Token ids of a conversation by the tokenizer's chat template.

    Args:
        place: of errors.
        tokenizer: one with a chat template.
        messages: the conversation.
        answer_next: whether the assistant's turn is opened.

    Raises:
        JudgeError: the template refuses it.
    """
    settings: dict[str, Any] = {"add_generation_prompt": answer_next, "tokenize": True, "return_dict": False}
    settings |= standing_clock(tokenizer)
    try:
        try:
            # Answers are untrusted: one that spells an end-of-turn token must not end its turn.
            ids = tokenizer.apply_chat_template(list(messages), sanitize_control_tokens=True, **settings)
        except NotImplementedError:  # a template that writes no special tokens has none to be imitated
            ids = tokenizer.apply_chat_template(list(messages), **settings)
    except Exception as error:  # a template is a program of somebody's, and may raise anything
        roles = ", ".join(message["role"] for message in messages)
        raise JudgeError(
            place,
            f"the judge's chat template refuses a question with the roles {roles} ({first_line(error)}); leave the"
            ' system prompt out (system_prompt: ""), or take a judge whose template has such roles',
        ) from error
    return list(ids)


def require_shown(place: str, tokenizer: Any, messages: Sequence[dict[str, str]], *, answer_next: bool) -> None:
    """Refuse a chat template that leaves one of the messages out: the judge would be asked something else.

    Raises:
        JudgeError: it does, or refuses them.
    """
    if tokenizer.chat_template is None:
        return
    chat_ids(place, tokenizer, messages, answer_next=answer_next)  # refuses what the template refuses
    rendered = tokenizer.apply_chat_template(
        list(messages), add_generation_prompt=answer_next, tokenize=False, **standing_clock(tokenizer)
    )
    lost = left_out(messages, rendered)
    if lost is not None:
        hint = ' (system_prompt: "")' if lost["role"] == "system" else ""
        raise JudgeError(
            place,
            f"the judge's chat template leaves the {lost['role']}'s message out; leave it out yourself{hint}, or take a"
            " judge whose template shows it",
        )


def pad(rows: Sequence[Sequence[int]], pad_id: int, side: Literal["left", "right"], device: Any) -> tuple[Any, Any]:
    """Token ids and attention mask of a batch, shape (rows, longest)."""
    import torch

    longest = max(map(len, rows))
    ids, mask = [], []
    for row in rows:
        gap = longest - len(row)
        filler, hidden, seen = [pad_id] * gap, [0] * gap, [1] * len(row)
        ids.append([*filler, *row] if side == "left" else [*row, *filler])
        mask.append([*hidden, *seen] if side == "left" else [*seen, *hidden])
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def require_rows(place: str, network: Any, tokenizer: Any, rows: Sequence[Sequence[int]]) -> None:
    """Refuse questions with tokens that the model's embedding has no rows for.

    Raises:
        JudgeError: there is one.
    """
    largest, known = max((max(row, default=0) for row in rows), default=0), embedding_rows(network)
    if largest >= known:
        raise JudgeError(
            place,
            f"the judge's tokenizer writes {tokenizer.convert_ids_to_tokens(largest)!r} as token {largest}, and the"
            f" embedding has {known} rows; name the model's own tokenizer, or resize the embedding and train it",
        )


def longest_input(network: Any, max_length: int | None) -> int | None:
    """The most tokens that can be judged: the setting, else what the model was made for, else unknown."""
    limit = max_length or getattr(network.config, "max_position_embeddings", None)
    if max_length or limit is None:
        return limit
    # RoBERTa and its kin count positions from the one after their padding's.
    tables = (module for name, module in network.named_modules() if name.endswith("position_embeddings"))
    unused = max(
        (table.padding_idx + 1 for table in tables if getattr(table, "padding_idx", None) is not None), default=0
    )
    return int(limit) - unused

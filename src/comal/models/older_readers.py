"""Checkpoints that Transformers 4 reads as Transformers 5, which writes them, means them.

Three things were renamed between the two. Of the first two Transformers 4 stops; of the third it takes its default for
what it does not find, and computes another model without a word. Transformers 5 reads the former names as well.

    tokenizer_class: TokenizersBackend      PreTrainedTokenizerFast
    extra_special_tokens: a list            additional_special_tokens
    rope_parameters: {rope_theta, ...}      rope_theta, rope_scaling, partial_rotary_factor, beside it

Models whose layers turn by several rules (`rope_parameters` of each kind of layer) had names of their own and stay as
they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def add_former_names(folder: Path) -> None:
    """Write the former names into the files of a checkpoint that `save_pretrained` has just written."""
    _change(folder / "tokenizer_config.json", _tokenizer)
    _change(folder / "config.json", _rotation)


def _tokenizer(config: dict[str, Any]) -> None:
    if config.get("tokenizer_class") == "TokenizersBackend":
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
        # That class adds token_type_ids of its own accord, which most causal LMs refuse.
        config.setdefault("model_input_names", ["input_ids", "attention_mask"])
    if isinstance(config.get("extra_special_tokens"), list):
        config["additional_special_tokens"] = config.pop("extra_special_tokens")


def _rotation(config: dict[str, Any]) -> None:
    rope = config.get("rope_parameters")
    if not isinstance(rope, dict) or any(isinstance(value, dict) for value in rope.values()):
        return
    own = {key: rope[key] for key in ("rope_theta", "partial_rotary_factor") if key in rope}
    config |= own
    if rope.get("rope_type", "default") != "default":
        config["rope_scaling"] = {key: value for key, value in rope.items() if key not in own}


def _change(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    if not path.is_file():
        return
    config = json.loads(path.read_text(encoding="utf-8"))
    before = json.dumps(config)
    change(config)
    if json.dumps(config) != before:
        path.write_text(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")

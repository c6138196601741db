"""What a model's files ask of a sampler: its end tokens are taken, everything else is put aside and said once.

Log-probabilities know nothing of a repetition penalty, a minimum length or a top-k in `generation_config.json`: answers
drawn under them are not the policy's. How a policy is sampled is the recipe's to say, by `sampling`.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, Final

from comal.errors import PolicyError
from comal.policies.device import state
from comal.reading.json_text import parse_json
from comal.reading.paths import user_path
from comal.reading.text import read_text

logger = logging.getLogger(__name__)

_HARMLESS: Final = frozenset(
    {
        "eos_token_id",
        "bos_token_id",
        "pad_token_id",
        "decoder_start_token_id",
        "transformers_version",
        "use_cache",
        "cache_implementation",
        "cache_config",
        "max_cache_len",
        "max_length",
        "max_new_tokens",
        "do_sample",
        "return_dict_in_generate",
        "output_scores",
        "output_logits",
        "output_attentions",
        "output_hidden_states",
        "compile_config",
        "disable_compile",
        "is_assistant",
        "continuous_batching_config",
        "low_memory",
        "prefill_chunk_size",
        "chat_format",
    }
)
"""Settings that change no probability, or that every sampler is given anyway."""

_NEUTRAL: Final[dict[str, Any]] = {
    "temperature": 1,
    "top_p": 1,
    "top_k": 0,
    "typical_p": 1,
    "repetition_penalty": 1,
    "encoder_repetition_penalty": 1,
    "length_penalty": 1,
    "num_beams": 1,
    "num_beam_groups": 1,
    "num_return_sequences": 1,
    "guidance_scale": 1,
}
"""Values that ask for nothing; of other settings those that count as false."""

_said: set[str] = set()


def only_end_tokens(model: Any, name: str, revision: str | None = None) -> None:
    """Give a freshly loaded model a generation configuration with the end tokens of its files and no wishes.

    Args:
        model: from `name`.
        name: folder or hub id.
        revision: of the hub id.

    Raises:
        ComalError: end tokens that are no token ids, or files that are torn.
    """
    import transformers

    asked = _written(name, "generation_config.json", revision)
    if asked is None:  # older models say it in their config.json
        known = vars(transformers.GenerationConfig())
        asked = {k: v for k, v in (_written(name, "config.json", revision) or {}).items() if k in known}
    own = model.config.get_text_config(decoder=True)
    special: dict[str, Any] = {
        key: asked.get(key) if asked.get(key) is not None else getattr(own, key, None)
        for key in ("eos_token_id", "bos_token_id", "pad_token_id")
    }
    _require_ids(special["eos_token_id"], name)
    model.generation_config = transformers.GenerationConfig(**special)
    _say(name, wishes(asked))


def wishes(asked: dict[str, Any]) -> dict[str, Any]:
    """The settings of a generation configuration that would shape samples."""
    return {
        key: value
        for key, value in asked.items()
        if key not in _HARMLESS and not key.startswith("_") and value and value != _NEUTRAL.get(key)
    }


def _say(name: str, ignored: dict[str, Any]) -> None:
    listed = ", ".join(f"{k} {json.dumps(v, default=str)}" for k, v in sorted(ignored.items()))
    if listed and listed not in _said:
        _said.add(listed)
        if state().is_main_process:
            logger.warning(
                "the generation settings of %s are ignored (%s): the recipe's `sampling` decides", name, listed
            )


def _require_ids(ends: Any, name: str) -> None:
    given = ends if isinstance(ends, list) else [ends]
    if not all(end is None or (isinstance(end, int) and not isinstance(end, bool)) for end in given):
        raise PolicyError("policy.model", f"eos_token_id of `{name}` should be token ids, got {ends!r}; mend the file")


def _written(name: str, file: str, revision: str | None) -> dict[str, Any] | None:
    """The content of a JSON file of a model; None where there is none.

    Raises:
        ComalError: it is no JSON object.
    """
    from transformers.utils import cached_file

    folder = user_path(name)
    path = folder / file if folder.is_dir() else cached_file(
        name, file, revision=revision, _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False, _raise_exceptions_for_gated_repo=False,
    )  # fmt: skip
    if path is None or not Path(path).is_file():
        return None
    # A torn file would take its end tokens along, and answers would end elsewhere.
    content = parse_json(read_text(Path(path)), f"{name}/{file}", PolicyError)
    if not isinstance(content, dict):
        raise PolicyError(f"{name}/{file}", "is no JSON object; restore the file")
    return content

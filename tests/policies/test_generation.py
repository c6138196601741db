"""Only the recipe's sampling decides how a policy is sampled: a model's own files do not, but for its end tokens."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import stores
import tiny_models
from comal.errors import ComalError, PolicyError
from comal.policies import generation
from comal.policies.base import Prompt
from comal.policies.transformers import Decoding, TransformersPolicy

PROMPTS = [Prompt.of_text("How long is a yard?"), Prompt.of_text("Why?")]
WISHES: dict[str, dict[str, Any]] = {
    "of Qwen2.5": {"repetition_penalty": 1.1, "temperature": 0.7, "top_p": 0.8, "top_k": 20, "do_sample": True},
    "a strong penalty": {"repetition_penalty": 3.0},
    "a shortest length": {"min_new_tokens": 6, "min_length": 100},
    "greedy": {"do_sample": False, "temperature": 0.0},
    "without do_sample": {"temperature": 0.9, "top_p": 0.6},
    "beams": {"num_beams": 3, "length_penalty": 2.0, "early_stopping": True},
    "several": {"num_return_sequences": 2},
    "forced": {"forced_bos_token_id": 7, "forced_eos_token_id": 2},
    "suppressed": {"suppress_tokens": [9, 10, 11], "begin_suppress_tokens": [2]},
    "bad words": {"bad_words_ids": [[20], [21]]},
    "no repeats": {"no_repeat_ngram_size": 1},
    "another sampler": {"typical_p": 0.3, "min_p": 0.2, "epsilon_cutoff": 0.02, "eta_cutoff": 0.02},
    "contrastive": {"penalty_alpha": 0.6, "top_k": 4},
    "bias": {"sequence_bias": [[[12], 10.0]]},
    "guidance": {"guidance_scale": 1.5},
    "decay": {"exponential_decay_length_penalty": [1, 3.0]},
    "strings": {"stop_strings": ["e"]},
    "a dictionary": {"return_dict_in_generate": True, "output_scores": True},
    "watermark": {"watermarking_config": {"bias": 5.0}},
    "lookup": {"prompt_lookup_num_tokens": 3},
    "a time": {"max_time": 0.0001},
    "refused by Transformers": {"max_new_tokens": -1, "cache_implementation": "no such cache"},
    "unknown": {"somebodys_own": 3},
}


def opened(folder: Path, **changes: Any) -> TransformersPolicy:
    base = tiny_models.save_causal_lm(folder, initializer_range=0.3, seed=1)
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return stores.store(base, decoding=Decoding(max_new_tokens=6, batch_size=12)).open(base)


def drawn(policy: TransformersPolicy) -> list[list[tuple[int, ...]]]:
    return [[c.token_ids for c in group] for group in policy.sample(PROMPTS, 6, seed=3)]


@pytest.mark.parametrize("name", WISHES)
def test_what_a_models_file_asks_for_changes_no_draw(tmp_path: Path, name: str) -> None:
    assert drawn(opened(tmp_path / "asks", **WISHES[name])) == drawn(opened(tmp_path / "plain"))


def test_config_json_of_an_older_model_asks_in_vain_too(tmp_path: Path) -> None:
    base = tiny_models.save_causal_lm(tmp_path / "m", initializer_range=0.3, seed=1)
    (tmp_path / "m" / "generation_config.json").unlink()
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"repetition_penalty": 3.0, "top_k": 2}))
    policy = stores.store(base, decoding=Decoding(max_new_tokens=6, batch_size=12)).open(base)
    assert drawn(policy) == drawn(opened(tmp_path / "plain"))
    assert policy.end_tokens == [2]


def test_it_is_said_once_what_is_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "_said", set())
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            opened(tmp_path / "asks", repetition_penalty=1.1, top_p=0.8, temperature=1.0)
    (message,) = (r.getMessage() for r in caplog.records if r.name == generation.__name__)
    assert "are ignored (repetition_penalty 1.1, top_p 0.8): the recipe's `sampling` decides" in message


def test_nothing_is_said_of_a_file_that_asks_for_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        opened(tmp_path / "m", temperature=1.0, top_p=1.0, repetition_penalty=1.0, num_beams=1, max_length=20)
    assert not [r for r in caplog.records if r.name == generation.__name__]


def test_end_tokens_are_still_the_files(tmp_path: Path) -> None:
    assert opened(tmp_path / "two", eos_token_id=[50, 2]).end_tokens == [2, 50]
    assert opened(tmp_path / "beyond", eos_token_id=[50, 100_000, -1]).end_tokens == [2, 50]
    for number, wrong in enumerate(["2", [2.5], [[2]], True]):
        with pytest.raises(PolicyError, match=r"eos_token_id of .* should be token ids"):
            opened(tmp_path / f"wrong{number}", eos_token_id=wrong)


@pytest.mark.parametrize("content", ['{"eos_token_id": [50,', "[]", '{"eos_token_id": 2, "eos_token_id": 50}'])
def test_a_torn_file_does_not_take_its_end_tokens_along(tmp_path: Path, content: str) -> None:
    """Without it the end token of config.json alone would hold, and answers would go on beyond their ends."""
    opened(tmp_path, eos_token_id=[50, 2])
    (tmp_path / "generation_config.json").write_text(content)
    with pytest.raises(ComalError, match=r"generation_config\.json.*: "):
        stores.store(tmp_path).open(tmp_path)


def test_a_saved_policy_asks_for_nothing(tmp_path: Path) -> None:
    """Whoever samples the aligned model by its files samples the policy that was aligned."""
    opened(tmp_path / "m", repetition_penalty=3.0, top_k=2, eos_token_id=[2, 50])
    store = stores.store(tmp_path / "m")
    store.save(store.trainable(store.initial), tmp_path / "saved")
    written = json.loads((tmp_path / "saved" / "generation_config.json").read_text())
    assert generation.wishes(written) == {}
    assert written["eos_token_id"] == [2, 50]

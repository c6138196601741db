"""One contract for a family of real architectures: the policy that is scored is the one that is sampled and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as t
from transformers import AutoModelForCausalLM

import stores
import tiny_models
from comal.errors import PolicyError
from comal.policies import door, head, sequences
from comal.policies.base import Completion, Prompt
from comal.policies.transformers import Decoding, TransformersPolicy

PROMPTS = [Prompt.of_text("Hi"), Prompt.of_text("Return the size of the file in bytes, of every file there.")]
TOKENS = {"vocab_size": 320, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
SHAPE = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "intermediate_size": 64, "initializer_range": 0.3, **TOKENS,
}  # fmt: skip
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.3, **TOKENS}
WINDOW = {"sliding_window": 8, "head_dim": 32, "num_hidden_layers": 6}

MODELS: dict[str, tuple[type[Any], type[Any], dict[str, Any]]] = {
    "llama": (t.LlamaForCausalLM, t.LlamaConfig, SHAPE),
    "qwen2": (t.Qwen2ForCausalLM, t.Qwen2Config, SHAPE),
    "qwen3": (t.Qwen3ForCausalLM, t.Qwen3Config, SHAPE | {"head_dim": 32}),
    "mistral with a window": (t.MistralForCausalLM, t.MistralConfig, SHAPE | {"sliding_window": 8}),
    "gemma 2": (t.Gemma2ForCausalLM, t.Gemma2Config, SHAPE | WINDOW),
    "gemma 3": (t.Gemma3ForCausalLM, t.Gemma3TextConfig, SHAPE | WINDOW),
    "phi": (t.PhiForCausalLM, t.PhiConfig, SMALL | {"intermediate_size": 64}),
    "gpt2": (
        t.GPT2LMHeadModel,
        t.GPT2Config,
        {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128, "initializer_range": 0.3, **TOKENS},
    ),
    "gpt-neox": (t.GPTNeoXForCausalLM, t.GPTNeoXConfig, SMALL | {"intermediate_size": 64}),
    "opt": (
        t.OPTForCausalLM,
        t.OPTConfig,
        {
            "hidden_size": 32, "num_hidden_layers": 2, "ffn_dim": 64, "num_attention_heads": 2,
            "word_embed_proj_dim": 32, "max_position_embeddings": 512, "init_std": 0.3, **TOKENS,
        },
    ),
    "mpt": (
        t.MptForCausalLM,
        t.MptConfig,
        {"d_model": 32, "n_layers": 2, "n_heads": 2, "initializer_range": 0.3, "vocab_size": 320},
    ),
    "falcon": (t.FalconForCausalLM, t.FalconConfig, SMALL),
    "falcon with alibi": (t.FalconForCausalLM, t.FalconConfig, SMALL | {"alibi": True}),
    "bloom": (
        t.BloomForCausalLM,
        t.BloomConfig,
        {"hidden_size": 32, "n_layer": 2, "n_head": 2, "initializer_range": 0.3, **TOKENS},
    ),
    "mamba": (
        t.MambaForCausalLM,
        t.MambaConfig,
        {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "initializer_range": 0.3, **TOKENS},
    ),
}  # fmt: skip
CANNOT_SHARE = {"mistral with a window", "gemma 2", "gemma 3", "mpt", "falcon with alibi", "bloom", "mamba"}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Name and folder."""
    kind, config, settings = MODELS[request.param]
    folder = tmp_path_factory.mktemp("model")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        kind(config(**settings)).save_pretrained(folder)
    tiny_models.make_tokenizer().save_pretrained(folder)
    return request.param, str(folder)


def opened(folder: str, **options: Any) -> TransformersPolicy:
    decoding = Decoding(max_new_tokens=10, batch_size=options.pop("batch_size", 8))
    return stores.store(folder, decoding=decoding, **options).open(folder)


def by_hand(network: Any, prompt: list[int], answer: tuple[int, ...]) -> float:
    """A plain forward pass: one row, no padding, no positions."""
    with torch.no_grad():
        logp = network(torch.tensor([[*prompt, *answer]])).logits[0].double().log_softmax(-1)
    return sum(float(logp[len(prompt) - 1 + i, token]) for i, token in enumerate(answer))


def test_log_probs_are_those_of_a_plain_forward_pass(model: tuple[str, str]) -> None:
    policy = opened(model[1])
    plain = AutoModelForCausalLM.from_pretrained(model[1]).eval()
    drawn = policy.sample(PROMPTS, 3, seed=0)
    encoded = [policy.encoder(p) for p in PROMPTS]
    hand = [[by_hand(plain, ids, c.token_ids) for c in group] for ids, group in zip(encoded, drawn, strict=True)]
    together = policy.score_groups(
        [(ids, [c.token_ids for c in group]) for ids, group in zip(encoded, drawn, strict=True)]
    )
    assert np.allclose(policy.log_probs(PROMPTS, drawn), hand, atol=1e-3)
    assert np.allclose(together, hand, atol=1e-3), "padded in one batch"
    prefixes = [c.token_ids[:n] for c in drawn[1] for n in range(1, len(c.token_ids) + 1)]
    token_by_token = policy.score_groups([(encoded[1], prefixes)])[0]
    assert np.allclose(token_by_token, [by_hand(plain, encoded[1], p) for p in prefixes], atol=1e-3)


@pytest.mark.parametrize("draws", [2000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_first_tokens_come_as_often_as_their_log_probabilities_say(model: tuple[str, str], draws: int) -> None:
    """Pearson's chi-square over the cells with 5 or more expected; its 99.99% quantile is about d + 4 sqrt(2 d) + 6."""
    store = stores.store(model[1], decoding=Decoding(max_new_tokens=1, batch_size=2000))
    policy = store.open(model[1])
    counts = np.zeros(320)
    for seed in range(draws // 2000):
        (group,) = policy.sample(PROMPTS[1:], 2000, seed)
        counts += np.bincount([c.token_ids[0] for c in group], minlength=320)
    one = [[Completion("", (token,), False) for token in range(320)]]
    expected = draws * np.exp(policy.log_probs(PROMPTS[1:], one)[0])
    assert expected.sum() == pytest.approx(draws, rel=1e-3)
    cells = expected >= 5
    observed, wanted = [*counts[cells], counts[~cells].sum()], [*expected[cells], expected[~cells].sum()]
    statistic = sum((o - w) ** 2 / w for o, w in zip(observed, wanted, strict=True) if w > 0)
    d = max(1, len(observed) - 1)
    assert statistic < d + 4 * np.sqrt(2 * d) + 6


def test_saved_and_loaded_again_it_is_the_same(model: tuple[str, str], tmp_path: Path) -> None:
    store = stores.store(model[1])
    trained = store.trainable(store.initial)
    with torch.no_grad():
        for weights in trained.parameters():
            weights.mul_(1.01)
    store.save(trained, tmp_path / "saved")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "saved").eval()
    ids = store.encoder(PROMPTS[1])
    (found,) = store.open(tmp_path / "saved").score_groups([(ids, [(5, 6, 7)])])
    assert found[0] == pytest.approx(by_hand(plain, ids, (5, 6, 7)), abs=1e-3)
    assert found[0] == pytest.approx(by_hand(trained.eval(), ids, (5, 6, 7)), abs=1e-3)


def test_a_prompt_is_shared_rightly_or_not_at_all(model: tuple[str, str]) -> None:
    name, folder = model
    if name in CANNOT_SHARE:
        with pytest.raises(PolicyError, match=r"training\.share_prompt: a prompt cannot be shared"):
            opened(folder, share_prompt=True)
        return
    shared = opened(folder, share_prompt=True)
    door.require(shared, PROMPTS)
    plain = opened(folder)
    groups = [(plain.encoder(p), [(5, 6, 7), (8,), (9, 2)]) for p in PROMPTS]
    assert np.allclose(shared.score_groups(groups), plain.score_groups(groups), atol=1e-3)
    drawn = [[[c.token_ids for c in g] for g in policy.sample(PROMPTS, 3, seed=0)] for policy in (shared, plain)]
    assert drawn[0] == drawn[1]


def test_the_head_in_chunks_says_the_same(model: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    policy = opened(model[1])
    groups = [(policy.encoder(p), [(5, 6, 7), (8,), (9, 2)]) for p in PROMPTS]
    plain = policy.score_groups(groups)
    assert head.head_of(policy.model) is not None, "all of these are understood"
    for module in (head, sequences):
        monkeypatch.setattr(module, "CHUNK", 3 * 320)
    assert np.allclose(policy.score_groups(groups), plain, atol=1e-4)

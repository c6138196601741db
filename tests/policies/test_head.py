"""The head in chunks: plain log-probabilities and gradients, whatever a model does to its logits, in less memory."""

from __future__ import annotations

import math
from typing import Any

import peft
import pytest
import torch
import transformers as t
from torch.utils._python_dispatch import TorchDispatchMode

from comal.policies import head, sequences
from comal.policies.head import Head, head_of
from comal.policies.sequences import TokenBatch, completion_log_probs

VOCABULARY = 320
TOKENS = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.3}
SHAPE = TOKENS | {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "intermediate_size": 48,
}  # fmt: skip
GROUPS: list[sequences.Group] = [
    ([5, 6, 7, 8, 9], [[10, 11, 12], [13], [10, 11, 14, 15, 16]]),
    ([20], [[21, 22], [23, 24, 25], [26]]),
    ([30, 31, 32], [[33], [33], [34, 35, 36, 37]]),
]
MODELS: dict[str, tuple[type[Any], type[Any], dict[str, Any], Head]] = {
    "llama": (t.LlamaForCausalLM, t.LlamaConfig, {"tie_word_embeddings": False}, Head(VOCABULARY)),
    "llama, tied": (t.LlamaForCausalLM, t.LlamaConfig, {"tie_word_embeddings": True}, Head(VOCABULARY)),
    "gemma 2": (
        t.Gemma2ForCausalLM, t.Gemma2Config, {"final_logit_softcapping": 3.0, "head_dim": 16},
        Head(VOCABULARY, cap=3.0),
    ),
    "cohere": (t.CohereForCausalLM, t.CohereConfig, {"logit_scale": 0.0625}, Head(VOCABULARY, factor=0.0625)),
    "granite": (
        t.GraniteForCausalLM, t.GraniteConfig, {"logits_scaling": 0.25}, Head(VOCABULARY, factor=4.0),
    ),
    "phi, with a bias": (t.PhiForCausalLM, t.PhiConfig, {"num_key_value_heads": 2}, Head(VOCABULARY)),
}  # fmt: skip


def make(name: str) -> Any:
    kind, config, changes, _ = MODELS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind(config(**(SHAPE | changes))).eval()


def gradients(model: Any, share_prompt: bool = False) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Log-probabilities, and the gradients of a sum of them of both signs."""
    model.zero_grad()
    found = completion_log_probs(model, TokenBatch.collate(GROUPS, pad=0, share_prompt=share_prompt))
    (found * torch.linspace(-1, 1, len(found))).sum().backward()
    return found.detach(), {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def in_chunks(patch: pytest.MonkeyPatch, positions: int = 2) -> None:
    for module in (head, sequences):
        patch.setattr(module, "CHUNK", positions * VOCABULARY)


def assert_same(model: Any, monkeypatch: pytest.MonkeyPatch, share_prompt: bool = False) -> None:
    plain, wanted = gradients(model, share_prompt)
    with monkeypatch.context() as patch:
        in_chunks(patch)
        found, ours = gradients(model, share_prompt)
    assert torch.allclose(found, plain, atol=1e-5)
    assert ours.keys() == wanted.keys()
    scale = max(float(g.abs().max()) for g in wanted.values())
    assert scale > 0.01
    for name, gradient in ours.items():
        assert float((gradient - wanted[name]).abs().max()) <= 1e-5 * max(1.0, scale), name


@pytest.mark.parametrize("name", MODELS)
def test_numbers_and_gradients_are_the_plain_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(name)
    assert head_of(model) == MODELS[name][3]
    assert_same(model, monkeypatch)


def test_of_shared_prompts_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same(make("llama, tied"), monkeypatch, share_prompt=True)


@pytest.mark.parametrize("modules", ["all-linear", ["q_proj", "lm_head"]], ids=["all but the head", "the head"])
def test_of_adapters(modules: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    config = peft.LoraConfig(r=2, target_modules=modules, init_lora_weights=False, task_type="CAUSAL_LM")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = peft.get_peft_model(make("llama"), config)
    assert head_of(model.get_base_model()) is not None
    assert_same(model, monkeypatch)


def test_with_activations_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("llama, tied").train()
    model.activation_checkpointing_enable({"use_reentrant": False})
    assert_same(model, monkeypatch)


@pytest.mark.parametrize("name", ["llama, tied", "gemma 2"])
def test_in_mixed_precision_they_are_as_near_to_the_exact_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """bfloat16 rounds either way; a sum over chunks must round no worse."""
    model = make(name)
    exact = gradients(model)[1]

    def errors() -> tuple[torch.Tensor, float]:
        with torch.autocast("cpu", torch.bfloat16):
            found, rounded = gradients(model)
        off = [float((rounded[n] - g).norm() / g.norm()) for n, g in exact.items()]
        return found, max(off)

    plain, error = errors()
    in_chunks(monkeypatch)
    ours, ours_error = errors()
    assert torch.allclose(ours, plain, atol=1e-5), "the same logits, rounded alike"
    assert ours_error < 1.1 * error < 0.2


class Masked(t.LlamaForCausalLM):
    """A model that never says some of its tokens."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits = output.logits.index_fill(-1, torch.tensor([0, 300]), -1e4)
        return output


class Squared(t.LlamaForCausalLM):
    """A model with logits of its own kind."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = super().forward(*args, **kwargs)
        output.logits = output.logits * output.logits.abs()
        return output


@pytest.mark.parametrize("kind", [Masked, Squared])
def test_a_head_that_is_not_understood_is_not_taken_apart(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = kind(t.LlamaConfig(**SHAPE)).eval()
    assert head_of(model) is None
    assert_same(model, monkeypatch)


class Largest(TorchDispatchMode):
    """The most numbers that any tensor had."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.count = max(self.count, made.numel())
        return made


@pytest.mark.parametrize("training", [True, False])
def test_no_more_logits_than_a_chunk_are_there_at_once(training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("llama")
    assert head_of(model) is not None
    batch = TokenBatch.collate(GROUPS * 20, pad=0)
    positions = int((batch.segment_RC >= 0).sum())
    in_chunks(monkeypatch, positions=50)
    with Largest() as seen, torch.set_grad_enabled(training):
        found = completion_log_probs(model, batch)
        if training:
            found.sum().backward()
    most = max(50 * VOCABULARY, *(p.numel() for p in model.parameters()), batch.input_ids_RT.numel() * 48)
    assert seen.count <= most < positions * VOCABULARY
    assert math.isfinite(float(found.detach().sum()))


def test_the_model_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("llama, tied").train()
    in_chunks(monkeypatch)
    gradients(model)
    assert "forward" not in vars(model.lm_head)
    assert model.training
    assert model(input_ids=torch.tensor([[1, 2, 3]])).logits.shape == (1, 3, VOCABULARY)

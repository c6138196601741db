"""The check at the door: each way in which a sampler can be another policy than the scored one is found and named."""

from __future__ import annotations

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

import stores
import tiny_models
from comal.errors import PolicyError
from comal.models.rounding import TOLERANCE, tolerance_with
from comal.policies import door
from comal.policies.adapters import LoraConfig
from comal.policies.base import Prompt
from comal.policies.transformers import Decoding, TransformersPolicy

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

PROMPTS = [Prompt.of_text(t) for t in ("How long is a yard?", "Why?", "Name the third planet, please.")]
LORA = LoraConfig(r=4, alpha=8.0, target_modules="all-linear")
OTHERS = r"the sampler does not draw from the policy that is scored \(.* nats a token, 0\.001 allowed\)"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_models.save_causal_lm(tmp_path_factory.mktemp("base"), initializer_range=0.2)


def opened(base: str, **options: Any) -> TransformersPolicy:
    return stores.store(base, **({"decoding": Decoding(max_new_tokens=8)} | options)).open(base)


@pytest.mark.parametrize(
    "decoding",
    [Decoding(), Decoding(temperature=0.7), Decoding(top_p=0.8), Decoding(temperature=1.3, top_p=0.5)],
    ids=["plain", "cold", "nucleus", "both"],
)
@pytest.mark.parametrize("share_prompt", [False, True])
def test_a_policy_agrees_with_itself(base: str, decoding: Decoding, share_prompt: bool) -> None:
    state = torch.random.get_rng_state()
    found = door.require(opened(base, decoding=decoding, share_prompt=share_prompt), PROMPTS)
    assert found.tokens > 0
    assert found.sampler.largest < 1e-4
    assert found.plain is not None
    assert found.plain.largest < 1e-4
    assert (found.layout is not None) == share_prompt
    assert "sampler and scorer agree to" in found.line()
    assert torch.equal(torch.random.get_rng_state(), state), "no draw is changed"


@pytest.mark.parametrize(
    ("wish", "named"),
    [
        ({"repetition_penalty": 1.3}, "repetition_penalty 1.3"),
        ({"min_new_tokens": 5}, "min_new_tokens 5"),
        ({"suppress_tokens": [9, 10]}, "suppress_tokens"),
        ({"no_repeat_ngram_size": 1}, "no_repeat_ngram_size 1"),
        ({"min_p": 0.2}, "min_p 0.2"),
    ],
)
def test_a_penalty_in_the_sampler_is_named(base: str, wish: dict[str, Any], named: str) -> None:
    policy = opened(base)
    policy.model.generation_config.update(**wish)
    with pytest.raises(PolicyError, match=f"such as a penalty .*{named}"):
        door.require(policy, PROMPTS)


def test_a_stale_checkpoint_is_named(base: str, tmp_path: Path) -> None:
    new, old = opened(base), opened(base)
    with torch.no_grad():
        new.model.model.layers[0].mlp.down_proj.weight.mul_(1.05)
    with pytest.raises(PolicyError, match=OTHERS + r".*perhaps an earlier \(stale\) one"):
        door.require(old, PROMPTS, new)
    with pytest.raises(PolicyError, match="it holds the checkpoint before; load the checkpoint into it again"):
        door.require(old, PROMPTS, new, {"the checkpoint before": opened(base)})


def test_a_wrong_chat_template_is_named(base: str) -> None:
    for other in (opened(base, chat_template="none"), opened(base, system_prompt="Be brief.")):
        with pytest.raises(PolicyError, match="use different chat templates or tokenizers"):
            door.require(other, PROMPTS, opened(base))


def test_base_weights_instead_of_an_adapter_are_named(base: str, tmp_path: Path) -> None:
    store = stores.store(base, lora=LORA, decoding=Decoding(max_new_tokens=8))
    model = store.trainable(store.initial)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "lora_B" in name:
                weights.normal_(std=0.05, generator=torch.Generator().manual_seed(0))
    store.save(model, tmp_path / "adapter")
    adapted = store.open(tmp_path / "adapter")
    assert door.require(adapted, PROMPTS).sampler.largest < 1e-4
    with pytest.raises(PolicyError, match="it holds the base weights instead of the adapter"):
        door.require(opened(base), PROMPTS, adapted)


def test_bfloat16_against_float32_is_within_its_tolerance_and_nothing_more(base: str) -> None:
    coarse, fine = opened(base, dtype="bfloat16"), opened(base)
    found = door.require(coarse, PROMPTS, fine)
    assert found.tolerance == TOLERANCE[torch.bfloat16]
    assert TOLERANCE[torch.float32] < found.sampler.mean < found.tolerance
    coarse.model.generation_config.repetition_penalty = 1.3
    with pytest.raises(PolicyError, match="does not draw from the policy that is scored"):
        door.require(coarse, PROMPTS, fine)


def small(kind: str, **options: Any) -> Any:
    common = {"vocab_size": 320, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.3}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "mpt":
            return transformers.MptForCausalLM(
                transformers.MptConfig(d_model=32, n_layers=2, n_heads=2, initializer_range=0.3, vocab_size=320)
            )
        if kind == "bloom":
            return transformers.BloomForCausalLM(
                transformers.BloomConfig(hidden_size=32, n_layer=2, n_head=2, **common)
            )
        if kind == "mamba":
            return transformers.MambaForCausalLM(
                transformers.MambaConfig(hidden_size=32, num_hidden_layers=2, state_size=8, **common)
            )
        shape = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        return transformers.MistralForCausalLM(
            transformers.MistralConfig(num_key_value_heads=2, **shape, **common, **options)
        )


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("mistral", "a window of 8 tokens, less than the 520"),
        ("mpt", "ALiBi"),
        ("bloom", "ALiBi|cannot be computed"),
        ("mamba", "cannot be computed"),
    ],
)
def test_a_prompt_is_not_shared_by_a_model_that_cannot(tmp_path: Path, kind: str, why: str) -> None:
    small(kind, sliding_window=8).save_pretrained(tmp_path)
    tiny_models.make_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(PolicyError, match=f"training.share_prompt: .*({why})"):
        door.require(opened(str(tmp_path), share_prompt=True), PROMPTS)
    assert door.require(opened(str(tmp_path)), PROMPTS).plain is not None


def test_a_window_that_is_never_left_is_no_hindrance(tmp_path: Path) -> None:
    small("mistral", sliding_window=1024).save_pretrained(tmp_path)
    tiny_models.make_tokenizer().save_pretrained(tmp_path)
    found = door.require(opened(str(tmp_path), share_prompt=True), PROMPTS)
    assert found.layout is not None
    assert found.layout.largest < 1e-4


def test_it_is_found_out_once_a_policy(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = opened(base)
    first = door.once(policy, PROMPTS)
    monkeypatch.setattr(door, "require", None)
    assert door.once(policy, PROMPTS) is first


def test_tf32_is_the_format_of_float32_weights_on_a_gpu_where_it_is_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen on an H100: .0010 to .0032 nats a token, which was taken for answers of another policy."""

    def model(device: str, dtype: torch.dtype) -> SimpleNamespace:
        weights = [torch.zeros(1, dtype=dtype)]
        return SimpleNamespace(
            device=torch.device(device), config=SimpleNamespace(), parameters=functools.partial(iter, weights)
        )

    on_gpu = model("cuda", torch.float32)
    monkeypatch.setattr(torch.backends, "fp32_precision", "ieee")
    assert tolerance_with(on_gpu) == TOLERANCE[torch.float32]
    monkeypatch.setattr(torch.backends, "fp32_precision", "tf32")
    assert tolerance_with(on_gpu) == TOLERANCE[torch.float16], "which has as many bits"
    assert tolerance_with(model("cpu", torch.float32)) == TOLERANCE[torch.float32]
    assert tolerance_with(model("cuda", torch.bfloat16)) == TOLERANCE[torch.bfloat16]

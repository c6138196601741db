"""Transformers policies: sampling follows the log-probabilities, and with LoRA nobody but the trained adapter moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import stores
import tiny_models
from comal.errors import PolicyError
from comal.policies.adapters import LoraConfig
from comal.policies.base import Completion, Prompt
from comal.policies.saved import require_saved
from comal.policies.sequences import TokenBatch, completion_log_probs
from comal.policies.store import PolicyStore
from comal.policies.transformers import Decoding

# PEFT 0.21 asks Transformers 5.23 by a name that it has just deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

PROMPTS = [Prompt.of_text(t) for t in ("How long is a yard?", "Why?", "Name the third planet, please.")]
LORA = LoraConfig(r=4, alpha=8.0, target_modules="all-linear")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_models.save_causal_lm(tmp_path_factory.mktemp("base"), initializer_range=0.2)


def store(base: str, **changes: Any) -> PolicyStore:
    return stores.store(base, **({"max_tokens": 64, "decoding": Decoding(max_new_tokens=6, batch_size=12)} | changes))


def tokens(groups: list[list[Completion]]) -> list[list[tuple[int, ...]]]:
    return [[c.token_ids for c in group] for group in groups]


@pytest.mark.parametrize("share_prompt", [False, True])
def test_the_same_seed_samples_the_same_answers_and_another_seed_others(base: str, share_prompt: bool) -> None:
    policy = store(base, share_prompt=share_prompt).open(base)
    before = torch.random.get_rng_state()
    draws = [tokens(policy.sample(PROMPTS, 4, seed)) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert torch.equal(torch.random.get_rng_state(), before), "the global random state is left alone"


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_prefilling_a_prompt_once_samples_what_prefilling_it_for_every_answer_does(
    tmp_path: Path, architecture: tiny_models.Architecture
) -> None:
    base = tiny_models.save_causal_lm(tmp_path / "m", architecture=architecture, initializer_range=0.2)
    plain, shared = (
        tokens(store(base, share_prompt=share).open(base).sample(PROMPTS, 4, seed=3)) for share in (False, True)
    )
    assert plain == shared


@pytest.mark.parametrize("share_prompt", [False, True])
def test_one_token_answers_come_as_often_as_their_log_probabilities_say(tmp_path: Path, share_prompt: bool) -> None:
    """Pearson's chi-square over the cells with 5 or more expected; its 99.99% quantile is about d + 4 sqrt(2 d) + 6."""
    base = tiny_models.save_causal_lm(tmp_path / "m", initializer_range=0.6)
    policy = store(base, decoding=Decoding(max_new_tokens=1, batch_size=3000), share_prompt=share_prompt).open(base)
    for prompt, group in zip(PROMPTS[:2], policy.sample(PROMPTS[:2], 1500, seed=0), strict=True):
        vocabulary = [(i,) for i in range(len(policy.tokenizer))]
        p = np.exp(policy.score_groups([(policy.encoder(prompt), vocabulary)])[0])
        assert p.sum() == pytest.approx(1, abs=1e-4)
        counts = np.bincount([c.token_ids[0] for c in group], minlength=len(p))
        expected = 1500 * p
        cells = expected >= 5
        assert cells.sum() > 3
        observed = [*counts[cells], counts[~cells].sum()]
        wanted = [*expected[cells], expected[~cells].sum()]
        statistic = sum((o - w) ** 2 / w for o, w in zip(observed, wanted, strict=True))
        d = len(observed) - 1
        assert statistic < d + 4 * np.sqrt(2 * d) + 6


def test_cached_log_probs_are_those_of_a_by_hand_softmax(base: str) -> None:
    policy = store(base).open(base)
    completions = policy.sample(PROMPTS, 2, seed=5)
    found = policy.log_probs(PROMPTS, completions)
    model = AutoModelForCausalLM.from_pretrained(base).eval()
    for prompt, group, logp in zip(PROMPTS, completions, found, strict=True):
        for completion, value in zip(group, logp, strict=True):
            ids = policy.encoder(prompt)
            with torch.no_grad():
                logits = model(torch.tensor([[*ids, *completion.token_ids]])).logits[0].double()
            hand = sum(
                float(logits[len(ids) + t - 1].log_softmax(-1)[token]) for t, token in enumerate(completion.token_ids)
            )
            assert value == pytest.approx(hand, abs=1e-4)


def test_answers_end_at_the_end_token_which_is_scored_but_not_shown(base: str) -> None:
    policy = store(base, decoding=Decoding(max_new_tokens=200, batch_size=64)).open(base)
    (group,) = policy.sample(PROMPTS[:1], 60, seed=0)
    done = [c for c in group if c.finished]
    assert done
    eos = policy.tokenizer.eos_token_id
    for completion in group:
        assert (completion.token_ids[-1] == eos) == completion.finished
        assert eos not in completion.token_ids[:-1]
        assert "<|eos|>" not in completion.text
        assert completion.finished or len(completion.token_ids) == 200


def test_prompts_go_through_the_chat_template_or_as_plain_text(base: str, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    decoded = tokenizer.decode(store(base).encoder(PROMPTS[1]))
    assert decoded == "<|bos|>user\nWhy?<|eos|>\n<|bos|>assistant\n"
    assert tokenizer.decode(store(base, chat_template="none").encoder(PROMPTS[1])) == "Why?"
    bare = tiny_models.save_causal_lm(tmp_path / "bare", chat_template=False)
    assert tokenizer.decode(store(bare).encoder(PROMPTS[1])) == "Why?"
    with_system = tokenizer.decode(store(base, system_prompt="Be brief.").encoder(PROMPTS[1]))
    assert with_system.startswith("<|bos|>system\nBe brief.<|eos|>\n<|bos|>user\nWhy?")
    chat = Prompt(({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}, PROMPTS[1].messages[0]))
    assert "assistant\nYes?<|eos|>" in tokenizer.decode(store(base).encoder(chat))


def test_a_system_prompt_without_a_template_to_put_it_in_is_refused(base: str, tmp_path: Path) -> None:
    bare = tiny_models.save_causal_lm(tmp_path / "bare", chat_template=False)
    for folder, template in ((bare, "auto"), (base, "none")):
        with pytest.raises(PolicyError, match=r"policy.system_prompt: .* has no chat template in use"):
            store(folder, system_prompt="Be brief.", chat_template=template)


def test_an_over_long_prompt_loses_the_end_of_its_last_message_and_nothing_else(base: str) -> None:
    long = Prompt.of_text("First the task. " + "word " * 200 + "end?")
    made = store(base, max_tokens=60, system_prompt="Be brief.")
    ids = made.encoder(long)
    text = made.tokenizer.decode(ids)
    assert 57 <= len(ids) <= 60, "no more is cut than has to be"
    assert text.startswith("<|bos|>system\nBe brief.<|eos|>\n<|bos|>user\nFirst the task. word")
    assert text.endswith("<|eos|>\n<|bos|>assistant\n")
    assert len(made.open(base).sample([long], 2, seed=0)[0]) == 2


def test_a_limit_that_leaves_no_room_for_the_prompt_is_refused(base: str) -> None:
    with pytest.raises(PolicyError, match=r"policy.max_prompt_tokens: what stands around .* leaves no room"):
        store(base, max_tokens=5).encoder(Prompt.of_text("word " * 20))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("./no/such/model", "there is no folder `./no/such/model`; give a model folder or a hub id"),
        ("~nobody-of-that-name", "there is no folder `~nobody-of-that-name`; give a model folder or a hub id"),
        ("task:docstrings", "there is no folder `task:docstrings`; give a model folder or a hub id"),
        ("/no/such/model", "there is no folder"),
        ("{tmp}", "holds no model \\(config.json is missing\\)"),
    ],
)
def test_a_missing_model_is_one_message(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        store(name.format(tmp=tmp_path))


def test_a_model_folder_with_broken_files_is_one_message(base: str, tmp_path: Path) -> None:
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    (broken / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(PolicyError, match="cannot load"):
        store(str(broken)).open(str(broken))
    (broken / "model.safetensors").unlink()
    with pytest.raises(PolicyError, match="cannot load"):
        store(str(broken)).open(str(broken))


def train_a_little(opened: PolicyStore, model) -> None:
    """A few steps that make one answer likelier."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.5)
    batch = TokenBatch.collate([(opened.encoder(PROMPTS[0]), [[40, 41, 42]])], pad=0)
    for _ in range(3):
        optimizer.zero_grad()
        (-completion_log_probs(model, batch).mean()).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()


def likelihoods(policy, groups=((0, (40, 41, 42)), (1, (50, 51)))) -> np.ndarray:
    return np.array([policy.score_groups([(policy.encoder(PROMPTS[x]), [list(a)])])[0][0] for x, a in groups])


@pytest.mark.parametrize("lora", [None, LORA], ids=["whole", "lora"])
def test_training_starts_from_the_very_numbers_that_were_cached(base: str, tmp_path: Path, lora) -> None:
    opened = store(base, lora=lora)
    groups = [(opened.encoder(p), [[60, 61], [62]]) for p in PROMPTS]

    def gap(checkpoint: str | Path) -> float:
        cached = np.concatenate(opened.open(checkpoint).score_groups(groups))
        model = opened.trainable(checkpoint)
        assert model.training
        live = completion_log_probs(model, TokenBatch.collate(groups, pad=0)).detach().numpy()
        return float(np.abs(live - cached).max())

    assert gap(base) == 0
    train_a_little(opened, opened.trainable(base))
    model = opened.trainable(base)
    train_a_little(opened, model)
    opened.save(model, tmp_path / "first")
    assert gap(tmp_path / "first") == 0
    assert gap(base) == 0


def test_the_initial_lora_policy_is_the_base_model_also_after_training(base: str, tmp_path: Path) -> None:
    plain = likelihoods(store(base).open(base))
    opened = store(base, lora=LORA)
    assert likelihoods(opened.open(opened.initial)) == pytest.approx(plain, abs=1e-5)
    model = opened.trainable(base)
    train_a_little(opened, model)
    opened.save(model, tmp_path / "trained")
    trained = likelihoods(opened.open(tmp_path / "trained"))
    assert trained[0] > plain[0] + 0.1
    assert likelihoods(opened.open(opened.initial)) == pytest.approx(plain, abs=1e-5)


def test_frozen_adapters_stay_what_they_were_while_the_next_one_is_trained(base: str, tmp_path: Path) -> None:
    opened = store(base, lora=LORA, keep=3)
    model = opened.trainable(base)
    train_a_little(opened, model)
    opened.save(model, tmp_path / "first")
    first = likelihoods(opened.open(tmp_path / "first"))
    model = opened.trainable(tmp_path / "first")
    trainable = [n for n, p in model.named_parameters() if p.requires_grad]
    assert trainable
    assert all("lora_" in n and ".default." in n for n in trainable), "only the trained adapter takes gradients"
    train_a_little(opened, model)
    opened.save(model, tmp_path / "second")
    second = likelihoods(opened.open(tmp_path / "second"))
    assert second[0] > first[0] + 0.01
    assert likelihoods(opened.open(tmp_path / "first")) == pytest.approx(first, abs=1e-6)
    fresh = store(base, lora=LORA)
    assert likelihoods(fresh.open(tmp_path / "first")) == pytest.approx(first, abs=1e-6), "from disk, in a new process"
    assert likelihoods(fresh.open(tmp_path / "second")) == pytest.approx(second, abs=1e-6)


def test_a_saved_adapter_is_in_pefts_own_layout(base: str, tmp_path: Path) -> None:
    opened = store(base, lora=LORA)
    model = opened.trainable(base)
    train_a_little(opened, model)
    opened.open(base)
    opened.save(model, tmp_path / "adapter")
    files = {p.name for p in (tmp_path / "adapter").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= files
    assert "README.md" not in files
    theirs = peft.AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter").eval()
    batch = TokenBatch.collate([(opened.encoder(PROMPTS[0]), [[40, 41, 42]])], pad=0)
    with torch.no_grad():
        found = float(completion_log_probs(theirs, batch)[0])
    assert found == pytest.approx(likelihoods(opened.open(tmp_path / "adapter"))[0], abs=1e-5)


def test_a_whole_checkpoint_comes_back_as_it_was_saved_and_is_kept_in_memory(base: str, tmp_path: Path) -> None:
    opened = store(base, keep=2)
    model = opened.trainable(base)
    train_a_little(opened, model)
    opened.save(model, tmp_path / "saved")
    opened.adopt(model, tmp_path / "saved")
    adopted = likelihoods(opened.open(tmp_path / "saved"))
    assert opened.open(tmp_path / "saved").model is model
    opened.forget(tmp_path / "saved")
    assert opened.open(tmp_path / "saved").model is not model
    assert (likelihoods(opened.open(tmp_path / "saved")) == adopted).all()
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "saved").config.model_type == "llama"


def test_a_folder_without_an_adapter_is_no_lora_checkpoint(base: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"holds no adapter \(adapter_config.json is missing\)"):
        store(base, lora=LORA).open(tmp_path)


@pytest.mark.parametrize("target", [("q_proj", "lm_head"), ("q_proj", "embed_tokens"), ("lm_head", "embed_tokens")])
def test_an_adapter_on_a_tied_embedding_or_head_is_refused(base: str, target: tuple[str, ...]) -> None:
    """Merged into the one matrix that both are, it would change the other use too."""
    with pytest.raises(PolicyError, match=r"policy.lora.target_modules: .* are one matrix .*all-linear"):
        store(base, lora=LoraConfig(4, 8.0, target)).trainable(base)


def test_a_checkpoint_that_is_not_what_was_trained_is_refused(base: str, tmp_path: Path) -> None:
    for number, lora in enumerate((None, LORA)):
        opened = store(base, lora=lora)
        model = opened.trainable(base)
        folder = tmp_path / str(number)
        opened.save(model, folder)
        with torch.no_grad():
            next(p for p in model.parameters() if p.requires_grad).add_(0.01)
        with pytest.raises(PolicyError, match="not the trained model: weights differ from the trained ones"):
            require_saved(model, folder)

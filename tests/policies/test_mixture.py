"""A token-wise mixture of language models: its probabilities are those of the formula, and its samples follow them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import tiny_models
from comal.policies.adapters import LoraConfig
from comal.policies.base import Prompt
from comal.policies.sequences import TokenBatch, completion_log_probs
from comal.policies.store import ModelSource, PolicyStore
from comal.policies.transformers import Batching, Decoding

PROMPTS = [Prompt.of_text("Hi"), Prompt.of_text("Why is the sky blue?")]
LORA = LoraConfig(r=4, alpha=8, target_modules="all-linear")
WEIGHT = 0.3


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_models.save_causal_lm(tmp_path_factory.mktemp("base"), hidden_size=32, layers=1, initializer_range=0.2)


@pytest.fixture(scope="module", params=["whole", "lora", "shared prompt"])
def opened(request: pytest.FixtureRequest, base: str, tmp_path_factory: pytest.TempPathFactory) -> PolicyStore:
    """A store whose policy, at `trained`, differs much from the initial one."""
    lora = LORA if request.param == "lora" else None
    decoding = Decoding(max_new_tokens=2, batch_size=4000)
    batching = Batching(share_prompt=request.param == "shared prompt")
    store = PolicyStore(ModelSource(base, lora=lora), decoding=decoding, batching=batching, keep=1)
    model = store.trainable(base)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    batch = TokenBatch.collate([(store.encoder(p), [[40, 41], [42, 43]]) for p in PROMPTS], pad=0)
    for _ in range(10):
        optimizer.zero_grad()
        (-completion_log_probs(model, batch).mean()).backward()
        optimizer.step()
    store.trained = tmp_path_factory.mktemp("trained") / "checkpoint"
    store.save(model, store.trained)
    return store


def every_token(store: PolicyStore) -> list[tuple[list[int], list[list[int]]]]:
    return [(store.encoder(p), [[t] for t in range(len(store.tokenizer))]) for p in PROMPTS]


def mixed(store: PolicyStore, weight: float = WEIGHT):
    return store.open_mixture({store.initial: weight, store.trained: 1 - weight})


def test_of_one_token_it_is_the_geometric_mixture(opened: PolicyStore) -> None:
    groups = every_token(opened)
    found = np.exp(mixed(opened).score_groups(groups))
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    initial = np.array(opened.open(opened.initial).score_groups(groups))
    trained = np.array(opened.open(opened.trained).score_groups(groups))
    assert np.abs(np.exp(initial) - np.exp(trained)).sum(axis=1).min() > 0.2, "two policies worth mixing"
    product = np.exp(WEIGHT * initial + (1 - WEIGHT) * trained)
    np.testing.assert_allclose(found, product / product.sum(axis=1, keepdims=True), atol=1e-5)


def test_of_two_tokens_every_prefix_is_normalised_on_its_own(opened: PolicyStore) -> None:
    prompt, first, second = opened.encoder(PROMPTS[0]), 40, 7
    vocabulary = range(len(opened.tokenizer))
    policy = mixed(opened)
    whole = policy.score_groups([(prompt, [[first, second]])])[0][0]
    steps = [policy.score_groups([(list(head), [[t] for t in vocabulary])])[0] for head in (prompt, [*prompt, first])]
    assert whole == pytest.approx(steps[0][first] + steps[1][second], abs=1e-4)


def test_samples_follow_its_probabilities(opened: PolicyStore) -> None:
    """Both tokens, of prompts of two lengths side by side; the second is drawn with the other member's own cache."""
    policy = mixed(opened)
    count = 500
    samples = policy.sample(PROMPTS, count, seed=3)
    for prompt, group in zip(PROMPTS, samples, strict=True):
        ids = opened.encoder(prompt)
        p = np.exp(policy.score_groups([(ids, [[t] for t in range(len(opened.tokenizer))])])[0])
        drawn = np.bincount([c.token_ids[0] for c in group], minlength=len(p))
        noise = np.sqrt(p * (1 - p) / count)
        assert (np.abs(drawn / count - p) < 5 * noise + 2 / count).all()
        common = int(drawn.argmax())
        after = [c.token_ids[1] for c in group if c.token_ids[0] == common and len(c.token_ids) > 1]
        assert len(after) > 20
        q = np.exp(policy.score_groups([([*ids, common], [[t] for t in range(len(opened.tokenizer))])])[0])
        drawn = np.bincount(after, minlength=len(q))
        noise = np.sqrt(q * (1 - q) / len(after))
        assert (np.abs(drawn / len(after) - q) < 5 * noise + 3 / len(after)).all()


def test_the_members_are_as_they_were_afterwards(opened: PolicyStore) -> None:
    groups = [(opened.encoder(p), [[40, 41], [60]]) for p in PROMPTS]
    policies = {name: opened.open(name) for name in (opened.initial, opened.trained)}
    before = {name: np.array(policy.score_groups(groups)) for name, policy in policies.items()}
    mixed(opened).sample(PROMPTS, 4, seed=1)
    for name in policies:
        np.testing.assert_array_equal(opened.open(name).score_groups(groups), before[name])


def test_a_mixture_of_one_is_that_policy(opened: PolicyStore) -> None:
    assert opened.open_mixture({opened.initial: 1.0}) is opened.open(opened.initial)

"""The training stage: it does what it was asked, whatever the accumulation, and says so when it cannot."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny_models
from comal.errors import RunError
from comal.losses.group import Group as GroupLoss
from comal.pipeline.disk.method_folder import MethodFolder
from comal.pipeline.step.checkpoint import save_step
from comal.pipeline.training.trainers import Group, TrainerSetup, train_prox
from comal.policies.adapters import LoraConfig
from comal.policies.base import Prompt
from comal.policies.store import ModelSource, PolicyStore
from comal.recipes.settings import TrainingSettings


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_models.save_causal_lm(tmp_path_factory.mktemp("base"), hidden_size=32, layers=1, initializer_range=0.2)


@pytest.fixture
def opened(base: str) -> PolicyStore:
    return PolicyStore(ModelSource(base))


def groups(opened: PolicyStore, count: int = 16) -> list[Group]:
    """Prompts with four one-token answers each; the target lifts the first and lowers the last."""
    policy = opened.open(opened.initial)
    made = []
    for i in range(count):
        prompt = tuple(opened.encoder(Prompt.of_text(f"prompt {i}")))
        completions = tuple((40 + i + k,) for k in range(4))
        logp = policy.score_groups([(prompt, completions)])[0]
        made.append(Group(prompt, completions, logp, logp, logp, np.array([0.9, 0.6, 0.4, 0.1])))
    return made


SGD = {"learning_rate": 0.3, "arguments": {"optim": "sgd"}}
"""Adam's first steps are signs of gradients, also of those that are nothing but rounding."""


def train(opened: PolicyStore, output: Path, data: list[Group], **changes):
    settings = TrainingSettings(**({"learning_rate": 1e-3, "prompts_per_batch": 8} | changes))
    model = opened.trainable(opened.initial)
    state = changes.pop("optimizer_state", None)
    step, trainer = train_prox(model, data, GroupLoss(), 1.0, TrainerSetup(settings, 1, output, state), pad=0)
    return model, step, trainer


def weights(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_eight_micro_steps_of_one_prompt_are_one_of_eight(opened: PolicyStore, tmp_path: Path) -> None:
    data = groups(opened)
    whole, one, _ = train(opened, tmp_path, data, prompts_per_batch=8, **SGD)
    pieces, eight, _ = train(opened, tmp_path, data, prompts_per_batch=1, gradient_accumulation=8, **SGD)
    assert one.optimizer_steps == eight.optimizer_steps == 2
    assert one.loss == pytest.approx(eight.loss, rel=1e-4)
    moved = weights(whole) - weights(opened.open(opened.initial).model)
    assert float(moved.abs().max()) > 1e-3
    assert torch.allclose(weights(whole), weights(pieces), atol=1e-5)


def test_sharing_a_prompt_among_its_answers_trains_the_same(opened: PolicyStore, tmp_path: Path) -> None:
    data = groups(opened)
    rows, packed = (weights(train(opened, tmp_path, data, share_prompt=s, **SGD)[0]) for s in (False, True))
    assert torch.allclose(rows, packed, atol=1e-5)


def test_the_first_step_starts_from_the_cached_numbers(opened: PolicyStore, tmp_path: Path) -> None:
    assert train(opened, tmp_path, groups(opened))[1].start_gap < 1e-5


def test_a_well_fitted_step_moves_log_ratios_by_what_was_asked(opened: PolicyStore, tmp_path: Path) -> None:
    data = groups(opened, 4)
    model, step, _ = train(opened, tmp_path, data, epochs=60, prompts_per_batch=4, learning_rate=3e-3)
    assert step.optimizer_steps == 60
    opened.adopt(model, "trained")
    policy = opened.open("trained")
    for group in data:
        moved = policy.score_groups([(group.prompt, group.completions)])[0] - group.policy_logp
        asked = group.win_rate
        slope = np.polyfit(asked, moved, 1)[0]
        assert slope == pytest.approx(1, abs=0.1)


def phrases(opened: PolicyStore, count: int) -> list[Group]:
    """Prompts with six answers of three tokens, of which some begin alike; the targets differ in all positions."""
    policy = opened.open(opened.initial)
    made = []
    for i in range(count):
        prompt = tuple(opened.encoder(Prompt.of_text(f"prompt {i}")))
        completions = tuple((40 + i + a, 50 + b, 60 + a + b) for a in range(2) for b in range(3))
        logp = policy.score_groups([(prompt, completions)])[0]
        made.append(Group(prompt, completions, logp, logp, logp, np.array([0.9, 0.2, 0.5, 0.7, 0.3, 0.1])))
    return made


def test_a_half_life_changes_the_way_and_not_where_a_step_arrives(opened: PolicyStore, tmp_path: Path) -> None:
    data = phrases(opened, 4)
    settings = {"prompts_per_batch": 4, "learning_rate": 3e-3}
    arrived = {}
    for half_life in (None, 1.0):
        changes = settings | {"token_half_life": half_life}
        first, _, _ = train(opened, tmp_path, data, epochs=1, **changes)
        model, _, _ = train(opened, tmp_path, data, epochs=120, **changes)
        opened.adopt(model, f"half-life {half_life}")
        policy = opened.open(f"half-life {half_life}")
        moved = [policy.score_groups([(g.prompt, g.completions)])[0] - g.policy_logp for g in data]
        for group, of_prompt in zip(data, moved, strict=True):
            asked = group.win_rate - group.win_rate.mean()
            assert of_prompt - of_prompt.mean() == pytest.approx(asked, abs=0.05)
        arrived[half_life] = weights(first)
    assert not torch.allclose(arrived[None], arrived[1.0], atol=1e-4)


def test_answers_of_one_token_have_no_later_ones(opened: PolicyStore, tmp_path: Path) -> None:
    data = groups(opened)
    plain, weighted = (weights(train(opened, tmp_path, data, token_half_life=h, **SGD)[0]) for h in (None, 0.5))
    assert torch.allclose(plain, weighted, atol=1e-6)


def test_the_optimisers_history_really_goes_on(opened: PolicyStore, tmp_path: Path) -> None:
    data = groups(opened)
    _, _, trainer = train(opened, tmp_path, data)
    state = trainer.optimizer.state_dict()
    assert state["state"], "moments"
    settings = TrainingSettings(learning_rate=5e-4, prompts_per_batch=8, adam_betas=(0.5, 0.9))
    found = []
    for history in (None, state):
        model = opened.trainable(opened.initial)
        _, again = train_prox(model, data, GroupLoss(), 1.0, TrainerSetup(settings, 1, tmp_path, history), pad=0)
        found.append((weights(model), again.optimizer.state_dict()))
    steps = [int(next(iter(f[1]["state"].values()))["step"]) for f in found]
    assert steps == [2, 4], "two steps, and two more after the two before"
    assert all(f[1]["param_groups"][0]["lr"] == 5e-4 for f in found), "the recipe's rate, not the old one"
    assert not torch.allclose(found[0][0], found[1][0], atol=1e-5)


def test_the_rate_goes_to_its_final_value_in_a_straight_line() -> None:
    settings = TrainingSettings(learning_rate=8e-4, final_learning_rate=2e-4)
    rates = [settings.for_step(step, 4).learning_rate for step in range(4)]
    assert rates == pytest.approx([8e-4, 6e-4, 4e-4, 2e-4])
    assert settings.for_step(0, 1).learning_rate == 8e-4
    assert TrainingSettings(learning_rate=8e-4).for_step(3, 4).learning_rate == 8e-4


@pytest.mark.parametrize("lora", [None, LoraConfig(2, 4.0, "all-linear")], ids=["whole", "lora"])
def test_a_policy_trained_in_mixed_precision_scores_as_its_checkpoint_does(
    base: str, tmp_path: Path, lora: LoraConfig | None
) -> None:
    """Or a run that goes on would begin from other figures than one that was not interrupted."""
    store, folder = PolicyStore(ModelSource(base, lora=lora)), MethodFolder(tmp_path).step("00000")
    folder.path.mkdir(parents=True)
    data = groups(store, 4)
    forward = store.open(store.initial).model.forward
    model, step, trainer = train(store, tmp_path / "trainer", data, arguments={"bf16": True}, learning_rate=3e-2)
    assert step.start_gap > 1e-4, "training itself is rounded"
    assert save_step(trainer, folder, store, keep_optimizer=False)
    store.adopt(model, folder.checkpoint)
    assert model.forward == forward
    answers = [(group.prompt, group.completions) for group in data]
    in_memory = store.open(folder.checkpoint).score_groups(answers)
    anchor = store.open(store.initial).score_groups(answers)
    read_again = PolicyStore(ModelSource(base, lora=lora)).open(folder.checkpoint).score_groups(answers)
    assert np.array_equal(in_memory, read_again)
    assert np.array_equal(anchor, [group.policy_logp for group in data])
    assert np.abs(np.subtract(in_memory, anchor)).max() > 1e-3, "it was trained"
    assert train(store, tmp_path, data, arguments={"bf16": True})[1].start_gap > 1e-4, "and so is the next training"


def test_a_forward_pass_of_a_models_own_is_put_back(opened: PolicyStore, tmp_path: Path) -> None:
    """Such as that of a quantised model, whose inputs are moved first."""
    data, model, calls = groups(opened, 8), opened.trainable(opened.initial), []

    @functools.wraps(model.forward)
    def own(*args: object, **kwargs: object) -> object:
        calls.append(args)
        return type(model).forward(model, *args, **kwargs)

    model.forward = own
    settings = TrainingSettings(prompts_per_batch=8, arguments={"bf16": True})
    train_prox(model, data, GroupLoss(), 1.0, TrainerSetup(settings, 1, tmp_path), pad=0)
    assert calls
    assert model.forward is own


def test_the_same_seed_trains_the_same_weights(opened: PolicyStore, tmp_path: Path) -> None:
    data = groups(opened)
    first, second = (weights(train(opened, tmp_path, data, prompts_per_batch=4)[0]) for _ in range(2))
    assert torch.equal(first, second)


def test_training_that_diverges_is_said(opened: PolicyStore, tmp_path: Path) -> None:
    data = groups(opened)
    data[0].win_rate[0] = np.inf
    with pytest.raises(RunError, match="training diverged; lower the learning rate"):
        train(opened, tmp_path, data)

"""The Trainer's arguments: a recipe's go through, and what would do nothing, or be refused, is said by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from comal.errors import ConfigError
from comal.pipeline.training.arguments import check_arguments, training_arguments
from comal.pipeline.training.batches import Batch
from comal.recipes.settings import SupervisedSettings, TrainingSettings


@pytest.mark.parametrize("place", ["training", "supervised"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arguments": {"bf16": "no"}}, r"\.arguments\.bf16: need bool, got the text 'no'"),
        ({"arguments": {"adam_epsilon": "1e-8"}}, r"\.arguments\.adam_epsilon: need float, got the text '1e-8'"),
        ({"arguments": {"bf17": True}}, r"\.arguments\.bf17: .* has no such field\. Did you mean `bf16`\?$"),
        ({"arguments": {"seed": 3}}, r"\.arguments\.seed: this is set by the pipeline"),
        ({"arguments": {"label_smoothing_factor": 0.1}}, r"\.arguments\.label_smoothing_factor: it would do nothing"),
        ({"arguments": {"eval_strategy": "steps"}}, r"\.arguments\.eval_strategy: it would do nothing"),
        ({"arguments": {"fsdp_config": {"version": 2}}}, r"\.arguments\.fsdp_config: it does nothing without `fsdp`"),
        (
            {"learning_rate": 1e-3, "arguments": {"learning_rate": 1e-5}},
            r"\.arguments\.learning_rate: 1e-05 would take the place of `\w+\.learning_rate`, 0\.001; set that one",
        ),
        ({"epochs": 2.0, "arguments": {"num_train_epochs": 3}}, r"\.arguments\.num_train_epochs: 3 would take the pl"),
        ({"scheduler": "cosin"}, r"\.scheduler: `cosin` is not a scheduler\. Did you mean `cosine`\?"),
    ],
)
def test_what_the_trainer_would_not_take_is_said_beforehand(place: str, settings: dict, message: str) -> None:
    cls = TrainingSettings if place == "training" else SupervisedSettings
    extra = {} if place == "training" else {"data": {"source": "x.jsonl"}}
    with pytest.raises(ConfigError, match=place + message):
        check_arguments(cls(**settings, **extra), place)


def test_an_argument_that_contradicts_nothing_is_taken() -> None:
    """A setting that is left at its default says nothing; what was begun so goes on."""
    for arguments in ({"num_train_epochs": 3}, {"eval_strategy": "no"}, {"label_smoothing_factor": 0.0}):
        check_arguments(TrainingSettings(arguments=arguments), "training")
    check_arguments(TrainingSettings(epochs=3.0, arguments={"num_train_epochs": 3}), "training")
    check_arguments(
        SupervisedSettings(data={"source": "x"}, arguments={"gradient_accumulation_steps": 4}), "supervised"
    )


def test_values_that_training_arguments_refuse_are_one_message(tmp_path: Path) -> None:
    settings = TrainingSettings(arguments={"logging_strategy": "sometimes"})
    with pytest.raises(ConfigError, match=r"training\.arguments: TrainingArguments refuses them: .*sometimes"):
        training_arguments(settings, tmp_path, 0, Batch(1, 1))


def test_arguments_go_through_to_the_trainer(tmp_path: Path) -> None:
    settings = TrainingSettings(arguments={"logging_steps": 7, "optim": "adafactor"})
    found = training_arguments(settings, tmp_path, 3, Batch(2, 4))
    assert (found.logging_steps, found.optim, found.seed) == (7, "adafactor", 3)
    assert (found.per_device_train_batch_size, found.gradient_accumulation_steps) == (2, 4)

"""Training stage of a proximal step, on `transformers.Trainer`."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from accelerate.data_loader import SeedableRandomSampler
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from comal.errors import RunError
from comal.losses.base import Loss
from comal.losses.forward_kl import with_forward_kl
from comal.pipeline.training.arguments import training_arguments
from comal.pipeline.training.batches import Batch, Rows, WholeBatches, batch_here
from comal.pipeline.training.sharding import (
    in_shards,
    is_sharded,
    let_cpus_shard,
    load_optimizer,
    require_sharded,
)
from comal.pipeline.training.tf32 import tf32_as_in
from comal.policies.head import head_of
from comal.policies.sequences import TokenBatch, completion_log_probs, completion_token_log_probs, unwrapped
from comal.recipes.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class Group:
    """A prompt's K samples with their targets; every array has shape (K,).

    Attributes:
        prompt: token ids.
        completions: token ids of each sample.
        policy_logp: under the policy as training starts.
        sampler_logp: under the policy that drew the samples.
        anchor_logp: under the anchor mixture, up to a constant.
        win_rate: estimates of P(sample > opponent).
        covered_logp: under the policy that a forward KL covers; None where there is none.
    """

    prompt: tuple[int, ...]
    completions: tuple[tuple[int, ...], ...]
    policy_logp: NDArray[np.float64]
    sampler_logp: NDArray[np.float64]
    anchor_logp: NDArray[np.float64]
    win_rate: NDArray[np.float64]
    covered_logp: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class TrainedStep:
    """What training did.

    Attributes:
        loss: mean over the optimiser steps.
        start_gap: largest |log pi_theta - log pi_k| in the first micro-batch; 0 up to rounding by contract.
        optimizer_steps: taken.
    """

    loss: float
    start_gap: float
    optimizer_steps: int


@dataclass(frozen=True, slots=True)
class _Collator:
    pad: int
    share_prompt: bool

    def __call__(self, groups: Sequence[Group]) -> dict[str, Tensor]:
        batch = TokenBatch.collate([(g.prompt, g.completions) for g in groups], self.pad, self.share_prompt)

        def column(name: str) -> Tensor:
            return torch.tensor(np.stack([getattr(g, name) for g in groups]), dtype=torch.float32)

        covered = {} if groups[0].covered_logp is None else {"covered_logp": column("covered_logp")}
        return {
            **batch.tensors(),
            **covered,
            "policy_logp": column("policy_logp"),
            "sampler_logp": column("sampler_logp"),
            "anchor_logp": column("anchor_logp"),
            "win_rate": column("win_rate"),
            "length": torch.tensor([[max(1, len(c)) for c in g.completions] for g in groups], dtype=torch.float32),
        }


OptimizerState = dict[str, Any] | Path
"""An optimiser's history: its state dict, or where the shards of one lie."""


class QuietTrainer(transformers.Trainer):  # type: ignore[misc]
    """Trainer that leaves stdout alone, and whose optimiser can start with a history."""

    optimizer_state: OptimizerState | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.remove_callback(transformers.PrinterCallback)  # stdout is for data
        self.add_callback(_History(self))
        if in_shards(self.model):  # nothing is left to divide, and layers are not found by their classes' names
            self.accelerator.state.fsdp_plugin.auto_wrap_policy = None

    def create_accelerator_and_postprocess(self) -> None:
        """Make the Accelerator, which shards on CPUs too if that is asked for."""
        let_cpus_shard(self.args)
        launched = "ACCELERATE_USE_FSDP" in os.environ
        super().create_accelerator_and_postprocess()
        if not launched:  # this training's `fsdp`, which Accelerate would make that of whatever is trained next
            os.environ.pop("ACCELERATE_USE_FSDP", None)

    def create_optimizer(self, *args: Any, **kwargs: Any) -> Any:
        """The optimiser, with the moments of `optimizer_state` and its own learning rate."""
        optimizer = super().create_optimizer(*args, **kwargs)
        if isinstance(self.optimizer_state, dict):
            rates = [group["lr"] for group in optimizer.param_groups]
            optimizer.load_state_dict(self.optimizer_state)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate
                group.pop("initial_lr", None)
            self.optimizer_state = None
        return optimizer


class _History(transformers.TrainerCallback):  # type: ignore[misc]
    """Gives a sharded model's optimiser its history, once there are shards."""

    def __init__(self, trainer: QuietTrainer) -> None:
        self.trainer = trainer

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Load it."""
        if isinstance(self.trainer.optimizer_state, Path):
            load_optimizer(self.trainer, self.trainer.optimizer_state)
            self.trainer.optimizer_state = None


class _BaseTrainer(QuietTrainer):
    """Trainer whose loss is a mean over a micro-batch, of which the whole batch gives it its share.

    Args:
        batch: this process's part of the batch of an optimiser step; None: batches are each process's own.
        sizes: what each row counts for in its batch's mean.
    """

    def __init__(self, *args: Any, batch: Batch | None, sizes: Sequence[int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batch = batch
        self.sizes = sizes
        # Our losses are micro-batch means; without this the Trainer would expect them scaled by a token count.
        self.model_accepts_loss_kwargs = False

    def get_train_dataloader(self) -> Any:
        """Whole batches, shared among the processes; Accelerate would fill the last one up with rows seen before."""
        if self.batch is None:
            return super().get_train_dataloader()
        args, order = self.args, self._get_train_sampler()
        if isinstance(order, RandomSampler):  # the order of Accelerate's own loaders, the same in every process
            order = SeedableRandomSampler(self.train_dataset, data_seed=args.data_seed)
        return DataLoader(
            Rows(self.train_dataset),
            batch_sampler=WholeBatches(order, self.batch, self.sizes, args.dataloader_drop_last),
            collate_fn=self._with_share,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
        )

    def _with_share(self, rows: Sequence[tuple[Any, float]]) -> dict[str, Any]:
        return {**self.data_collator([row for row, _ in rows]), "share": rows[0][1]}


class ProxTrainer(_BaseTrainer):
    """Minimises a prox loss over groups of samples.

    With a half-life it follows another direction than the loss's gradient: that of a preconditioner which lets the
    first tokens of an answer learn faster. Where the conditionals are free (a tabular policy) it goes to the same
    minimum, since every one of them still moves down the loss.
    """

    def __init__(
        self, *args: Any, prox_loss: Loss, eta: float, forward: float, half_life: float | None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.prox_loss = prox_loss
        self.eta = eta
        self.forward_weight = forward
        self.half_life = half_life
        self.start_gap: float | None = None

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> Any:
        """Mean prox loss over the micro-batch's prompts."""
        if self.start_gap is None:
            require_sharded(self, model)
        logp_BK = completion_log_probs(model, TokenBatch.of(inputs), self.half_life).view(inputs["win_rate"].shape)
        if self.start_gap is None:
            self.start_gap = float((logp_BK.detach() - inputs["policy_logp"]).abs().max())
        if self.forward_weight:
            logp_BK = with_forward_kl(logp_BK, inputs["covered_logp"], self.forward_weight)
        anchor_BK, sampler_BK = inputs["anchor_logp"], inputs["sampler_logp"]
        if self.prox_loss.per_token:
            logp_BK, anchor_BK, sampler_BK = (t / inputs["length"] for t in (logp_BK, anchor_BK, sampler_BK))
        loss = self.prox_loss(logp_BK, anchor_BK, inputs["win_rate"], self.eta, sampler_BK).mean()
        loss = loss * inputs.get("share", 1.0)
        return (loss, None) if return_outputs else loss


class SupervisedTrainer(_BaseTrainer):
    """Maximum likelihood of the answers; the mean is over tokens of a micro-batch.

    It sums the losses itself, since the Trainer forgets what came before a checkpoint that it resumes from.
    """

    def __init__(self, *args: Any, loss_sum: float = 0.0, batches: int = 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loss_sum = torch.tensor(loss_sum, device=self.accelerator.device)
        self.batches = batches

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ARG002
    ) -> Any:
        """Cross-entropy in nats a token."""
        if self.batches == 0:
            require_sharded(self, model)
        batch = TokenBatch.of(inputs)
        loss = -completion_token_log_probs(model, batch).sum() / (batch.segment_RC >= 0).sum()
        loss = loss * inputs.get("share", 1.0)
        self.loss_sum += loss.detach().float()
        self.batches += 1
        return (loss, None) if return_outputs else loss

    def mean_loss(self) -> float:
        """Mean loss of all micro-batches so far, in nats a token; RunError as of the function."""
        return mean_loss(self, float(self.loss_sum) / self.batches)


@dataclass(frozen=True, slots=True)
class TrainerSetup:
    """What the training of one step begins with, besides its model and data.

    Attributes:
        settings: of the step.
        seed: of all that is drawn.
        output: a folder for the trainer.
        optimizer_state: the optimiser's history, where it has one; the folder of its shards where the model has them.
        shared: whether the batch of an optimiser step is that of all processes; see `comal.pipeline.training.batches`.
    """

    settings: TrainingSettings
    seed: int
    output: Path
    optimizer_state: OptimizerState | None = None
    shared: bool = True


def train_prox(
    model: Any,
    groups: Sequence[Group],
    loss: Loss,
    eta: float,
    setup: TrainerSetup,
    pad: int,
    forward: float = 0.0,
) -> tuple[TrainedStep, ProxTrainer]:
    """Train `model` in place towards the proximal step; returns the measurements and the spent trainer.

    With `forward`, the weight of a forward KL, every group has the log-probabilities of the policy that it covers.
    """
    settings, batch = setup.settings, batch_here(setup.settings, setup.shared)
    trainer = ProxTrainer(
        model=model,
        args=training_arguments(settings, setup.output, setup.seed, batch),
        train_dataset=list(groups),
        data_collator=_Collator(pad, settings.share_prompt),
        batch=batch if setup.shared else None,
        sizes=[1] * len(groups),
        prox_loss=loss,
        eta=eta,
        forward=forward,
        half_life=settings.token_half_life,
    )
    trainer.optimizer_state = setup.optimizer_state
    if is_sharded(trainer):
        head_of(unwrapped(model))  # by all processes, and not when the first of them comes to need it
    result = train_quietly(trainer)
    start_gap = float(over_processes(trainer, trainer.start_gap or 0.0).max())
    return TrainedStep(mean_loss(trainer, float(result.training_loss)), start_gap, int(result.global_step)), trainer


def over_processes(trainer: QuietTrainer, value: float) -> Tensor:
    """The value that each process has; the Trainer's own figures are those of its process."""
    gathered: Tensor = trainer.accelerator.gather(torch.tensor([value], device=trainer.accelerator.device))
    return gathered


def mean_loss(trainer: QuietTrainer, here: float) -> float:
    """Mean over the processes of a process's mean training loss.

    Raises:
        RunError: it is not finite.
    """
    loss = float(over_processes(trainer, here).mean())
    if not math.isfinite(loss):
        raise RunError(
            "training", f"the loss became {loss}: training diverged; lower the learning rate, in another --output-dir"
        )
    return loss


def train_quietly(trainer: QuietTrainer, resume_from: Path | None = None) -> Any:
    """Train to the end, from a checkpoint of the trainer's own if one is given; returns its output."""
    with warnings.catch_warnings():
        # A scheduler's first step before the optimiser's, when Accelerate skips one: harmless, and not ours to fix.
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*", category=UserWarning)
        # TRL and PEFT with Transformers 5.23, likewise.
        warnings.filterwarnings("ignore", message=".is_gradient_checkpointing. is deprecated", category=FutureWarning)
        try:
            with tf32_as_in(trainer.args):
                return trainer.train(None if resume_from is None else str(resume_from))
        finally:
            _end_preparation(trainer.accelerator.unwrap_model(trainer.model))
            if trainer.is_deepspeed_enabled:  # or Transformers would partition the next model that is only to score
                unset_hf_deepspeed_config()


def _end_preparation(model: Any) -> None:
    """Take back what Accelerate does to a model for training: its next training would not be prepared again.

    With mixed precision (`bf16: true`) it wraps the forward pass. Left wrapped, a model in memory scores otherwise than
    what a run that goes on reads from the checkpoint; unwrapped and still marked, it would be trained without.
    """
    own = vars(model).pop("_original_forward", None)  # `unwrap_model` would take off Transformers' decorators as well
    vars(model).pop("_is_accelerate_prepared", None)
    if own is None:
        return
    vars(model).pop("forward", None)
    if getattr(own, "__func__", None) is not type(model).forward:
        model.forward = own


def finish(trainer: QuietTrainer) -> None:
    """Let go of what training needed: the optimiser's state, and what is around the model."""
    trainer.accelerator.unwrap_model(trainer.model).zero_grad(set_to_none=True)
    for holder in (trainer, trainer.callback_handler):
        holder.model = holder.optimizer = holder.lr_scheduler = None
    trainer.model_wrapped = None
    trainer.accelerator.free_memory()

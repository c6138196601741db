"""An online step on a language model: `GRPOTrainer` of TRL, rewarded by win rates within the group.

TRL draws the answers, accumulates the gradients and steps the optimiser; what it is rewarded with is judged and scored
here, and nothing of `trl.experimental` or private to TRL is used. Set so that the gradient is the regularised game's:

    scale_rewards none           rewards are win rates, not multiples of their standard deviation
    loss_type dr_grpo            a sum over an answer's tokens / max_completion_length, which `reward_weights` undoes:
                                 the log-probability of the whole answer, whatever its length
    num_iterations 1             every answer is used once, at the policy that gave it: all ratios are 1, no clip binds
    beta 0                       the KL to the reference is in the reward; see `comal.pipeline.step.online_rewards`

so TRL holds no reference model, and the reference is any checkpoint.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from numpy.typing import NDArray
from trl import GRPOConfig, GRPOTrainer

from comal.algorithms.base import PlayOnline
from comal.errors import ConfigError, JudgeError, RunError
from comal.pipeline.processes.distributed import state
from comal.pipeline.step.fits import prompts_per_micro_step
from comal.pipeline.step.online_rewards import online_rewards
from comal.pipeline.step.samples import Samples, score
from comal.pipeline.training.arguments import training_arguments
from comal.pipeline.training.batches import Batch
from comal.pipeline.training.trainers import QuietTrainer, TrainerSetup, train_quietly
from comal.policies.base import Prompt
from comal.policies.encoder import PromptEncoder
from comal.policies.transformers import TransformersPolicy
from comal.recipes.settings import Recipe

WinRates = Callable[[int, Samples], NDArray[np.float64]]
"""Judges update number i's answers among themselves: mean verdicts on the others, (prompts, K), NaN rows where none."""


class OnlineTrainer(QuietTrainer, GRPOTrainer):  # type: ignore[misc]  # TRL is untyped
    """TRL's trainer, quiet, with an optimiser that can start with a history."""


@dataclass
class GroupRewards:
    """Rewards the answers of an update, all at once, and remembers what they were.

    Attributes:
        prompts: of all updates, one after another.
        count: prompts an update.
        samples: answers a prompt.
        policy: the model in training.
        reference: of the KL.
        tau: its weight.
        judge: gives the win rates.
        dropped: prompts so far of which some answer got no verdict; their answers teach nothing.
        kl_reference: KL(policy || reference) at each update, before it.
    """

    prompts: Sequence[Prompt]
    count: int
    samples: int
    policy: TransformersPolicy
    reference: TransformersPolicy
    tau: float
    judge: WinRates
    dropped: int = 0
    kl_reference: list[float] = field(default_factory=list)
    mean_tokens: list[float] = field(default_factory=list)
    unfinished: list[float] = field(default_factory=list)

    def win_rate(self, completion_ids: list[list[int]], position: list[int], **_: Any) -> list[float | None]:
        """The reward of each answer, as TRL asks for them: a prompt's answers follow one another.

        Raises:
            JudgeError: too few verdicts.
        """
        K = self.samples
        groups = [
            tuple(self.policy.completion(list(ids)) for ids in completion_ids[start : start + K])
            for start in range(0, len(completion_ids), K)
        ]
        drawn = Samples(tuple(self.prompts[i] for i in position[::K]), tuple(groups))
        # What a judge draws, or does not draw because its verdict was kept, must not change the next answers.
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            rates = self.judge(position[0] // self.count, drawn)
            if not np.isfinite(rates).any():
                raise JudgeError("judge", "no prompt of an online update got a verdict on all of its answers")
            logp, reference_logp = score(self.policy, drawn), score(self.reference, drawn)
        self.dropped += int((~np.isfinite(rates).all(axis=1)).sum())
        self.kl_reference.append(float((logp - reference_logp).mean()))
        self.mean_tokens.append(drawn.mean_tokens)
        self.unfinished.append(drawn.unfinished)
        rewards = online_rewards(rates, logp, reference_logp, self.tau).ravel()
        return [float(r) if math.isfinite(r) else None for r in rewards]


def play_online(
    play: PlayOnline,
    policy: TransformersPolicy,
    reference: TransformersPolicy,
    prompts: Sequence[Prompt],
    judge: WinRates,
    recipe: Recipe,
    setup: TrainerSetup,
) -> tuple[GroupRewards, OnlineTrainer]:
    """Train `policy` in place for `play.updates` updates; returns what the rewards saw and the spent trainer.

    Args:
        play: the instruction.
        policy: to train.
        reference: of the KL.
        prompts: `sampling.prompts` for each update, one update after another.
        judge: gives the win rates of an update's answers.
        recipe: settings.
        setup: what the step's training begins with.

    Raises:
        ConfigError: settings that TRL refuses, a prompt that TRL would not cut as comal does, several processes.
        JudgeError: the judge gave too few verdicts.
        RunError: training diverged.
    """
    if state().num_processes > 1:
        raise ConfigError("algorithm", "online steps run in one process so far; start comal without torchrun")
    refuse_other_prompts(prompts, policy.encoder)
    sampling, count = recipe.sampling, recipe.sampling.prompts
    micro = prompts_per_micro_step(recipe)
    longest = recipe.policy.max_new_tokens
    given = setup.settings.arguments
    arguments = training_arguments(
        setup.settings, setup.output, setup.seed, Batch(micro * sampling.samples, count // micro), GRPOConfig,
        max_steps=play.updates, num_generations=sampling.samples, max_completion_length=longest,
        temperature=1.0, top_p=1.0, top_k=0, repetition_penalty=1.0, shuffle_dataset=False, num_iterations=1,
        beta=0.0, scale_rewards="none", loss_type="dr_grpo", reward_weights=[float(longest)],
        # TRL's defaults are for large models on GPUs; the recipe decides.
        bf16=given.get("bf16", False),
        activation_checkpointing=given.get("activation_checkpointing", given.get("gradient_checkpointing", False)),
    )  # fmt: skip
    rewards = GroupRewards(prompts, count, sampling.samples, policy, reference, play.tau, judge)
    templated = policy.encoder.use_template
    rows = {
        "prompt": [_messages(p, policy.encoder) if templated else p.text for p in prompts],
        "position": list(range(len(prompts))),
    }
    trainer = OnlineTrainer(
        model=policy.model,
        reward_funcs=rewards.win_rate,
        args=arguments,
        train_dataset=Dataset.from_dict(rows),
        processing_class=copy.deepcopy(policy.tokenizer),  # TRL may give it a padding token
    )
    trainer.optimizer_state = setup.optimizer_state
    train_quietly(trainer)
    if not all(bool(p.isfinite().all()) for p in policy.model.parameters()):
        raise RunError("training", "weights are not finite: training diverged; lower the learning rate, in another "
                       "--output-dir")  # fmt: skip
    return rewards, trainer


def _messages(prompt: Prompt, encoder: PromptEncoder) -> list[dict[str, str]]:
    system = [{"role": "system", "content": encoder.system_prompt}] if encoder.system_prompt else []
    return [*system, *({"role": m["role"], "content": m["content"]} for m in prompt.messages)]


def refuse_other_prompts(prompts: Sequence[Prompt], encoder: PromptEncoder) -> None:
    """TRL encodes prompts itself, and whole; where comal writes or cuts one otherwise, they would mean other policies.

    Raises:
        ConfigError: a prompt is too long, has an end token, or is another one at another time.
    """
    for prompt in prompts:
        if encoder.use_template:
            whole = encoder.tokenizer.apply_chat_template(
                _messages(prompt, encoder), add_generation_prompt=True, tokenize=True, return_dict=True
            )["input_ids"]
        else:
            whole = encoder.tokenizer(prompt.text)["input_ids"]
        if list(whole) == encoder(prompt):
            continue
        if len(whole) > encoder.max_tokens:
            raise ConfigError(
                "policy.max_prompt_tokens",
                f"the prompt {prompt.text[:40]!r} has {len(whole)} tokens, more than the {encoder.max_tokens} that are "
                "kept, and TRL cuts no prompts; raise it, or leave long prompts out",
            )
        if encoder.use_template:
            raise ConfigError(
                "policy.model",
                f"TRL, which takes this step, writes the prompt {prompt.text[:40]!r} in another way than comal; does"
                " the chat template write the date? Take it out of the template, or take an algorithm whose steps are"
                " comal's own",
            )
        raise ConfigError(
            "policy.model",
            "the tokenizer puts an end token after a plain text, and TRL keeps it where the answer should begin; set "
            "add_eos_token to false in tokenizer_config.json",
        )

"""How much memory of one accelerator the policy's part of a run takes, from the model's configuration alone.

With N parameters of w bytes each, A trained ones of v bytes (all N, or with LoRA the adapters', which have 4), and one
policy that scores beside the one that is trained (`comal.policies.store`), there are while a step trains

    weights      N·w                               and with LoRA 4·A for the adapter that is trained
    scorer       N·w                               with LoRA 2 · 4·A: all policies share one model
    gradients    A·v                               v: bytes of a trained parameter, w or with LoRA 4
    optimizer    2 · A·v                           AdamW's two moments
    activations                                    of one micro-batch, see below

and while answers are drawn weights, `scorer`, and in place of the last three the keys and values of all answers that
are drawn at once. An engine of its own (`sampling.engine`) holds those instead, and the model's weights once more; it
is taken to give its memory back while a step trains, as it does on accelerators (on CPUs it stays where it is). Of a
model in n shards (`fsdp`, `deepspeed`) weights, gradients and moments are 1/n on each accelerator, and the scorer is
gone while it trains. What draws is whole on each; by FSDP whole models are scored in shards, one at a time, and nothing
beside them: there `scorer` is 0, and training begins from shards as well (by exception from a whole model, which is
there before gradients and moments are: no more than what draws). Activations of t tokens in L layers of width h, with
an inner width of i:

    with activation checkpointing      L·t·h·w             every layer's input; one layer at a time is computed again
    one layer                          t·(8·h + 4·i)·w,    times L without checkpointing
    logits                             c·V·(w + 8)         of the c answer tokens, or of as many as are projected at
                                                           once: in w, in float32, and their gradient

The formula is no bound: workspaces of kernels, fragmentation, a local judge's own weights and what the accelerator's
driver takes come on top; so does a layer of a sharded model, which is gathered while it computes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from comal.models.quantization import bytes_of_linear
from comal.pipeline.cost.model_size import ModelSize
from comal.pipeline.training.batches import batch_of
from comal.pipeline.training.sharding import asked_sharding, scores_in_shards
from comal.policies.head import CHUNK
from comal.recipes.settings import Recipe
from comal.resolve import resolve_engine

KEPT, KEPT_ADAPTERS = 1, 2
"""Policies in memory beside the one that is trained: whole models, and adapters of one model."""

WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number."""

_ADAPTER = 4  # bytes: PEFT keeps adapters in float32 whatever the model's weights are


@dataclass(frozen=True, slots=True)
class StaticMemory:
    """Bytes that do not depend on how many tokens there are at once.

    Attributes:
        weights: of the policy that is trained.
        scorer: of the policies that score beside it; 0 where that is done in shards.
        gradients: of what is trained.
        optimizer: its moments.
    """

    weights: int
    scorer: int
    gradients: int
    optimizer: int

    @property
    def total(self) -> int:
        """While a step trains."""
        return self.weights + self.scorer + self.gradients + self.optimizer


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on one accelerator.

    Attributes:
        static: see there; of a model that is not sharded.
        activations: of a micro-batch.
        answers: keys and values of the answers drawn at once, where the scoring model draws them.
        engine: of an engine with weights of its own, those keys and values included.
        shards: of the model while it trains; 1: it is whole.
    """

    static: StaticMemory
    activations: int
    answers: int
    engine: int = 0
    shards: int = 1

    @property
    def sampling(self) -> int:
        """While answers are drawn and scored."""
        return self.static.weights + self.static.scorer + self.answers + self.engine

    @property
    def training(self) -> int:
        """While a step trains."""
        static = self.static
        if self.shards == 1:
            return static.total + self.activations
        return (static.weights + static.gradients + static.optimizer) // self.shards + self.activations

    @property
    def peak(self) -> int:
        """The most at any time, by the formula of this module."""
        return max(self.sampling, self.training)


def static_memory(parameters: int, dtype: str, adapters: int | None = None) -> StaticMemory:
    """What weights, gradients and the optimiser take.

    Args:
        parameters: of the model, without adapters.
        dtype: of its weights.
        adapters: parameters of one adapter; None: the whole model is trained.
    """
    whole = parameters * WIDTHS[dtype]
    if adapters is None:
        return StaticMemory(whole, KEPT * whole, whole, 2 * whole)
    one = adapters * _ADAPTER
    return StaticMemory(whole + one, KEPT_ADAPTERS * one, one, 2 * one)


def memory(recipe: Recipe, model: ModelSize, processes: int = 1) -> Memory:
    """What the policy's part of a run takes on one accelerator, by the formula of this module.

    Args:
        recipe: the recipe.
        model: its model.
        processes: that share its training, an accelerator each.

    Raises:
        ConfigError: they cannot share the batch of an optimiser step evenly.
    """
    policy, sampling, training = recipe.policy, recipe.sampling, recipe.training
    config = model.config.get_text_config()
    width = WIDTHS[policy.dtype]
    layers, hidden, vocabulary = config.num_hidden_layers, config.hidden_size, config.vocab_size
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or hidden // heads
    values = 2 * (getattr(config, "num_key_value_heads", None) or heads) * head  # keys and values of a token and layer

    prompts = batch_of(training).shared(processes, 0, "training.prompts_per_batch").at_once
    answers_at_once = prompts * sampling.samples
    prompts_at_once = prompts if training.share_prompt else answers_at_once
    answer_tokens = answers_at_once * policy.max_new_tokens
    tokens = prompts_at_once * policy.max_prompt_tokens + answer_tokens
    layer = tokens * (8 * hidden + 4 * inner) * width
    arguments = training.arguments
    checkpointed = bool(arguments.get("activation_checkpointing") or arguments.get("gradient_checkpointing"))
    hidden_states = layers * tokens * hidden * width + layer if checkpointed else layers * layer
    logits = min(answer_tokens * vocabulary, max(CHUNK, vocabulary)) * (width + 8)

    drawn = max(sampling.batch_size, sampling.samples) * (policy.max_prompt_tokens + policy.max_new_tokens)
    sharded = asked_sharding(arguments) is not None
    static = static_memory(model.parameters, policy.dtype, model.adapters)
    if policy.quantization_config is not None:
        embeddings = vocabulary * hidden * (1 if getattr(config, "tie_word_embeddings", False) else 2)
        spared = (model.parameters - embeddings) * (width - bytes_of_linear(policy.quantization_config))
        static = replace(static, weights=static.weights - int(spared))
    if scores_in_shards(recipe, processes):
        static = replace(static, scorer=0)
    answers = drawn * layers * values * width
    engine = resolve_engine(sampling.engine, "sampling.engine")
    return Memory(
        static,
        activations=hidden_states + logits,
        answers=0 if engine.outside else answers,
        engine=engine.memory(model.parameters * width, answers),
        shards=processes if sharded else 1,
    )

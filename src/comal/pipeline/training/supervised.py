"""The supervised stage: from nothing, or from a base model, to the policy that alignment starts from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from comal.errors import ConfigError, PolicyError
from comal.pipeline.data.fit import prompt_format
from comal.pipeline.data.prompts import Pair
from comal.pipeline.disk.files import atomic_path
from comal.pipeline.disk.layout import SupervisedFolder
from comal.pipeline.processes.distributed import on_main
from comal.pipeline.processes.garbage import young_garbage_only
from comal.pipeline.training.arguments import training_arguments
from comal.pipeline.training.batches import batch_here
from comal.pipeline.training.sharding import asked_sharding, gathered, is_sharded
from comal.pipeline.training.supervised_state import MarkWhole, fingerprint, last_checkpoint
from comal.pipeline.training.trainers import SupervisedTrainer, train_quietly
from comal.policies.adapters import TRAINED, LoraConfig, with_adapters
from comal.policies.base import derive_seed
from comal.policies.encoder import PromptEncoder
from comal.policies.head import head_of
from comal.policies.loading import load_tokenizer
from comal.policies.merging import load_whole, merged
from comal.policies.saved import save_checkpoint
from comal.policies.sequences import TokenBatch
from comal.policies.transformers import Decoding, TransformersPolicy
from comal.recipes.settings import PolicySettings, Recipe, ScratchModel, SupervisedSettings

PAD, END, ASK, ANSWER = "<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ '<|end|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def scratch_tokenizer(settings: ScratchModel, texts: Iterable[str]) -> Any:
    """A byte-level BPE tokenizer trained on `texts`, with a minimal chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings.vocab_size,
        special_tokens=[PAD, END, ASK, ANSWER],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=settings.max_positions,
    )


def scratch_config(settings: ScratchModel, vocab_size: int, pad: int, end: int) -> Any:
    """The configuration of the Llama that is made, with the ids of the tokens that fill up and end."""
    return transformers.LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.max_positions,
        tie_word_embeddings=True,
        pad_token_id=pad,
        eos_token_id=end,
        bos_token_id=None,
    )


def scratch_model(settings: ScratchModel, tokenizer: Any, seed: int) -> Any:
    """A Llama of random weights."""
    config = scratch_config(settings, len(tokenizer), tokenizer.pad_token_id, tokenizer.eos_token_id)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights"))
        return transformers.LlamaForCausalLM(config)


@dataclass(frozen=True, slots=True)
class _Row:
    prompt: tuple[int, ...]
    answer: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Collator:
    pad: int
    all_tokens: bool

    def __call__(self, rows: Sequence[_Row]) -> dict[str, Any]:
        if self.all_tokens:  # all but the first token, which nothing predicts
            prompts = [row.prompt[:1] for row in rows]
            answers = [row.prompt[1:] + row.answer for row in rows]
        else:
            prompts, answers = [row.prompt for row in rows], [row.answer for row in rows]
        return TokenBatch.collate([(p, [a]) for p, a in zip(prompts, answers, strict=True)], self.pad).tensors()


def train_supervised(
    model: Any,
    encoder: PromptEncoder,
    pairs: Sequence[Pair],
    settings: SupervisedSettings,
    policy: PolicySettings,
    *,
    seed: int,
    output: Path,
    shared: bool = True,
) -> tuple[float, dict[str, Any] | None]:
    """Fine-tune `model` in place on the pairs.

    Goes on from the last checkpoint in `output` that the same training left there.

    Returns:
        The mean loss in nats a token; and all weights, on the main process, where `model` itself was left with a shard.

    Raises:
        ConfigError: a temperature other than 1 for a model whose last norm cannot take it; an adapter in shards.
        PolicyError: tokens that the model does not have; no token that ends an answer.
    """
    if settings.temperature != 1.0 and policy.from_scratch is None:
        raise ConfigError(
            "supervised.temperature",
            "only a model made `from_scratch` can take a temperature into its weights; use sampling.temperature",
        )
    scored = TransformersPolicy(model, encoder, Decoding(max_new_tokens=policy.max_new_tokens), settings.batch_size)
    if not scored.last_token:
        raise PolicyError(
            "policy.model",
            "the tokenizer has no end-of-sequence token, so the model could not learn where an answer ends; set"
            " eos_token in tokenizer_config.json",
        )
    rows = [_Row(tuple(encoder(p.prompt)), _answer_ids(scored, p.answer)) for p in pairs]
    scored.require_rows([row.prompt for row in rows])
    plain = [part.model_dump(mode="json") for part in (settings, policy)]
    origin = fingerprint([seed, *plain, [(row.prompt, row.answer) for row in rows]])
    before = last_checkpoint(output, origin)
    everything = settings.loss_on == "all"
    batch = batch_here(settings, shared)
    trainer = SupervisedTrainer(
        model=model,
        args=training_arguments(settings, output, derive_seed(seed, "supervised"), batch),
        batch=batch if shared else None,
        sizes=[len(row.prompt) - 1 + len(row.answer) if everything else len(row.answer) for row in rows],
        train_dataset=rows,
        data_collator=_Collator(scored.pad_token, everything),
        loss_sum=0.0 if before is None else before.loss_sum,
        batches=0 if before is None else before.batches,
    )
    if is_sharded(trainer):
        if hasattr(model, "peft_config"):
            asked = asked_sharding(vars(trainer.args), "supervised.arguments")
            raise ConfigError(
                "supervised.arguments" if asked is None else asked.where,
                "an adapter is merged after the supervised stage, which a sharded model cannot be; leave it out here",
            )
        head_of(model)  # while it is whole
    trainer.add_callback(MarkWhole(trainer, origin))
    train_quietly(trainer, None if before is None else before.folder)
    if settings.temperature != 1.0:
        # logits = W · norm(h) · g: dividing the last norm's gain g by T divides every logit, also with tied weights.
        with torch.no_grad():
            model.model.norm.weight /= settings.temperature
    return trainer.mean_loss(), gathered(trainer) if is_sharded(trainer) else None


def _answer_ids(policy: TransformersPolicy, answer: str) -> tuple[int, ...]:
    """The answer's tokens, with the end of sequence where the length limit leaves room for it."""
    return policy.encode_answer(answer)[: policy.decoding.max_new_tokens]


def _whole(model: Any, encoder: PromptEncoder, pairs: Sequence[Pair]) -> Any:
    """A model with an adapter as the whole model that it is.

    Raises:
        PolicyError: the whole model has other log-probabilities, measured on some of the pairs.
    """
    policy = TransformersPolicy(model, encoder, Decoding(), score_batch=1, adapter=TRAINED)
    return merged(policy, [(encoder(pair.prompt), [policy.encode_answer(pair.answer)]) for pair in pairs[:4]])


def with_own_adapter(model: Any, policy: PolicySettings, seed: int) -> Any:
    """A model as the supervised stage trains it: with an adapter, where the recipe trains adapters."""
    if policy.lora is None:
        return model
    lora = LoraConfig(policy.lora.r, policy.lora.alpha, policy.lora.target_modules)
    return with_adapters(model, lora, derive_seed(seed, "supervised-lora"))


def make_supervised(folder: Path, pairs: Sequence[Pair], recipe: Recipe, shared: bool = True) -> None:
    """Make the starting policy's checkpoint in `folder`, which appears whole or not at all.

    What a killed call goes on from is beside it, for the caller to remove. A batch is `shared` among the processes, or
    each process's own.
    """
    assert recipe.supervised is not None
    policy = recipe.policy
    if policy.from_scratch is not None:
        texts = [text for pair in pairs for text in (pair.prompt.text, pair.answer)]
        tokenizer = scratch_tokenizer(policy.from_scratch, texts)
        model = scratch_model(policy.from_scratch, tokenizer, recipe.seed)
    else:
        assert policy.model is not None
        tokenizer = load_tokenizer(policy.model, policy.revision, policy.trust_remote_code)
        dtype = getattr(torch, policy.dtype)
        model = load_whole(policy.model, dtype, policy.revision, policy.trust_remote_code)
    model = with_own_adapter(model, policy, recipe.seed)
    encoder = prompt_format(policy).encoder(tokenizer, policy.model or "the model made `from_scratch`")
    encoder.require([pair.prompt for pair in pairs])
    output = SupervisedFolder(folder).state
    with young_garbage_only():
        loss, weights = train_supervised(
            model, encoder, pairs, recipe.supervised, policy, seed=recipe.seed, output=output, shared=shared
        )

    def save() -> None:
        # With adapters the supervised model is the merged one: alignment's adapters then start from zero on top of it.
        whole = _whole(model, encoder, pairs) if policy.lora is not None else model
        with atomic_path(folder) as temporary:
            save_checkpoint(whole, tokenizer, temporary, weights)
            summary = json.dumps({"loss": loss, "pairs": len(pairs)})
            SupervisedFolder(temporary).summary.write_text(summary + "\n")

    on_main(save)

"""The store that opens checkpoints as policies, whole models or LoRA adapters of one."""

from __future__ import annotations

import gc
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from comal.errors import PolicyError
from comal.models.quantization import loading_options
from comal.policies.adapter_folder import has_tokenizer, is_adapter
from comal.policies.adapters import (
    TRAINED,
    LoraConfig,
    adapted_by,
    put_adapter,
    set_trained,
    with_adapters,
    without_dropout,
)
from comal.policies.base import derive_seed
from comal.policies.device import state
from comal.policies.encoder import PromptFormat
from comal.policies.engines.base import Drawing, Opening, Sampler
from comal.policies.engines.transformers import Transformers
from comal.policies.head import head_of
from comal.policies.loading import (
    load_causal_lm,
    load_in_shards,
    load_shards_to_train,
    load_tokenizer,
    well_divided,
)
from comal.policies.merging import Answered, Base, load_whole, write_merged
from comal.policies.saved import save_checkpoint
from comal.policies.sharing import require_shareable
from comal.policies.transformers import Batching, Decoding, TransformersPolicy


@dataclass(frozen=True, slots=True)
class ModelSource:
    """The model that checkpoints are of.

    Attributes:
        base: folder or hub id of the initial policy.
        revision: of the hub.
        dtype: of the weights.
        trust_remote_code: run the model's own code.
        lora: shape of the adapters that checkpoints are; None: they are whole models.
        quantization: of the frozen weights, see `comal.models.quantization`; None: they are what they are.
        adapter: one that was trained elsewhere; its tokenizer and chat template hold, and the rows of the embedding
            that it brings along. It is a checkpoint of a store of its own.
    """

    base: str | Path
    revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    trust_remote_code: bool = False
    lora: LoraConfig | None = None
    adapter: str | Path | None = None
    quantization: Mapping[str, Any] | None = None


class PolicyStore:
    """Opens checkpoints as policies and keeps the last few in memory, the one that is trained among them.

    With the default there are never more than two whole models: the policy that is trained, and one that scores. Room
    is made before a model is loaded. Only a mixture that is sampled has all of its members in memory.

    Without LoRA a checkpoint is a whole model. With LoRA there is one model; a checkpoint is a frozen named adapter and
    the initial policy is that model with adapters disabled. (Not `get_base_model()`: PEFT injects adapters in place, so
    that *is* the policy.)

    Args:
        model: what the checkpoints are of; a folder or hub id alone for whole models in float32.
        prompts: what it reads of a prompt.
        decoding: how answers are drawn.
        batching: how forward passes are filled.
        seed: of fresh adapters.
        device: of the weights; this process's own by default.
        keep: policies kept in memory.
        drawing: what answers are drawn by; Transformers by default.

    Raises:
        PolicyError: no such model, or a system prompt that nothing puts in.
    """

    def __init__(
        self,
        model: ModelSource | str | Path,
        prompts: PromptFormat | None = None,
        decoding: Decoding | None = None,
        batching: Batching | None = None,
        *,
        seed: int = 0,
        device: torch.device | None = None,
        keep: int = 2,
        drawing: Drawing | None = None,
    ) -> None:
        model = model if isinstance(model, ModelSource) else ModelSource(model)
        self.model = model
        self.base = str(model.base)
        self.adapter = None if model.adapter is None else str(model.adapter)
        self.lora = model.lora
        self.decoding = decoding or Decoding()
        self.batching = batching or Batching()
        self.seed = seed
        self.device = device or torch.device(state().device)
        self.drawing = drawing or Drawing(Transformers())
        self.keep = 1 if self.batching.in_shards else keep
        if self.adapter is not None and has_tokenizer(Path(self.adapter)):
            self.tokenizer = load_tokenizer(self.adapter, None, model.trust_remote_code)
        else:
            self.tokenizer = load_tokenizer(self.base, model.revision, model.trust_remote_code)
        self.encoder = (prompts or PromptFormat()).encoder(self.tokenizer, self.base)
        self._open: OrderedDict[str, TransformersPolicy] = OrderedDict()
        self._in_training: weakref.ref[Any] | None = None
        self._host: Any = None
        self._fresh_adapter: dict[str, torch.Tensor] | None = None

    @property
    def initial(self) -> str:
        """The reference of the initial policy, for `open`."""
        return self.base

    def open(self, checkpoint: str | Path) -> TransformersPolicy:
        """The policy stored at `checkpoint` (`initial` or a folder written by `save`).

        Raises:
            PolicyError: there is no such model.
        """
        return self._opened(str(checkpoint), self.keep)

    def _opened(self, key: str, at_most: int) -> TransformersPolicy:
        if key not in self._open:
            self._make_room(at_most - 1)
            if key == self.adapter:
                policy = self._load_outside(key)
            else:
                policy = self._load_adapter(key) if self.lora else self._load_whole(key)
            self._open[key] = policy
        self._open.move_to_end(key)
        return self._open[key]

    def scorer(self, checkpoint: str | Path) -> TransformersPolicy:
        """The policy stored at `checkpoint`, to be scored by and then let go of.

        Where policies are scored in shards all processes have to call this together, and no whole model is in memory
        while this one is.

        Raises:
            PolicyError: there is no such model.
        """
        if not self.batching.in_shards:
            return self.open(checkpoint)
        model = load_in_shards(*self._alone(str(checkpoint)))
        policy = self.policy_of(model.eval())
        policy.in_step = True
        head_of(model)  # by all processes, and not when the first of them comes to need it
        return policy

    def _alone(self, key: str) -> tuple[str, torch.dtype, str | None, bool]:
        """What is loaded in shards, with nothing else in memory."""
        self._open.clear()
        gc.collect()  # shards and the hooks on them know each other
        return self._read_as(key)

    def _read_as(self, key: str) -> tuple[str, torch.dtype, str | None, bool]:
        """By what a checkpoint is read: name, dtype, revision of the hub, and whether its own code may run."""
        source = self.model
        revision = source.revision if key == self.base else None
        return key, getattr(torch, source.dtype), revision, source.trust_remote_code

    def open_mixture(self, weights: Mapping[str | Path, float]) -> TransformersPolicy:
        """The policy that mixes the logits of checkpoints token by token; see `comal.policies.mixture`.

        Raises:
            PolicyError: there is no such model.
        """
        from comal.policies.mixture import MixedPolicy

        if len(weights) == 1:
            return self.open(next(iter(weights)))
        for key in [key for key in self._open if key not in map(str, weights)]:
            self.forget(key)
        # An adapter that is put away while its mixture samples is lost.
        members = [(weight, self._opened(str(checkpoint), len(weights))) for checkpoint, weight in weights.items()]
        return MixedPolicy(members)

    def sampler(self, weights: str | Path | Mapping[str | Path, float]) -> Sampler:
        """A checkpoint, or the mixture of several by weight, opened by the engine that draws answers.

        Raises:
            PolicyError: there is no such model, or the engine cannot open it.
        """
        wanted = weights if isinstance(weights, Mapping) else {weights: 1.0}

        def beside(checkpoint: str) -> TransformersPolicy:
            self.keep = max(self.keep, len(wanted) + 1)
            self.open_mixture(wanted)  # of the policies in memory, those that are not looked at again go first
            return self.open(checkpoint)

        opening = Opening(
            wanted,
            self.open_mixture,
            beside,
            self.base,
            self.model.revision,
            self.model.dtype,
            self.model.trust_remote_code,
            None if self.lora is None else self.lora.r,
            self.drawing.log,
        )
        return self.drawing.engine.sampler(opening)

    def trainable(self, checkpoint: str | Path, alone: bool = False) -> Any:
        """A model to train whose distribution starts as that of `checkpoint`; switched to training mode.

        A whole model that is in memory is trained itself, and no policy any more. It may be `alone`, as one that is
        about to be sharded is: what scores is loaded again afterwards.
        """
        self._in_training = None
        if self.lora is None:
            policy = self._open.pop(str(checkpoint), None)
            self._make_room(0 if alone else self.keep - 1)
            model = self._load_model(str(checkpoint)) if policy is None else policy.model
            self._in_training = weakref.ref(model)
            without_dropout(model)
            return model.train()
        from peft import load_peft_weights

        host = self._lora_host()
        state = self._fresh_adapter if str(checkpoint) == self.base else load_peft_weights(str(checkpoint))
        set_trained(host, state, str(checkpoint))
        host.set_adapter(TRAINED)
        return host.train()

    def trainable_in_shards(self, checkpoint: str | Path, bf16: bool = False) -> Any:
        """As `trainable`, a whole model of which each process holds a part from the start, and nothing else.

        All processes have to call this together. With `bf16` it is trained by mixed precision. A model that they cannot
        share evenly, block by block, is whole at first.

        Raises:
            PolicyError: there is no such model.
        """
        key = str(checkpoint)
        if is_adapter(key):  # it is merged first, which is done with a whole model
            return self.trainable(checkpoint, alone=True)
        self._in_training = None
        model = load_shards_to_train(*self._alone(key), bf16)
        if not well_divided(model):  # of uneven shards FSDP would gather what was before they were trained
            del model
            gc.collect()
            return self.trainable(checkpoint, alone=True)
        self._in_training = weakref.ref(model)
        without_dropout(model)
        return model.train()

    def save(self, model: Any, folder: Path, state_dict: dict[str, Any] | None = None) -> None:
        """Write a trained model (or its adapter) and tokenizer as a standard checkpoint.

        `state_dict` holds the weights when `model` itself has only a shard of them.

        Raises:
            PolicyError: what lies there afterwards is not what was trained.
        """
        save_checkpoint(model, self.tokenizer, folder, state_dict)

    def save_merged(self, folder: Path, adapter: Path, answered: Answered) -> None:
        """Write the whole model that an adapter of this store makes, see `comal.policies.merging.write_merged`.

        Raises:
            PolicyError: what lies there afterwards is not what was trained.
        """
        write_merged(folder, adapter, Base(*self._read_as(self.base)), self.encoder, answered)

    def adopt(self, model: Any, checkpoint: str | Path) -> None:
        """Keep a just trained whole model in memory under the name of its checkpoint, sparing the reload."""
        self._in_training = None
        if self.lora is None:
            model.eval()
            self._make_room(self.keep - 1)
            self._open[str(checkpoint)] = self.policy_of(model)

    def abandon(self) -> None:
        """Forget the model that was trained: each process has a shard of it, which scores nothing by itself."""
        self._in_training = None
        if self.lora is not None:  # policies are adapters of it
            self.release()

    def release(self) -> None:
        """Free all memory that can be had again from files."""
        self._open.clear()
        self._host = None

    def forget(self, checkpoint: str | Path) -> None:
        """Free a checkpoint's memory; its files stay."""
        policy = self._open.pop(str(checkpoint), None)
        if policy is not None and policy.adapter is not None and policy.model is self._host:
            self._host.set_adapter(TRAINED)  # one that is active cannot go quietly
            self._host.delete_adapter(policy.adapter)

    def _make_room(self, left: int) -> None:
        """Forget the policies used longest ago until there are no more than so many, one that is trained included."""
        trained = self._in_training is not None and self._in_training() is not None
        while self._open and len(self._open) + trained > left:
            self.forget(next(iter(self._open)))

    def policy_of(self, model: Any, adapter: str | None = None) -> TransformersPolicy:
        """A model in memory, or one adapter of it, as a policy.

        Raises:
            PolicyError: prompts are to be shared among their answers, which such a model cannot do.
        """
        batching = self.batching
        if batching.share_prompt:
            require_shareable(model, self.encoder, self.decoding.max_new_tokens)
        return TransformersPolicy(model, self.encoder, self.decoding, batching.score, adapter, batching.share_prompt)

    def _load_whole(self, key: str) -> TransformersPolicy:
        return self.policy_of(self._load_model(key).eval())

    def _load_adapter(self, key: str) -> TransformersPolicy:
        if key != self.base and not is_adapter(key):
            raise PolicyError("policy", f"`{key}` holds no adapter (adapter_config.json is missing)")
        host = self._lora_host()
        if key == self.base:
            return self.policy_of(host, None)
        name = "frozen_" + str(abs(derive_seed(key)))
        put_adapter(host, key, name)
        host.set_adapter(TRAINED)
        return self.policy_of(host, name)

    def _load_outside(self, key: str) -> TransformersPolicy:
        model = self._load_model(self.base)
        return self.policy_of(adapted_by(model, key), TRAINED)

    def _load_model(self, key: str) -> Any:
        if self.model.quantization is not None:
            return load_causal_lm(*self._read_as(key), **loading_options(self.model.quantization, self.device))
        return load_whole(*self._read_as(key)).to(self.device)

    def _lora_host(self) -> Any:
        if self._host is None:
            import peft

            assert self.lora is not None
            model = self._load_model(self.base)
            without_dropout(model)
            self._host = with_adapters(model, self.lora, derive_seed(self.seed, "lora"))
            state = peft.get_peft_model_state_dict(self._host, adapter_name=TRAINED)
            self._fresh_adapter = {k: v.detach().clone() for k, v in state.items()}
        return self._host

"""Bradley-Terry reward models, alone or in a weighted mixture.

    P(y ≻ y') = sum_m weight_m · sigmoid((r_m(y) − r_m(y')) / temperature)         weights scaled to sum to 1

One reward model is transitive, and an equal mixture of two has no majority cycle either: sigmoid(a) + sigmoid(b) > 1
exactly if a + b > 0, so y beats y' exactly if the sum of its rewards is larger. Three models, or two of unequal weight,
can make one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, isfinite
from typing import Any, Literal

from comal.errors import JudgeError
from comal.judges.base import Comparison, Judge
from comal.judges.words.models import (
    chat_ids,
    check_model,
    load,
    longest_input,
    pad,
    require_rows,
    require_shown,
    state_of,
    tokenizer_at_hand,
)
from comal.models.tokens import embedding_rows

_PLACE = "reward_model.models"


@dataclass(frozen=True, slots=True)
class RewardModel(Judge):
    """Sequence-classification models with one output each, the reward of an answer to a prompt.

    Prompt and answer are put through the tokenizer's chat template, or joined by a line break where there is none. An
    answer too long for a model has no verdict: the reward of a cut one would be a guess.

    Attributes:
        models: folders or Hub ids.
        weights: weight of each model's probability; equal when left out.
        temperature: rewards are divided by it; below 1 sharpens.
        revision: of the Hub models.
        batch_size: answers scored at once.
        max_length: the most tokens of prompt and answer; by default what the model was made for.
        dtype: of the weights; `auto` as saved.
        device: `auto` is the accelerator where there is one.

    Raises:
        ValueError: settings that do not fit.
    """

    models: tuple[str, ...]
    weights: tuple[float, ...] | None = None
    temperature: float = 1.0
    revision: str | None = None
    batch_size: int = 16
    max_length: int | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("models: need at least one")
        if self.weights is not None:
            if len(self.weights) != len(self.models):
                raise ValueError(f"weights: need one for each of {len(self.models)} models, got {len(self.weights)}")
            if not all(isfinite(weight) and weight > 0 for weight in self.weights):
                raise ValueError(f"weights: need positive numbers, got {list(self.weights)}")
        if not (isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature: need a positive number, got {self.temperature}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size: need at least 1, got {self.batch_size}")

    @property
    def symmetric(self) -> bool:
        """Each answer is scored alone."""
        return True

    def check(self) -> None:
        """Every model is a folder, or could be a Hub id."""
        for model in self.models:
            check_model(_PLACE, model)
            tokenizer = tokenizer_at_hand(_PLACE, model, self.revision)
            if tokenizer is not None:  # a chat template that refuses such messages is found before anything is asked
                require_shown(_PLACE, tokenizer, _messages("a prompt", "an answer"), answer_next=False)

    @property
    def harmless(self) -> frozenset[str]:
        """How many are asked at once, and where."""
        return frozenset({"batch_size", "device"})

    def identity(self) -> dict[str, Any]:
        """The settings that change a verdict, and the state of local weights."""
        return Judge.identity(self) | {"state": [state_of(model) for model in self.models]}

    def compare(self, comparisons: Sequence[Comparison]) -> list[float | None]:
        """The mixture's probability; every answer is scored once."""
        texts = {(c.prompt, answer) for c in comparisons for answer in (c.first, c.second)}
        # Sorted, so that neither the order of the comparisons nor of a set decides who shares a batch.
        pairs = sorted(texts, key=lambda text: (len(text[0]) + len(text[1]), text))
        rewards_by_model = [self._rewards(model, pairs) for model in self.models]
        weights = self.weights or (1.0,) * len(self.models)
        verdicts: list[float | None] = []
        for c in comparisons:
            p = 0.0
            for weight, rewards in zip(weights, rewards_by_model, strict=True):
                margin = rewards[c.prompt, c.first] - rewards[c.prompt, c.second]
                p += weight * _sigmoid(margin / self.temperature)
            p /= sum(weights)
            verdicts.append(min(p, 1.0) if isfinite(p) else None)
        return verdicts

    def _rewards(self, model: str, pairs: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], float]:
        """The reward of each (prompt, answer); NaN where the model has none."""
        import torch

        network, tokenizer = load(_PLACE, "sequence-classification", model, self.revision, self.dtype, self.device)
        require_shown(_PLACE, tokenizer, _messages("a prompt", "an answer"), answer_next=False)
        if network.config.num_labels != 1:
            raise JudgeError(_PLACE, f"`{model}` has {network.config.num_labels} outputs; a reward model has one")
        limit = longest_input(network, self.max_length)
        rewards = dict.fromkeys(pairs, float("nan"))
        encoded = ((pair, self._encode(tokenizer, *pair)) for pair in pairs)
        rows = [(pair, ids) for pair, ids in encoded if ids and (limit is None or len(ids) <= limit)]
        require_rows(_PLACE, network, tokenizer, [ids for _, ids in rows])
        # The models read the reward at the last token that is not padding, by the padding token of their configuration.
        # Where it has none, or one that the embedding has no row for, they take one answer at a time.
        pad_id = network.config.get_text_config().pad_token_id
        if pad_id is not None and not 0 <= pad_id < embedding_rows(network):
            pad_id = None
        size = 1 if pad_id is None else self.batch_size
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            ids, mask = pad([row for _, row in batch], pad_id or 0, "right", network.device)
            with torch.inference_mode():
                logits = network(input_ids=ids, attention_mask=mask).logits.float()
            rewards.update(zip((pair for pair, _ in batch), logits[:, 0].tolist(), strict=True))
        return rewards

    def _encode(self, tokenizer: Any, prompt: str, answer: str) -> list[int]:
        if tokenizer.chat_template is None:
            return list(tokenizer(f"{prompt}\n{answer}")["input_ids"])
        return chat_ids(_PLACE, tokenizer, _messages(prompt, answer), answer_next=False)


def _messages(prompt: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


def _sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x)) if x >= 0 else exp(x) / (1 + exp(x))

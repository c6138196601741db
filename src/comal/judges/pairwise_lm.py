"""A causal language model that is shown both answers and asked which is better, by the probabilities of its next token.

    P(first ≻ second) = p(label of first) / (p(label of first) + p(label of second))
    P(first ≻ second) = Σ p(grade)·value(grade) / Σ p(grade)        of a template with ties or grades

Such judges favour a position, so both orders get asked (`symmetric` is False). Where the labels, or grades, together
have less than `min_label_mass` of the probability, the model was about to say something else and there is no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from comal.judges.words.templates import HELPFUL, Template, fill, find
from comal.judges.words.templates import check as check_template
from comal.models.tokens import embedding_rows, filler_token, prompt_ids

_PLACE = "pairwise_lm.model"


@dataclass(frozen=True, slots=True)
class PairwiseLM(Judge):
    """A generative judge, read from its label probabilities instead of from sampled words.

    Attributes:
        model: a folder or Hub id.
        template: Jinja template of the question, over prompt, first, second, first_label and second_label, or the name
            of a ready one (helpful, careful; ties and graded, whose verdict is the mean over three or five grades). It
            is the user's message where the tokenizer has a chat template, otherwise followed by `answer_prefix`.
        system_prompt: put before the question in a chat; by default the ready template's own.
        labels: the words for the first and the second answer, one token each.
        answer_prefix: what the reply begins with, before the label.
        min_label_mass: the least probability of all labels, or grades, together for a verdict.
        revision: of a Hub model.
        batch_size: questions asked at once.
        max_length: the most tokens of a question, by default what the model was made for; longer ones have no verdict.
        dtype: of the weights; `auto` as saved.
        device: `auto` is the accelerator where there is one.

    Raises:
        ValueError: settings that do not fit.
    """

    model: str
    template: str = HELPFUL
    system_prompt: str | None = None
    labels: tuple[str, str] = ("A", "B")
    answer_prefix: str = ""
    min_label_mass: float = 0.5
    revision: str | None = None
    batch_size: int = 8
    max_length: int | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"

    def __post_init__(self) -> None:
        if len(set(self.labels)) != 2 or not all(self.labels):
            raise ValueError(f"labels: need two different words, got {list(self.labels)}")
        if not 0 <= self.min_label_mass <= 1:
            raise ValueError(f"min_label_mass: need a probability, got {self.min_label_mass}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size: need at least 1, got {self.batch_size}")

    def check(self) -> None:
        """The model is a folder, or could be a Hub id, and the template shows all that it must."""
        check_model(_PLACE, self.model)
        template = self._template()
        if not template.in_one_token:
            asks = "reasons before the verdict" if template.field is None else "a reply in JSON"
            raise JudgeError(
                "pairwise_lm.template",
                f"`{self.template}` asks for {asks}, and this judge reads the next token only; take `helpful`,"
                " `careful`, `ties` or `graded`, or the judge `openai`",
            )
        if template.grades is not None and self.labels != ("A", "B"):
            raise JudgeError("pairwise_lm.labels", f"`{self.template}` has words of its own; leave the labels out")
        check_template(template.question, self.labels, "pairwise_lm.template")
        tokenizer = tokenizer_at_hand(_PLACE, self.model, self.revision)
        if tokenizer is not None:  # a chat template that refuses the system prompt is found before anything is asked
            self._require_shown(tokenizer)

    @property
    def harmless(self) -> frozenset[str]:
        """How many are asked at once, and where."""
        return frozenset({"batch_size", "device"})

    def identity(self) -> dict[str, Any]:
        """The settings that change a verdict, and the state of local weights."""
        template = self._template()
        shown = {"template": template.question, "system_prompt": template.system}
        return Judge.identity(self) | shown | template.beyond_labels | {"state": state_of(self.model)}

    def compare(self, comparisons: Sequence[Comparison]) -> list[float | None]:
        """The label probabilities of the next token, in the order of presentation given."""
        if not comparisons:
            return []
        self.check()
        network, tokenizer = load(_PLACE, "causal-lm", self.model, self.revision, self.dtype, self.device)
        self._require_shown(tokenizer)
        rows = [self._encode(tokenizer, comparison) for comparison in comparisons]
        require_rows(_PLACE, network, tokenizer, rows)
        words = self._word_tokens(tokenizer, comparisons[0])
        limit = longest_input(network, self.max_length)
        # By length, then by content: who shares a batch does not depend on the order of the comparisons.
        order = sorted(
            (i for i, row in enumerate(rows) if row and (limit is None or len(row) <= limit)),
            key=lambda i: (len(rows[i]), rows[i]),
        )
        verdicts: list[float | None] = [None] * len(rows)
        for start in range(0, len(order), self.batch_size):
            batch = order[start : start + self.batch_size]
            for i, verdict in zip(batch, self._ask(network, tokenizer, [rows[i] for i in batch], words), strict=True):
                verdicts[i] = verdict
        return verdicts

    def _ask(
        self, network: Any, tokenizer: Any, rows: Sequence[Sequence[int]], words: Mapping[int, float]
    ) -> list[float | None]:
        """One verdict a row; `words` has Pr(first ≻ second) by the token that says it."""
        import torch

        pad_id = filler_token(tokenizer.pad_token_id, [], embedding_rows(network))  # masked, so any token will do
        ids, mask = pad(rows, pad_id, "left", network.device)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        with torch.inference_mode():
            logits = network(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=1).logits
        log_p = logits[:, -1].float().log_softmax(dim=-1)[:, list(words)]
        values = torch.tensor(list(words.values()), device=log_p.device)
        first = (log_p.softmax(dim=-1) * values).sum(dim=-1).clamp(max=1.0).tolist()
        mass = log_p.exp().sum(dim=-1).tolist()
        # Written so that NaN is no verdict either.
        return [
            p if total >= self.min_label_mass and 0 <= p <= 1 else None for p, total in zip(first, mass, strict=True)
        ]

    def _template(self) -> Template:
        """The template with the system prompt that holds."""
        ready = find(self.template, "pairwise_lm.template")
        return ready if self.system_prompt is None else replace(ready, system=self.system_prompt)

    def _messages(self, question: str) -> list[dict[str, str]]:
        system = self._template().system
        before = [{"role": "system", "content": system}] if system else []
        return [*before, {"role": "user", "content": question}]

    def _require_shown(self, tokenizer: Any) -> None:
        probe = Comparison("a prompt", "an answer", "another")
        question = fill(self._template().question, probe, self.labels, "pairwise_lm.template")
        require_shown(_PLACE, tokenizer, self._messages(question), answer_next=True)

    def _encode(self, tokenizer: Any, comparison: Comparison, reply: str = "") -> list[int]:
        template = self._template()
        question = fill(template.question, comparison, self.labels, "pairwise_lm.template")
        reply = self.answer_prefix + reply
        if tokenizer.chat_template is None:
            return prompt_ids(tokenizer, question + reply)
        messages = self._messages(question)
        ids = chat_ids(_PLACE, tokenizer, messages, answer_next=True)
        return ids + (list(tokenizer(reply, add_special_tokens=False)["input_ids"]) if reply else [])

    def _word_tokens(self, tokenizer: Any, comparison: Comparison) -> dict[int, float]:
        """The one token by which each label or grade would continue the question, with its Pr(first ≻ second).

        Raises:
            JudgeError: a word that is several tokens there, that melts into the question's last one, or that is the
                token of another.
        """
        template = self._template()
        place = "pairwise_lm.labels" if template.grades is None else "pairwise_lm.template"
        question = self._encode(tokenizer, comparison)
        found: dict[int, float] = {}
        for word, value in template.values(self.labels).items():
            continued = self._encode(tokenizer, comparison, reply=word)
            if continued[:-1] != question:
                mend = "use single letters" if template.grades is None else "take `helpful` or `careful`"
                raise JudgeError(
                    place,
                    f"`{word}` is not a single token of `{self.model}` after the question; {mend}, and"
                    " mind the space between answer_prefix and label",
                )
            if continued[-1] in found:
                raise JudgeError(place, f"`{word}` is the same token of `{self.model}` as another of its words")
            found[continued[-1]] = value
        return found

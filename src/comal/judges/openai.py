"""Any OpenAI-compatible chat endpoint as a judge: OpenAI, vLLM, llama.cpp, `transformers serve`, and routers.

    log-probs    P(first ≻ second) = p(label of first) / (p(label of first) + p(label of second))
    samples      P(first ≻ second) = votes for first / votes, over the replies that name a label

Log-probabilities of the reply's first token cost one request of one token and have no sampling noise; N votes have a
standard error of sqrt(P (1 − P) / N) and may be preceded by reasons. Spellings of a label (`A`, ` A`) count together.
A label outside the alternatives that the server lists counts as impossible, which is off by less than the least likely
of them. Such judges favour a position, so both orders get asked (`symmetric` is False).

Servers ignore parameters without saying so: `transformers serve` 5.23 answers requests with `logprobs` and `n` as if
they were not there. So it is *checked* that log-probabilities and several choices really came, on a first question that
goes alone, before the others are sent.

The spend is counted in a file beside the verdict cache and goes on counting when a run is continued; see
`comal.judges.chat.ledger`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from comal.errors import JudgeError
from comal.judges.base import NO_RECORDS, Comparison, Judge, Records, Spend, Verdict
from comal.judges.chat.api import PLACE, ChatClient
from comal.judges.chat.key import read_key, refuse_key
from comal.judges.chat.ledger import Ledger, Limits
from comal.judges.chat.question import OURS, QuestionForm
from comal.judges.chat.service import ChatService
from comal.judges.chat.session import ChatLine, ChatSession, Patience, Prices
from comal.judges.chat.verdict import Kind, VerdictAsker, traits_of
from comal.judges.words.labels import DECORATION
from comal.judges.words.templates import Template, check, find

_OWN_HOST = "api.openai.com"
_HARMLESS: Final = frozenset({
    "api_key_env", "concurrency", "timeout", "retries", "backoff", "longest_wait", "limit_field",
    "max_calls", "max_total_tokens", "max_cost", "input_price", "output_price",
})  # fmt: skip
_TEXTS: Final = ("model", "base_url", "service", "template", "system_prompt", "labels", "last_line", "extra_body")


@dataclass(frozen=True, slots=True)
class OpenAI(Judge):
    """A chat model behind HTTP that is shown both answers.

    A comparison stays without a verdict when its request fails again and again, is filtered or too long, when no
    sampled reply names a label, or when the labels are improbable. When nothing gets answers any more (nobody there, a
    wrong key or model, many questions in a row without a reply) that is an error, raised after the requests in flight
    have got their reply.

    Attributes:
        model: as the server calls it.
        base_url: of the server; `/chat/completions` is added.
        service: a name that stands for `base_url` in what verdicts belong to: set it where one model is served under
            changing addresses, so that its verdicts stay known and a run can be continued.
        api_key_env: the environment variable that holds the key; need not be set for servers that want none.
        verdict: read `logprobs`, count `samples`, or `auto`: log-probs where the server sends them.
        samples: replies a verdict is counted from.
        template: a ready one (helpful, careful, reasoned; ties and graded, whose verdict is the mean over three or five
            grades; genrm, for models that know the roles response_1 and response_2), or a Jinja template of the
            question over prompt, first, second, first_label and second_label.
        system_prompt: by default the ready template's own; an empty one sends none.
        labels: the words for the first and the second answer.
        last_line: what comes before the label in the last line of a reply that reasons first; None, for a template of
            your own: the reply is the label alone.
        min_label_mass: by log-probs, the least probability of both labels together for a verdict.
        temperature: of sampled replies; log-probs are asked for at 1. None sends none, for models that take none.
        seed: sampled replies get seeds of their own derived from it; None sends none.
        reply_tokens: of a sampled reply at most; by default 8, or 1024 where it reasons first.
        extra_body: further fields of the request, such as `{reasoning_effort: low}`.
        limit_field: what the server calls the limit of a reply; `auto` is max_completion_tokens for OpenAI itself,
            whose reasoning models take no other, and max_tokens elsewhere.
        concurrency: requests in flight at most.
        timeout: seconds for a request.
        retries: attempts after the first, on 408, 409, 425, 429, 5xx, time-outs and broken connections.
        backoff: seconds before the first of them at most, doubled from one to the next.
        longest_wait: seconds between two attempts at most; Retry-After is honoured up to here.
        max_calls: budget of requests, every attempt counted.
        max_total_tokens: budget of tokens, input and output.
        max_cost: budget of money, in the currency of the prices.
        input_price: of a million input tokens.
        output_price: of a million output tokens.

    Raises:
        ValueError: settings that do not fit, or a key among them.
    """

    model: str
    base_url: str = f"https://{_OWN_HOST}/v1"
    service: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    verdict: Kind = "auto"
    samples: int = 5
    template: str = "helpful"
    system_prompt: str | None = None
    labels: tuple[str, str] = ("A", "B")
    last_line: str | None = None
    min_label_mass: float = 0.5
    temperature: float | None = 1.0
    seed: int | None = 0
    reply_tokens: int | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    limit_field: Literal["auto", "max_tokens", "max_completion_tokens"] = "auto"
    concurrency: int = 8
    timeout: float = 120.0
    retries: int = 6
    backoff: float = 1.0
    longest_wait: float = 120.0
    max_calls: int | None = None
    max_total_tokens: int | None = None
    max_cost: float | None = None
    input_price: float | None = None
    output_price: float | None = None

    def __post_init__(self) -> None:
        refuse_key(self.api_key_env, self._texts())
        address = urlsplit(self.base_url)
        if address.username or address.password or address.query:
            raise ValueError("base_url: must hold no user, password or query; put the key into the environment")
        if address.scheme not in ("http", "https") or not address.hostname:
            raise ValueError(f"base_url: need an address like https://host/v1, got `{self.base_url}`")
        if not self.model:
            raise ValueError("model: need the name by which the server knows it")
        if self.verdict not in ("auto", "logprobs", "samples"):
            raise ValueError(f"verdict: need auto, logprobs or samples, got {self.verdict}")
        if len(set(self.labels)) != 2 or not all(label and label == label.strip(DECORATION) for label in self.labels):
            raise ValueError(f"labels: need two different words, got {list(self.labels)}")
        if not 0 <= self.min_label_mass <= 1:
            raise ValueError(f"min_label_mass: need a probability, got {self.min_label_mass}")
        for name, least in (("samples", 1), ("concurrency", 1), ("retries", 0), ("reply_tokens", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}: need at least {least}, got {value}")
        for name in ("timeout", "backoff", "longest_wait"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: need a positive number of seconds, got {value}")
        for name in ("temperature", "max_calls", "max_total_tokens", "max_cost", "input_price", "output_price"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: need a number from 0, got {value}")
        if self.max_cost is not None and (self.input_price is None or self.output_price is None):
            raise ValueError("max_cost: needs input_price and output_price, the prices of a million tokens")
        if taken := sorted(set(self.extra_body) & OURS):
            raise ValueError(f"extra_body: {', '.join(taken)} is set by this judge; use its own options")

    def _texts(self) -> dict[str, Any]:
        """The settings that could hold a key."""
        return {name: getattr(self, name) for name in _TEXTS}

    @property
    def harmless(self) -> frozenset[str]:
        """How fast, how patiently, at what price and by whose key; the address where a service stands for it."""
        return _HARMLESS | ({"base_url"} if self.service is not None else set())

    def identity(self) -> dict[str, Any]:
        """The settings that change a verdict, the ready template's words among them."""
        template = self._template()
        shown = {"template": template.question, "system_prompt": template.system, "last_line": template.last_line}
        return Judge.identity(self) | shown | template.beyond_labels

    def check(self) -> None:
        """The template shows all that it must, the verdict can be read from it, and OpenAI's own key is there."""
        template = self._template()
        check(template.question, self.labels, f"{PLACE}.template", template.roles)
        if template.grades is not None and self.labels != ("A", "B"):
            raise JudgeError(f"{PLACE}.labels", f"`{self.template}` has words of its own; leave the labels out")
        if not template.in_one_token and self.verdict == "logprobs":
            raise JudgeError(
                f"{PLACE}.verdict", "a reply that reasons first has no label as its first token; use samples or auto"
            )
        self._key()

    def spend_bound(self, prompt_bytes: int, answer_bytes: int, bytes_per_token: float) -> Spend:
        """One comparison's requests, without repetitions; for `auto` as if no log-probs came."""
        form = self._form()
        tokens = form.input_estimate(prompt_bytes, answer_bytes, bytes_per_token)
        if self.verdict == "logprobs":
            return self._prices().of(1, tokens, 1)
        return self._prices().of(self.samples, self.samples * tokens, self.samples * form.reply_tokens)

    def compare(self, comparisons: Sequence[Comparison]) -> list[float | None]:
        """The verdicts in order; what is spent counts for this process."""
        said = {verdict.comparison: verdict.probability for p in self.compare_in_parts(comparisons) for verdict in p}
        return [said[comparison] for comparison in comparisons]

    def compare_in_parts(
        self, comparisons: Sequence[Comparison], records: Records = NO_RECORDS
    ) -> Iterator[list[Verdict]]:
        """Verdicts as they come: while one part is kept by the caller, the next replies arrive.

        Raises:
            JudgeError: the budget has no room for another question, nothing gets answers any more, or log-probs were
                demanded and did not come; verdicts that were in flight are handed over first.
        """
        if not comparisons:
            return
        service = self.opened(records)
        try:
            yield from service.compare_in_parts(comparisons)
        finally:
            service.close()

    def opened(self, records: Records = NO_RECORDS) -> ChatService:
        """The connections, the threads and the budget that all who ask have in common.

        Raises:
            JudgeError: as `check`; or the count of what is spent cannot be used.
        """
        self.check()
        fingerprint = self.fingerprint()
        ledger = Ledger(records.spend, fingerprint)
        client = ChatClient(self.base_url, self._key(), self.timeout, self.concurrency)
        limits = Limits(self.max_calls, self.max_total_tokens, self.max_cost)
        patience = Patience(self.retries, self.backoff, self.longest_wait, max(4, self.concurrency))
        line = ChatLine(client, ledger, limits, self._prices(), patience, f"`{self.model}` at {self.base_url}")
        form, traits = self._form(), traits_of(fingerprint)

        def asker(session: ChatSession) -> VerdictAsker:
            return VerdictAsker(form, session, traits, self.verdict, self.samples, self.min_label_mass)

        return ChatService(self, records, line, asker, self.concurrency)

    def _form(self) -> QuestionForm:
        template = self._template()
        limit = self.limit_field
        if limit == "auto":
            limit = "max_completion_tokens" if self._is_openai else "max_tokens"
        reply_tokens = self.reply_tokens
        if reply_tokens is None:
            reply_tokens = 8 if template.in_one_token else 1024
        return QuestionForm(
            self.model, template, self.labels, limit, reply_tokens, self.temperature, self.seed, self.extra_body
        )

    def _template(self) -> Template:
        """The template with the system prompt and last line that hold."""
        ready = find(self.template, f"{PLACE}.template")
        system = ready.system if self.system_prompt is None else self.system_prompt or None
        return replace(ready, system=system, last_line=self.last_line or ready.last_line)

    def _prices(self) -> Prices:
        return Prices(self.input_price or 0.0, self.output_price or 0.0)

    def _key(self) -> str | None:
        return read_key(f"{PLACE}.api_key_env", self.api_key_env, self._texts(), needed=self._is_openai)

    @property
    def _is_openai(self) -> bool:
        return urlsplit(self.base_url).hostname == _OWN_HOST

"""One verdict of a chat model: by its first token's log-probabilities, or counted from sampled replies.

What a server does is found out on its first question, see `Traits`; verdicts of the two kinds are never mixed.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from comal.errors import JudgeError
from comal.judges.base import Comparison, Verdict
from comal.judges.chat.api import PLACE, Choice, RequestError
from comal.judges.chat.question import QuestionForm
from comal.judges.chat.session import ChatSession
from comal.judges.words.labels import first_token_grade, voted_grade

logger = logging.getLogger(__name__)

Kind = Literal["auto", "logprobs", "samples"]
"""What verdicts are read from; `auto`: log-probs where the server sends them."""


@dataclass(slots=True)
class Traits:
    """What a server turned out to do; None is not known yet.

    Attributes:
        log_probs: whether it sends log-probabilities of alternatives.
        several: whether it sends several replies to one request.
        sampled: whether it has answered a question by sampled replies.
    """

    log_probs: bool | None = None
    several: bool | None = None
    sampled: bool = False


_FOUND: dict[str, Traits] = {}
"""By fingerprint of the judge: found out once a process."""


def traits_of(fingerprint: str) -> Traits:
    """What this process knows of a judge's server; the threads that ask add to it."""
    return _FOUND.setdefault(fingerprint, Traits())


@dataclass(frozen=True, slots=True)
class VerdictAsker:
    """Asks questions of one form in one session; threads may share it.

    Attributes:
        form: of the questions.
        session: that sends and pays for them.
        traits: of the server.
        kind: what verdicts are read from.
        samples: replies a verdict is counted from.
        min_label_mass: by log-probs, the least probability of both labels together for a verdict.
    """

    form: QuestionForm
    session: ChatSession
    traits: Traits
    kind: Kind
    samples: int
    min_label_mass: float

    @property
    def settled(self) -> bool:
        """Whether it is known what the server does, so that many questions may be asked at once."""
        return bool(self.traits.log_probs) if self._by_log_probs else self.traits.sampled

    def ask(self, comparison: Comparison) -> Verdict:
        """Ask one question.

        Raises:
            JudgeError: the budget has no room, nothing gets answers any more, the first question is refused, or
                log-probs were demanded, or came before, and did not come.
        """
        try:
            if self._by_log_probs:
                verdict = self._from_log_probs(comparison)
                if verdict is not None:
                    return verdict
            return self._from_samples(comparison)
        except RequestError as failure:
            if failure.status in (400, 422) and failure.reason.startswith("refused") and not self.settled:
                raise JudgeError(
                    PLACE, f"{self.session.endpoint} refuses the first question: {failure.detail}"
                ) from None
            logger.debug("no verdict: %s", failure)
            return Verdict(comparison, None, failure.reason)

    @property
    def _by_log_probs(self) -> bool:
        if self.kind == "auto":
            return self.form.template.in_one_token and self.traits.log_probs is not False
        return self.kind == "logprobs"

    def _from_log_probs(self, comparison: Comparison) -> Verdict | None:
        """The verdict by log-probs; None when `auto` finds that they do not come."""
        body = self.form.for_log_probs(comparison)
        bound = self.session.prices.of(1, self.form.input_bound(body), 1)
        said = ""
        with self.session.question(bound) as question:
            try:
                choice = question.ask(body, bound).choices[0]
            except RequestError as failure:
                if failure.status not in (400, 422) or "logprob" not in failure.detail.lower():
                    raise
                choice, said = None, f" ({failure.detail})"
        if choice is not None and choice.filtered:
            return Verdict(comparison, None, "content filter")
        if choice is None or choice.first_token is None:
            if self.kind == "logprobs" or self.traits.log_probs:
                raise JudgeError(
                    f"{PLACE}.verdict",
                    f"{self.session.endpoint} sent no log-probabilities of alternatives{said}; with `samples` verdicts"
                    " are counted from sampled replies",
                )
            self.traits.log_probs = False
            logger.warning(
                "%s sends no log-probabilities%s: verdicts are counted from %d sampled replies each",
                self.session.endpoint, said, self.samples,
            )  # fmt: skip
            return None
        self.traits.log_probs = True
        p = first_token_grade(choice.first_token, self.form.values, self.min_label_mass)
        return Verdict(comparison, p, f"labels less probable than {self.min_label_mass:g}" if p is None else None)

    def _from_samples(self, comparison: Comparison) -> Verdict:
        form, traits, prices = self.form, self.traits, self.session.prices
        body = form.for_sample(comparison)
        one = prices.of(1, form.input_bound(body), form.reply_tokens)
        choices: list[Choice] = []
        # Room for all of them is kept free from the start: no budget ends in the middle of a verdict.
        with self.session.question(one * self.samples) as question:
            while (left := self.samples - len(choices)) > 0:
                several = left > 1 and traits.several is not False
                seed = form.seed_of(comparison, len(choices))
                count = {"n": left} if several else {}
                bound = one + prices.of(0, 0, (left - 1) * form.reply_tokens) if several else one
                try:
                    got = question.ask(body | seed | count, bound).choices[:left]
                except RequestError as failure:
                    if not several or failure.status not in (400, 422) or traits.several is not None:
                        raise
                    traits.several = False  # it does not take `n`, or something else is wrong, which then shows
                    continue
                if several and traits.several is None:
                    traits.several = len(got) > 1
                choices += got
        traits.sampled = True
        template, values = form.template, form.values
        votes = [
            None if choice.filtered else voted_grade(choice.text, values, template.last_line, template.field)
            for choice in choices
        ]
        counted = [grade for grade in votes if grade is not None]
        if not counted:
            filtered = all(choice.filtered for choice in choices)
            return Verdict(comparison, None, "content filter" if filtered else "unparsable")
        return Verdict(comparison, sum(counted) / len(counted))

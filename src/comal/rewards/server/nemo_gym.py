"""`POST /compare` in the words of NeMo Gym's `genrm_compare` (as of commit 0880a8d), for its clients.

Its `GenRMStrategy` holds all answers of a group and posts them at once, as Responses API objects; the rewards that it
gets here are win rates. It knows numbers or a failed request: a masked group is a 503, as a failed judge is there, and
what the judge is asked is the judge's own file, so a `principle` is refused.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictStr

from comal.rewards.group import GroupReward
from comal.rewards.server.requests import Message, RefusedError
from comal.rewards.texts import prompt_text


class _Lenient(BaseModel):
    """The service's objects have many fields that are no business of a judge."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Part(_Lenient):
    type: StrictStr = "output_text"
    text: StrictStr = ""


class _Item(_Lenient):
    type: StrictStr = "message"
    content: list[_Part] | None = None


class _Response(_Lenient):
    output: list[_Item]

    @property
    def text(self) -> str:
        """What was said, without reasoning and calls of tools."""
        messages = [item for item in self.output if item.type == "message"]
        return "".join(part.text for item in messages for part in item.content or () if part.type == "output_text")


class GymQuestion(_Lenient):
    """A group in NeMo Gym's words."""

    conversation_history: Annotated[list[Message], Field(min_length=1)]
    response_objs: Annotated[list[_Response], Field(min_length=2)]
    principle: StrictStr | None = None

    @property
    def prompt(self) -> str:
        """As a judge is shown it."""
        return prompt_text(self.conversation_history)

    @property
    def texts(self) -> list[str]:
        """The answers.

        Raises:
            RefusedError: a principle, which would not be in effect.
        """
        if self.principle is not None:
            raise RefusedError(422, "principle", "the judge's question is in its own file; leave this out")
        return [response.text for response in self.response_objs]


def gym_answer(found: GroupReward) -> dict[str, Any]:
    """The answer to a group.

    Raises:
        RefusedError: it is masked.
    """
    if found.masked:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in found.reasons.items())
        raise RefusedError(503, "judge", f"no verdict on some answer ({reasons})")
    counts = found.counts
    return {
        "rewards": list(found.win_rates),
        "comparison_results": [],
        "metrics": {"questions": counts.questions, "failures": counts.failures, "flips": counts.flips},
    }

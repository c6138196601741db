"""What may be asked over HTTP, read to the letter or refused with a reason."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError, model_validator
from starlette.requests import ClientDisconnect, Request

from comal.rewards.texts import prompt_text

_SHOWN: Final = 3
"""Mistakes of one request that are named."""


class RefusedError(Exception):
    """A request that is not answered.

    Attributes:
        status: of HTTP.
        place: in the request.
        problem: in words.
        wait: seconds after which to try again.
    """

    def __init__(self, status: int, place: str, problem: str, wait: int | None = None) -> None:
        super().__init__(f"{place}: {problem}")
        self.status, self.place, self.problem, self.wait = status, place, problem, wait


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be asked.

    Attributes:
        groups: requests that are judged at a time.
        waiting: requests that wait for their turn; one more is refused.
        answers: of a group, and opponents.
        body: bytes of a request.
        body_seconds: in which a request must have come in whole.
    """

    groups: int = 64
    waiting: int = 256
    answers: int = 64
    body: int = 8 << 20
    body_seconds: float = 30.0


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Message(_Strict):
    """One turn of a chat."""

    role: Annotated[StrictStr, Field(min_length=1)]
    content: StrictStr


class _OfPrompt(_Strict):
    prompt: StrictStr | list[Message]

    @model_validator(mode="after")
    def _is_asked(self) -> _OfPrompt:
        if not self.text.strip():
            raise ValueError("the prompt is empty")
        return self

    @property
    def text(self) -> str:
        """As a judge is shown it."""
        return prompt_text(self.prompt) if self.prompt else ""


class GroupQuestion(_OfPrompt):
    """K answers to a prompt, to be compared with each other or with opponents."""

    answers: Annotated[list[StrictStr], Field(min_length=1)]
    opponents: Annotated[list[StrictStr], Field(min_length=1)] | None = None


class CompareQuestion(_OfPrompt):
    """Two answers to a prompt."""

    first: StrictStr
    second: StrictStr


Asked = TypeVar("Asked", bound=BaseModel)


async def read_question(request: Request, kind: type[Asked], limits: Limits) -> Asked:
    """The question in a request's body.

    Raises:
        RefusedError: it is too large or too slow, no JSON, or not such a question.
    """
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != "application/json":  # a page in somebody's browser cannot send this without being asked for leave
        raise RefusedError(415, "Content-Type", f"need application/json, got {sent or 'none'}")
    try:
        body = await asyncio.wait_for(_body(request, limits.body), limits.body_seconds)
    except TimeoutError:
        raise RefusedError(408, "body", f"did not come within {limits.body_seconds:g} s") from None
    except ClientDisconnect:
        raise RefusedError(400, "body", "the connection was closed before it had come whole") from None
    try:
        question = kind.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error) from None
    for name in ("answers", "opponents", "response_objs"):
        texts = getattr(question, name, None) or ()
        if len(texts) > limits.answers:
            raise RefusedError(422, name, f"there are {len(texts)}, and {limits.answers} may be compared at once")
    return question


async def _body(request: Request, most: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > most:
        raise RefusedError(413, "body", f"has {declared} bytes, and {most} may be sent")
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > most:
            raise RefusedError(413, "body", f"has more than {most} bytes")
    return bytes(content)


def _refusal(error: ValidationError) -> RefusedError:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    status: Literal[400, 422] = 400 if found[0]["type"] == "json_invalid" else 422
    told = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in found[:_SHOWN]]
    more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
    place, _, first = told[0].partition(": ")
    return RefusedError(status, place, "; ".join([first, *told[1:]]) + more)

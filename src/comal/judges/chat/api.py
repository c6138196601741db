"""One chat completion over HTTP: understood strictly, failures sorted by what to do about them, the key never shown."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import pydantic

from comal.judges.chat.key import without_key

PLACE: Final = "openai"
"""Of errors: the judge that talks to chat models over HTTP."""

_LARGEST = 1 << 24  # bytes of a reply; more is no chat completion
_SHOWN = 300  # characters of a server's message


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the replies.

    Attributes:
        text: what the model wrote.
        filtered: whether the service withheld it, or the model refused.
        first_token: log-probabilities of the alternatives for the reply's first token, several spellings of one word
            possible; None where the server did not send them.
    """

    text: str
    filtered: bool
    first_token: tuple[tuple[str, float], ...] | None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back; None tokens where the server does not say."""

    choices: tuple[Choice, ...]
    input_tokens: int | None
    output_tokens: int | None


class RequestError(Exception):
    """A request without a usable reply.

    Attributes:
        reason: in a few words, the same for all failures of a kind.
        detail: what the server or the connection said, without the key.
        retry: whether asking again may help.
        fatal: whether asking anything else is useless too, once asking again has not helped.
        billed: whether it may have been paid for.
        wait: seconds the server asks to be left alone.
        status: of HTTP, where there was one.
    """

    def __init__(
        self,
        reason: str,
        detail: str,
        *,
        retry: bool = False,
        fatal: bool = False,
        billed: bool = False,
        wait: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.retry, self.fatal = reason, detail, retry, fatal
        self.billed, self.wait, self.status = billed, wait, status


class ChatClient:
    """Puts requests to one endpoint; safe to share between threads."""

    def __init__(self, base_url: str, key: str | None, timeout: float, connections: int) -> None:
        """Connect to `base_url` (as far as `/v1`), with a bearer `key` where there is one.

        Args:
            base_url: `/chat/completions` is added to it.
            key: sent in the Authorization header and shown nowhere.
            timeout: seconds for a whole request.
            connections: the most at a time.
        """
        self._key = key
        self._timeout = timeout
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._http = httpx2.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(timeout, connect=min(timeout, 10.0)),
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
        )

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def post(self, body: Mapping[str, Any]) -> Reply:
        """One request, once.

        Raises:
            RequestError: there is no usable reply.
        """
        # Raised outside of the handlers: a chained exception would carry the request, and with it the key.
        failure: RequestError
        try:
            status, headers, content = self._send(body)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError, httpx2.UnsupportedProtocol) as error:
            failure = self._failed("unreachable", error, retry=True, fatal=True)
        except httpx2.TimeoutException:
            # It may have been answered, and billed, after we hung up.
            failure = RequestError("timed out", f"no reply in {self._timeout:g} s", retry=True, billed=True)
        except httpx2.TransportError as error:
            failure = self._failed("connection broken", error, retry=True, billed=True)
        except httpx2.HTTPError as error:
            failure = self._failed("unreadable reply", error, retry=True, billed=True)
        else:
            if status != 200:
                raise refused(status, headers, self.without_key(content.decode("utf-8", "replace")))
            return read_reply(content, self.without_key)
        raise failure

    def without_key(self, text: str) -> str:
        """`text` with the key taken out."""
        return without_key(text, self._key)

    def _send(self, body: Mapping[str, Any]) -> tuple[int, httpx2.Headers, bytes]:
        end = time.monotonic() + self._timeout
        content = bytearray()
        with self._http.stream("POST", self._url, json=dict(body)) as response:
            for piece in response.iter_bytes():
                content += piece
                # The library's limit is for each read: a server that drips would never run into it.
                if time.monotonic() > end:
                    raise httpx2.ReadTimeout("the whole request took too long")
                if len(content) > _LARGEST:
                    raise httpx2.DecodingError(f"more than {_LARGEST} bytes")
            return response.status_code, response.headers, bytes(content)

    def _failed(self, reason: str, error: Exception, **flags: Any) -> RequestError:
        return RequestError(reason, _short(self.without_key(str(error) or type(error).__name__)), **flags)


class _Alternative(pydantic.BaseModel):
    token: str
    logprob: float | None = None


class _Position(_Alternative):
    top_logprobs: list[_Alternative] | None = None


class _LogProbs(pydantic.BaseModel):
    content: list[_Position] | None = None


class _Message(pydantic.BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(pydantic.BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _LogProbs | None = None


class _Usage(pydantic.BaseModel):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Completion(pydantic.BaseModel):
    choices: list[_Choice]
    usage: _Usage | None = None


def read_reply(content: bytes, clean: Any = str) -> Reply:
    """The reply in the body of a response of status 200.

    Raises:
        RequestError: the body is cut off, no chat completion, an error in disguise, or holds no choice.
    """
    try:
        completion = _Completion.model_validate_json(content)
    except pydantic.ValidationError:
        completion = None
    if completion is None:
        text = content.decode("utf-8", "replace")
        error = _error_of(text)
        if error:  # some routers report what happened behind them with status 200
            code = error.get("code")
            raise refused(code if isinstance(code, int) and code >= 400 else 502, {}, clean(text))
        raise RequestError("unreadable reply", _short(clean(text)) or "nothing in it", retry=True, billed=True)
    if not completion.choices:
        raise RequestError("empty reply", "it has no choices", retry=True, billed=True)
    usage = completion.usage or _Usage()
    choices = tuple(
        Choice(
            choice.message.content or "",
            choice.finish_reason == "content_filter" or bool(choice.message.refusal),
            _first_token(choice.logprobs),
        )
        for choice in completion.choices
    )
    return Reply(choices, usage.prompt_tokens, usage.completion_tokens)


def _first_token(sent: _LogProbs | None) -> tuple[tuple[str, float], ...] | None:
    if sent is None or not sent.content:
        return None
    position = sent.content[0]
    # A list: different tokens may be shown by one text.
    found = [(a.token, a.logprob) for a in position.top_logprobs or () if a.logprob is not None]
    if len(dict.fromkeys(found)) < 2:
        return None  # the sampled token alone does not tell how likely the other label was
    if position.logprob is not None and position.token not in dict(found):
        found.append((position.token, position.logprob))
    return tuple(found)


def refused(status: int, headers: Mapping[str, str], text: str) -> RequestError:
    """What a response that is not of status 200 means; `text` is its body, without the key."""
    error = _error_of(text)
    message = _short(str(error.get("message") or error.get("detail") or text).strip() or "no explanation")
    said = f"{error.get('code')} {error.get('type')} {message}".lower()
    wait = retry_after(headers)
    if status == 429 and ("insufficient_quota" in said or "billing" in said):
        return RequestError("quota used up", message, fatal=True, status=status)
    if status in (408, 409, 425, 429) or status >= 500:
        reason = "rate limited (429)" if status == 429 else f"server error ({status})"
        return RequestError(reason, message, retry=True, wait=wait, status=status)
    if status in (400, 413, 422):
        if "content_filter" in said or "content management policy" in said:
            return RequestError("content filter", message, status=status)
        if status == 413 or re.search(r"context.?(length|window|size)|too (long|large|many tokens)", said):
            return RequestError("too long for the model", message, status=status)
        return RequestError(f"refused ({status})", message, status=status)
    return RequestError(f"refused ({status})", message, fatal=True, status=status)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to be left alone: a number, or a date of HTTP; None where it does not."""
    said = headers.get("retry-after")
    if said is None:
        return None
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(said).timestamp() - time.time()
        except ValueError:
            return None
    return max(seconds, 0.0) if seconds < float("inf") else None  # false for NaN


def _error_of(text: str) -> dict[str, Any]:
    """The error object in a body, whichever of the usual shapes it has; empty without one."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(body, dict):
        return {}
    error = body.get("error", body if "detail" in body or "message" in body else {})
    return error if isinstance(error, dict) else {"message": error}


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"

"""The ASGI application: `POST /v1/group`, `/v1/compare` and NeMo Gym's `/compare`, `GET /health` and `/metrics`.

A request that cannot be answered gets a status and `{"error": {"place", "problem"}}`: 4xx where the request is wrong or
comes at a bad time (429: too many wait), 502 where the judge gives no answers or its budget has no room, 503 while the
server stops. What the judge left without a verdict is no error: `win_rates` are null, and `masked` says so.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import hmac
import ipaddress
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any, TypeVar
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import comal
from comal.errors import ComalError, DataError, JudgeError, near_match
from comal.judges.asking.oracle import OracleStats
from comal.judges.asking.sharing import StoppedError
from comal.rewards.group import GroupWinRate
from comal.rewards.server.metrics import CONTENT_TYPE, Metrics
from comal.rewards.server.nemo_gym import GymQuestion, gym_answer
from comal.rewards.server.requests import CompareQuestion, GroupQuestion, Limits, RefusedError, read_question

logger = logging.getLogger(__name__)
T = TypeVar("T")
_PATHS = ("/v1/group", "/v1/compare", "/compare", "/health", "/metrics")
_RETRY_SECONDS = 1


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class RewardServer:
    """Answers requests by one `GroupWinRate`."""

    def __init__(self, reward: GroupWinRate, limits: Limits, token: str | None) -> None:
        """Serve `reward`.

        Args:
            reward: shared by all requests.
            limits: of requests.
            token: that requests must bear; None: none, and then they must name this machine as their host, which no
                page in a browser can that was fetched from elsewhere.
        """
        self._reward = reward
        self._limits = limits
        self._token = token
        self._metrics = Metrics()
        self._turns = asyncio.Semaphore(limits.groups)
        self._present = 0
        self._stopping = False
        self._threads = concurrent.futures.ThreadPoolExecutor(limits.groups, thread_name_prefix="group")
        self.app = Starlette(
            routes=[
                Route("/v1/group", self._answered(self._group), methods=["POST"]),
                Route("/v1/compare", self._answered(self._compare), methods=["POST"]),
                Route("/compare", self._answered(self._gym), methods=["POST"]),
                Route("/health", self._health),
                Route("/metrics", self._answered(self._page)),
            ],
            exception_handlers={HTTPException: _not_found, Exception: _unforeseen},
            lifespan=self._lifespan,
        )
        self.app.router.redirect_slashes = False  # to what the request did not mean

    def stop(self) -> None:
        """Judge nothing new: requests that wait or are being judged get their 503 when what is in flight is kept."""
        self._stopping = True
        self._reward.stop()

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        self._threads.shutdown(wait=True)
        self._reward.close()

    async def _health(self, _: Request) -> Response:
        status = "stopping" if self._stopping else "ok"
        return JSONResponse({"status": status, "version": comal.__version__}, 503 if self._stopping else 200)

    async def _page(self, _: Request) -> Response:
        return Response(self._metrics.page(await asyncio.to_thread(self._reward.spent)), media_type=CONTENT_TYPE)

    async def _group(self, request: Request) -> Response:
        question = await read_question(request, GroupQuestion, self._limits)
        found = await self._judged(lambda: self._reward.group(question.text, question.answers, question.opponents))
        self._metrics.judged(found.counts, found.reasons, masked=found.masked)
        return JSONResponse({
            "win_rates": found.win_rates,
            "masked": found.masked,
            "verdicts": _verdicts(found.counts),
            "reasons": dict(found.reasons),
            "spend": await self._spend(),
        })  # fmt: skip

    async def _compare(self, request: Request) -> Response:
        question = await read_question(request, CompareQuestion, self._limits)
        found = await self._judged(lambda: self._reward.group(question.text, [question.first], [question.second]))
        self._metrics.judged(found.counts, found.reasons, masked=False)
        return JSONResponse({
            "probability": found.win_rates[0],
            "verdicts": _verdicts(found.counts),
            "spend": await self._spend(),
        })  # fmt: skip

    async def _gym(self, request: Request) -> Response:
        question = await read_question(request, GymQuestion, self._limits)
        texts = question.texts
        found = await self._judged(lambda: self._reward.group(question.prompt, texts))
        self._metrics.judged(found.counts, found.reasons, masked=found.masked)
        return JSONResponse(gym_answer(found))

    async def _judged(self, work: Callable[[], T]) -> T:
        """The result of work that asks the judge, when it is its turn.

        Raises:
            RefusedError: too many wait already, or the server stops.
        """
        limits, metrics = self._limits, self._metrics
        if self._present >= limits.groups + limits.waiting:
            raise RefusedError(429, "server", f"{self._present} requests are being judged or wait", _RETRY_SECONDS)
        self._present += 1
        try:
            with metrics.waiting.track_inprogress():
                await self._turns.acquire()
            try:
                if self._stopping:
                    raise RefusedError(503, "server", "is stopping")
                with metrics.judging.track_inprogress():
                    return await asyncio.get_running_loop().run_in_executor(self._threads, work)
            finally:
                self._turns.release()
        finally:
            self._present -= 1

    async def _spend(self) -> dict[str, Any] | None:
        spent = await asyncio.to_thread(self._reward.spent)
        return None if spent is None else asdict(spent)

    def _answered(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            begin = time.perf_counter()
            try:
                self._admit(request)
                response = await answer(request)
            except RefusedError as refused:
                response = _error(refused.status, refused.place, refused.problem, refused.wait)
            except StoppedError as error:
                response = _error(503, "server", f"is stopping; {error.problem}")
            except JudgeError as error:
                response = _error(502, error.place, error.problem)
            except DataError as error:
                response = _error(422, error.place, error.problem)
            except ComalError as error:
                response = _error(400, error.place, error.problem)
            self._metrics.answered(request.url.path, response.status_code, time.perf_counter() - begin)
            return response

        return endpoint

    def _admit(self, request: Request) -> None:
        """Refuse who bears no token, or reached this machine by another's name."""
        if self._token is None:
            host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
            if not is_loopback(host):
                raise RefusedError(421, "Host", "without a token only this machine is served, by its own names")
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), self._token.encode()):
            raise RefusedError(401, "Authorization", "need `Bearer` and the token of this server")


def _verdicts(counts: OracleStats) -> dict[str, Any]:
    return {
        "questions": counts.questions,
        "failures": counts.failures,
        "judge_calls": counts.judge_calls,
        "kept": counts.cache_hits,
        "both_orders": counts.both_orders,
        "flips": counts.flips,
    }


def _error(status: int, place: str, problem: str, wait: int | None = None) -> Response:
    headers = {} if wait is None else {"Retry-After": str(wait)}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    content = {"error": {"place": place, "problem": problem}}
    # ASCII: what could not be encoded came in by a request, and goes out escaped.
    return Response(json.dumps(content), status, headers, "application/json")


async def _not_found(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    if status == 404:
        return _error(404, request.url.path[:100], f"there is nothing here.{near_match(request.url.path, _PATHS)}")
    return _error(status, request.url.path[:100], f"does not take {request.method}" if status == 405 else "refused")


async def _unforeseen(request: Request, error: Exception) -> Response:
    logger.error("%s %s: %s: %s", request.method, request.url.path, type(error).__name__, error)
    return _error(500, "comal", "an error in comal itself; its log says more")

"""Running the server: where it listens, and how it ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import uvicorn

from comal.errors import ConfigError
from comal.rewards.group import GroupWinRate
from comal.rewards.server.app import RewardServer, is_loopback
from comal.rewards.server.requests import Limits

TOKEN: Final = "COMAL_SERVE_TOKEN"
"""The environment variable that holds the token."""
_LEAST = 16
_SPARE_CONNECTIONS = 1024
"""Beside those that are judged or wait: of clients that have not yet sent what they want."""


class _Server(uvicorn.Server):
    """Says where it listens, and tells the judge when it is to end."""

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None], told: Callable[[str], None]) -> None:
        super().__init__(config)
        self._stop = stop
        self._told = told

    async def startup(self, sockets: Any = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._told(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Let what is in flight be kept; a second Ctrl-C does not wait for it."""
        super().handle_exit(sig, frame)
        threading.Thread(target=self._stop, daemon=True).start()  # not here: a lock may be held right now


def read_token(host: str) -> str | None:
    """The token in the environment; None where there is none and only this machine can reach `host`.

    Raises:
        ConfigError: others can reach it and there is none, or it is too short to keep anybody out.
    """
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        if is_loopback(host):
            return None
        raise ConfigError("--host", f"others can reach `{host}` and spend your budget; set a token in {TOKEN}")
    if len(token) < _LEAST or not (token.isascii() and token.isprintable() and " " not in token):
        raise ConfigError(
            TOKEN, f"need {_LEAST} or more letters, digits and signs; e.g. `openssl rand -hex 32` makes one"
        )
    return token


def make_server(
    reward: GroupWinRate, host: str, port: int, limits: Limits, told: Callable[[str], None]
) -> uvicorn.Server:
    """A server that is not running yet.

    Args:
        reward: shared by all requests.
        host: address to listen at.
        port: 0 takes a free one.
        limits: of requests.
        told: gets the address when it can be reached.

    Raises:
        ConfigError: others could reach it and there is no token.
    """
    server = RewardServer(reward, limits, read_token(host))
    config = uvicorn.Config(
        server.app, host=host, port=port, log_level="warning", access_log=False, server_header=False, http="h11",
        limit_concurrency=limits.groups + limits.waiting + _SPARE_CONNECTIONS, lifespan="on", ws="none",
    )  # fmt: skip
    return _Server(config, server.stop, told)


def serve(reward: GroupWinRate, host: str, port: int, limits: Limits, told: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; the arguments are those of `make_server`.

    Raises:
        ConfigError: the address cannot be listened at, or others could reach it and there is no token.
    """
    server = make_server(reward, host, port, limits, told)
    # uvicorn raises the signal that ended it once more when all is done, which then does nothing.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run()
    except SystemExit as error:  # how uvicorn says that it could not start; its log has said why
        if error.code:
            raise ConfigError("--port", f"cannot listen at {host} port {port}") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

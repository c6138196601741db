"""A reward server in this process, and a client that says things as they are."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from comal.rewards import GroupWinRate
from comal.rewards.server.requests import Limits
from comal.rewards.server.serve import make_server
from waiting import LIMIT, wait_until


class Client:
    """Talks to one address."""

    def __init__(self, url: str) -> None:
        self.address = urlsplit(url)

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON (or text) and headers of the response."""
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=LIMIT)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            text = response.read().decode()
            found = dict(response.getheaders())
        finally:
            connection.close()
        return response.status, json.loads(text) if "json" in found.get("content-type", "") else text, found

    def post(self, path: str, question: Any, **headers: str) -> tuple[int, Any]:
        """Status and JSON."""
        sent = {"Content-Type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        body = question if isinstance(question, bytes) else json.dumps(question).encode()
        return self.send("POST", path, body, sent)[:2]

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Status and JSON or text."""
        return self.send("GET", path, None, headers)[:2]

    def raw(self, content: bytes, *, shut: bool = True) -> int | None:
        """The status of the response to bytes that need not be HTTP, then, `shut`, no more come; None without."""
        with socket.create_connection((self.address.hostname, self.address.port), timeout=LIMIT) as connection:
            connection.sendall(content)
            if shut:
                connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                answer = connection.makefile("rb").readline()
                return int(answer.split()[1]) if answer else None
        return None


@contextlib.contextmanager
def reward_server(reward: GroupWinRate, limits: Limits | None = None) -> Iterator[tuple[Client, Any]]:
    """A client of a server in a thread, and the server."""
    told: list[str] = []
    server = make_server(reward, "127.0.0.1", 0, limits or Limits(), told.append)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: told or not thread.is_alive(), "the server")
        yield Client(told[0]), server
    finally:
        server.should_exit = True
        thread.join()

"""A chat endpoint in this process that does what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import contextlib
import json
import math
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Send:
    """A response of any kind; `cut` sends so many bytes of the body and hangs up."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    delay: float = 0.0
    drip: float | None = None  # seconds between bytes


class Reset:
    """Hang up without a word."""


Script = Callable[[int, dict[str, Any]], Any]


class ChatServer:
    """Serves `script(number of the request, its body)`: a `Send`, a `Reset`, or the JSON of a completion."""

    def __init__(self, script: Script, port: int = 0) -> None:
        self.script = script
        self.requests: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.counted: list[dict[str, Any]] = []
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()
        self.httpd = _Server(("127.0.0.1", port), _handler(self))
        self.thread = threading.Thread(target=self.httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    @property
    def answered(self) -> list[dict[str, Any]]:
        """Requests that got a completion, in full."""
        with self.lock:
            return list(self.counted)

    @property
    def port(self) -> int:
        return int(self.httpd.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def close(self) -> None:
        self.httpd.shutdown()
        self.httpd.server_close()
        self.thread.join()


@contextlib.contextmanager
def serving(script: Script, port: int = 0) -> Iterator[ChatServer]:
    server = ChatServer(script, port)
    try:
        yield server
    finally:
        server.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is no news."""


def _handler(server: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one segment: the client's delayed acknowledgement costs 40 ms otherwise

        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server.lock:
                number = len(server.requests)
                server.requests.append(body)
                server.authorizations.append(self.headers["Authorization"])
                server.in_flight += 1
                server.most_in_flight = max(server.most_in_flight, server.in_flight)
            try:
                action = server.script(number, body) if self.path == "/v1/chat/completions" else Send({}, 404)
                self.act(action if isinstance(action, (Send, Reset)) else Send(action), body)
            finally:
                with server.lock:
                    server.in_flight -= 1

        def act(self, action: Send | Reset, body: dict[str, Any]) -> None:
            if isinstance(action, Reset):
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
                return
            time.sleep(action.delay)
            text = action.body if isinstance(action.body, str) else json.dumps(action.body)
            content = text.encode()
            self.send_response(action.status)
            for name, value in action.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if action.drip is not None:
                for byte in content:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(action.drip)
            with server.lock:  # who has read the reply finds it counted
                self.wfile.write(content[: action.cut])
                self.wfile.flush()
                if action.cut is None and action.status == 200:
                    server.counted.append(body)
            if action.cut is not None:
                self.close_connection = True

    return Handler


def completion(
    text: str | list[str] = "A",
    top: dict[str, float] | None = None,
    finish: str = "stop",
    usage: tuple[int, int] | None = (50, 1),
) -> dict[str, Any]:
    """The JSON of a chat completion; `top` are probabilities of the first token's alternatives."""
    texts = [text] if isinstance(text, str) else text
    found: dict[str, Any] = {
        "id": "x", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [
            {"index": i, "message": {"role": "assistant", "content": t}, "finish_reason": finish}
            for i, t in enumerate(texts)
        ],
    }  # fmt: skip
    if top is not None:
        listed = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in top.items()]
        best = max(listed, key=lambda item: item["logprob"])
        found["choices"][0]["logprobs"] = {"content": [best | {"top_logprobs": listed}]}
    if usage is not None:
        found["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return found


ANSWER_A = re.compile(r"\[Answer A\]\n(.*?)\n\n\[Answer B\]\n(.*?)\n\nWhich answer", re.DOTALL)


def shown(body: dict[str, Any]) -> tuple[str, str]:
    """The two answers in a question of the ready template `helpful`."""
    found = ANSWER_A.search(body["messages"][-1]["content"])
    assert found is not None
    return found[1], found[2]


def prefer_longer(body: dict[str, Any], bias: float = 0.3) -> float:
    """A probability that depends on the answers, and favours the first."""
    first, second = shown(body)
    return 1 / (1 + math.exp(-(bias + 0.5 * (len(first) - len(second)))))


def log_probs(number: int, body: dict[str, Any]) -> dict[str, Any]:
    """A script: a server that sends log-probabilities where it is asked for them."""
    p = prefer_longer(body)
    word = "A" if p > 0.5 else "B"
    if not body.get("logprobs"):
        return completion([word] * body.get("n", 1))
    return completion(word, {"A": 0.8 * p, " A": 0.1 * p, "B": 0.9 * (1 - p), "The": 0.1})


def ignoring(number: int, body: dict[str, Any]) -> dict[str, Any]:
    """A script: like `transformers serve`, one choice and no log-probabilities whatever is asked."""
    return completion("A" if prefer_longer(body) > 0.5 else "B")

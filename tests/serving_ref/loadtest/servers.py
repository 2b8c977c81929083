"""A real HTTP server that answers as a test says: well, late, broken or never."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Seen:
    """A request as the server got it."""

    at_ns: int
    """`time.monotonic_ns()` when it was whole."""
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return json.loads(self.body)["id"]


@dataclass(frozen=True)
class Answer:
    """What the server does about a request."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"outputs": []}'
    after_s: float = 0.0
    how: str = "whole"
    """whole, chunked, until-close, truncated, reset, garbled, or never."""


WELL = Answer(headers={"baseload-outcome": "model"})


class Server:
    """Serves in a thread of its own while the `with` block runs."""

    def __init__(
        self,
        behave: Callable[[Seen], Answer] = lambda _: WELL,
        *,
        get: Callable[[Seen], Answer] = lambda _: Answer(404),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`get` answers GET requests."""
        self._tls = tls
        self._behave, self._get = behave, get
        self.seen: list[Seen] = []
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> Server:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def inferred(self) -> list[Seen]:
        """Inference requests, without the probes that a load test sends before it begins."""
        return [each for each in self.seen if each.method == "POST" and each.id != "probe"]

    def stall(self, seconds: float) -> tuple[int, int]:
        """Do nothing at all for some time. Returns when that began and ended."""
        over = threading.Event()
        span: list[int] = []

        def sleep() -> None:
            span.append(time.monotonic_ns())
            time.sleep(seconds)
            span.append(time.monotonic_ns())
            over.set()

        self._loop.call_soon_threadsafe(sleep)
        over.wait()
        return span[0], span[1]

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        listening = self._loop.create_server(lambda: _Protocol(self), "127.0.0.1", 0, ssl=self._tls)
        server = self._loop.run_until_complete(listening)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()


class _Protocol(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self.server = server
        self.received = b""

    def connection_made(self, transport):
        self.server.connections += 1
        self.transport = transport

    def data_received(self, data):
        self.received += data
        while (split := self.received.find(b"\r\n\r\n")) >= 0:
            head = self.received[:split].decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:])
            end = split + 4 + int(headers.get("content-length", 0))
            if len(self.received) < end:
                return
            body, self.received = self.received[split + 4 : end], self.received[end:]
            method, path, _ = head[0].split()
            seen = Seen(time.monotonic_ns(), method, path, headers, body)
            self.server.seen.append(seen)
            answer = (self.server._get if method == "GET" else self.server._behave)(seen)
            asyncio.get_running_loop().call_later(answer.after_s, self.answer, answer)

    def answer(self, answer: Answer) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        head = f"HTTP/1.1 {answer.status} Because\r\n{lines}"
        match answer.how:
            case "whole":
                self.transport.write(
                    f"{head}Content-Length: {len(answer.body)}\r\n\r\n".encode() + answer.body
                )
            case "chunked":
                body = b"".join(b"%x\r\n%s\r\n" % (1, bytes([byte])) for byte in answer.body)
                self.transport.write(
                    f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + body + b"0\r\n\r\n"
                )
            case "until-close":
                self.transport.write(
                    f"HTTP/1.0 {answer.status} Because\r\n{lines}\r\n".encode() + answer.body
                )
                self.transport.close()
            case "truncated":
                self.transport.write(
                    f"{head}Content-Length: {len(answer.body) + 1}\r\n\r\n".encode() + answer.body
                )
                self.transport.close()
            case "reset":
                linger = struct.pack("ii", 1, 0)
                self.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )
                self.transport.abort()
            case "garbled":
                self.transport.write(b"this is no HTTP\r\n\r\n")
            case "never":
                pass

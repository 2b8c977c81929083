"""Real processes for the tests: Redis, model servers and gateways on loopback, and a client that counts outcomes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
"""How long a condition may take to come true; it is no bound on speed."""


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until a condition holds, and return what it gave."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {PATIENCE_S:g} s in vain: {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def infer_body(*values: float, ident: str | None = None) -> bytes:
    """A request to the synthetic model, one item a value."""
    tensor = {"name": "x", "shape": [len(values), 1], "datatype": "FP32", "data": list(values)}
    return json.dumps({"inputs": [tensor], **({"id": ident} if ident is not None else {})}).encode()


@dataclass(frozen=True)
class Answer:
    """A whole response. Status 0: the connection broke."""

    status: int
    headers: dict[str, str]
    body: bytes
    latency_s: float

    @property
    def outcome(self) -> str:
        return self.headers.get("baseload-outcome", "connection error" if self.status == 0 else "none")

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    def output(self, name: str = "y") -> list[float]:
        return next(each["data"] for each in self.document["outputs"] if each["name"] == name)


@dataclass
class Server:
    """A running process that speaks HTTP (or Redis' protocol)."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        begun = time.monotonic()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.request(method, path, body, named)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            return Answer(0, {}, b"", time.monotonic() - begun)
        finally:
            connection.close()
        answered = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, answered, content, time.monotonic() - begun)

    def say(self, words: bytes, lines: int = 1) -> bytes:
        """Send bytes on a connection of their own, and return the first lines that come back."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as connection:
            connection.sendall(words)
            with connection.makefile("rb") as answer:
                return b"".join(answer.readline() for _ in range(lines))

    def infer(self, name: str, body: bytes, **headers: str) -> Answer:
        return self.request("POST", f"/v2/models/{name}/infer", body, **headers)

    def is_ready(self) -> bool:
        return self.request("GET", "/v2/health/ready").status == 200

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that have these labels."""
        total = 0.0
        for line in self.request("GET", "/metrics").body.decode().splitlines():
            found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if found and found[1] == name:
                given = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
                if labels.items() <= given.items():
                    total += float(found[3])
        return total


@dataclass
class Servers:
    """Starts servers, and ends them all."""

    folder: Path
    started: list[Server] = field(default_factory=list)

    def start(self, command: list[str], port: int, ready: Callable[[Server], bool]) -> Server:
        log = self.folder / f"{port}.log"
        with log.open("wb") as output:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            process = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment, cwd=self.folder
            )
        server = Server(process, port, log)
        self.started.append(server)

        def is_up() -> bool:
            assert process.poll() is None, log.read_text()
            return ready(server)

        wait_until(is_up, f"{command} to be ready: {log.read_text()}")
        return server

    def redis(self, port: int | None = None) -> Server:
        port = port or free_port()
        command = [
            "redis-server",
            "--port",
            str(port),
            "--save",
            "",
            "--appendonly",
            "no",
            "--bind",
            "127.0.0.1",
        ]
        return self.start(command, port, _pongs)

    def python(
        self, module: str, settings: dict[str, Any], port: int | None, ready: Callable[[Server], bool]
    ) -> Server:
        port = port or free_port()
        path = self.folder / f"{port}.yaml"
        path.write_text(yaml.safe_dump(settings))
        return self.start(
            [sys.executable, "-m", module, "--settings", str(path), "--port", str(port)], port, ready
        )

    def model_server(
        self, latency: str = "5ms", *, port: int | None = None, ready: Callable[[Server], bool] = Server.is_ready,
        synthetic: dict[str, Any] | None = None, model: dict[str, Any] | None = None, **settings: Any,
    ) -> Server:  # fmt: skip
        model = model or {
            "name": "m",
            "synthetic": {"latency": {"table": [[1, latency]]}} | (synthetic or {}),
        }
        document = {"service": "ranker", "model": model, "drain": {"notice": 0}, **settings}
        return self.python("serving_ref.model_server", document, port, ready)

    def gateway(
        self, model_servers: list[Server] | None = None, *, port: int | None = None, **settings: Any
    ) -> Server:
        """One route `main` to one service `ranker`, unless the settings say otherwise."""
        document = {
            "name": "test",
            "routes": [{"name": "main", "targets": [{"service": "ranker"}]}],
            "services": [upstream("ranker", model_servers or [])],
            "drain": {"notice": 0},
            **settings,
        }
        return self.python("serving_ref.gateway", document, port, Server.is_ready)


def upstream(name: str, replicas: list[Server], **settings: Any) -> dict[str, Any]:
    addresses = [replica.address for replica in replicas]
    return {"name": name, "model": "m", "endpoints": {"addresses": addresses}, **settings}


def _pongs(server: Server) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 1) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16) == b"+PONG\r\n"
    return False


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Servers]:
    """Servers that are gone at the end, whatever happened."""
    servers = Servers(folder)
    try:
        yield servers
    finally:
        for server in servers.started:
            server.process.kill()
            server.process.wait()


def side_by_side(calls: list[Callable[[], Answer]], threads: int = 32) -> list[Answer]:
    """Make calls from several threads, and return their answers in order."""
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda call: call(), calls))


class Traffic:
    """Closed-loop clients in the background: what each request came to."""

    def __init__(self, call: Callable[[int], Answer], clients: int = 8) -> None:
        self.call = call
        self.answers: list[Answer] = []
        self.asked = 0
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(clients)
        self._clients = [self._pool.submit(self._client) for _ in range(clients)]

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def _client(self) -> None:
        while not self._over.is_set():
            with self._lock:
                number = self.asked
                self.asked += 1
            answer = self.call(number)
            with self._lock:
                self.answers.append(answer)
            if answer.status == 0:
                self._over.wait(0.02)  # a closed door is not to be hammered at

    def wait_for(self, more: int) -> None:
        """Until so many further answers have come."""
        wanted = len(self.answers) + more
        wait_until(lambda: len(self.answers) >= wanted, f"{more} further answers")

    def end(self) -> list[Answer]:
        self._over.set()
        for client in self._clients:
            client.result()
        self._pool.shutdown()
        assert len(self.answers) == self.asked
        return self.answers


def outcomes(answers: list[Answer]) -> Counter[str]:
    return Counter(answer.outcome for answer in answers)


def counted_as_seen(gateway: Server, traffic: Traffic) -> None:
    """The gateway's own count of outcomes is the clients'."""
    seen = outcomes(traffic.answers)
    for outcome, number in seen.items():
        assert gateway.metric("baseload_gateway_requests_total", outcome=outcome) == number
    assert gateway.metric("baseload_gateway_requests_total") == len(traffic.answers)
    assert gateway.metric("baseload_gateway_in_flight") == 0

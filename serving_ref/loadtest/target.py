"""The system under load: its address, what its models take, and whether it takes a request at all."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scenarios.errors import EnvironmentProblem, InvalidInput
from serving_ref.loadtest.results import is_refusal
from serving_ref.loadtest.schedule import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT_S = 10.0
ANY_INPUT = (Tensor("INPUT", "FP32", (-1, -1)),)
"""What is sent to a target that does not say what its models take."""
_NO_METADATA = (404, 405, 501)
"""Answers of a target that knows no metadata. Any other, such as 503 of one that is still starting, may be another in a
moment: what is sent must not hang on that."""
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go."""

    host: str
    port: int
    tls: bool
    path: str
    """Before the protocol's own path; without a slash at its end."""

    def infer_path(self, route: str) -> str:
        """Path of the inference requests of a route."""
        return f"{self.path}/v2/models/{route}/infer"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{self.path}"


def parse_target(url: str) -> Target:
    """Read an address such as http://127.0.0.1:8080. InvalidInput where it is none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidInput(f"--target {url}: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
        raise InvalidInput(f"--target {url}: expected an address such as http://127.0.0.1:8080")
    tls = parts.scheme == "https"
    return Target(parts.hostname, port or (443 if tls else 80), tls, parts.path.rstrip("/"))


def model_inputs(target: Target, route: str) -> tuple[Tensor, ...]:
    """Inputs of the model behind a route, from the protocol's model metadata; `ANY_INPUT` where the target knows none.

    Raises EnvironmentProblem where the target cannot be reached, or answers in any other way.
    """
    head = f"GET {target.path}/v2/models/{route} HTTP/1.1\r\nHost: {target.host}\r\nConnection: close\r\n\r\n"
    status, body = _exchange(target, head.encode("ascii"))
    if status in _NO_METADATA:
        return ANY_INPUT
    inputs = _inputs(body) if status == 200 else None
    if inputs is None:
        raise EnvironmentProblem(
            f"{target}/v2/models/{route}: expected model metadata of the Open Inference Protocol, "
            f"got {status} {_shown(body)}"
        )
    return inputs


def probe(target: Target, who: str, request: bytes) -> None:
    """Send one request before the run. EnvironmentProblem where the target cannot be reached or calls it invalid: then
    every request of the run would be refused."""
    status, body = _exchange(target, request)
    if is_refusal(status):
        raise EnvironmentProblem(f"{target} refuses requests of class {who}: {status} {_shown(body)}")


def _inputs(metadata: bytes) -> tuple[Tensor, ...] | None:
    """None where this is no metadata."""
    try:
        inputs = json.loads(metadata)["inputs"]
        return tuple(
            Tensor(str(each["name"]), str(each["datatype"]), _sizes(each["shape"])) for each in inputs
        )
    except (ValueError, KeyError, TypeError):
        return None


def _sizes(shape: Sequence[Any]) -> tuple[int, ...]:
    return tuple(int(size) for size in shape)


def _exchange(target: Target, request: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to one request."""
    try:
        with socket.create_connection((target.host, target.port), timeout=TIMEOUT_S) as plain:
            connection = (
                ssl.create_default_context().wrap_socket(plain, server_hostname=target.host)
                if target.tls
                else plain
            )
            connection.sendall(request)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise EnvironmentProblem(f"{target} cannot be reached: {reason}") from None


def _shown(body: bytes) -> str:
    text = " ".join(body.decode("utf-8", "replace").split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} …"

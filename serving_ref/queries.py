"""What both servers answer beside inference: the Open Inference Protocol's questions, by GET, and /metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import orjson

from serving_ref import asgi
from serving_ref.metrics import CONTENT_TYPE, exposed
from serving_ref.protocol import model_path

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from serving_ref.protocol import ModelPath

_METRICS, _LIVE, _READY, _SERVER = "/metrics", "/v2/health/live", "/v2/health/ready", ("/v2", "/v2/")
_PATHS = frozenset((_METRICS, _LIVE, _READY, *_SERVER))


class Queried(Protocol):
    """A server that can be asked."""

    @property
    def live(self) -> bool:
        """Whether there is hope for it."""

    @property
    def ready(self) -> bool:
        """Whether it takes requests."""

    @property
    def registry(self) -> CollectorRegistry:
        """Its metrics."""

    @property
    def document(self) -> dict[str, Any]:
        """Its name and version."""

    def knows(self, at: ModelPath) -> bool:
        """Whether a model may be there."""

    async def describe(self, at: ModelPath) -> tuple[int, dict[str, Any]]:
        """Return status and document of a model that may be there: its metadata, or whether it is ready."""


async def answer_query(server: Queried, method: str, path: str, send: asgi.Send) -> None:
    """Answer a request that is none for inference."""
    at = model_path(path)
    if path not in _PATHS and not (at is not None and server.knows(at)):
        await asgi.respond(send, 404, asgi.error_body(f"there is nothing at {path:.200}"), [asgi.JSON])
    elif method != "GET":
        await asgi.respond(send, 405, asgi.error_body("expected GET"), [asgi.JSON, (b"allow", b"GET")])
    elif path == _METRICS:
        await asgi.respond(send, 200, exposed(server.registry), [CONTENT_TYPE])
    else:
        status, document = await server.describe(at) if at is not None else _itself(server, path)
        await asgi.respond(send, status, orjson.dumps(document), [asgi.JSON])


def _itself(server: Queried, path: str) -> tuple[int, dict[str, Any]]:
    if path == _LIVE:
        return 200 if server.live else 500, {"live": server.live}
    if path == _READY:
        # The specification calls the field `live` here too; servers that are there call it `ready`.
        return 200 if server.ready else 503, {"live": server.live, "ready": server.ready}
    return 200, server.document

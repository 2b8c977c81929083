"""The model server's HTTP side: the Open Inference Protocol's endpoints, and /metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from serving_ref import asgi, protocol
from serving_ref.inference import (
    InvalidRequest,
    InvalidResponse,
    checked_request,
    input_tensors,
    response_body,
)
from serving_ref.model_server.batcher import NEVER, Batcher, Expired, Queue, QueueFull
from serving_ref.model_server.metrics import Metrics
from serving_ref.model_server.model import load_model, warm_up
from serving_ref.protocol import STATUS, Outcome, is_inference, timeout_ms
from serving_ref.queries import answer_query

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios.rules.batching import BatchingRule
    from serving_ref.inference import Tensors
    from serving_ref.model_server.model import Model
    from serving_ref.model_server.settings import ModelServerSettings
    from serving_ref.protocol import ModelPath

SERVER: dict[str, Any] = {"name": "baseload-model-server", "version": "2", "extensions": []}
_TIMEOUT_MS, _PRIORITY, _DIFFICULTY, _OUTCOME = (
    name.encode() for name in (protocol.TIMEOUT_MS, protocol.PRIORITY, protocol.DIFFICULTY, protocol.OUTCOME)
)
_NS_PER_MS = 1_000_000


class NotReady(Exception):
    """The model is not in memory yet."""


class ModelServer:
    """An ASGI application that serves one model."""

    def __init__(self, settings: ModelServerSettings, rule: BatchingRule, folder: Path) -> None:
        self.settings = settings
        self.rule = rule
        self.folder = folder
        self.model: Model | None = None
        self.batcher: Batcher | None = None
        self.metrics = Metrics(settings.service, settings.instances)
        self.draining = False
        self.loading: asyncio.Task[None] | None = None
        name, version = settings.model.name, settings.model.version
        self.infer_paths = frozenset(
            f"/v2/models/{name}{each}/infer" for each in ("", f"/versions/{version}")
        )
        self.registry = self.metrics.registry
        self.document = SERVER
        for gauge, read in (
            ("queue_depth", self._queue_depth),
            ("in_service", self._in_service),
            ("ready", lambda: self.ready),
        ):
            self.metrics.gauges[gauge].set_function(read)

    def _queue_depth(self) -> int:
        return self.batcher.queue.size if self.batcher else 0

    def _in_service(self) -> int:
        return self.batcher.in_service if self.batcher else 0

    @property
    def ready(self) -> bool:
        """Whether the model is warm, and the server not on its way out."""
        return self.batcher is not None and not self.draining

    @property
    def live(self) -> bool:
        """Whether there is hope: the model is loaded, or loading has not failed."""
        loading = self.loading
        return loading is None or not loading.done() or loading.exception() is None

    def begin_drain(self) -> None:
        """Be not ready from now on, and ask clients to leave their connections."""
        self.draining = True

    async def start(self) -> None:
        """Load in the background: the server is alive meanwhile, and not ready."""
        self.loading = asyncio.create_task(self._load())

    async def _load(self) -> None:
        def load() -> Model:
            model = load_model(self.settings, self.folder)
            warm_up(model, self.settings)
            return model

        try:
            self.model = await asyncio.to_thread(load)
        except Exception:
            logging.getLogger("uvicorn.error").exception("the model could not be loaded")
            raise
        batching = self.settings.batching
        queue = Queue(self.rule, batching.drop_expired, batching.max_queue_size)
        self.batcher = Batcher(queue, self.model, self.settings.instances, self.metrics)

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await asgi.lifespan(receive, send, self.start)
        elif is_inference(scope["path"]):
            await self._infer(scope, receive, send)
        else:
            await answer_query(self, scope["method"], scope["path"], send)

    def knows(self, at: ModelPath) -> bool:
        """Whether it is this server's model, in its version."""
        model = self.settings.model
        return at.name == model.name and at.version in (None, model.version)

    async def describe(self, at: ModelPath) -> tuple[int, dict[str, Any]]:
        """Return the model's metadata, or whether it is ready."""
        if at.what is not None:
            return 200 if self.ready else 503, {"name": at.name, "ready": self.ready}
        if self.model is None:
            return 503, {"error": "the model is not ready"}
        return 200, self._metadata(self.model)

    async def _infer(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """One inference request: exactly one outcome, and one response."""
        status: int | None = None
        try:
            if scope["path"] not in self.infer_paths:
                raise InvalidRequest(f"there is nothing at {scope['path']:.200}", 404)
            if scope["method"] != "POST":
                raise InvalidRequest("expected POST", 405)
            body = await self._answer(dict(scope["headers"]), receive)
            outcome = Outcome.MODEL
        except asgi.Disconnected:
            self.metrics.requests[Outcome.INVALID].inc()
            return
        except InvalidRequest as error:
            outcome, status, body = Outcome.INVALID, error.status, asgi.error_body(str(error))
        except QueueFull:
            outcome, body = Outcome.QUEUE_FULL, asgi.error_body("the queue is full")
        except Expired:
            outcome, body = Outcome.TIMEOUT, asgi.error_body("the time that the client gave was over")
        except NotReady:
            outcome, body = Outcome.NO_REPLICA, asgi.error_body("the model is not ready")
        except InvalidResponse as error:
            outcome, status, body = Outcome.ERROR, 500, asgi.error_body(str(error))
        except Exception as error:
            outcome, status, body = Outcome.ERROR, 500, asgi.error_body(f"{type(error).__name__}: {error}")
        self.metrics.requests[outcome].inc()
        headers = [asgi.JSON, (_OUTCOME, outcome.value.encode())]
        status = status or STATUS[outcome]
        if status == 503:
            headers.append((b"retry-after", b"1"))
        if status == 405:
            headers.append((b"allow", b"POST"))
        if self.draining or status in (408, 413):
            headers.append(asgi.CLOSE)
        await asgi.respond(send, status, body, headers)

    async def _answer(self, headers: dict[bytes, bytes], receive: asgi.Receive) -> bytes:
        body = await asgi.read_body(headers, receive, self.settings.limits)
        request, items = checked_request(body)
        if self.model is None or self.batcher is None:
            raise NotReady
        if items > self.rule.max_items:
            raise InvalidRequest(f"expected at most {self.rule.max_items} items, got {items}")
        stated = headers.get(_DIFFICULTY)
        difficulty = None if stated is None else protocol.difficulty(stated)
        inputs = self.model.prepared(input_tensors(request, self.model.inputs), difficulty)
        outputs = await self.batcher.infer(inputs, items, _priority(headers), _deadline_ns(headers))
        wanted = request.get("outputs")
        if wanted is not None:
            outputs = _chosen(outputs, wanted)
        settings = self.settings.model
        return response_body(settings.name, settings.version, request.get("id"), outputs)

    def _metadata(self, model: Model) -> dict[str, Any]:
        return {
            "name": self.settings.model.name,
            "versions": [self.settings.model.version],
            "platform": model.platform,
            "inputs": [spec.document() for spec in model.inputs],
            "outputs": [spec.document() for spec in model.outputs],
        }


def _priority(headers: dict[bytes, bytes]) -> int:
    value = headers.get(_PRIORITY, b"0")
    if value not in (b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7"):
        raise InvalidRequest(f"{protocol.PRIORITY}: expected 0 to 7")
    return int(value)


def _deadline_ns(headers: dict[bytes, bytes]) -> int:
    value = headers.get(_TIMEOUT_MS)
    if value is None:
        return NEVER
    return time.monotonic_ns() + round(timeout_ms(value) * _NS_PER_MS)


def _chosen(outputs: Tensors, wanted: Any) -> Tensors:
    """Return the outputs that a request names. Raises InvalidRequest."""
    given = wanted if isinstance(wanted, list) else []
    names = [str(each.get("name")) for each in given if isinstance(each, dict)]
    if not names or not all(name in outputs for name in names):
        raise InvalidRequest(f"outputs: expected names of {', '.join(outputs)}")
    return {name: outputs[name] for name in names}

"""The gateway's HTTP side: one request in, one outcome out."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from typing import TYPE_CHECKING, Any

from serving_ref import asgi, protocol
from serving_ref.gateway.cache import ResponseCache
from serving_ref.gateway.description import metadata_of, readiness_of
from serving_ref.gateway.metrics import Metrics
from serving_ref.gateway.route import Request, RouteHandler
from serving_ref.gateway.service import NEVER, Reply, Service
from serving_ref.inference import InvalidRequest, checked_request
from serving_ref.protocol import STATUS, Outcome, is_inference, model_path, timeout_ms
from serving_ref.queries import answer_query

if TYPE_CHECKING:
    from serving_ref.gateway.settings import GatewaySettings, ServedClass
    from serving_ref.protocol import ModelPath

_CLASS, _KEY, _DIFFICULTY, _TIMEOUT_MS, _OUTCOME, _SERVICE = (
    name.encode()
    for name in (
        protocol.CLASS, protocol.KEY, protocol.DIFFICULTY, protocol.TIMEOUT_MS, protocol.OUTCOME, protocol.SERVICE,
    )
)  # fmt: skip
_MAX_KEY = 200
_KEYS = re.compile(rb"[!-~]{1,%d}" % _MAX_KEY)
_UNKNOWN = "unknown"
"""Label of requests for routes or classes that are not there: clients must not be able to make series."""


class Gateway:
    """An ASGI application: the routes of a scenario."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.in_flight = 0
        self.draining = False
        self.metrics.in_flight.set_function(lambda: self.in_flight)
        self.routes: dict[str, RouteHandler] = {}
        self.services: dict[str, Service] = {}
        self.classes: dict[str, dict[str, ServedClass]] = {
            route.name: {each.name: each for each in settings.classes if each.route == route.name}
            for route in settings.routes
        }
        self.looking: list[asyncio.Task[None]] = []
        self.live = True
        self.registry = self.metrics.registry
        self.document = {
            "name": "baseload-gateway",
            "version": "2",
            "extensions": [],
            "routes": [route.name for route in settings.routes],
        }

    async def start(self) -> None:
        """Open what needs a running event loop."""
        settings = self.settings
        self.services = {each.name: Service(each, self.metrics) for each in settings.services}
        cache = ResponseCache(settings.redis, self.metrics) if settings.redis is not None else None
        for route in settings.routes:
            self.routes[route.name] = RouteHandler(route, settings, self.services, cache, self.metrics)
        self.looking = [
            asyncio.create_task(service.replicas.keep_looking()) for service in self.services.values()
        ]

    @property
    def ready(self) -> bool:
        """Whether it knows its replicas, and is not on its way out. Replicas that are not well are another matter: a
        service that is down must not take the gateway from the others."""
        now_ns = time.monotonic_ns()
        known = all(service.replicas.known(now_ns) for service in self.services.values())
        return known and not self.draining

    def begin_drain(self) -> None:
        """Be not ready from now on, and ask clients to leave their connections."""
        self.draining = True

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await asgi.lifespan(receive, send, self.start)
            return
        path = scope["path"]
        if not is_inference(path):
            await answer_query(self, scope["method"], path, send)
            return
        self.in_flight += 1
        try:
            await self._infer(model_path(path), scope, receive, send)
        finally:
            self.in_flight -= 1

    def knows(self, at: ModelPath) -> bool:
        """Whether there is such a route; of versions, its model servers know."""
        return at.name in self.routes

    async def describe(self, at: ModelPath) -> tuple[int, dict[str, Any]]:
        """Return what a route takes and gives, or whether it is ready: by what the model servers say."""
        route = self.routes[at.name]
        if at.what is None:
            answer = await route.targets[0].ask(at.version)
            return metadata_of(at.name, answer)
        answers = await asyncio.gather(*(service.ask(at.version, at.what) for service in route.targets))
        return readiness_of(at.name, answers, draining=self.draining)

    async def _infer(
        self, at: ModelPath | None, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send
    ) -> None:
        begun_ns = time.monotonic_ns()
        headers = dict(scope["headers"])
        route = self.routes.get(at.name) if at else None
        name, request_class = _UNKNOWN, _UNKNOWN
        reply: Reply
        try:
            if route is None or at is None:
                raise InvalidRequest(f"there is nothing at {scope['path']:.200}", 404)
            name = at.name
            if scope["method"] != "POST":
                raise InvalidRequest("expected POST", 405)
            served = self._class(name, headers)
            request_class = served.name if served else "none"
            wait_s = route.limited()
            if wait_s is not None:
                reply = Reply(
                    Outcome.RATE_LIMITED, asgi.error_body("the rate limit is reached"), 429, "", wait_s
                )
            else:
                request = await self._request(at.version, headers, receive, served, begun_ns)
                reply = await route.answer(request)
        except InvalidRequest as error:
            reply = Reply(Outcome.INVALID, asgi.error_body(str(error)), error.status, "")
        except asgi.Disconnected:
            self.metrics.ended(name, request_class, Outcome.INVALID, None)
            return
        except Exception as error:  # a defect, or nonsense in Redis: an outcome like others, counted once
            logging.getLogger("uvicorn.error").exception("a request broke")
            reply = Reply(Outcome.ERROR, asgi.error_body(type(error).__name__), STATUS[Outcome.ERROR], "")
        answered = STATUS[reply.outcome] == 200
        elapsed_s = (time.monotonic_ns() - begun_ns) / 1e9
        self.metrics.ended(name, request_class, reply.outcome, elapsed_s if answered else None)
        await asgi.respond(send, reply.status, reply.body, self._headers(reply))

    def _headers(self, reply: Reply) -> asgi.Headers:
        headers = [asgi.JSON, (_OUTCOME, reply.outcome.value.encode())]
        if reply.service:
            headers.append((_SERVICE, reply.service.encode()))
        if reply.status in (429, 503):
            headers.append((b"retry-after", b"%d" % max(math.ceil(reply.retry_after_s), 1)))
        if reply.status == 405:
            headers.append((b"allow", b"POST"))
        if self.draining or reply.status in (408, 413):
            headers.append(asgi.CLOSE)
        return headers

    def _class(self, route: str, headers: dict[bytes, bytes]) -> ServedClass | None:
        """Return the class that a request names, or the route's first."""
        classes = self.classes[route]
        named = headers.get(_CLASS)
        if named is None:
            return next(iter(classes.values()), None)
        found = classes.get(named.decode("latin-1"))
        if found is None:
            raise InvalidRequest(f"{protocol.CLASS}: expected one of {', '.join(classes) or 'none'}")
        return found

    async def _request(
        self,
        version: str | None,
        headers: dict[bytes, bytes],
        receive: asgi.Receive,
        served: ServedClass | None,
        begun_ns: int,
    ) -> Request:
        """Return the validated request. Raises InvalidRequest."""
        body = await asgi.read_body(headers, receive, self.settings.limits)
        document, _ = checked_request(body)
        timeout = headers.get(_TIMEOUT_MS)
        if timeout is not None:
            deadline_ns = begun_ns + round(timeout_ms(timeout) * 1e6)
        elif served is not None and served.timeout is not None:
            deadline_ns = begun_ns + round(served.timeout * 1e9)
        else:
            deadline_ns = NEVER
        difficulty = headers.get(_DIFFICULTY)
        return Request(
            body=body,
            version=version,
            ident=document.get("id"),
            key=_key(headers.get(_KEY), version),
            difficulty=None if difficulty is None else protocol.difficulty(difficulty),
            priority=served.priority if served else 0,
            deadline_ns=deadline_ns,
        )


def _key(value: bytes | None, version: str | None) -> str | None:
    """Return what answers are shared by: a version's own, where one is named (no key has a space)."""
    if value is None:
        return None
    if _KEYS.fullmatch(value) is None:
        raise InvalidRequest(
            f"{protocol.KEY}: expected 1 to {_MAX_KEY} printable ASCII characters, no spaces"
        )
    key = value.decode("ascii")
    return key if version is None else f"{key} {version}"

"""One service as the gateway meets it: its breaker, its replicas, and calls that end in one way."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from scenarios.rules.breaker import CircuitBreaker, breaker_rule
from serving_ref import asgi, protocol
from serving_ref.gateway.connection import Lost
from serving_ref.gateway.metrics import BREAKER_STATES
from serving_ref.gateway.replicas import Replica, Replicas
from serving_ref.gateway.verdict import verdict
from serving_ref.protocol import Outcome

if TYPE_CHECKING:
    from serving_ref.gateway.connection import Response
    from serving_ref.gateway.metrics import Metrics
    from serving_ref.gateway.settings import Upstream

NEVER = 1 << 62
_QUESTION_TIMEOUT_S = 5.0


@dataclass(eq=False)
class Call:
    """A flight's stay at a service. Its breaker hears of it once: the first word counts."""

    service: Service
    epoch: int
    begun_ns: int
    noted: bool = False

    def note(self, *, ok: bool) -> None:
        """Tell the breaker how it went."""
        if not self.noted:
            self.noted = True
            now_ns = time.monotonic_ns()
            latency_ns = now_ns - self.begun_ns
            self.service.breaker.note(now_ns, ok=ok, latency_ns=latency_ns, epoch=self.epoch)


@dataclass(eq=False, slots=True)
class Work:
    """What a flight asks of a service."""

    body: bytes
    priority: int
    deadline_ns: int
    version: str | None = None
    difficulty: float | None = None
    may_redispatch: bool = False
    """It may be sent once more, if its replica is lost or not up yet."""
    call: Call | None = None
    """The call under way: a waiter that gives up tells its breaker."""


@dataclass(frozen=True, slots=True)
class Reply:
    """How a call or a flight ended. `body` is the model's answer, or an error object."""

    outcome: Outcome
    body: bytes
    status: int
    service: str
    retry_after_s: float = 1.0


class Service:
    """Calls to one service, one after the other or side by side."""

    def __init__(self, settings: Upstream, metrics: Metrics) -> None:
        self.settings = settings
        self.name = settings.name
        self.metrics = metrics
        opened = metrics.breaker_opened.labels(self.name)
        self.breaker = CircuitBreaker(breaker_rule(settings.breaker), opened.inc)
        self.replicas = Replicas(settings)
        self.redispatched = metrics.redispatched.labels(self.name)
        self.results = {outcome: metrics.calls.labels(self.name, outcome.value) for outcome in Outcome}
        self.call_time = metrics.call_time.labels(self.name)
        metrics.breaker_state.labels(self.name).set_function(lambda: BREAKER_STATES[self.breaker.state])
        metrics.ready_replicas.labels(self.name).set_function(
            lambda: len(self.replicas.ready(time.monotonic_ns()))
        )
        self.path = f"/v2/models/{settings.model}".encode()

    async def answer(self, work: Work) -> Reply:
        """Call a replica, and once more another one if the first is lost or not up yet."""
        while True:
            now_ns = time.monotonic_ns()
            ready = self.replicas.ready(now_ns)
            if not ready:
                return self._refused(Outcome.NO_REPLICA, "no replica of the service is ready")
            epoch = self.breaker.admit(now_ns)
            if epoch is None:
                left_s = max(self.breaker.open_until - now_ns, 0) / 1e9
                return self._refused(
                    Outcome.BREAKER_OPEN, "the circuit breaker of the service is open", left_s
                )
            call = work.call = Call(self, epoch, now_ns)
            replica = self.replicas.choose(ready)
            try:
                response = await replica.call(
                    self._request(replica, work, now_ns), self.settings.call_timeout
                )
            except Lost:
                reply = self._refusal(Outcome.LOST, "the model server was lost")
            else:
                if response.leave:
                    self.replicas.leaving(replica)
                expired = time.monotonic_ns() >= work.deadline_ns
                outcome, status, body = verdict(response, expired=expired)
                reply = Reply(outcome, body, status, self.name)
            call.note(ok=reply.outcome in (Outcome.MODEL, Outcome.INVALID))
            if reply.outcome in (Outcome.LOST, Outcome.NO_REPLICA):
                self.replicas.lost(replica)
                if work.may_redispatch:
                    work.may_redispatch = False
                    self.redispatched.inc()
                    continue
            if reply.outcome is Outcome.MODEL:
                self.call_time.observe((time.monotonic_ns() - call.begun_ns) / 1e9)
            self.results[reply.outcome].inc()
            return reply

    async def ask(self, version: str | None, what: str = "") -> Response | None:
        """Ask about the model until a replica answers with 200. Else: what another one answered; None: none did."""
        answer = None
        for replica in self.replicas.ready(time.monotonic_ns()):
            place = (self._path(version), what.encode(), replica.host.encode(), replica.port)
            request = b"GET %b%b HTTP/1.1\r\nhost: %b:%d\r\n\r\n" % place
            try:
                answer = await replica.call([request], _QUESTION_TIMEOUT_S)
            except Lost:
                continue
            if answer.status == 200:
                break
        return answer

    def _refused(self, outcome: Outcome, message: str, retry_after_s: float = 1.0) -> Reply:
        self.results[outcome].inc()
        return self._refusal(outcome, message, retry_after_s)

    def _refusal(self, outcome: Outcome, message: str, retry_after_s: float = 1.0) -> Reply:
        status = protocol.STATUS[outcome]
        return Reply(outcome, asgi.error_body(message), status, self.name, retry_after_s)

    def _path(self, version: str | None) -> bytes:
        return self.path if version is None else b"%b/versions/%b" % (self.path, version.encode())

    def _request(self, replica: Replica, work: Work, now_ns: int) -> tuple[bytes, bytes]:
        """Return head and body of the request: the deadline as what is left of it."""
        body, more = work.body, b""
        if work.deadline_ns < NEVER:
            left_ms = max((work.deadline_ns - now_ns) / 1e6, 0.001)
            more = b"%b: %.3f\r\n" % (_TIMEOUT_MS, left_ms)
        if work.difficulty is not None:
            more += b"%b: %.9f\r\n" % (_DIFFICULTY, work.difficulty)
        if self.settings.schedule_parameters:
            body = with_schedule(work, now_ns)
        place = (self._path(work.version), replica.host.encode(), replica.port)
        head = b"POST %b/infer HTTP/1.1\r\nhost: %b:%d\r\ncontent-type: application/json\r\n" % place
        head += b"%b: %d\r\n%bcontent-length: %d\r\n\r\n" % (_PRIORITY, work.priority, more, len(body))
        return head, body


_TIMEOUT_MS, _PRIORITY, _DIFFICULTY = (
    name.encode() for name in (protocol.TIMEOUT_MS, protocol.PRIORITY, protocol.DIFFICULTY)
)


def with_schedule(work: Work, now_ns: int) -> bytes:
    """Return the body with Triton's schedule parameters: its priorities count from 1, the highest, and µs."""
    request = orjson.loads(work.body)
    parameters = request.setdefault("parameters", {})
    parameters["priority"] = 8 - work.priority
    if work.deadline_ns < NEVER:
        parameters["timeout"] = max((work.deadline_ns - now_ns) // 1000, 1)
    return orjson.dumps(request)

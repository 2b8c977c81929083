"""The open loop: every request goes out when it is due, whatever became of those before it.

A request that cannot go out on time (the generator's process was not running) is sent late and its latency counts from
when it was due: that is how a stalled server shows up as the requests that clients would have sent meanwhile, instead
of as one slow request (coordinated omission: G. Tene, "How NOT to Measure Latency").
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serving_ref.loadtest.alarm import Alarm
from serving_ref.loadtest.connections import Attempt, Pool
from serving_ref.loadtest.recording import DENIED, ENDED, SKIPPED, Recording
from serving_ref.loadtest.results import FIRST_FAILURE, GIVEN_UP, TIMEOUT, is_refusal
from serving_ref.loadtest.wire import Writer

if TYPE_CHECKING:
    import asyncio
    import ssl

    from scenarios.demand import Demand
    from serving_ref.loadtest.schedule import Settings

MICRO = 1_000_000
"""Retry budgets count in millionths of a token, as the simulator's do."""
_NEVER = 1 << 62


@dataclass(slots=True)
class Gauges:
    """How far a run is."""

    due: int = 0
    """First sends that were due so far: sent or skipped."""
    skipped: int = 0
    in_flight: int = 0
    """Logical requests without their final outcome."""
    most_in_flight: int = 0
    failed: int = 0
    """Logical requests that failed for good."""


class Generator:
    """Sends one schedule."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        schedule: Demand,
        settings: Settings,
        tls: ssl.SSLContext | None,
    ) -> None:
        retries = max((each.max_retries for each in settings.classes), default=0)
        self.recording = Recording(len(schedule), retries + 1)
        self.gauges = Gauges()
        self.pool = Pool(
            loop, settings.host, settings.port, tls, settings.max_in_flight, settings.services, self._ended
        )
        self._settings, self._requests = settings, len(schedule)
        self._done = loop.create_future()
        self._alarm = Alarm(loop, self._ring)
        self._writers = [Writer(settings, each) for each in settings.classes]
        self._timeouts_ns = [each.timeout_ns or _NEVER for each in settings.classes]
        self._tokens = [each.budget_cap for each in settings.classes]
        self._due_ns, self._stream, self._number, self._class, self._key, self._items, self._difficulty = (
            column.data
            for column in (
                schedule.due_ns, schedule.stream, schedule.number, schedule.class_index, schedule.key,
                schedule.items, schedule.difficulty,
            )
        )  # fmt: skip
        self._waits_ns = schedule.retry_wait_ns
        self._retries: list[tuple[int, int, int]] = []
        """Heap of (due, request, attempt)."""
        self._deadlines: dict[int, deque[tuple[int, Attempt]]] = {
            timeout_ns: deque() for timeout_ns in self._timeouts_ns if timeout_ns < _NEVER
        }
        """By time-out: (when, attempt), in order by itself."""
        self._start_ns = 0

    async def run(self, start_ns: int) -> None:
        """Send the schedule from a time of `time.monotonic_ns()` on, and wait for the answers: until there are no more
        to come, or the time to wait is over."""
        self._start_ns = start_ns
        self._alarm.set(start_ns)
        try:
            await self._done
        finally:
            self._alarm.close()
            self.pool.close()

    def _ring(self) -> None:
        """Do what is due. Between two rings answers are read, also where sending has fallen behind."""
        now_ns = time.monotonic_ns() - self._start_ns
        self._send_due(now_ns)
        self._give_up_due(now_ns)
        if not self._finish(now_ns):
            self._alarm.set(self._start_ns + self._next_ns(now_ns))

    def _next_ns(self, now_ns: int) -> int:
        """When something will be due next."""
        end_ns = self._settings.duration_ns
        next_ns = end_ns if now_ns < end_ns else end_ns + self._settings.drain_ns
        if self.gauges.due < self._requests:
            next_ns = min(next_ns, self._due_ns[self.gauges.due])
        if self._retries:
            next_ns = min(next_ns, self._retries[0][0])
        for deadlines in self._deadlines.values():
            while deadlines and deadlines[0][1].over:
                deadlines.popleft()
            if deadlines:
                next_ns = min(next_ns, deadlines[0][0])
        return next_ns

    def _finish(self, now_ns: int) -> bool:
        """End the run if its time is over and no answer is waited for any more."""
        end_ns = self._settings.duration_ns
        is_over = now_ns >= end_ns and (
            self.gauges.in_flight == 0 or now_ns >= end_ns + self._settings.drain_ns
        )
        if is_over and not self._done.done():
            self._done.set_result(None)
        return is_over

    def _send_due(self, now_ns: int) -> None:
        gauges = self.gauges
        while gauges.due < self._requests and self._due_ns[gauges.due] <= now_ns:
            request = gauges.due
            gauges.due = request + 1
            if gauges.in_flight >= self._settings.max_in_flight:
                gauges.skipped += 1
                self.recording.state[request] = SKIPPED
                continue
            gauges.in_flight += 1
            gauges.most_in_flight = max(gauges.most_in_flight, gauges.in_flight)
            each = self._settings.classes[self._class[request]]
            if each.budget_ratio >= 0:
                tokens = self._tokens[self._class[request]] + each.budget_ratio
                self._tokens[self._class[request]] = min(tokens, each.budget_cap)
            self._send(request, 0, self._due_ns[request])
        while self._retries and self._retries[0][0] <= now_ns:
            due_ns, request, attempt = heapq.heappop(self._retries)
            self._send(request, attempt, due_ns)

    def _send(self, request: int, number: int, due_ns: int) -> None:
        place = self._class[request]
        sent_ns = time.monotonic_ns()
        row = self.recording.begin(request, number, due_ns, sent_ns - self._start_ns)
        data = self._writers[place].request(
            f"{self._settings.streams[self._stream[request]]}-{self._number[request]}-{number}",
            self._number[request],
            self._key[request],
            self._items[request],
            self._difficulty[request],
        )
        attempt = Attempt(row, data)
        timeout_ns = self._timeouts_ns[place]
        if timeout_ns < _NEVER:
            self._deadlines[timeout_ns].append((due_ns + timeout_ns, attempt))
        self.pool.send(attempt, sent_ns)

    def _give_up_due(self, now_ns: int) -> None:
        """Clients whose time is over hang up."""
        for deadlines in self._deadlines.values():
            while deadlines and deadlines[0][0] <= now_ns:
                _, attempt = deadlines.popleft()
                if not attempt.over:
                    self.pool.give_up(attempt)
                    self._end(attempt.row, time.monotonic_ns() - self._start_ns, TIMEOUT, GIVEN_UP)

    def _ended(self, attempt: Attempt, end_ns: int, result: int, status: int, service: int) -> None:
        """An attempt has its answer, or has lost its connection."""
        if attempt.over:
            return
        attempt.over = True
        self.recording.service[attempt.row] = service
        self._end(attempt.row, end_ns - self._start_ns, result, status)

    def _end(self, row: int, end_ns: int, result: int, status: int) -> None:
        """Write an attempt's end down; its client tries again, or the logical request has its outcome."""
        recording, gauges = self.recording, self.gauges
        recording.end(row, end_ns, result, status)
        request = recording.request[row]
        if result < FIRST_FAILURE or not self._has_attempts_left(request, recording.attempt[row], status):
            recording.state[request] = ENDED
            gauges.failed += result >= FIRST_FAILURE
        elif not self._spend(self._class[request]):
            recording.state[request] = DENIED
            gauges.failed += 1
        elif self._put_down(request, recording.attempt[row], end_ns):
            return
        gauges.in_flight -= 1
        self._finish(end_ns)

    def _has_attempts_left(self, request: int, attempt: int, status: int) -> bool:
        return attempt < self._settings.classes[self._class[request]].max_retries and not is_refusal(status)

    def _spend(self, place: int) -> bool:
        """Pay for a retry from the budget of its class, if it has one. False: the budget is empty."""
        if self._settings.classes[place].budget_ratio < 0:
            return True
        if self._tokens[place] < MICRO:
            return False
        self._tokens[place] -= MICRO
        return True

    def _put_down(self, request: int, attempt: int, end_ns: int) -> bool:
        """Put the next attempt down. False: it would be sent after the run, which ends without its outcome."""
        due_ns = end_ns + int(self._waits_ns[request, attempt])
        if due_ns >= self._settings.duration_ns:
            return False
        heapq.heappush(self._retries, (due_ns, request, attempt + 1))
        if self._retries[0][1] == request:
            self._alarm.set(self._start_ns + self._next_ns(end_ns))
        return True

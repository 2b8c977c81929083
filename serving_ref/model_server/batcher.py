"""The queue of a model server, and the threads that make batches of it.

When a batch is sent, and how large it is, is `scenarios/rules/batching.py`: the code that the simulator's reference
engine runs. A thread stands for each instance; it waits for a batch, runs it, and hands the answers to the event loop.
Threads, because a condition variable keeps the queue delay to some 0.1 ms, and an event loop's timer to 1 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from scenarios.rules.batching import BatchingRule, Gathering
from scenarios.units import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from serving_ref.inference import Tensors
    from serving_ref.model_server.model import Model

PRIORITIES = 8
NEVER = 1 << 62


class QueueFull(Exception):
    """As many requests wait as may."""


class Expired(Exception):
    """The client has given up, and the request was left out of its batch."""


@dataclass(eq=False)
class Waiting:
    """A request in the queue."""

    inputs: Tensors
    items: int
    priority: int
    deadline_ns: int
    answer: asyncio.Future[Tensors]
    kind: object = None
    """Shapes of its inputs, without the first dimension: only equals can share a batch. Data types are the model's."""
    enqueued_ns: int = 0


class Observer(Protocol):
    """Who is told what happens. Called from the threads of the instances."""

    def batch_done(self, batch: Sequence[Waiting], items: int, begun_ns: int, ended_ns: int) -> None:
        """Count a batch."""


@dataclass
class Queue:
    """Waiting requests: of the highest priority first, and within one as they came. Not thread-safe."""

    rule: BatchingRule
    drop_expired: bool
    most: int | None
    levels: list[deque[Waiting]] = field(default_factory=lambda: [deque() for _ in range(PRIORITIES)])
    size: int = 0
    """Requests that wait."""
    items: int = 0
    """Items that wait."""
    kind: object = None
    """Of the request that came last."""
    mixed: bool = False
    """Whether requests of another kind may wait beside it."""

    @property
    def may_go(self) -> bool:
        """Whether a look at the queue may change it now, its delay not being over; False is certain, and costs no walk.

        A batch might be ready, or the queue might be full of requests that have expired.
        """
        smallest = self.rule.preferred[0] if self.rule.preferred else self.rule.max_items
        enough = self.items >= smallest or self.size >= self.rule.max_requests or self.size == self.most
        return enough or self.mixed or self.rule.delay_ns == 0

    def join(self, waiting: Waiting, now_ns: int) -> None:
        """Add a request. Raises QueueFull."""
        if self.most is not None and self.size >= self.most:
            raise QueueFull
        waiting.enqueued_ns = now_ns
        self.mixed = self.size > 0 and (self.mixed or waiting.kind != self.kind)
        self.kind = waiting.kind
        self.levels[waiting.priority].append(waiting)
        self.size += 1
        self.items += waiting.items

    def take(self, now_ns: int, expired: list[Waiting]) -> list[Waiting] | int:
        """Return a batch, or when to look again (NEVER: at the next arrival). What has expired goes into a list."""
        gathering = Gathering(self.rule)
        for level in reversed(self.levels):
            if not self._walk(level, gathering, now_ns, expired):
                break
        if not self.size:
            return NEVER
        oldest_ns = min(level[0].enqueued_ns for level in self.levels if level)
        requests = gathering.size(now_ns - oldest_ns)
        if requests == 0:
            return oldest_ns + self.rule.delay_ns
        batch: list[Waiting] = []
        for level in reversed(self.levels):
            while level and len(batch) < requests:
                batch.append(level.popleft())
        self.size -= requests
        self.items -= sum(waiting.items for waiting in batch)
        return batch

    def _walk(self, level: deque[Waiting], gathering: Gathering, now_ns: int, expired: list[Waiting]) -> bool:
        """Offer one level to the batch, leaving out what has expired. False: the batch is full."""
        place = 0
        while place < len(level):
            waiting = level[place]
            # At the nanosecond of its deadline it still goes: a batch that is due comes first, as in the simulator.
            if self.drop_expired and waiting.deadline_ns < now_ns:
                del level[place]
                self.size -= 1
                self.items -= waiting.items
                expired.append(waiting)
            elif gathering.take(waiting.items, waiting.kind):
                place += 1
            else:
                return False
        return True


class Batcher:
    """A queue and its instances."""

    def __init__(self, queue: Queue, model: Model, instances: int, observer: Observer) -> None:
        self.queue = queue
        self.model = model
        self.observer = observer
        self.loop = asyncio.get_running_loop()
        self.changed = threading.Condition()
        self.watched_until_ns = NEVER
        """When a thread will look at the queue by itself; NEVER: all of them sleep or work."""
        self.begun = self.ended = 0
        """Requests in batches so far: threads count those that go into the model, and the event loop those that have
        come out of it, just before it tells their clients."""
        self.threads = [
            threading.Thread(target=self._instance, name=f"instance-{number}", daemon=True)
            for number in range(instances)
        ]
        for thread in self.threads:
            thread.start()

    @property
    def in_service(self) -> int:
        """Requests in batches that are in the model."""
        return self.begun - self.ended

    async def infer(self, inputs: Tensors, items: int, priority: int, deadline_ns: int) -> Tensors:
        """Return a request's outputs once its batch is done.

        Raises QueueFull, Expired, or the model's error.
        """
        kind = [rows.shape[1:] for rows in inputs.values()]
        waiting = Waiting(inputs, items, priority, deadline_ns, self.loop.create_future(), kind)
        with self.changed:
            self.queue.join(waiting, time.monotonic_ns())
            # Else whoever watches the queue will see it in time.
            if self.watched_until_ns == NEVER or self.queue.may_go:
                self.changed.notify()
        return await waiting.answer

    def _instance(self) -> None:
        while True:
            batch = self._next()
            begun_ns = time.monotonic_ns()
            try:
                outputs = self._run(batch)
            except (
                Exception
            ) as error:  # a model may fail in any way, and every request of the batch must hear of it
                logging.getLogger("uvicorn.error").exception("a batch of %d failed", len(batch))
                self._from_thread(self._fail, batch, error)
            else:
                self._from_thread(self._deliver, batch, outputs)
            items = sum(waiting.items for waiting in batch)
            self.observer.batch_done(batch, items, begun_ns, time.monotonic_ns())

    def _next(self) -> list[Waiting]:
        """Wait for a batch."""
        with self.changed:
            while True:
                expired: list[Waiting] = []
                now_ns = time.monotonic_ns()
                found = self.queue.take(now_ns, expired)
                if expired:
                    self._from_thread(self._refuse, expired, Expired())
                if isinstance(found, list):
                    self.begun += len(found)
                    if self.queue.size:
                        self.changed.notify()
                    return found
                if found == NEVER or self.watched_until_ns <= found:
                    self.changed.wait()
                else:
                    self.watched_until_ns = found
                    self.changed.wait((found - now_ns) / NANOSECONDS_PER_SECOND)
                    self.watched_until_ns = NEVER

    def _run(self, batch: list[Waiting]) -> Tensors:
        if len(batch) == 1:
            return self.model.infer(batch[0].inputs)
        joined = {
            name: np.concatenate([waiting.inputs[name] for waiting in batch]) for name in batch[0].inputs
        }
        return self.model.infer(joined)

    def _from_thread(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for an answer any more
            self.loop.call_soon_threadsafe(call, *arguments)

    def _deliver(self, batch: Sequence[Waiting], outputs: Tensors) -> None:
        """Give each request its rows."""
        self.ended += len(batch)
        begin = 0
        for waiting in batch:
            end = begin + waiting.items
            if not waiting.answer.done():
                waiting.answer.set_result({name: rows[begin:end] for name, rows in outputs.items()})
            begin = end

    def _fail(self, batch: Sequence[Waiting], error: Exception) -> None:
        self.ended += len(batch)
        self._refuse(batch, error)

    @staticmethod
    def _refuse(batch: Sequence[Waiting], error: Exception) -> None:
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)

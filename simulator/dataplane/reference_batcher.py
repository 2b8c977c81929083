"""The replicas in the reference: queues, batches in service. The batching rule is `scenarios/rules/batching.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from scenarios.rules.batching import Gathering
from simulator.dataplane import python_draws
from simulator.dataplane.reference_time import COMPLETE, TIMER

if TYPE_CHECKING:
    from collections.abc import Generator

    from simpy.events import Event

    from simulator.dataplane import specification as spec
    from simulator.dataplane.reference_time import OrderedEnvironment


@dataclass(eq=False)
class Waiter:
    """A logical request that waits for a flight."""

    reply: Event
    """Succeeds with "model" or "coalesced", or with the cause of a failure."""


@dataclass(eq=False)
class Flight:
    """Work for a service, on behalf of those who wait for it."""

    stream: int
    id: int
    attempt: int
    cls: spec.RequestClassSpec
    items: int
    difficulty: float
    key: int
    waiters: list[Waiter] = field(default_factory=list)
    founder: Waiter | None = None
    hop: int = 0
    redispatched: int = 0
    service: int = -1
    enqueued_ns: int = 0
    has_been_queued: bool = False
    probe_epoch: int = 0
    noted: bool = False

    @property
    def draw_index(self) -> int:
        """Attempt, redispatch and hop as one number, for draws."""
        return self.attempt + 16 * self.redispatched + 32 * self.hop


@dataclass(eq=False)
class Slot:
    """Room for one batch on a replica."""

    uid: int
    number: int
    times: spec.ServiceTimes
    accepting: bool = True
    batch: list[Flight] | None = None
    started_ns: int = 0


class Host(Protocol):
    """What a station asks of the plane that it stands in."""

    def batch_begun(
        self, station: Station, slot: Slot, batch: list[Flight], items: int, finish_ns: int
    ) -> None:
        """Count a batch that begins now."""

    def batch_done(self, station: Station, slot: Slot) -> None:
        """Count a batch that ends now."""

    def flight_expired(self, flight: Flight) -> None:
        """End a flight that nobody waits for."""

    def land(self, flight: Flight) -> bool:
        """Deliver a flight's answer; False: it goes on to the cascade's next target."""

    def dispatch(self, flight: Flight) -> None:
        """Send a flight to its next service."""


class Station:
    """A queue and the slots that it feeds, in listed order."""

    def __init__(
        self,
        env: OrderedEnvironment,
        service: spec.ServiceSpec,
        uid: int,
        host: Host,
    ) -> None:
        self.env = env
        self.service = service
        self.uid = uid
        self.host = host
        self.slots: list[Slot] = []
        self.queue: list[Flight] = []
        self.timer: Event | None = None

    @property
    def outstanding(self) -> int:
        """Flights waiting or in service."""
        return len(self.queue) + sum(len(slot.batch) for slot in self.slots if slot.batch is not None)

    def join(self, flight: Flight) -> None:
        """Queue a flight behind those of its priority and above."""
        flight.enqueued_ns = self.env.now_ns
        flight.has_been_queued = True
        place = len(self.queue)
        while place > 0 and self.queue[place - 1].cls.priority < flight.cls.priority:
            place -= 1
        self.queue.insert(place, flight)
        self.offer()

    def offer(self) -> None:
        """Start every batch that can start now; set the timer for the next."""
        while self.queue:
            slot = next((slot for slot in self.slots if slot.accepting and slot.batch is None), None)
            if slot is None:
                return
            n = self.batch_size()
            if n == 0:
                if self.queue:
                    self.set_timer()
                return
            batch, self.queue = self.queue[:n], self.queue[n:]
            self.begin(slot, batch)

    def batch_size(self) -> int:
        """How many flights from the queue's front make a batch now; 0: wait for more.

        Flights that nobody waits for any more are left out of the part of the queue that is looked at, if the
        service drops expired ones.
        """
        gathering = Gathering(self.service)
        while gathering.requests < len(self.queue):
            flight = self.queue[gathering.requests]
            if self.service.drop_expired and not flight.waiters:
                del self.queue[gathering.requests]
                self.host.flight_expired(flight)
                continue
            if not gathering.take(flight.items):
                break
        if not self.queue:
            return 0
        oldest = min(flight.enqueued_ns for flight in self.queue)
        return gathering.size(self.env.now_ns - oldest)

    def set_timer(self) -> None:
        """Look at the queue again when its oldest flight has waited for the delay."""
        due = min(flight.enqueued_ns for flight in self.queue) + self.service.delay_ns
        timer = self.env.at(due, TIMER, self.uid)
        self.timer = timer
        assert timer.callbacks is not None
        timer.callbacks.append(lambda _: self.offer() if self.timer is timer else None)

    def begin(self, slot: Slot, batch: list[Flight]) -> None:
        """Put a batch into a slot and count it."""
        slot.batch, slot.started_ns = batch, self.env.now_ns
        s, items = self.service, sum(flight.items for flight in batch)
        first = batch[0]
        time_ns = python_draws.draw_service_time_ns(
            slot.times.offset, slot.times.samples_ns, items, s.noise, s.noise_parameter, s.seeds[first.stream],
            first.id, first.draw_index,
        )  # fmt: skip
        self.host.batch_begun(self, slot, batch, items, self.env.now_ns + time_ns)
        self.env.process(self.serve(slot, batch, self.env.now_ns + time_ns))

    def serve(self, slot: Slot, batch: list[Flight], finish_ns: int) -> Generator[Event, Any, None]:
        """One batch's time in service, and what follows."""
        yield self.env.at(finish_ns, COMPLETE, slot.uid, slot.number)
        if slot.batch is not batch:
            return  # the replica was lost meanwhile
        slot.batch = None
        self.host.batch_done(self, slot)
        onward = [flight for flight in batch if not self.host.land(flight)]
        self.offer()
        for flight in onward:
            self.host.dispatch(flight)

"""The life of an instance: asked for, granted, started, ready, draining, gone."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from typing import TYPE_CHECKING

import simpy

from scenarios.fleet import AddReplica
from scenarios.units import NANOSECONDS_PER_SECOND, format_duration
from simulator.dataplane.python_draws import draw_delay_ns

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from simulator.control.books import Books
    from simulator.control.fleet import Fleet

POLL_NS = NANOSECONDS_PER_SECOND
"""Draining instances are looked at on every whole second of simulated time."""
REPLICA_BITS = 38
"""The data plane has room for replica numbers below 2**38."""
GRANT = "grant"
"""The stage before an instance is paid for."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage of a start-up: its name, its seed and the quantile function of its length in nanoseconds."""

    name: str
    seed: np.uint64
    quantiles_ns: NDArray[np.float64]

    def length_ns(self, instance: int) -> int:
        """How long it takes for one instance: a function of the seed, the pool, the stage and its number."""
        return draw_delay_ns(self.quantiles_ns, self.seed, instance, 0)


@dataclass(frozen=True, eq=False)
class Kind:
    """What all instances of a pool have in common."""

    pool: str
    service: str | None
    """None: nothing runs on the pool."""
    replicas: int
    """Replicas on each instance."""
    stages: tuple[Stage, ...]
    """From the asking to ready replicas; the first is `GRANT`."""


class ReplicaNumbers:
    """Numbers of replicas: a hash of (pool, instance, number on it).

    The data plane orders simultaneous events of replicas by these numbers. Counting replicas as they come
    would let a pool that is added to a scenario change the ties of all others; a hash does not. The rare
    second replica with the same hash (one in 500,000 runs of 1,000 replicas) takes the next hash.
    """

    def __init__(self, bits: int = REPLICA_BITS) -> None:
        self._bits = bits
        self._taken: set[int] = set()

    def take(self, pool: str, instance: int, number: int) -> int:
        """Return the number of a replica, unique in the run."""
        for attempt in count():
            digest = blake2b(f"{pool}/{instance}/{number}/{attempt}".encode(), digest_size=8).digest()
            candidate = int.from_bytes(digest, "little") >> (64 - self._bits)
            if candidate not in self._taken:
                break
        self._taken.add(candidate)
        return candidate


class Instance:
    """One instance; its life is a SimPy process that `let_go` cuts short."""

    def __init__(
        self,
        env: simpy.Environment,
        fleet: Fleet,
        books: Books,
        numbers: ReplicaNumbers,
        kind: Kind,
        number: int,
        *,
        is_ready: bool = False,
    ) -> None:
        """`is_ready`: it was started before the run."""
        self.number = number
        self.is_ready = False
        """Whether its replicas take requests, or have taken some."""
        self._env, self._fleet, self._books, self._kind = env, fleet, books, kind
        self._name = f"{kind.pool}/{number}"
        self._replicas: list[AddReplica] = []
        if kind.service is not None:
            self._replicas = [
                AddReplica(numbers.take(kind.pool, number, each), kind.service, kind.pool, number, each)
                for each in range(kind.replicas)
            ]
        self._process = env.process(self._live(is_ready=is_ready))

    def let_go(self) -> None:
        """Give it back: drained if it is ready, at once if it is still starting."""
        self._process.interrupt()

    def _live(self, *, is_ready: bool) -> Generator[simpy.Event, Any, None]:
        try:
            if is_ready:
                self._books.begin_paying(self._kind.pool, self.number)
            else:
                yield from self._start()
            self._open()
            yield self._env.event()  # until it is let go
        except simpy.Interrupt:
            if not self.is_ready:
                paid = self._books.stop_paying(self._kind.pool, self.number)
                self._books.note("instance-cancelled", self._name, f"still starting; {paid}")
                return
        yield from self._drain()
        self._books.note("instance-gone", self._name, self._books.stop_paying(self._kind.pool, self.number))

    def _start(self) -> Generator[simpy.Event, Any, None]:
        asked_ns = self._env.now
        self._books.note("instance-asked", self._name, "")
        for stage in self._kind.stages:
            yield self._env.timeout(stage.length_ns(self.number))
            if stage.name == GRANT:
                self._books.begin_paying(self._kind.pool, self.number)
                self._books.note(
                    "instance-granted", self._name, f"{self._since(asked_ns)} after it was asked for"
                )
        self._books.note("instance-ready", self._name, f"{self._since(asked_ns)} after it was asked for")

    def _open(self) -> None:
        self.is_ready = True
        self._books.ready[self._kind.pool] += 1
        if self._replicas:
            self._fleet.add(self._replicas)

    def _drain(self) -> Generator[simpy.Event, Any, None]:
        began_ns = self._env.now
        self._books.ready[self._kind.pool] -= 1
        replicas = [replica.replica for replica in self._replicas]
        number = f"{len(replicas)} replica{'' if len(replicas) == 1 else 's'}"
        self._books.note("instance-draining", self._name, number)
        if replicas:
            drain = self._fleet.drain(replicas)
            for poll_ns in self._polls(int(began_ns)):
                yield self._env.timeout(poll_ns - self._env.now)
                if self._fleet.is_drained(drain):
                    return

    @staticmethod
    def _polls(began_ns: int) -> Iterator[int]:
        return count((began_ns // POLL_NS + 1) * POLL_NS, POLL_NS)

    def _since(self, begin_ns: float) -> str:
        return format_duration((self._env.now - begin_ns) / NANOSECONDS_PER_SECOND)

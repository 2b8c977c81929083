"""What the control plane writes down: events, paid lives, and how many instances a pool has at the moment."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from scenarios.units import NANOSECONDS_PER_SECOND, format_duration
from simulator.results.recorded import ControlEvent, Usage

if TYPE_CHECKING:
    import simpy


class Books:
    """The record of one run's control plane. Times are those of the environment, in nanoseconds."""

    def __init__(self, env: simpy.Environment) -> None:
        self._env = env
        self._events: list[ControlEvent] = []
        self._ended: list[Usage] = []
        self._granted_ns: dict[tuple[str, int], int] = {}
        self.ready: Counter[str] = Counter()
        """Instances whose replicas take requests, by pool."""
        self.paid: Counter[str] = Counter()
        """Instances that are paid for, by pool."""

    def note(self, kind: str, subject: str, detail: str) -> None:
        """Write an event down."""
        self._events.append(ControlEvent(int(self._env.now), kind, subject, detail))

    def begin_paying(self, pool: str, instance: int) -> None:
        """An instance has been granted."""
        self._granted_ns[pool, instance] = int(self._env.now)
        self.paid[pool] += 1

    def stop_paying(self, pool: str, instance: int) -> str:
        """An instance is gone. Returns in words how long it was paid for."""
        begin_ns = self._granted_ns.pop((pool, instance), None)
        if begin_ns is None:
            return "never granted"
        self.paid[pool] -= 1
        now_ns = int(self._env.now)
        if now_ns > begin_ns:
            self._ended.append(Usage(pool, instance, begin_ns, now_ns))
        return f"paid for {format_duration((now_ns - begin_ns) / NANOSECONDS_PER_SECOND)}"

    def usage(self, end_ns: int) -> tuple[Usage, ...]:
        """Every paid life, those that go on cut at the end of the run; by pool and instance."""
        alive = [Usage(*who, begin_ns, end_ns) for who, begin_ns in self._granted_ns.items()]
        return tuple(sorted([*self._ended, *alive], key=lambda life: (life.pool, life.instance)))

    def events(self) -> tuple[ControlEvent, ...]:
        """Every event by time and subject; those of one subject as they happened."""
        return tuple(sorted(self._events, key=lambda event: (event.time_ns, event.subject)))

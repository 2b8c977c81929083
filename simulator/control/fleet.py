"""The fleet as control processes see it: one place that keeps the sync rule.

An instant of the control plane has three phases, by SimPy priority:

1. processes run (SimPy's URGENT and NORMAL): they see the data plane just before the instant, and say what
   they want;
2. `CHANGE`: everything wanted in this instant is applied together, in an order that comes from names;
3. `LOOK`: the fleet as it is from now on is looked at.

So it does not matter which process SimPy happens to wake first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simpy.events import Event, EventPriority

from scenarios.fleet import DrainReplica

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import simpy
    from numpy import int64
    from numpy.typing import NDArray

    from scenarios.fleet import AddReplica, Change, Snapshot
    from simulator.control.slot_time import SlotTime
    from simulator.dataplane.engine import Counters, DataPlane

CHANGE, LOOK = EventPriority(2), EventPriority(3)
"""SimPy handles 0 (URGENT) and 1 (NORMAL) of an instant before them."""


class Drain:
    """Replicas of one instance on their way out."""

    def __init__(self, replicas: Iterable[int]) -> None:
        self.replicas = sorted(replicas)
        self.left = len(self.replicas)
        """How many still have something to do."""


class Fleet:
    """A data plane that is always advanced to `env.now` before it is read or changed."""

    def __init__(self, env: simpy.Environment, plane: DataPlane, slot_time: SlotTime) -> None:
        self._env = env
        self._plane = plane
        self._slot_time = slot_time
        self._added: list[AddReplica] = []
        self._leaving: list[Drain] = []
        self._draining: dict[int, Drain] = {}
        self._looked_ns = -1

    def sync(self) -> Counters:
        """Advance the data plane to now: every event before this nanosecond has happened, and none of it."""
        return self._plane.advance(int(self._env.now))

    def add(self, replicas: Iterable[AddReplica]) -> None:
        """Let replicas take requests from this instant on."""
        self._will_change()
        self._added += replicas

    def drain(self, replicas: Iterable[int]) -> Drain:
        """Send an instance's replicas no new requests from this instant on; they finish those they have."""
        self._will_change()
        self._leaving.append(Drain(replicas))
        return self._leaving[-1]

    def is_drained(self, drain: Drain) -> bool:
        """Whether the replicas have nothing left to do. Not to be asked in the instant of `drain`."""
        if self._looked_ns != self._env.now:
            self.observe()
        return drain.left == 0

    def look(self, see: Callable[[Snapshot], None]) -> None:
        """Call `see` at the end of this instant, after its changes."""
        self._at(LOOK, lambda: see(self.observe()))

    def observe(self) -> Snapshot:
        """The fleet as it is now, this instant's changes not applied yet."""
        self.sync()
        seen = self._plane.observe()
        for replica in seen.drained:
            drain = self._draining.pop(replica, None)
            if drain is not None:  # told of more than once, until the next change
                drain.left -= 1
                self._slot_time.end(replica, int(self._env.now))
        self._looked_ns = int(self._env.now)
        return seen

    def slot_ns(self) -> NDArray[int64]:
        """Time that batch slots were there up to now, by service."""
        return self._slot_time.until(int(self._env.now))

    def _will_change(self) -> None:
        if not self._added and not self._leaving:
            self._at(CHANGE, self._change)

    def _at(self, phase: EventPriority, act: Callable[[], None]) -> None:
        event = Event(self._env)
        event._ok, event._value = True, None
        event.callbacks = [lambda _: act()]
        self._env.schedule(event, priority=phase)

    def _change(self) -> None:
        self.sync()
        added = sorted(self._added, key=lambda add: (add.service, add.pool, add.instance, add.number))
        for replica in added:
            self._slot_time.begin(replica, int(self._env.now))
        for drain in self._leaving:
            self._draining |= dict.fromkeys(drain.replicas, drain)
        leaving = [DrainReplica(replica) for drain in self._leaving for replica in drain.replicas]
        changes: list[Change] = [*added, *sorted(leaving, key=lambda drain: drain.replica)]
        self._plane.apply(changes)
        self._added, self._leaving = [], []
        self._looked_ns = -1

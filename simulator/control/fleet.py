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

    from scenarios.fleet import AddReplica, Snapshot
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

    def __init__(self, env: simpy.Environment, plane: DataPlane) -> None:
        self._env = env
        self._plane = plane
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
            self.sync()
            self._note_drained()
            self._looked_ns = int(self._env.now)
        return drain.left == 0

    def look(self, see: Callable[[Snapshot], None]) -> None:
        """Call `see` at the end of this instant, after its changes."""
        self._at(LOOK, lambda: see(self.observe()))

    def observe(self) -> Snapshot:
        """The fleet as it is now, this instant's changes not applied yet."""
        self.sync()
        return self._plane.observe()

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
        at_work = self._note_drained()
        if self._added:
            order = sorted(self._added, key=lambda add: (add.service, add.pool, add.instance, add.number))
            self._plane.apply(order)
        for drain in sorted(self._leaving, key=lambda drain: drain.replicas):
            at_work = self._begin(drain, at_work)
        self._added, self._leaving = [], []
        self._looked_ns = -1

    def _begin(self, drain: Drain, at_work: int) -> int:
        """Drain an instance, while `at_work` replicas drain already; return how many do then.

        A data plane forgets drained replicas at its next change. What is drained must be noted before it;
        and of replicas that are idle when they begin to drain there is only the count to tell: that is why
        this is done one instance at a time.
        """
        self._plane.apply([DrainReplica(replica) for replica in drain.replicas])
        after = _draining(self._plane.observe())
        drain.left = after - at_work
        if drain.left:
            self._draining |= dict.fromkeys(drain.replicas, drain)
        return after

    def _note_drained(self) -> int:
        """Note the replicas that are drained; return how many others are still draining."""
        if not self._draining:
            return 0
        seen = self._plane.observe()
        for replica in seen.drained:
            drain = self._draining.pop(replica, None)
            if drain is None:
                continue
            drain.left -= 1
            if not drain.left:  # those that were idle from the beginning are never reported
                for other in drain.replicas:
                    self._draining.pop(other, None)
        return _draining(seen) - len(seen.drained)


def _draining(seen: Snapshot) -> int:
    return sum(service.draining_replicas for service in seen.services)

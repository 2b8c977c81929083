"""SimPy with the written order of simultaneous events (docs/decisions/0002-event-order.md).

SimPy orders events of one time by a priority number and then by when they were scheduled. Here the priority is a
tuple: what follows from an event at once (a process that starts, a reply that arrives) comes first, in the order in
which it was caused; the events of the table follow by kind and by name, never by when they were scheduled.
"""

from __future__ import annotations

from heapq import heappush
from typing import TYPE_CHECKING, Any

import simpy
from simpy.events import Event

if TYPE_CHECKING:
    from simpy.core import SimTime

COMPLETE, TIMER, DEADLINE, SEND, RETRY, ENTER, FETCHED = range(1, 8)
"""Kinds of events, in the order in which those of one nanosecond happen."""
AT_ONCE = (0,)


class OrderedEnvironment(simpy.Environment):
    """An environment whose clock counts whole nanoseconds and whose ties follow the table."""

    _queue: list[Any]

    @property
    def now_ns(self) -> int:
        """The time: SimPy's `now`, which may be any number, as the whole one that it is here."""
        return int(self._now)

    def schedule(self, event: Event, priority: Any = AT_ONCE, delay: SimTime = 0) -> None:
        """Schedule an event; whatever has no place in the table happens at once."""
        heappush(self._queue, (self._now + delay, AT_ONCE, next(self._eid), event))

    def settle(self) -> None:
        """Handle what follows at once from a change made from outside."""
        while self._queue and self._queue[0][:2] == (self._now, AT_ONCE):
            self.step()

    def at(self, time_ns: int, kind: int, *name: int) -> Event:
        """Return an event of the table that happens at `time_ns`; `name` orders those of one kind."""
        event = Event(self)
        event._ok = True
        event._value = None
        heappush(self._queue, (time_ns, (kind, *name), next(self._eid), event))
        return event

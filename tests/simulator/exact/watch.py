"""A look at the reference while it runs: which kinds of events meet in one nanosecond."""

from __future__ import annotations

from collections import Counter
from typing import Any

from simulator.dataplane.reference_time import (
    COMPLETE,
    DEADLINE,
    ENTER,
    FETCHED,
    RETRY,
    SEND,
    TIMER,
    OrderedEnvironment,
)

KINDS = {
    COMPLETE: "complete", TIMER: "timer", DEADLINE: "deadline", SEND: "send", RETRY: "retry", ENTER: "enter",
    FETCHED: "fetched",
}  # fmt: skip


class WatchedEnvironment(OrderedEnvironment):
    """Counts the pairs of kinds that happen at one time. Events that nobody waits for any more do not count."""

    def __init__(self, initial_time: int = 0) -> None:
        super().__init__(initial_time)
        self.ties: Counter[tuple[int, int]] = Counter()
        self._now_ns = -1
        self._kinds: list[int] = []

    def step(self) -> None:
        """Note the next event, then let it happen."""
        time_ns, priority, _, event = self._queue[0]
        kind = priority[0]
        if kind > 0 and _matters(event):
            if time_ns != self._now_ns:
                self._now_ns, self._kinds = int(time_ns), []
            for earlier in set(self._kinds):
                self.ties[earlier, kind] += 1
            self._kinds.append(kind)
        super().step()


def _matters(event: Any) -> bool:
    """Whether something will come of an event of the table."""
    if not event.callbacks:
        return False  # a deadline whose request was answered
    caller = event.callbacks[0]
    if getattr(caller, "__name__", "") != "<lambda>":
        return True
    # A station's timer, which a later one may have replaced: `lambda _: self.offer() if self.timer is timer …`.
    names = dict(zip(caller.__code__.co_freevars, caller.__closure__, strict=True))
    return names["self"].cell_contents.timer is names["timer"].cell_contents

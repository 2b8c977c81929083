"""Coming back to Python now and then: for the progress bar, for Ctrl-C, for limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.results.recorded import CLASS_COUNTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    import simpy

    from simulator.control.fleet import Fleet
    from simulator.dataplane.engine import Counters

_ATTEMPTS = CLASS_COUNTERS.index("attempts")
FIRST_SHARE, LARGEST_SHARE = 100_000, 100
"""The first beat comes after a 100,000th of the run; later ones at the latest after every 100th."""


def beat(
    env: simpy.Environment, fleet: Fleet, end_ns: int, attempts: int, act: Callable[[Counters], None]
) -> Generator[simpy.Event, Any, None]:
    """Call `act` after about every `attempts` attempts of traffic, which is a fraction of a second of work.

    The control process of a run. Windows change nothing in a result; they are counted in attempts and not
    in seconds of a clock on the wall so that a run does the same steps whenever it is repeated.
    """
    window_ns, before = max(end_ns // FIRST_SHARE, 1), 0
    while True:
        yield env.timeout(window_ns)
        counters = fleet.sync()
        act(counters)
        now = int(counters.class_counters[:, _ATTEMPTS].sum())
        if now - before > attempts:
            window_ns = max(window_ns // 2, 1)
        elif now - before < attempts // 2:
            window_ns = min(window_ns * 2, max(end_ns // LARGEST_SHARE, 1))
        before = now


def beat_every(
    env: simpy.Environment, fleet: Fleet, window_ns: int, act: Callable[[Counters], None]
) -> Generator[simpy.Event, Any, None]:
    """Call `act` once every `window_ns`: for tests, and for who wants to see more often."""
    while True:
        yield env.timeout(window_ns)
        act(fleet.sync())

"""Classes, keys, items, difficulties and retry waits of many requests at once, for whoever draws a demand up front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.dataplane import draws
from simulator.dataplane.arrivals import drawn_class, drawn_difficulty, drawn_items, drawn_key
from simulator.dataplane.compiled import entry
from simulator.dataplane.memory import classes, ints, streams

if TYPE_CHECKING:
    from numpy.typing import NDArray


@entry
def draw_attributes(
    memory: Any, stream: int, due_ns: NDArray[Any], drawn: NDArray[Any], waits: NDArray[Any]
) -> None:
    """Draw what the requests of one stream are like, given when they are sent; the i-th is number i.

    `drawn` is a structured array with the fields class_index, key (among the keys of its class; -1: none), items and
    difficulty. `waits` (N, R) gets the wait before each retry in ns, and 0 beyond the retries of a class.
    """
    p = memory[0]
    s = streams(p, stream)
    for i in range(len(due_ns)):
        c = drawn_class(p, s, i)
        cls = classes(p, c)
        key = drawn_key(p, s, cls, i, due_ns[i])
        drawn[i].class_index = c
        drawn[i].key = key - cls.key_offset if key >= 0 else -1
        drawn[i].items = drawn_items(p, s, cls, i)
        drawn[i].difficulty = drawn_difficulty(p, cls, i)
        for attempt in range(waits.shape[1]):
            waits[i, attempt] = 0
            if attempt < cls.max_retries:
                h = draws.hashed(cls.seed_jitter, i, attempt)
                waits[i, attempt] = draws.jittered(cls.jitter, ints(p, cls.waits_at + attempt), h)

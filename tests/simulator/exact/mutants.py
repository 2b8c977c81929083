"""Seeded bugs of the kernels: texts of their sources, and what stands there instead. Each must be found.

White space does not matter: the layout around the words that differ stays. A text that is gone, or is there twice, is
an error of its own: the bug is then to be written anew for the new source.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

_KINDS = ("COMPLETE", "TIMER", "DEADLINE", "SEND", "RETRY", "ENTER", "FETCHED")


class Mutant(NamedTuple):
    """One seeded bug."""

    name: str
    file: str
    old: str
    new: str


def _swapped(first: str, second: str) -> Mutant:
    old = ", ".join(_KINDS)
    new = old.replace(f"{first}, {second}", f"{second}, {first}")
    return Mutant(f"{first.lower()} after {second.lower()}", "events.py", old, new)


def _bugs(texts: dict[str, dict[str, tuple[str, str]]]) -> tuple[Mutant, ...]:
    return tuple(Mutant(name, file, *text) for file, bugs in texts.items() for name, text in bugs.items())


NEIGHBOURS = tuple(_swapped(first, second) for first, second in pairwise(_KINDS))
"""The event-ordered kernel with two neighbours of the priority table in each other's place."""

_EVENT_ORDERED = {
    "events.py": {
        "streams in reverse": ("(uint64(stream) <<", "(uint64(255 - stream) <<"),
        "replicas in reverse": ("(uint64(uid) <<", "(uint64((1 << 40) - 1 - uid) <<"),
        "attempt without its request": ("(uint64(ident) <<", "(uint64(0) <<"),
        "heap pushes over its equals": ("e.key <= key", "e.key >= key"),
        "heap takes the greater key": ("right.key < c.key", "right.key > c.key"),
    },
    "kernel.py": {
        "window closed at its end": ("if t >= to_ns:", "if t > to_ns:"),
        "deadline after sends of its time": ("due_ns == t and kind > ev.DEADLINE", "due_ns == t and kind > ev.SEND"),
        "stale validation goes on": ("request.phase == VALIDATING and", "True and"),
        "kill leaves slot busy": ("server.busy = 0 server.accepting = 0", "server.accepting = 0"),
        "lost queue in reverse priority": ("PRIORITIES - 1 - upside_down", "upside_down"),
        "lost batch busy to its end": ("now_ns - server.start_ns", "server.finish_ns - server.start_ns"),
        "time-out is no error to the breaker": ("request.flight, t, False)", "request.flight, t, True)"),
    },
    "gateway.py": {
        "first waiter is the founder": ("int64(flight.founder)", "int64(flight.waiters)"),
        "founder comes back as founder": ("flight.founder = NONE", "flight.founder = r"),
        "row of a failed flight stays": ("flight.key).value = EMPTY", "flight.key).value = flight_row(f)"),
        "shed one too late": ("route.outstanding >= ints(", "route.outstanding > ints("),
        "queue one too long": (".queued >= service.max_queue", ".queued > service.max_queue"),
        "attempts share draws": ("return int64(flight.attempt) + 16", "return 16"),
        "redispatched twice": ("if flight.redispatched or route.redispatch", "if route.redispatch"),
        "least outstanding takes the last": (
            "stations(p, other).outstanding < stations(", "stations(p, other).outstanding <= stations(",
        ),
        "second choice wins draws": (
            "stations(p, second).outstanding < stations(", "stations(p, second).outstanding <= stations(",
        ),
        "the easy ones go to the large model": ("and difficulty >= floats(", "and difficulty < floats("),
    },
    "cache.py": {
        "entry lives one longer": ("return t < row + route.ttl_ns", "return t <= row + route.ttl_ns"),
        "hit does not touch the entry": (
            "_unlink(p, route, row) if t < lru(p, row).filled_ns + route.ttl_ns:"
            " _link_first(p, route, row) return True",
            """if t < lru(p, row).filled_ns + route.ttl_ns:
        return True
    _unlink(p, route, row)""",
        ),
        "newest entry goes first": ("e = route.lru_tail", "e = route.lru_head"),
        "evicted key still hits": ("lru(p, e).key).value = EMPTY", "key).value = EMPTY"),
    },
    "breaker.py": {
        "breaker waits one call more": (
            "service.noted >= service.window and", "service.noted > service.window and",
        ),
        "breaker opens at the limit": ("errors > service.max_errors", "errors >= service.max_errors"),
        "breaker open one longer": ("t < service.open_until_ns", "t <= service.open_until_ns"),
        "one probe whatever was asked": ("probes_left = service.probes", "probes_left = 1"),
        "a call is noted twice": ("service.breaker == 0 or flight.noted", "service.breaker == 0"),
        "slow at the limit": ("flight.enqueue_ns <= service.slow_ns", "flight.enqueue_ns < service.slow_ns"),
    },
    "batching.py": {
        "batch one item short": ("flight.items > service.max_items", "flight.items >= service.max_items"),
        "preferred size forgotten": ("if best == 0 and items +", "if items +"),
        "tail of a dropped flight": ("level).tail = before", "level).tail = after"),
        "low priority first": ("PRIORITIES - 1 - upside_down if left == 0", "upside_down if left == 0"),
        "draining slot takes a batch": ("server.busy == 0 and server.accepting", "server.busy == 0"),
        "drained slot counts as idle": ("if server.accepting:", "if True:"),
        "timer not remembered": ("station.timer_ns = due_ns push(", "push("),
    },
    "requests.py": {
        "retries without a multiplier": ("cls.waits_at + request.attempt", "cls.waits_at"),
        "burst one too small": ("scheduled - t > route.limit_burst_ns", "scheduled - t >= route.limit_burst_ns"),
        "last token kept": ("cls.tokens >= MICRO", "cls.tokens > MICRO"),
        "ring's first deadline is its last": (
            "if group.head == group.tail: group.due_ns =", "if True: group.due_ns =",
        ),
        "an empty ring has something to drop": ("while head < group.tail", "while head <= group.tail"),
        "retried latency from the first send": ("bucket(end_ns - request.sent_ns)", "bucket(latency_ns)"),
    },
    "arrivals.py": {
        "drift one nanosecond late": ("(sent_ns // cls.drift_every_ns)", "((sent_ns - 1) // cls.drift_every_ns)"),
        "think time of the last request": (
            "draws.unit(draws.hashed(stream.gap_seed, ident, 0))",
            "draws.unit(draws.hashed(stream.gap_seed, ident - stream.users, 0))",
        ),
    },
    "kernel_plane.py": {
        "replicas in order of arrival": ("members.sort(", "sorted(members, "),
        "draining counts busy slots too": (".idle -= 1 - server.busy", ".idle -= 1"),
    },
}  # fmt: skip
EVENT_ORDERED = NEIGHBOURS + _bugs(_EVENT_ORDERED)

_BLOCK_WISE = {
    "requests.py": {
        "an empty ring has something to drop, block-wise": (
            "while head < group.tail", "while head <= group.tail",
        ),
    },
    "lazy_batches.py": {
        "answer at the deadline is late": ("end_ns <= request.deadline_ns", "end_ns < request.deadline_ns"),
        "batch lands at the window's end": (
            "if server.finish_ns < to_ns: _land_batch", "if server.finish_ns <= to_ns: _land_batch",
        ),
        "straddler lands at the window's end": (
            "if server.finish_ns < to_ns: server.busy", "if server.finish_ns <= to_ns: server.busy",
        ),
        "replica seen one nanosecond ago": ("stations(p, i).next_ns <= t", "stations(p, i).next_ns < t"),
        "full batch waits": ("station.queued >= service.max_requests", "station.queued > service.max_requests"),
        "delay from the end of service": (
            "max(int64(free_ns), flights(p, queues(p, i, 0).head).enqueue_ns + service.delay_ns)",
            "free_ns + service.delay_ns",
        ),
    },
    "blocks.py": {
        "block hit lives one longer": ("row) < ttls_ns", "row) <= ttls_ns"),
        "hit before its row is filled": ("uint64(times[i] - row)", "uint64(max(times[i] - row, 0))"),
        "what was never filled is a hit": ("hit = (row >= 0)", "hit = (row >= -1)"),
    },
    "blockwise.py": {
        "batch that ends now is in service": ("int64(server.finish_ns > t)", "int64(server.finish_ns >= t)"),
        "second choice wins draws, block-wise": (
            "_outstanding(p, other, t) < _outstanding(", "_outstanding(p, other, t) <= _outstanding(",
        ),
        "retry before first sends": ("heap(p, 0).time_ns < t", "heap(p, 0).time_ns <= t"),
        "change after batches that end": ("_choose(p, s, f, y, seen_ns", "_choose(p, s, f, y, t"),
        "row of a failed flight stays, block-wise": ("rows(p, flight.key).value = EMPTY", "pass"),
        "coalesced at the fill": ("if row <= t: end_ns", "if row < t: end_ns"),
        "coalesced at the deadline is late": ("end_ns - t > timeout_ns", "end_ns - t >= timeout_ns"),
        "redispatched twice, block-wise": ("if flight.redispatched or routes(", "if routes("),
        "what is sent on keeps its noise": (
            "flight.redispatched = 1 flight_factor(p, f).value = math.nan", "flight.redispatched = 1",
        ),
        "retry with the noise of whoever was here": (
            "request.attempt, 1, key) flight_factor(p, f).value = math.nan", "request.attempt, 1, key)",
        ),
    },
    "foresee.py": {
        "one noise for all classes": ("noise_seeds[c * streams_n", "noise_seeds[uint64(0) * streams_n"),
        "noise of the first class is as wide as all": ("sigmas[c]", "sigmas[0]"),
        "one choice for all classes": ("balance_seeds[uint64(class_numbers[i])]", "balance_seeds[0]"),
        "doubtful noise stands": ("draws.normal_retry(bits[y])", "z[y]"),
    },
    "state.py": {
        "hit without a key": ("cls.keyed * routes", "routes"),
    },
}  # fmt: skip
BLOCK_WISE = _bugs(_BLOCK_WISE)

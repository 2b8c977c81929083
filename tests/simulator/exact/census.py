"""What happened in a set of random scenarios: so that a test can show that everything did."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from simulator.dataplane import draws
from simulator.dataplane import specification as spec
from simulator.results.recorded import CLASS_COUNTERS, SERVICE_COUNTERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.dataplane.specification import Specification
    from tests.simulator.exact.harness import Recording

SOURCES = {
    spec.FROM_RATE: "rate", spec.FROM_TIMES: "times", spec.FROM_COUNTS: "counts", spec.FROM_GAPS: "gaps",
    spec.FROM_USERS: "users",
}  # fmt: skip
GAPS = {spec.GAP_POISSON: "poisson", spec.GAP_REGULAR: "regular", spec.GAP_GAMMA: "gamma"}
CACHES = {spec.CACHE_NONE: "none", spec.CACHE_TTL: "ttl", spec.CACHE_LRU: "lru", spec.CACHE_GIVEN: "given"}
SPLITS = {spec.SPLIT_WEIGHTED: "weighted", spec.SPLIT_DIFFICULTY: "difficulty", spec.SPLIT_CASCADE: "cascade"}
BALANCES = {
    spec.BALANCE_ROUND_ROBIN: "round-robin", spec.BALANCE_RANDOM: "random", spec.BALANCE_POWER_OF_TWO: "power-of-two",
    spec.BALANCE_LEAST_OUTSTANDING: "least-outstanding",
}  # fmt: skip
JITTERS = {draws.JITTER_NONE: "none", draws.JITTER_EQUAL: "equal", draws.JITTER_FULL: "full"}
NOISES = {
    draws.NOISE_NONE: "none", draws.NOISE_LOGNORMAL: "lognormal", draws.NOISE_EXPONENTIAL: "exponential",
    draws.NOISE_GAMMA: "gamma",
}  # fmt: skip
FLAGS = (
    "arrivals: several pieces", "arrivals: class of the row", "arrivals: key of the row", "arrivals: items of the row",
    "class: equal time-outs", "class: different time-outs", "class: no time-out", "class: budget", "class: drift",
    "class: popularity", "class: items drawn", "class: own difficulty", "class: SLO",
    "route: rate limit", "route: validation", "route: drawn validation", "route: fetch", "route: drawn fetch",
    "route: coalesce", "route: lru with ttl", "route: shedding", "route: redispatch on", "route: redispatch off",
    "service: shared queue", "service: delay", "service: preferred", "service: most requests", "service: bounded queue",
    "service: drop expired", "service: side by side", "service: breaker by errors", "service: breaker by slowness",
    "service: several pools", "service: several samples", "service: several priorities",
    "fleet: add", "fleet: drain", "fleet: kill", "fleet: nothing ready", "fleet: draining with work",
)  # fmt: skip
EXPECTED = (
    *(f"arrivals: {name}" for name in (*SOURCES.values(), *GAPS.values())),
    *(f"cache: {name}" for name in CACHES.values()),
    *(f"split: {name}" for name in SPLITS.values()),
    *(f"balance: {name}" for name in BALANCES.values()),
    *(f"jitter: {name}" for name in JITTERS.values()),
    *(f"noise: {name}" for name in NOISES.values()),
    *FLAGS,
)
"""All that must be seen."""


class Census:
    """Counts over scenarios."""

    def __init__(self) -> None:
        self.scenarios: Counter[str] = Counter()
        """By engine."""
        self.features: Counter[str] = Counter()
        """Scenarios that had a feature and used it."""
        self.counters: Counter[str] = Counter()
        self.ties: Counter[tuple[int, int]] = Counter()
        self.requests: list[int] = []

    def add(self, specification: Specification, recording: Recording, engines: list[str]) -> None:
        """Count one scenario."""
        assert recording.logs is not None
        self.scenarios.update(engines)
        self.requests.append(
            int(recording.stops[-1]["class_counters"][:, CLASS_COUNTERS.index("sent")].sum())
        )
        for key, names in (("class_counters", CLASS_COUNTERS), ("service_counters", SERVICE_COUNTERS)):
            totals = recording.stops[-1][key].sum(axis=0)
            self.counters.update({name: int(total) for name, total in zip(names, totals, strict=True)})
        self.ties.update(recording.ties)
        found = {*_traffic(specification, recording), *_routes(specification, recording)}
        self.features.update({*found, *_services(specification, recording), *_fleet(recording)})

    def summary(self) -> str:
        """A few lines for people."""
        n = np.array(self.requests)
        return (
            f"{len(n)} scenarios ({dict(self.scenarios)}), {n.sum()} requests (median {int(np.median(n))}, "
            f"largest {n.max()}), {self.counters['batches']} batches, ties {dict(sorted(self.ties.items()))}"
        )


def _traffic(specification: Specification, recording: Recording) -> Iterator[str]:
    assert recording.logs is not None
    rows = recording.logs.requests
    for stream in specification.streams:
        if not np.any(rows["stream"] == stream.index):
            continue
        yield f"arrivals: {SOURCES[stream.source]}"
        if stream.source == spec.FROM_RATE:
            yield f"arrivals: {GAPS[stream.gap_kind]}"
        flags = (
            len(stream.piece_end_ns) > 1,
            len(stream.row_class),
            len(stream.row_key),
            len(stream.row_items),
        )
        names = ("several pieces", "class of the row", "key of the row", "items of the row")
        yield from (f"arrivals: {name}" for name, flag in zip(names, flags, strict=True) if flag)
    used = [each for each in specification.classes if np.any(rows["cls"] == each.index)]
    timeouts = [each.timeout_ns for each in used if each.timeout_ns < spec.NEVER]
    for each in used:
        if np.any(rows["attempts"][rows["cls"] == each.index] > 1):
            yield f"jitter: {JITTERS[each.jitter]}"
        flags = {
            "no time-out": each.timeout_ns == spec.NEVER, "budget": each.budget_ratio >= 0,
            "drift": each.drift_every_ns > 0, "popularity": len(each.key_table) > 0, "items drawn": each.items == 0,
            "own difficulty": len(each.difficulty) > 2, "SLO": bool(each.slos),
            "equal time-outs": len(set(timeouts)) < len(timeouts), "different time-outs": len(set(timeouts)) > 1,
        }  # fmt: skip
        yield from (f"class: {name}" for name, flag in flags.items() if flag)


def _routes(specification: Specification, recording: Recording) -> Iterator[str]:
    for route in specification.routes:
        yield f"cache: {CACHES[route.cache]}"
        if len(route.targets) > 1:
            yield f"split: {SPLITS[route.split]}"
        flags = {
            "rate limit": route.limit_interval_ns > 0, "validation": route.validation_ns.any(),
            "drawn validation": len(route.validation_ns) > 1, "fetch": route.fetch_ns.any(),
            "drawn fetch": len(route.fetch_ns) > 1, "coalesce": route.coalesce,
            "lru with ttl": route.cache == spec.CACHE_LRU and route.ttl_ns < spec.NEVER, "shedding": route.shedding,
            "redispatch on": route.redispatch, "redispatch off": not route.redispatch,
        }  # fmt: skip
        yield from (f"route: {name}" for name, flag in flags.items() if flag)


def _services(specification: Specification, recording: Recording) -> Iterator[str]:
    assert recording.logs is not None
    batches = recording.logs.batches
    for service in specification.services:
        uids = np.unique(batches["uid"][batches["service"] == service.index])
        if len(uids) == 0:
            continue
        yield f"noise: {NOISES[service.noise]}"
        if len(uids) > 1 and not service.shared_queue:
            yield f"balance: {BALANCES[service.balance]}"
        routes = {route.index for route in specification.routes if service.index in route.targets}
        breaker = service.breaker
        flags = {
            "shared queue": service.shared_queue, "delay": service.delay_ns > 0, "preferred": service.preferred,
            "most requests": service.max_requests < service.max_items, "bounded queue": service.max_queue < 2**31 - 1,
            "drop expired": service.drop_expired, "side by side": service.instances > 1,
            "breaker by errors": breaker and breaker.max_errors >= 0,
            "breaker by slowness": breaker and breaker.slow_ns < spec.NEVER, "several pools": len(service.pools) > 1,
            "several samples": any(np.diff(times.offset).max() > 1 for times in service.times),
            "several priorities": len({each.priority for each in specification.classes if each.route in routes}) > 1,
        }  # fmt: skip
        yield from (f"service: {name}" for name, flag in flags.items() if flag)


def _fleet(recording: Recording) -> Iterator[str]:
    yield from (f"fleet: {move[0]}" for moves in recording.moves[1:] for move in moves)
    for stop in recording.stops:
        for service in stop["snapshot"].services:
            if service.ready_replicas == 0:
                yield "fleet: nothing ready"
            if service.draining_replicas:
                yield "fleet: draining with work"

"""The kernel's memory: record types, the `Plane` that holds them all, and how a specification is packed into it.

Records are plain structured arrays: compiled code and Python read the same fields by the same names. Links between
records are indices; NONE (-1) is no link.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.dataplane import specification as spec
from simulator.dataplane.arrivals import BLOCK, pack_streams
from simulator.dataplane.packing import Pool
from simulator.results.histogram import BUCKETS
from simulator.results.recorded import CLASS_COUNTERS, LATENCY_KINDS, SERVICE_COUNTERS

NONE = -1
PRIORITIES = 8
ATTEMPT_SLOTS = 16

CLASS = np.dtype(
    [
        *[(f"seed_{purpose.replace('-', '_')}", "u8") for purpose in spec.PURPOSES],
        ("timeout_ns", "i8"), ("key_offset", "i8"), ("keys", "i8"), ("drift_every_ns", "i8"), ("drift_by", "i8"),
        ("budget_ratio", "i8"), ("budget_cap", "i8"), ("tokens", "i8"),
        ("key_table", "i8"), ("items_table", "i8"), ("items_n", "i8"), ("difficulty_at", "i8"), ("difficulty_n", "i8"),
        ("waits_at", "i8"), ("items", "i4"), ("route", "i4"), ("max_retries", "i4"), ("jitter", "i4"),
        ("priority", "i4"), ("timeout_group", "i4"), ("slo_at", "i4"), ("slo_n", "i4"), ("keyed", "i4"),
        ("needs_difficulty", "i4"),
    ]
)  # fmt: skip
ROUTE = np.dtype(
    [
        ("limit_interval_ns", "i8"), ("limit_burst_ns", "i8"), ("limit_tat_ns", "i8"),
        ("ttl_ns", "i8"), ("hit_ns", "i8"), ("hit_ratio", "f8"),
        ("validation_at", "i8"), ("validation_n", "i8"), ("fetch_at", "i8"), ("fetch_n", "i8"),
        ("weights_at", "i8"), ("below_at", "i8"), ("outstanding", "i8"),
        ("lru_at", "i8"), ("lru_capacity", "i8"), ("lru_used", "i8"), ("lru_head", "i8"), ("lru_tail", "i8"),
        ("lru_free", "i8"), ("shed_at", "i4"), ("shed_n", "i4"), ("targets_at", "i4"), ("targets_n", "i4"),
        ("cache", "i4"), ("coalesce", "i4"), ("split", "i4"), ("redispatch", "i4"), ("looks_up", "i4"),
    ]
)  # fmt: skip
SERVICE = np.dtype(
    [
        ("delay_ns", "i8"), ("noise_parameter", "f8"), ("seeds_at", "i8"), ("round_robin", "i8"), ("slow_ns", "i8"),
        ("open_ns", "i8"), ("open_until_ns", "i8"), ("outcomes_at", "i8"),
        ("max_items", "i4"), ("max_requests", "i4"), ("max_queue", "i4"), ("drop_expired", "i4"), ("shared", "i4"),
        ("balance", "i4"), ("noise", "i4"), ("preferred_at", "i4"), ("preferred_n", "i4"), ("max_preferred", "i4"),
        ("ready_at", "i4"), ("ready_n", "i4"), ("breaker", "i4"), ("max_errors", "i4"), ("window", "i4"),
        ("slow_consecutive", "i4"), ("probes", "i4"), ("mode", "i4"), ("noted", "i4"), ("errors", "i4"),
        ("slow_run", "i4"), ("probes_left", "i4"), ("probes_ok", "i4"), ("epoch", "i4"), ("shared_station", "i4"),
    ]
)  # fmt: skip
STATION = np.dtype(
    [
        ("timer_ns", "i8"), ("uid", "i8"), ("service", "i4"), ("servers_at", "i4"), ("servers_n", "i4"), ("idle", "i4"),
        ("queued", "i4"), ("queued_items", "i4"), ("outstanding", "i4"), ("live", "i4"),
    ]
)  # fmt: skip
SERVER = np.dtype(
    [
        ("start_ns", "i8"), ("finish_ns", "i8"), ("uid", "i8"), ("times_at", "i8"), ("samples_at", "i8"),
        ("station", "i4"), ("number", "i4"), ("busy", "i4"), ("accepting", "i4"), ("batch_head", "i4"),
        ("batch_n", "i4"), ("batch_items", "i4"), ("live", "i4"),
    ]
)  # fmt: skip
REQUEST = np.dtype(
    [
        ("id", "i8"), ("first_ns", "i8"), ("sent_ns", "i8"), ("deadline_ns", "i8"), ("key", "i8"), ("difficulty", "f8"),
        ("stream", "i4"), ("cls", "i4"), ("attempt", "i4"), ("items", "i4"), ("phase", "i4"), ("flight", "i4"),
        ("waiter_next", "i4"), ("waiter_prev", "i4"), ("deadline_next", "i4"), ("deadline_prev", "i4"),
    ]
)  # fmt: skip
FLIGHT = np.dtype(
    [
        ("id", "i8"), ("enqueue_ns", "i8"), ("key", "i8"), ("difficulty", "f8"), ("stream", "i4"), ("cls", "i4"),
        ("attempt", "i4"), ("items", "i4"), ("service", "i4"), ("station", "i4"), ("hop", "i4"), ("next", "i4"),
        ("waiters", "i4"), ("waiters_tail", "i4"), ("redispatched", "i2"), ("lost", "i2"), ("noted", "i4"),
        ("probe_epoch", "i4"), ("founder", "i4"),
    ]
)  # fmt: skip
EVENT = np.dtype([("time_ns", "i8"), ("key", "u8"), ("subject", "i4"), ("pad", "i4")])
CLOCK = np.dtype(
    [
        ("now_ns", "i8"), ("events", "i8"), ("free_request", "i8"), ("open_requests", "i8"), ("free_flight", "i8"),
        ("open_flights", "i8"), ("log_n", "i8"), ("batch_log_n", "i8"), ("pending", "i8"), ("pending_tail", "i8"),
        ("log", "i8"), ("servers", "i8"),
    ]
)  # fmt: skip
LRU_ENTRY = np.dtype([("key", "i8"), ("filled_ns", "i8"), ("prev", "i4"), ("next", "i4")])
REQUEST_LOG = np.dtype(
    [
        ("stream", "i4"), ("id", "i8"), ("cls", "i4"), ("attempts", "i4"), ("outcome", "i4"), ("first_ns", "i8"),
        ("end_ns", "i8"),
    ]
)  # fmt: skip
BATCH_LOG = np.dtype(
    [
        ("service", "i4"), ("uid", "i8"), ("number", "i4"), ("start_ns", "i8"), ("finish_ns", "i8"),
        ("requests", "i4"), ("items", "i4"), ("members", "u8"),
    ]
)  # fmt: skip

# Phases of a request between its events.
FREE, VALIDATING, WAITING, BACKING_OFF = range(4)
# A breaker's modes.
CLOSED, OPEN, HALF_OPEN = range(3)


class Plane(NamedTuple):
    """All of the kernel's memory."""

    clock: NDArray[Any]
    streams: NDArray[Any]
    classes: NDArray[Any]
    routes: NDArray[Any]
    services: NDArray[Any]
    stations: NDArray[Any]
    servers: NDArray[Any]
    requests: NDArray[Any]
    flights: NDArray[Any]
    heap: NDArray[Any]
    lru: NDArray[Any]
    request_log: NDArray[Any]
    batch_log: NDArray[Any]
    ints: NDArray[np.int64]
    floats: NDArray[np.float64]
    words: NDArray[np.uint64]
    gaps: NDArray[np.float64]
    doubtful: NDArray[np.uint8]
    arrival_ns: NDArray[np.int64]
    arrival_class: NDArray[np.int32]
    arrival_key: NDArray[np.int64]
    rows: NDArray[np.int64]
    outcomes: NDArray[np.int8]
    queue_head: NDArray[np.int32]
    queue_tail: NDArray[np.int32]
    station_servers: NDArray[np.int32]
    ready: NDArray[np.int32]
    deadline_head: NDArray[np.int32]
    deadline_tail: NDArray[np.int32]
    next_deadline_ns: NDArray[np.int64]
    class_counters: NDArray[np.int64]
    service_counters: NDArray[np.int64]
    slo_good: NDArray[np.int64]
    slo_total: NDArray[np.int64]
    histogram: NDArray[np.int64]
    batch_sizes: NDArray[np.int64]
    served_items: NDArray[np.int64]


def records(dtype: np.dtype[Any], n: int) -> NDArray[Any]:
    """Zeroed records of a type, readable by attribute."""
    return np.zeros(n, dtype).view(np.recarray)


def pack(specification: spec.Specification) -> tuple[Plane, tuple[tuple[tuple[int, int], ...], ...]]:
    """Pack a specification into a fresh plane without replicas.

    Returns the plane and, by service and pool, where its service times begin in `ints`: (offsets, samples).
    """
    pool = Pool()
    streams = pack_streams(specification.streams, pool)
    timeouts = sorted({each.timeout_ns for each in specification.classes if each.timeout_ns < spec.NEVER})
    classes = records(CLASS, len(specification.classes))
    for each in specification.classes:
        _pack_class(classes[each.index], each, specification, timeouts, pool)
    routes = records(ROUTE, len(specification.routes))
    lru_entries = 0
    for route in specification.routes:
        _pack_route(routes[route.index], route, pool)
        routes[route.index].lru_at = lru_entries
        lru_entries += route.capacity
    services = records(SERVICE, len(specification.services))
    times, outcomes = [], 0
    for service in specification.services:
        times.append(_pack_service(services[service.index], service, pool))
        services[service.index].outcomes_at = outcomes
        outcomes += service.breaker.window if service.breaker else 0
    keys = sum(each.keys for each in specification.classes)
    needs_rows = any(route.coalesce or route.cache in (spec.CACHE_TTL, spec.CACHE_LRU) for route in specification.routes)
    largest_batch = max(service.max_items for service in specification.services)
    counts = (len(specification.classes), len(specification.services), len(specification.slos), len(timeouts))
    plane = Plane(
        clock=records(CLOCK, 1),
        streams=streams,
        classes=classes,
        routes=routes,
        services=services,
        stations=records(STATION, 0),
        servers=records(SERVER, 0),
        requests=records(REQUEST, 0),
        flights=records(FLIGHT, 0),
        heap=records(EVENT, 0),
        lru=records(LRU_ENTRY, lru_entries),
        request_log=records(REQUEST_LOG, 0),
        batch_log=records(BATCH_LOG, 0),
        ints=pool.ints(),
        floats=pool.floats(),
        words=pool.words(),
        gaps=np.zeros(BLOCK),
        doubtful=np.zeros(BLOCK, np.uint8),
        arrival_ns=np.zeros((len(streams), BLOCK), np.int64),
        arrival_class=np.zeros((len(streams), BLOCK), np.int32),
        arrival_key=np.zeros((len(streams), BLOCK), np.int64),
        rows=np.full(keys if needs_rows else 0, NONE, np.int64),
        outcomes=np.zeros(outcomes, np.int8),
        queue_head=np.zeros((0, PRIORITIES), np.int32),
        queue_tail=np.zeros((0, PRIORITIES), np.int32),
        station_servers=np.zeros(0, np.int32),
        ready=np.zeros(0, np.int32),
        deadline_head=np.full(counts[3], NONE, np.int32),
        deadline_tail=np.full(counts[3], NONE, np.int32),
        next_deadline_ns=np.full(counts[3], spec.NEVER, np.int64),
        class_counters=np.zeros((counts[0], len(CLASS_COUNTERS)), np.int64),
        service_counters=np.zeros((counts[1], len(SERVICE_COUNTERS)), np.int64),
        slo_good=np.zeros(counts[2], np.int64),
        slo_total=np.zeros(counts[2], np.int64),
        histogram=np.zeros((counts[0], len(LATENCY_KINDS), BUCKETS), np.int64),
        batch_sizes=np.zeros((counts[1], largest_batch + 1), np.int64),
        served_items=np.zeros((counts[0], counts[1]), np.int64),
    )
    clock = plane.clock[0]
    clock.free_request = clock.free_flight = clock.pending = clock.pending_tail = NONE
    clock.log = specification.log
    return plane, tuple(times)


def _pack_class(
    record: Any, each: spec.RequestClassSpec, specification: spec.Specification, timeouts: list[int], pool: Pool
) -> None:
    for purpose, seed in zip(spec.PURPOSES, each.seeds, strict=True):
        record[f"seed_{purpose.replace('-', '_')}"] = seed
    route = specification.routes[each.route]
    record.timeout_ns = each.timeout_ns
    record.timeout_group = timeouts.index(each.timeout_ns) if each.timeout_ns in timeouts else NONE
    record.key_offset, record.keys = each.key_offset, each.keys
    record.keyed = each.keys > 0 and (route.coalesce or route.cache in (spec.CACHE_TTL, spec.CACHE_LRU))
    record.key_table = pool.add_words(each.key_table) if len(each.key_table) else NONE
    record.drift_every_ns, record.drift_by = each.drift_every_ns, each.drift_by
    record.items, record.items_n = each.items, len(each.items_table)
    record.items_table = pool.add_words(each.items_table)
    record.difficulty_at, record.difficulty_n = pool.add_floats(each.difficulty), len(each.difficulty)
    record.needs_difficulty = route.split != spec.SPLIT_WEIGHTED
    record.budget_ratio, record.budget_cap, record.tokens = each.budget_ratio, each.budget_cap, each.budget_cap
    record.waits_at = pool.add_ints(backoff_waits_ns(each))
    record.route, record.max_retries, record.jitter = each.route, each.max_retries, each.jitter
    record.priority = each.priority
    record.slo_at = pool.add_ints([value for slo in each.slos for value in (slo, specification.slos[slo].latency_ns)])
    record.slo_n = len(each.slos)


def backoff_waits_ns(each: spec.RequestClassSpec) -> list[int]:
    """Longest wait before each retry, in nanoseconds."""
    waits = (each.backoff_ns * each.backoff_multiplier**attempt for attempt in range(ATTEMPT_SLOTS))
    return [round(min(wait, each.max_backoff_ns)) for wait in waits]


def _pack_route(record: Any, route: spec.RouteSpec, pool: Pool) -> None:
    record.limit_interval_ns, record.limit_burst_ns = route.limit_interval_ns, route.limit_burst_ns
    record.ttl_ns, record.hit_ns, record.hit_ratio = route.ttl_ns, route.hit_ns, route.hit_ratio
    record.validation_at, record.validation_n = pool.add_floats(route.validation_ns), len(route.validation_ns)
    record.fetch_at, record.fetch_n = pool.add_floats(route.fetch_ns), len(route.fetch_ns)
    record.weights_at = pool.add_words(route.weight_table)
    record.below_at = pool.add_floats(np.array(route.difficulty_below))
    record.lru_capacity = route.capacity
    record.lru_head = record.lru_tail = record.lru_free = NONE
    record.shed_at = pool.add_ints([value for rule in route.shedding for value in rule])
    record.shed_n = len(route.shedding)
    record.targets_at, record.targets_n = pool.add_ints(list(route.targets)), len(route.targets)
    record.cache, record.coalesce, record.split = route.cache, route.coalesce, route.split
    record.redispatch = route.redispatch


def _pack_service(record: Any, service: spec.ServiceSpec, pool: Pool) -> tuple[tuple[int, int], ...]:
    record.delay_ns, record.noise, record.noise_parameter = service.delay_ns, service.noise, service.noise_parameter
    record.seeds_at = pool.add_words(np.array(service.seeds, np.uint64))
    record.max_items, record.max_requests, record.max_queue = service.max_items, service.max_requests, service.max_queue
    record.drop_expired, record.shared, record.balance = service.drop_expired, service.shared_queue, service.balance
    record.preferred_at, record.preferred_n = pool.add_ints(list(service.preferred)), len(service.preferred)
    record.max_preferred = service.preferred[-1] if service.preferred else service.max_items
    record.shared_station = NONE
    if service.breaker is not None:
        breaker = service.breaker
        record.breaker, record.max_errors, record.window = 1, breaker.max_errors, breaker.window
        record.slow_ns, record.slow_consecutive = breaker.slow_ns, breaker.slow_consecutive
        record.open_ns, record.probes = breaker.open_ns, breaker.probes
    return tuple((pool.add_ints(times.offset), pool.add_ints(times.samples_ns)) for times in service.times)



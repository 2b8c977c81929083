"""A specification packed into the kernel's tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator.dataplane import specification as spec
from simulator.dataplane.draws import NOISE_LOGNORMAL
from simulator.dataplane.memory import Tables
from simulator.dataplane.packing import Pool
from simulator.dataplane.records import (
    ATTEMPT_SLOTS,
    BATCH_LOG,
    BLOCK,
    CLASS,
    DEADLINE_ENTRY,
    EVENT,
    FLIGHT,
    GROUP,
    LRU_ENTRY,
    NONE,
    PRIORITIES,
    QUEUE,
    REQUEST,
    REQUEST_LOG,
    ROUTE,
    SERVER,
    SERVICE,
    STATION,
    STREAM,
)
from simulator.results.histogram import BUCKETS
from simulator.results.recorded import CLASS_COUNTERS, LATENCY_KINDS, SERVICE_COUNTERS

FIRST_RING = 1024
"""Entries of a ring of deadlines at first."""


def _records(dtype: np.dtype[Any], n: int) -> Any:
    """Zeroed records of a type, readable by attribute."""
    return np.zeros(n, dtype).view(np.recarray)


def pack(specification: spec.Specification) -> tuple[Tables, tuple[tuple[tuple[int, int], ...], ...]]:
    """Pack a specification into fresh tables, without replicas.

    Returns the tables and, by service and pool, where its service times begin in `ints`: (offsets, samples).
    """
    pool = Pool()
    streams = _pack_streams(specification.streams, pool)
    timeouts = sorted({each.timeout_ns for each in specification.classes if each.timeout_ns < spec.NEVER})
    classes = _records(CLASS, len(specification.classes))
    for each in specification.classes:
        _pack_class(classes[each.index], each, specification, timeouts, pool)
    for stream in specification.streams:
        if len(stream.classes) == 1 and not len(stream.row_class) and not len(stream.row_key):
            only = classes[stream.classes[0]]
            streams[stream.index].ask_keys = only.keys
            streams[stream.index].ask_table = only.key_table if only.keyed else NONE
    routes = _records(ROUTE, len(specification.routes))
    lru_entries = 0
    for route in specification.routes:
        _pack_route(routes[route.index], route, pool)
        routes[route.index].lru_at = lru_entries
        lru_entries += route.capacity
    services = _records(SERVICE, len(specification.services))
    times, outcomes = [], 0
    for service in specification.services:
        times.append(_pack_service(services[service.index], service, pool))
        services[service.index].outcomes_at = outcomes
        outcomes += service.breaker.window if service.breaker else 0
    keys = sum(each.keys for each in specification.classes)
    needs_rows = any(
        route.coalesce or route.cache in (spec.CACHE_TTL, spec.CACHE_LRU) for route in specification.routes
    )
    largest_batch = max(service.max_items for service in specification.services)
    n_classes, n_services = len(specification.classes), len(specification.services)
    tables = Tables()
    tables.place(
        streams=streams,
        classes=classes,
        routes=routes,
        services=services,
        stations=np.zeros(0, STATION),
        servers=np.zeros(0, SERVER),
        requests=np.zeros(0, REQUEST),
        flights=np.zeros(0, FLIGHT),
        heap=np.zeros(0, EVENT),
        lru=np.zeros(lru_entries, LRU_ENTRY),
        request_log=np.zeros(0, REQUEST_LOG),
        batch_log=np.zeros(0, BATCH_LOG),
        ints=pool.ints(),
        floats=pool.floats(),
        words=pool.words(),
        gaps=np.zeros(BLOCK),
        doubtful=np.zeros(BLOCK, np.int64),
        arrival_ns=np.zeros((len(streams), BLOCK), np.int64),
        arrival_class=np.zeros((len(streams), BLOCK), np.int64),
        arrival_key=np.zeros((len(streams), BLOCK), np.int64),
        ahead_class=np.zeros((len(streams), BLOCK), np.int64),
        ahead_hash=np.zeros((len(streams), BLOCK), np.uint64),
        # Both halves: the block that is being handled, and the one that is drawn ahead of it.
        block_ns=np.zeros((2, BLOCK), np.int64),
        block_class=np.zeros((2, BLOCK), np.int64),
        block_key=np.zeros((2, BLOCK), np.int64),
        block_who=np.zeros((2, BLOCK), np.int64),
        misses=np.zeros(BLOCK + 1, np.int64),
        class_hits=np.zeros(n_classes, np.int64),
        class_balance_seed=np.array(classes.seed_balance),
        class_noise_seed=np.zeros((n_classes, len(streams)), np.uint64),
        class_sigma=np.full(n_classes, np.nan),
        miss_hash=np.zeros(BLOCK, np.uint64),
        noise_hash=np.zeros(BLOCK, np.uint64),
        miss_factor=np.full(BLOCK, np.nan),
        flight_factor=np.zeros(0),
        class_ttl_ns=np.array([cls.keyed * routes[cls.route].ttl_ns for cls in classes], np.uint64),
        rows=np.full(keys if needs_rows else 0, NONE, np.int64),
        outcomes=np.zeros(outcomes, np.int8),
        queues=np.zeros((0, PRIORITIES), QUEUE),
        groups=np.array([(spec.NEVER, 0, 0)] * len(timeouts), GROUP),
        deadlines=np.zeros((len(timeouts), FIRST_RING), DEADLINE_ENTRY),
        station_servers=np.zeros(0, np.int32),
        ready=np.zeros(0, np.int32),
        class_counters=np.zeros((n_classes, len(CLASS_COUNTERS)), np.int64),
        service_counters=np.zeros((n_services, len(SERVICE_COUNTERS)), np.int64),
        slo_good=np.zeros(len(specification.slos), np.int64),
        slo_total=np.zeros(len(specification.slos), np.int64),
        histogram=np.zeros((n_classes, len(LATENCY_KINDS), BUCKETS), np.int64),
        batch_sizes=np.zeros((n_services, largest_batch + 1), np.int64),
        served_items=np.zeros((n_classes, n_services), np.int64),
    )
    clock = tables.clock
    clock.free_request = clock.free_flight = clock.pending = clock.pending_tail = clock.offered = (
        clock.straddlers
    ) = NONE
    clock.ahead_n = NONE
    clock.log = specification.log
    clock.streams_n, clock.services_n, clock.groups_n = len(streams), n_services, len(timeouts)
    clock.lru_n, clock.ring_room = lru_entries, FIRST_RING
    clock.batch_width, clock.classes_n = largest_batch + 1, n_classes
    _foresee_noise(tables, specification)
    return tables, tuple(times)


def _foresee_noise(tables: Tables, specification: spec.Specification) -> None:
    """Note for each class how its service's noise is drawn, if it has one service and the noise is lognormal."""
    for each in specification.classes:
        targets = specification.routes[each.route].targets
        service = specification.services[targets[0]]
        if len(targets) == 1 and service.noise == NOISE_LOGNORMAL:
            tables.class_sigma[each.index] = service.noise_parameter
            tables.class_noise_seed[each.index] = service.seeds
            tables.clock.foresees_noise = 1


def _pack_class(
    record: Any,
    each: spec.RequestClassSpec,
    specification: spec.Specification,
    timeouts: list[int],
    pool: Pool,
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
    record.budget_ratio, record.budget_cap, record.tokens = (
        each.budget_ratio,
        each.budget_cap,
        each.budget_cap,
    )
    record.waits_at = pool.add_ints(backoff_waits_ns(each))
    record.route, record.max_retries, record.jitter = each.route, each.max_retries, each.jitter
    record.priority = each.priority
    record.slo_at = pool.add_ints(
        [value for slo in each.slos for value in (slo, specification.slos[slo].latency_ns)]
    )
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
    record.delay_ns, record.noise, record.noise_parameter = (
        service.delay_ns,
        service.noise,
        service.noise_parameter,
    )
    record.seeds_at = pool.add_words(np.array(service.seeds, np.uint64))
    record.max_items, record.max_requests, record.max_queue = (
        service.max_items,
        service.max_requests,
        service.max_queue,
    )
    record.drop_expired, record.shared, record.balance = (
        service.drop_expired,
        service.shared_queue,
        service.balance,
    )
    record.preferred_at, record.preferred_n = pool.add_ints(list(service.preferred)), len(service.preferred)
    record.max_preferred = service.preferred[-1] if service.preferred else service.max_items
    record.shared_station = NONE
    if service.breaker is not None:
        breaker = service.breaker
        record.breaker, record.max_errors, record.window = 1, breaker.max_errors, breaker.window
        record.slow_ns, record.slow_consecutive = breaker.slow_ns, breaker.slow_consecutive
        record.open_ns, record.probes = breaker.open_ns, breaker.probes
    return tuple((pool.add_ints(times.offset), pool.add_ints(times.samples_ns)) for times in service.times)


def _pack_streams(streams: tuple[spec.Stream, ...], pool: Pool) -> Any:
    """Pack the streams; `position` stands at the end of an empty block, so the first use refills it."""
    packed = _records(STREAM, len(streams))
    for stream in streams:
        record = packed[stream.index]
        record.source, record.gap_kind, record.gap_parameter = (
            stream.source,
            stream.gap_kind,
            stream.gap_parameter,
        )
        record.gap_seed, record.class_seed = stream.gap_seed, stream.class_seed
        record.pieces = len(stream.piece_end_ns)
        record.ends_at, record.rates_at = (
            pool.add_ints(stream.piece_end_ns),
            pool.add_floats(stream.piece_rate_per_ns),
        )
        record.values_at, record.values_n = pool.add_ints(stream.values), len(stream.values)
        record.step_ns, record.piece = stream.step_ns, -1 if stream.source == spec.FROM_COUNTS else 0
        record.table_at, record.table_n = pool.add_words(stream.gap_table), len(stream.gap_table)
        record.users, record.think_at, record.think_n = (
            stream.users,
            pool.add_floats(stream.think_ns),
            len(stream.think_ns),
        )
        record.classes_at, record.classes_n = pool.add_ints(stream.classes), len(stream.classes)
        record.class_table_at = pool.add_words(stream.class_table)
        record.row_class_at = pool.add_ints(stream.row_class) if len(stream.row_class) else -1
        record.row_key_at = pool.add_ints(stream.row_key) if len(stream.row_key) else -1
        record.row_items_at = pool.add_ints(stream.row_items) if len(stream.row_items) else -1
        record.position, record.looked_ahead = BLOCK, -1
        record.ask_table = NONE
    return packed

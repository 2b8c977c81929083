"""What both engines are given: a scenario and a seed, resolved to whole nanoseconds, indices and tables.

Nothing here changes while a run goes on. The reference reads these objects as they are; the kernel packs them into
arrays (`state.py`). Times are nanoseconds, NEVER stands for "no limit".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scenarios.rules.breaker import BreakerRule

NEVER = 1 << 62
"""A time that does not come: 146 years."""

# Where arrivals come from.
FROM_RATE, FROM_TIMES, FROM_COUNTS, FROM_GAPS, FROM_USERS = range(5)
# How gaps scatter around a rate.
GAP_POISSON, GAP_REGULAR, GAP_GAMMA = range(3)
# Response cache.
CACHE_NONE, CACHE_TTL, CACHE_LRU, CACHE_GIVEN = range(4)
# Which target a flight goes to.
SPLIT_WEIGHTED, SPLIT_DIFFICULTY, SPLIT_CASCADE = range(3)
# Which queue of a service a flight joins.
BALANCE_ROUND_ROBIN, BALANCE_RANDOM, BALANCE_POWER_OF_TWO, BALANCE_LEAST_OUTSTANDING = range(4)

# What random numbers of a class are for; each purpose has a seed of its own.
PURPOSES = (
    "keys",
    "items",
    "difficulty",
    "validation",
    "feature-fetch",
    "cache-hit",
    "split",
    "balance",
    "jitter",
)
(
    FOR_KEYS,
    FOR_ITEMS,
    FOR_DIFFICULTY,
    FOR_VALIDATION,
    FOR_FETCH,
    FOR_HIT,
    FOR_SPLIT,
    FOR_BALANCE,
    FOR_JITTER,
) = range(9)

MICRO = 1_000_000
"""Retry-budget tokens are counted in millionths."""


@dataclass(frozen=True, eq=False)
class Stream:
    """A stream of first sends. Request numbers count from 0 in each stream."""

    name: str
    index: int
    source: int
    gap_seed: np.uint64
    class_seed: np.uint64
    noise_seed: np.uint64
    gap_kind: int
    gap_parameter: float
    piece_end_ns: NDArray[np.int64]
    """FROM_RATE: ends of the pieces of constant rate, ascending."""
    piece_rate_per_ns: NDArray[np.float64]
    """FROM_RATE: their rates."""
    values: NDArray[np.int64]
    """FROM_TIMES: send times. FROM_COUNTS: requests in each step."""
    step_ns: int
    """FROM_COUNTS: length of a step. FROM_GAPS: the unit of the gap table."""
    gap_table: NDArray[np.uint64]
    """FROM_GAPS: alias table of gaps, in units."""
    users: int
    """FROM_USERS: how many."""
    think_ns: NDArray[np.float64]
    """FROM_USERS: quantile function of the think time."""
    classes: NDArray[np.int64]
    """Indices of its classes, ordered by name."""
    class_table: NDArray[np.uint64]
    """Alias table over `classes`."""
    row_class: NDArray[np.int64]
    """FROM_TIMES: class of each row; empty: drawn by share."""
    row_key: NDArray[np.int64]
    """FROM_TIMES: key of each row, 0..n-1; empty: drawn."""
    row_items: NDArray[np.int64]
    """FROM_TIMES: items of each row; empty: drawn."""


@dataclass(frozen=True, eq=False)
class RequestClassSpec:
    """A class of requests and the clients that send it."""

    name: str
    index: int
    stream: int
    route: int
    seeds: tuple[np.uint64, ...]
    """By purpose, see PURPOSES."""
    timeout_ns: int
    max_retries: int
    backoff_ns: int
    backoff_multiplier: float
    max_backoff_ns: int
    jitter: int
    budget_ratio: int
    """Millionths of a token a first attempt earns; -1: no budget."""
    budget_cap: int
    """Millionths."""
    keys: int
    """Number of keys; 0: none."""
    key_offset: int
    """Where its keys begin in the table of all keys."""
    key_table: NDArray[np.uint64]
    """Alias table of popularity; empty: uniform."""
    drift_every_ns: int
    drift_by: int
    items_table: NDArray[np.uint64]
    """Alias table of items - 1; empty: `items` always."""
    items: int
    difficulty: NDArray[np.float64]
    """Quantile function."""
    priority: int
    slos: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class RouteSpec:
    """A path through the gateway."""

    name: str
    index: int
    limit_interval_ns: int
    """Token bucket: nanoseconds a token; 0: no limit."""
    limit_burst_ns: int
    """(burst - 1) · interval: how far ahead of its schedule the bucket may run (GCRA)."""
    validation_ns: NDArray[np.float64]
    cache: int
    ttl_ns: int
    capacity: int
    hit_ratio: float
    hit_ns: int
    coalesce: bool
    fetch_ns: NDArray[np.float64]
    shedding: tuple[tuple[int, int], ...]
    """(max outstanding, below priority) of each rule."""
    split: int
    targets: tuple[int, ...]
    weight_table: NDArray[np.uint64]
    difficulty_below: tuple[float, ...]
    """For each target but the last."""
    redispatch: bool


@dataclass(frozen=True, eq=False)
class ServiceTimes:
    """Service times of one (service, pool): the measured values for each number of items."""

    offset: NDArray[np.int64]
    """Shape (max_items + 2,): values of n items are samples_ns[offset[n] : offset[n + 1]]; row 0 is empty."""
    samples_ns: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ServiceSpec:
    """A service: batching rule, balancing and times."""

    name: str
    index: int
    seeds: tuple[np.uint64, ...]
    """Seed of the batch noise for first requests of each stream."""
    max_items: int
    max_requests: int
    delay_ns: int
    preferred: tuple[int, ...]
    """Ascending; empty: none."""
    max_queue: int
    drop_expired: bool
    shared_queue: bool
    balance: int
    instances: int
    noise: int
    noise_parameter: float
    times: tuple[ServiceTimes, ...]
    """By the place of the pool in the service."""
    pools: tuple[str, ...]
    breaker: BreakerRule | None


@dataclass(frozen=True, eq=False)
class SloSpec:
    """A latency threshold that is counted exactly."""

    name: str
    index: int
    request_class: int
    latency_ns: int


@dataclass(frozen=True, eq=False)
class Specification:
    """A whole run's constants."""

    duration_ns: int
    streams: tuple[Stream, ...]
    classes: tuple[RequestClassSpec, ...]
    routes: tuple[RouteSpec, ...]
    services: tuple[ServiceSpec, ...]
    slos: tuple[SloSpec, ...]
    log: bool = field(default=False)
    """Keep a record of every logical request and every batch (for tests and small runs)."""

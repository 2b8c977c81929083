"""The kernel's records: what it remembers of each stream, class, replica, request and event.

Links between records are indices; NONE (-1) is no link. Fields are ordered by size, so that records have no holes.
"""

from __future__ import annotations

import numpy as np

from simulator.dataplane import specification as spec

NONE = -1
PRIORITIES = 8
ATTEMPT_SLOTS = 16

BLOCK = 128
"""First sends are drawn this many at a time."""

STREAM = np.dtype(
    [
        ("gap_seed", "u8"), ("class_seed", "u8"), ("gap_parameter", "f8"), ("now_ns", "i8"), ("next_id", "i8"),
        ("piece", "i8"), ("pieces", "i8"), ("ends_at", "i8"), ("rates_at", "i8"), ("values_at", "i8"),
        ("values_n", "i8"),
        ("step_ns", "i8"), ("left", "i8"), ("table_at", "i8"), ("table_n", "i8"), ("users", "i8"), ("think_at", "i8"),
        ("think_n", "i8"), ("classes_at", "i8"), ("classes_n", "i8"), ("class_table_at", "i8"), ("row_class_at", "i8"),
        ("row_key_at", "i8"), ("row_items_at", "i8"), ("first_id", "i8"), ("position", "i8"), ("looked_ahead", "i8"),
        ("ask_table", "i8"), ("ask_keys", "i8"),
        ("source", "i4"), ("gap_kind", "i4"),
    ],
    align=True,
)  # fmt: skip
CLASS = np.dtype(
    [
        *[(f"seed_{purpose.replace('-', '_')}", "u8") for purpose in spec.PURPOSES],
        ("timeout_ns", "i8"), ("key_offset", "i8"), ("keys", "i8"), ("drift_every_ns", "i8"), ("drift_by", "i8"),
        ("budget_ratio", "i8"), ("budget_cap", "i8"), ("tokens", "i8"),
        ("key_table", "i8"), ("items_table", "i8"), ("items_n", "i8"), ("difficulty_at", "i8"), ("difficulty_n", "i8"),
        ("waits_at", "i8"), ("items", "i4"), ("route", "i4"), ("max_retries", "i4"), ("jitter", "i4"),
        ("priority", "i4"), ("timeout_group", "i4"), ("slo_at", "i4"), ("slo_n", "i4"), ("keyed", "i4"),
        ("needs_difficulty", "i4"),
    ],
    align=True,
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
    ],
    align=True,
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
    ],
    align=True,
)  # fmt: skip
STATION = np.dtype(
    [
        ("timer_ns", "i8"), ("uid", "i8"), ("service", "i4"), ("servers_at", "i4"), ("servers_n", "i4"), ("idle", "i4"),
        ("queued", "i4"), ("queued_items", "i4"), ("outstanding", "i4"), ("live", "i4"), ("next_offered", "i4"),
        ("next_ns", "i8"), ("next_straddler", "i4"), ("server", "i4"),
    ],
    align=True,
)  # fmt: skip
SERVER = np.dtype(
    [
        ("start_ns", "i8"), ("finish_ns", "i8"), ("uid", "i8"), ("times_at", "i8"), ("samples_at", "i8"),
        ("station", "i4"), ("number", "i4"), ("busy", "i4"), ("accepting", "i4"), ("batch_head", "i4"),
        ("batch_n", "i4"), ("batch_items", "i4"), ("live", "i4"),
    ],
    align=True,
)  # fmt: skip
# A request and a flight fill a cache line each.
REQUEST = np.dtype(
    [
        ("id", "i8"), ("first_ns", "i8"), ("sent_ns", "i8"), ("deadline_ns", "i8"), ("key", "i8"), ("stream", "i2"),
        ("cls", "i2"), ("attempt", "i2"), ("phase", "i2"), ("items", "i4"), ("flight", "i4"), ("waiter_next", "i4"),
        ("waiter_prev", "i4"),
    ],
    align=True,
)  # fmt: skip
FLIGHT = np.dtype(
    [
        ("id", "i8"), ("enqueue_ns", "i8"), ("key", "i8"), ("stream", "i2"), ("cls", "i2"), ("attempt", "i2"),
        ("service", "i2"), ("hop", "i1"), ("redispatched", "i1"), ("lost", "i1"), ("noted", "i1"), ("items", "i4"),
        ("probe_epoch", "i4"), ("founder", "i4"), ("station", "i4"), ("next", "i4"), ("waiters", "i4"),
        ("waiters_tail", "i4"),
    ],
    align=True,
)  # fmt: skip
# The subject stands between time and key, so that compilers do not copy those two at once: see `new_flight`.
EVENT = np.dtype([("time_ns", "i8"), ("subject", "i4"), ("pad", "i4"), ("key", "u8")])
LRU_ENTRY = np.dtype([("key", "i8"), ("filled_ns", "i8"), ("prev", "i4"), ("next", "i4")])
REQUEST_LOG = np.dtype(
    [
        ("stream", "i4"), ("id", "i8"), ("cls", "i4"), ("attempts", "i4"), ("outcome", "i4"), ("first_ns", "i8"),
        ("end_ns", "i8"),
    ],
    align=True,
)  # fmt: skip
BATCH_LOG = np.dtype(
    [
        ("service", "i4"), ("uid", "i8"), ("number", "i4"), ("start_ns", "i8"), ("finish_ns", "i8"),
        ("requests", "i4"), ("items", "i4"), ("members", "u8"),
    ],
    align=True,
)  # fmt: skip

GROUP = np.dtype([("due_ns", "i8"), ("head", "i8"), ("tail", "i8")])
DEADLINE_ENTRY = np.dtype([("due_ns", "i8"), ("request", "i8")])
QUEUE = np.dtype([("head", "i4"), ("tail", "i4")])
INT, FLOAT, WORD = np.dtype([("value", "i8")]), np.dtype([("value", "f8")]), np.dtype([("value", "u8")])
INDEX, OUTCOME = np.dtype([("value", "i4")]), np.dtype([("failed", "i1")])

# Phases of a request between its events.
FREE, VALIDATING, WAITING, BACKING_OFF = range(4)
# A breaker's modes.
CLOSED, OPEN, HALF_OPEN = range(3)

"""One row for each logical request of a load test: the columns of a simulation's request log, and what only a load test
knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenarios.units import nanoseconds
from serving_ref.loadtest.measured import outcomes
from serving_ref.loadtest.recording import SKIPPED
from serving_ref.loadtest.results import FIRST_FAILURE, NO_ANSWER, RESULTS
from simulator.results.columns import categories, numbers

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios.demand import Demand
    from scenarios.schema import Scenario
    from serving_ref.loadtest.recording import Recorded

FILE = "requests.parquet"
_OUTCOMES = (
    *(f"{'failed' if place >= FIRST_FAILURE else 'ok'}_{name}" for place, name in enumerate(RESULTS)),
    "unfinished",
    "skipped",
)


def write_requests(path: Path, scenario: Scenario, seed: int, schedule: Demand, recorded: Recorded) -> None:
    """Write the rows, by time.

    Columns: seed, stream, id (from 0 in its stream), class, key, items, difficulty, first_send_ns (when it was due),
    lag_ns (how much later it was sent; null if it never was), end_ns (of the outcome; null without one), outcome,
    attempts, status (of the last attempt: HTTP, or null where there was no answer), service.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    of = outcomes(recorded, nanoseconds(scenario.run.duration))
    first = np.flatnonzero(recorded.attempt == 0)
    lag_ns = np.zeros(len(schedule), np.int64)
    lag_ns[recorded.request[first]] = (recorded.sent_ns - recorded.due_ns)[first]
    outcome = np.where(of.ended, of.result, _OUTCOMES.index("unfinished"))
    outcome[recorded.state == SKIPPED] = _OUTCOMES.index("skipped")
    status = recorded.status[recorded.last]
    services = [each.name for each in scenario.services]
    table = pa.table({
        "seed": numbers(np.full(len(schedule), seed, np.int64)),
        "stream": categories(schedule.stream, [each.name for each in scenario.arrivals]),
        "id": numbers(schedule.number),
        "class": categories(schedule.class_index, [each.name for each in scenario.classes]),
        "key": numbers(schedule.key, schedule.key >= 0),
        "items": numbers(schedule.items),
        "difficulty": numbers(schedule.difficulty),
        "first_send_ns": numbers(schedule.due_ns),
        "lag_ns": numbers(lag_ns, of.sent),
        "end_ns": numbers(of.end_ns, of.ended),
        "outcome": categories(outcome, _OUTCOMES),
        "attempts": numbers(np.where(of.sent, of.attempts, 0)),
        "status": numbers(status, of.sent & (status > NO_ANSWER)),
        "service": categories(np.where(of.sent, recorded.service[recorded.last], -1), [*services, ""]),
    })  # fmt: skip
    pq.write_table(table, path, compression="zstd")

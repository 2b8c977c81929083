"""From a recording to the record of a run: the same counters, edges and histograms that a simulation has.

An attempt counts where it was due, an outcome where it came. What came after the end of the run is left out, as in a
simulation: those requests are unfinished.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenarios.units import nanoseconds
from serving_ref.loadtest.recording import DENIED, ENDED
from serving_ref.loadtest.results import FIRST_FAILURE, MODEL, RESULTS
from simulator.results.histogram import BUCKETS, lower_edges_ns
from simulator.results.recorded import CLASS_COUNTERS, LATENCY_KINDS, SparseHistogram

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scenarios.demand import Demand
    from scenarios.schema import Scenario
    from serving_ref.loadtest.recording import Recorded

    Ints = NDArray[np.int64]
    Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What became of the logical requests; a row each, like the schedule. Figures of the last attempt have a meaning
    only where it was sent, and those of the outcome only where the request has one."""

    sent: Mask
    ended: Mask
    """With a final outcome before the end of the run."""
    answered: Mask
    """With a good one."""
    denied: Mask
    """Failed because the retry budget was empty."""
    end_ns: Ints
    result: Ints
    """Place in `RESULTS`."""
    attempts: Ints
    last_due_ns: Ints
    """When the last attempt was due."""


@dataclass(frozen=True, eq=False)
class Measured:
    """The client's part of a `SeedRecord`; the fields are its own."""

    class_counters: Ints
    slo_good: Ints
    slo_total: Ints
    histogram: SparseHistogram
    unfinished: Ints
    unfinished_late: Ints
    served_items: Ints


def outcomes(recorded: Recorded, end_ns: int) -> Outcomes:
    """Join the attempts of each logical request to one row. There is at least one attempt."""
    last = recorded.last
    sent = last >= 0
    outcome_ns, result = recorded.end_ns[last], recorded.result[last].astype(np.int64)
    ended = sent & np.isin(recorded.state, (ENDED, DENIED)) & (outcome_ns < end_ns)
    return Outcomes(
        sent=sent,
        ended=ended,
        answered=ended & (result < FIRST_FAILURE),
        denied=ended & (recorded.state == DENIED),
        end_ns=outcome_ns,
        result=result,
        attempts=recorded.attempt[last].astype(np.int64) + 1,
        last_due_ns=recorded.due_ns[last],
    )


def measured(
    scenario: Scenario, schedule: Demand, recorded: Recorded, edges_ns: Ints, histogram_edges_ns: Ints
) -> Measured:
    """Count a recording at the edges of a timeline, the last of which is the end of the run."""
    of = outcomes(recorded, int(edges_ns[-1]))
    good, total, late = _slos(scenario, schedule, of, edges_ns)
    unfinished = schedule.class_index[of.sent & ~of.ended]
    return Measured(
        class_counters=_class_counters(len(scenario.classes), schedule, recorded, of, edges_ns),
        slo_good=good,
        slo_total=total,
        histogram=_histogram(schedule, of, histogram_edges_ns, len(scenario.classes)),
        unfinished=np.bincount(unfinished, minlength=len(scenario.classes)).astype(np.int64),
        unfinished_late=late,
        served_items=_served_items(scenario, schedule, recorded, int(edges_ns[-1])),
    )


def _class_counters(classes: int, schedule: Demand, recorded: Recorded, of: Outcomes, edges_ns: Ints) -> Ints:
    counters = np.zeros((len(edges_ns), classes, len(CLASS_COUNTERS)), np.int64)
    attempt_class = schedule.class_index[recorded.request]
    for index in range(classes):
        mine, attempts = schedule.class_index == index, attempt_class == index

        def put(counter: str, times_ns: Ints, amounts: Ints | None = None, *, place: int = index) -> None:
            """Cumulate over what happened before each edge."""
            order = np.argsort(times_ns, kind="stable")
            before = np.searchsorted(times_ns[order], edges_ns, side="left")
            sums = np.arange(len(order) + 1) if amounts is None else np.append(0, np.cumsum(amounts[order]))
            counters[:, place, CLASS_COUNTERS.index(counter)] = sums[before]

        put("sent", schedule.due_ns[mine & of.sent])
        put("attempts", recorded.due_ns[attempts])
        put("retries_denied", of.end_ns[mine & of.denied])
        answered = mine & of.answered
        put("latency_ns", of.end_ns[answered], (of.end_ns - schedule.due_ns)[answered])
        for result, name in enumerate(RESULTS[MODEL:FIRST_FAILURE], MODEL):
            put(f"ok_{name}", of.end_ns[answered & (of.result == result)])
        for result, name in enumerate(RESULTS[FIRST_FAILURE:], FIRST_FAILURE):
            put(f"failed_{name}", of.end_ns[mine & of.ended & (of.result == result)])
            put(f"attempt_{name}", recorded.end_ns[attempts & (recorded.result == result)])
    return counters


def _slos(scenario: Scenario, schedule: Demand, of: Outcomes, edges_ns: Ints) -> tuple[Ints, Ints, Ints]:
    """Good and all outcomes before each edge, and those without an outcome that are late already; by SLO."""
    good = np.zeros((len(edges_ns), len(scenario.slos)), np.int64)
    total, late = np.zeros_like(good), np.zeros(len(scenario.slos), np.int64)
    names = [each.name for each in scenario.classes]
    latency_ns = of.end_ns - schedule.due_ns
    for place, slo in enumerate(scenario.slos):
        mine = schedule.class_index == names.index(slo.request_class)
        limit_ns = nanoseconds(slo.latency)
        within = of.end_ns[mine & of.answered & (latency_ns <= limit_ns)]
        good[:, place] = np.searchsorted(np.sort(within), edges_ns, side="left")
        total[:, place] = np.searchsorted(np.sort(of.end_ns[mine & of.ended]), edges_ns, side="left")
        waiting = schedule.due_ns[mine & of.sent & ~of.ended]
        late[place] = np.count_nonzero(edges_ns[-1] - waiting > limit_ns)
    return good, total, late


def _histogram(schedule: Demand, of: Outcomes, edges_ns: Ints, classes: int) -> SparseHistogram:
    first, again = of.answered & (of.attempts == 1), of.answered & (of.attempts > 1)
    parts = (
        (LATENCY_KINDS.index("first"), first, schedule.due_ns),
        (LATENCY_KINDS.index("retried_logical"), again, schedule.due_ns),
        (LATENCY_KINDS.index("retried_attempt"), again, of.last_due_ns),
    )
    shape = (len(edges_ns) - 1, classes, len(LATENCY_KINDS), BUCKETS)
    places = [
        np.ravel_multi_index(
            (
                np.searchsorted(edges_ns, of.end_ns[rows], side="right") - 1,
                schedule.class_index[rows],
                np.full(np.count_nonzero(rows), kind),
                np.searchsorted(lower_edges_ns(), of.end_ns[rows] - since_ns[rows], side="right") - 1,
            ),
            shape,
        )
        for kind, rows, since_ns in parts
    ]
    filled, count = np.unique(np.concatenate(places), return_counts=True)
    window, class_index, kind, bucket = np.unravel_index(filled, shape)
    return SparseHistogram(
        window.astype(np.int32),
        class_index.astype(np.int16),
        kind.astype(np.int8),
        bucket.astype(np.int16),
        count.astype(np.int64),
    )


def _served_items(scenario: Scenario, schedule: Demand, recorded: Recorded, end_ns: int) -> Ints:
    """Items that each service answered for each class between warm-up and end. A service that is not named is the
    first of the class's route: right where a route has one."""
    services = [each.name for each in scenario.services]
    first = {route.name: services.index(route.targets[0].service) for route in scenario.routes}
    of_class = np.array([first[each.route] for each in scenario.classes])
    warmup_ns = nanoseconds(scenario.run.warmup)
    rows = (recorded.result == MODEL) & (recorded.end_ns >= warmup_ns) & (recorded.end_ns < end_ns)
    request = recorded.request[rows]
    class_index = schedule.class_index[request]
    service = np.where(recorded.service[rows] >= 0, recorded.service[rows], of_class[class_index])
    items = np.zeros((len(scenario.classes), len(services)), np.int64)
    np.add.at(items, (class_index, service), schedule.items[request])
    return items

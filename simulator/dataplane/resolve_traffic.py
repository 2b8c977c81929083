"""Arrival streams and request classes of a scenario, resolved for the engines."""

from __future__ import annotations

import math
from datetime import UTC
from typing import TYPE_CHECKING

import numpy as np

from scenarios.errors import InvalidInput
from scenarios.traces import CountTrace, read_trace
from scenarios.units import NANOSECONDS_PER_SECOND, nanoseconds
from simulator.dataplane import draws, python_draws
from simulator.dataplane import specification as spec
from simulator.dataplane.distributions import count_weights, difficulty_quantiles, duration_quantiles_ns

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from numpy.typing import NDArray

    from scenarios.schema import Arrivals, RequestClass, Scenario
    from scenarios.schema.traffic import MmppState, RateShape
    from scenarios.traces import Trace

NO_INTS = np.empty(0, np.int64)
NO_FLOATS = np.empty(0)
NO_TABLE = np.empty(0, np.uint64)
_DAY_S = 86_400.0
_JITTER = {"none": draws.JITTER_NONE, "equal": draws.JITTER_EQUAL, "full": draws.JITTER_FULL}


def resolve_streams(scenario: Scenario, files: Mapping[str, Path], seed: int) -> tuple[spec.Stream, ...]:
    """Resolve the arrival streams; classes are numbered in the order of the document.

    Raises InvalidInput where a trace does not fit (unknown classes, a scale on request rows).
    """
    return tuple(_stream(scenario, index, files, seed) for index in range(len(scenario.arrivals)))


def _stream(scenario: Scenario, index: int, files: Mapping[str, Path], seed: int) -> spec.Stream:
    arrivals = scenario.arrivals[index]
    members = sorted(
        (place for place, each in enumerate(scenario.classes) if each.arrivals == arrivals.name),
        key=lambda place: scenario.classes[place].name,
    )
    shares = np.array([scenario.classes[place].share for place in members])
    values: dict[str, object] = {
        "source": spec.FROM_RATE,
        "gap_kind": spec.GAP_POISSON,
        "gap_parameter": 0.0,
        "piece_end_ns": NO_INTS,
        "piece_rate_per_ns": NO_FLOATS,
        "values": NO_INTS,
        "step_ns": 0,
        "gap_table": NO_TABLE,
        "users": 0,
        "think_ns": np.zeros(1),
        "row_class": NO_INTS,
        "row_key": NO_INTS,
        "row_items": NO_INTS,
    }
    path = f"arrivals/{arrivals.name}"
    if arrivals.users is not None:
        values |= {
            "source": spec.FROM_USERS,
            "users": arrivals.users.count,
            "think_ns": duration_quantiles_ns(arrivals.users.think_time),
        }
    elif arrivals.trace is not None:
        values |= _replay(scenario, arrivals, members, read_trace(files[arrivals.trace.file]))
    elif arrivals.process.poisson_ms is not None:
        values |= {
            "source": spec.FROM_GAPS,
            "step_ns": NANOSECONDS_PER_SECOND // 1000,
            "gap_table": draws.alias_table(_poisson_weights(arrivals.process.poisson_ms)),
        }
    else:
        ends, rates = _pieces(scenario, arrivals, seed)
        values |= {"piece_end_ns": ends, "piece_rate_per_ns": rates}
        if arrivals.process.regular:
            values |= {"gap_kind": spec.GAP_REGULAR}
        elif arrivals.process.gamma_cv is not None:
            values |= {"gap_kind": spec.GAP_GAMMA, "gap_parameter": 1.0 / arrivals.process.gamma_cv**2}
    return spec.Stream(
        name=arrivals.name,
        index=index,
        gap_seed=draws.named_seed(seed, f"{path}/gaps"),
        class_seed=draws.named_seed(seed, f"{path}/classes"),
        noise_seed=draws.named_seed(seed, f"{path}/batches"),
        classes=np.array(members, np.int64),
        class_table=draws.alias_table(shares),
        **values,  # type: ignore[arg-type]  # one entry a field, each of that field's type
    )


def _poisson_weights(mean: float) -> NDArray[np.float64]:
    """Poisson probabilities of 0, 1, …, far enough into the tail that what is cut off is below 1e-15."""
    largest = int(mean + 12 * math.sqrt(mean) + 30)
    return np.array([math.exp(n * math.log(mean) - mean - math.lgamma(n + 1)) for n in range(largest)])


def _pieces(
    scenario: Scenario, arrivals: Arrivals, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Piecewise constant rate per nanosecond: the shape's steps, cut again where an MMPP changes its state."""
    assert arrivals.rate is not None
    duration_ns = nanoseconds(scenario.run.duration)
    if arrivals.shape:
        step_ns = nanoseconds(arrivals.shape_step)
        ends = np.append(np.arange(step_ns, duration_ns, step_ns, dtype=np.int64), duration_ns)
        starts = np.concatenate(([0], ends[:-1]))
        factors = shape_factors(
            arrivals.shape, (starts + ends) / 2 / NANOSECONDS_PER_SECOND, scenario.run.start
        )
    else:
        ends, factors = np.array([duration_ns], np.int64), np.ones(1)
    if arrivals.process.mmpp is not None:
        state_ends, state_factors = _mmpp_path(arrivals.process.mmpp, duration_ns, seed, arrivals.name)
        every_end = np.unique(np.concatenate((ends, state_ends)))
        factors = (
            factors[np.searchsorted(ends, every_end)] * state_factors[np.searchsorted(state_ends, every_end)]
        )
        ends = every_end
    return ends, factors * (arrivals.rate / NANOSECONDS_PER_SECOND)


def _mmpp_path(
    states: list[MmppState], duration_ns: int, seed: int, name: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Ends of the stays and the factor of each, from the first state of the list on."""
    path_seed = draws.named_seed(seed, f"arrivals/{name}/mmpp")
    ends: list[int] = []
    factors: list[float] = []
    now = 0
    while now < duration_ns:
        state = states[len(ends) % len(states)]
        now += max(
            1, round(python_draws.draw_exponential(path_seed, len(ends)) * nanoseconds(state.mean_duration))
        )
        ends.append(min(now, duration_ns))
        factors.append(state.times)
    return np.array(ends, np.int64), np.array(factors)


def shape_factors(
    shape: list[RateShape], time_s: NDArray[np.float64], start: datetime
) -> NDArray[np.float64]:
    """Product of the shape's factors at times (seconds from the `start` of the run).

    Hours and weekdays are those of the clock in UTC; spikes and ramps count from the start.
    """
    product = np.ones(len(time_s))
    begin = start.astimezone(UTC)
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    clock_s = time_s + (begin - midnight).total_seconds()
    for factor in shape:
        if factor.diurnal is not None:
            swing = (factor.diurnal.peak_to_trough - 1) / (factor.diurnal.peak_to_trough + 1)
            product *= 1 + swing * np.cos(2 * np.pi * (clock_s - factor.diurnal.peak_at) / _DAY_S)
        if factor.hourly is not None:
            product *= np.array(factor.hourly)[(clock_s // 3600).astype(int) % 24]
        if factor.weekly is not None:
            product *= np.array(factor.weekly)[((clock_s // _DAY_S).astype(int) + begin.weekday()) % 7]
        if factor.spike is not None:
            spike = factor.spike
            since = time_s - spike.at
            if spike.every is not None:
                since = np.where(since >= 0, since % spike.every, since)
            rise_end, hold_end = spike.rise, spike.rise + spike.hold
            height = np.interp(since, [0.0, rise_end, hold_end, hold_end + spike.fall], [0.0, 1.0, 1.0, 0.0])
            inside = (since >= 0) & (since < hold_end + spike.fall)
            product *= np.where(inside, 1 + (spike.times - 1) * height, 1.0)
        if factor.ramp is not None:
            ramp = factor.ramp
            product *= np.interp(time_s, [ramp.start, ramp.end], [1.0, ramp.times])
    return product


def _replay(scenario: Scenario, arrivals: Arrivals, members: list[int], trace: Trace) -> dict[str, object]:
    assert arrivals.trace is not None
    where = f"arrivals[{arrivals.name}].trace"
    offset_ns = nanoseconds(arrivals.trace.offset)
    if isinstance(trace, CountTrace):
        return _replay_counts(arrivals, trace, offset_ns, nanoseconds(scenario.run.duration))
    if arrivals.trace.scale != 1:
        raise InvalidInput(
            f"{where}.scale: got {arrivals.trace.scale}: request rows can only be replayed as they are"
        )
    rows = trace.time_ns >= offset_ns
    row_class, row_key, row_items = NO_INTS, NO_INTS, NO_INTS
    if trace.class_index is not None:
        places = {scenario.classes[place].name: place for place in members}
        unknown = sorted(set(trace.class_names) - places.keys())
        if unknown:
            raise InvalidInput(
                f"{where}.file: {arrivals.trace.file} has requests of class {', '.join(unknown[:5])}: expected classes "
                f"of this stream: {', '.join(sorted(places))}"
            )
        row_class = np.array([places[name] for name in trace.class_names], np.int64)[trace.class_index[rows]]
    if trace.key is not None:
        row_key = np.unique(trace.key[rows], return_inverse=True)[1].astype(np.int64)
    if trace.items is not None:
        row_items = trace.items[rows].astype(np.int64)
    return {
        "source": spec.FROM_TIMES,
        "values": trace.time_ns[rows] - offset_ns,
        "row_class": row_class,
        "row_key": row_key,
        "row_items": row_items,
    }


def _replay_counts(
    arrivals: Arrivals, trace: CountTrace, offset_ns: int, duration_ns: int
) -> dict[str, object]:
    assert arrivals.trace is not None
    skipped = offset_ns // trace.step_ns
    counts = trace.count[skipped:]
    ends = trace.step_ns * np.arange(1, len(counts) + 1, dtype=np.int64)
    if arrivals.trace.spread == "poisson":
        rates = counts * (arrivals.trace.scale / trace.step_ns)
        return {"piece_end_ns": np.minimum(ends, duration_ns), "piece_rate_per_ns": rates}
    # Rounding the running total, not each count, keeps small counts from vanishing.
    totals = np.rint(np.cumsum(counts) * arrivals.trace.scale).astype(np.int64)
    return {"source": spec.FROM_COUNTS, "values": np.diff(totals, prepend=0), "step_ns": trace.step_ns}


def resolve_classes(
    scenario: Scenario, streams: tuple[spec.Stream, ...], largest_items: Mapping[str, int], seed: int
) -> tuple[spec.RequestClassSpec, ...]:
    """Resolve the request classes. `largest_items`: by route, the most items that its services take at once."""
    stream_of = {stream.name: stream for stream in streams}
    route_of = {route.name: place for place, route in enumerate(scenario.routes)}
    classes: list[spec.RequestClassSpec] = []
    key_offset = 0
    for index, each in enumerate(scenario.classes):
        stream = stream_of[each.arrivals]
        keys = (
            len(np.unique(stream.row_key)) if len(stream.row_key) else (each.keys.count if each.keys else 0)
        )
        retries = each.retries
        budget = retries.budget if retries else None
        weights = count_weights(each.items, largest_items[each.route])
        constant = int(weights.argmax()) + 1 if weights.max() == weights.sum() else 0
        classes.append(
            spec.RequestClassSpec(
                name=each.name,
                index=index,
                stream=stream.index,
                route=route_of[each.route],
                seeds=tuple(
                    draws.named_seed(seed, f"classes/{each.name}/{purpose}") for purpose in spec.PURPOSES
                ),
                timeout_ns=spec.NEVER if each.timeout is None else nanoseconds(each.timeout),
                max_retries=retries.max if retries else 0,
                backoff_ns=nanoseconds(retries.backoff) if retries else 0,
                backoff_multiplier=retries.multiplier if retries else 1.0,
                max_backoff_ns=nanoseconds(retries.max_backoff) if retries else 0,
                jitter=_JITTER[retries.jitter] if retries else draws.JITTER_NONE,
                budget_ratio=round(budget.ratio * spec.MICRO) if budget else -1,
                budget_cap=budget.burst * spec.MICRO if budget else 0,
                keys=keys,
                key_offset=key_offset,
                key_table=_popularity(each) if not len(stream.row_key) else NO_TABLE,
                drift_every_ns=nanoseconds(each.keys.drift.every) if each.keys and each.keys.drift else 0,
                drift_by=each.keys.drift.by if each.keys and each.keys.drift else 0,
                items_table=NO_TABLE if constant else draws.alias_table(weights),
                items=constant,
                difficulty=difficulty_quantiles(each.difficulty),
                priority=each.priority,
                slos=tuple(
                    place for place, slo in enumerate(scenario.slos) if slo.request_class == each.name
                ),
            )
        )
        key_offset += keys
    return tuple(classes)


def _popularity(each: RequestClass) -> NDArray[np.uint64]:
    if each.keys is None or each.keys.zipf == 0:
        return NO_TABLE
    return draws.alias_table(np.arange(1, each.keys.count + 1, dtype=np.float64) ** -each.keys.zipf)

"""A scenario in a few lines that a person can check against what was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from scenarios.units import format_duration

if TYPE_CHECKING:
    from scenarios.load import LoadedScenario
    from scenarios.schema import Arrivals, RequestClass, Route, Service, Slo
    from scenarios.schema.fleet import Pool

Rows: TypeAlias = list[tuple[str, str]]


def summary(loaded: LoadedScenario) -> list[tuple[str, Rows]]:
    """Return the rows (name, words) of each section, in the order of a request's way."""
    scenario = loaded.scenario
    run = scenario.run
    start = run.start.strftime("%Y-%m-%d %H:%M UTC")
    warmup = f", the first {format_duration(run.warmup)} left out" if run.warmup else ""
    interval = f", a row every {format_duration(run.interval)}" if run.interval else ""
    sections = [
        ("run", [("", f"{format_duration(run.duration)} from {start}{warmup}{interval}; seed {run.seed}")]),
        ("arrivals", [(each.name, _stream(loaded, each)) for each in scenario.arrivals]),
        ("classes", [(each.name, _class(each)) for each in scenario.classes]),
        ("routes", [(each.name, _route(each)) for each in scenario.routes]),
        ("services", [(each.name, _service(each)) for each in scenario.services]),
        ("pools", [(each.name, _pool(each)) for each in scenario.pools]),
        ("slos", [(each.name, _slo(each)) for each in scenario.slos]),
    ]
    return [(section, rows) for section, rows in sections if rows]


def _stream(loaded: LoadedScenario, stream: Arrivals) -> str:
    duration_s = loaded.scenario.run.duration
    if stream.users is not None:
        return f"{stream.users.count:,} closed-loop users"
    if stream.trace is not None:
        from scenarios.traces import CountTrace, read_trace  # pyarrow, only where a trace is read

        trace = read_trace(loaded.files[stream.trace.file])
        span_s = len(trace.count) * trace.step_ns / 1e9 if isinstance(trace, CountTrace) else trace.span_s
        return f"replay of {stream.trace.file}: {trace.total:,} requests in {format_duration(span_s)}"
    rate_per_s = mean_rate_per_s(loaded, stream)
    shape = f", shaped by {' × '.join(factor.chosen()[0] for factor in stream.shape)}" if stream.shape else ""
    process = f"{stream.process.chosen()[0]} arrivals{shape}"
    return f"{rate_per_s:.4g}/s on average, {rate_per_s * duration_s:.3g} requests; {process}"


def mean_rate_per_s(loaded: LoadedScenario, stream: Arrivals) -> float:
    """Return the mean rate of a stream with a rate, over the run (of an MMPP: in the long run)."""
    if stream.process.poisson_ms is not None:
        return 1000 / stream.process.poisson_ms
    rate_per_s = stream.rate or 0.0
    if stream.process.mmpp is not None:
        weights = [state.mean_duration for state in stream.process.mmpp]
        times = [state.times for state in stream.process.mmpp]
        rate_per_s *= sum(w * t for w, t in zip(weights, times, strict=True)) / sum(weights)
    if stream.shape:
        import numpy as np  # the engine's own shape, and what it imports, only where there is one

        from simulator.dataplane.resolve_traffic import shape_factors

        run = loaded.scenario.run
        middles_s = np.arange(0.5 * stream.shape_step, run.duration, stream.shape_step)
        if len(middles_s):
            rate_per_s *= float(shape_factors(stream.shape, middles_s, run.start).mean())
    return rate_per_s


def _class(kind: RequestClass) -> str:
    timeout = f"timeout {format_duration(kind.timeout)}" if kind.timeout is not None else "no timeout"
    retries = f"up to {kind.retries.max} retries" if kind.retries is not None else "no retries"
    keys = f"{kind.keys.count:,} keys" if kind.keys is not None else "no keys"
    return f"{100 * kind.share:.4g}% of {kind.arrivals} by route {kind.route}; {timeout}, {retries}, {keys}"


def _route(route: Route) -> str:
    cache = f"{route.cache.kind} cache" if route.cache is not None else "no cache"
    parts = [
        cache,
        *(["coalescing"] if route.coalesce else []),
        *(["rate limit"] if route.rate_limit else []),
    ]
    targets = ", ".join(target.service for target in route.targets)
    return f"{', '.join(parts)}; to {targets}{f' by {route.split}' if len(route.targets) > 1 else ''}"


def _service(service: Service) -> str:
    batching = service.batching
    delay = f", waiting up to {format_duration(batching.max_queue_delay)}" if batching.max_queue_delay else ""
    batches = f"batches of up to {batching.max_batch_size} items{delay}"
    return f"model {service.model} on {', '.join(service.pools)}; {batches}; {service.queue} queue"


def _pool(pool: Pool) -> str:
    schedule = ""
    if pool.schedule is not None:
        steps = pool.schedule.steps
        plural = "" if len(steps) == 1 else "s"
        every = (
            "" if pool.schedule.every is None else f", repeated every {format_duration(pool.schedule.every)}"
        )
        schedule = f", by a schedule of {len(steps)} step{plural}{every}"
    zone = f" in {pool.zone}" if pool.zone is not None else ""
    return f"{pool.first_size} × {pool.instance_type} {pool.capacity_type}{zone}{schedule}"


def _slo(slo: Slo) -> str:
    promise = f"{100 * slo.objective:.6g}% of {slo.request_class} within {format_duration(slo.latency)}"
    if slo.window is None:
        return f"{promise}, over the whole run"
    share = f"{100 * slo.window_fraction:.6g}% of the" if slo.window_fraction < 1 else "all"
    return f"{promise}, in {share} windows of {format_duration(slo.window)}"

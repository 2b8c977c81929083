"""Run a scenario: the control plane's processes on SimPy, over a data plane that is advanced to each of their
steps."""

from __future__ import annotations

import os
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Literal, TypeAlias

import simpy

from scenarios.errors import InvalidInput
from scenarios.units import NANOSECONDS_PER_SECOND, nanoseconds
from scenarios.unsupported import refuse_unsupported
from simulator.control.books import Books
from simulator.control.fleet import Fleet
from simulator.control.heartbeat import beat, beat_every
from simulator.control.instances import ReplicaNumbers
from simulator.control.pools import ScheduledPool, kinds, wanted_sizes
from simulator.control.recorder import Recorder
from simulator.control.slot_time import SlotTime
from simulator.control.timeline import timeline
from simulator.dataplane.eligible import kernel_path
from simulator.dataplane.resolve_fleet import resolve
from simulator.results.recorded import CLASS_COUNTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from typing import Any

    from scenarios.load import LoadedScenario
    from simulator.dataplane.engine import Counters, DataPlane, Logs
    from simulator.dataplane.specification import Specification
    from simulator.results.recorded import SeedRecord

Engine: TypeAlias = Literal["kernel", "reference"]
Progress: TypeAlias = "Callable[[int, float, int], None]"
"""Called now and then with the seed, the simulated seconds and the first sends so far; what it raises ends
the run."""
OnPath: TypeAlias = "Callable[[str], None]"
"""Called with the name of the data plane's path as soon as it is known: before anything is compiled or run."""
OnLogs: TypeAlias = "Callable[[int, Logs], None]"
"""Called at the end of a run with the seed and the log of its requests and batches."""

ATTEMPTS_A_BEAT: dict[Engine, int] = {"kernel": 500_000, "reference": 5_000}
"""Attempts between two calls of `Progress`: about a tenth of a second."""
MOST_LOGGED = 20_000_000
"""Requests that a log may have: it is kept in memory until the end."""
STOP_WITHIN_S = 2.0
"""Runs that are told to stop do so at their next beat, unless their kernel is being compiled."""
_SENT = CLASS_COUNTERS.index("sent")


def simulate(
    loaded: LoadedScenario,
    seed: int | None = None,
    *,
    engine: Engine = "kernel",
    window_s: float | None = None,
    progress: Progress | None = None,
    on_path: OnPath | None = None,
    on_logs: OnLogs | None = None,
) -> SeedRecord:
    """Run a scenario once and return what was recorded: a function of the scenario and the seed, and of
    nothing else.

    `seed` is the scenario's own unless given. `window_s` is the time in simulated seconds between visits of
    Python to the data plane (often enough for a progress bar, unless given) and changes nothing in the
    result. With `on_logs`, every request is logged. Raises `Unsupported` for what the engine cannot run and
    `InvalidInput` for what does not fit.
    """
    scenario = loaded.scenario
    refuse_unsupported(scenario)
    seed = scenario.run.seed if seed is None else seed
    end_ns = nanoseconds(scenario.run.duration)
    edges = timeline(scenario)
    members = kinds(scenario, seed)
    plane = _plane(engine, resolve(scenario, loaded.files, seed, log=on_logs is not None), on_path)

    env = simpy.Environment()
    fleet, books, numbers = Fleet(env, plane, SlotTime(scenario.services)), Books(env), ReplicaNumbers()
    recorder = Recorder(env, fleet, plane, books, scenario, edges)
    report = _reporter(env, seed, progress, logging=on_logs is not None)
    for pool, kind in zip(scenario.pools, members, strict=True):
        sizes = wanted_sizes(pool, end_ns)
        env.process(ScheduledPool(env, fleet, books, numbers, kind, sizes).follow_schedule())
    env.process(recorder.tick())
    env.process(_heartbeat(env, fleet, end_ns, engine, window_s, report))
    env.run(until=end_ns)
    report(fleet.sync())
    record = recorder.finish(seed)
    if on_logs is not None:
        on_logs(seed, plane.logs())
    return record


def simulate_many(
    loaded: LoadedScenario,
    seeds: Sequence[int],
    *,
    threads: int | None = None,
    engine: Engine = "kernel",
    progress: Progress | None = None,
    on_path: OnPath | None = None,
    on_logs: OnLogs | None = None,
) -> list[SeedRecord]:
    """Run a scenario once a seed, several at a time, and return the records in the order of the seeds.

    `threads` is as many as there are cores, unless given; the records do not depend on it. `progress`,
    `on_path` and `on_logs` are called from the threads of the runs. Raises as `simulate`; then, and on Ctrl-C,
    all runs are told to stop, and waited for a moment: a run whose kernel is being compiled ends after that.
    """
    threads = min(len(seeds), threads or available_cores())
    if threads <= 1:
        return [
            simulate(loaded, seed, engine=engine, progress=progress, on_path=on_path, on_logs=on_logs)
            for seed in seeds
        ]
    stop = threading.Event()

    def guarded(seed: int, simulated_s: float, sent: int) -> None:
        if stop.is_set():
            raise _StoppedError
        if progress is not None:
            progress(seed, simulated_s, sent)

    pool = ThreadPoolExecutor(threads)
    runs = [
        pool.submit(simulate, loaded, seed, engine=engine, progress=guarded, on_path=on_path, on_logs=on_logs)
        for seed in seeds
    ]
    try:
        wait(runs, return_when=FIRST_EXCEPTION)
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
        wait(runs, timeout=STOP_WITHIN_S)
    failed = [run.exception() for run in runs if not run.cancelled() and run.exception() is not None]
    for error in failed:
        if error is not None and not isinstance(error, _StoppedError):
            raise error
    return [run.result() for run in runs]


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _StoppedError(Exception):
    """Ends a run whose result nobody waits for."""


def _plane(engine: Engine, specification: Specification, on_path: OnPath | None) -> DataPlane:
    if on_path is not None:
        on_path("reference" if engine == "reference" else kernel_path(specification))
    if engine == "reference":
        from simulator.dataplane.reference_plane import ReferencePlane  # for tests and doubts

        return ReferencePlane(specification)
    from simulator.dataplane.kernel_plane import kernel_plane  # the reference does without

    return kernel_plane(specification)


def _reporter(
    env: simpy.Environment, seed: int, progress: Progress | None, *, logging: bool
) -> Callable[[Counters], None]:
    """What a heartbeat does: it tells how far the run is, and minds the memory of the log."""

    def report(counters: Counters) -> None:
        sent = int(counters.class_counters[:, _SENT].sum())
        if logging and sent > MOST_LOGGED:
            raise InvalidInput(
                f"a log of more than {MOST_LOGGED:,} requests does not fit into memory: log a shorter run, "
                "such as with --set run.duration=1h"
            )
        if progress is not None:
            progress(seed, env.now / NANOSECONDS_PER_SECOND, sent)

    return report


def _heartbeat(
    env: simpy.Environment,
    fleet: Fleet,
    end_ns: int,
    engine: Engine,
    window_s: float | None,
    report: Callable[[Counters], None],
) -> Generator[simpy.Event, Any, None]:
    if window_s is None:
        return beat(env, fleet, end_ns, ATTEMPTS_A_BEAT[engine], report)
    return beat_every(env, fleet, max(nanoseconds(window_s), 1), report)

"""Run engines on one case and compare everything that can be seen of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from simulator.dataplane import reference
from simulator.dataplane.eligible import reason_against_blocks
from simulator.dataplane.engine import DataPlane, Logs
from simulator.dataplane.reference_plane import ReferencePlane
from simulator.dataplane.specification import Specification
from simulator.results.recorded import CLASS_COUNTERS, SERVICE_COUNTERS
from tests.simulator.exact.case import Case, Move, change
from tests.simulator.exact.watch import WatchedEnvironment

if TYPE_CHECKING:
    from scenarios.fleet import Snapshot

COUNTERS = (
    "class_counters", "service_counters", "slo_good", "slo_total", "histogram", "batch_sizes", "served_items",
)  # fmt: skip
_MOST_SHOWN = 12


@dataclass(frozen=True)
class Engine:
    """A data plane that must equal the reference, named so that a patched copy of it can be loaded too."""

    module: str
    plane: str
    takes: Callable[[Specification], bool] = lambda _: True
    """Which specifications it runs; a fast path may be for some of them only."""

    @property
    def build(self) -> Callable[[Specification], DataPlane]:
        """Its class."""
        built: Callable[[Specification], DataPlane] = getattr(
            importlib.import_module(self.module), self.plane
        )
        return built


KERNEL = Engine("simulator.dataplane.kernel_plane", "KernelPlane")
BLOCKWISE = Engine(
    KERNEL.module, "BlockwisePlane", lambda specification: reason_against_blocks(specification) is None
)
ENGINES: tuple[Engine, ...] = (KERNEL, BLOCKWISE)
"""Every engine that the tests hold against the reference. A further path joins here, and nowhere else."""


@dataclass
class Recording:
    """What was seen of an engine at each stop, and its logs."""

    stops: list[dict[str, Any]] = field(default_factory=list)
    moves: list[tuple[Move, ...]] = field(default_factory=list)
    """What was applied at each step: moves of replicas that were gone by then are left out."""
    logs: Logs | None = None
    ties: dict[tuple[int, int], int] = field(default_factory=dict)
    """Reference only: how often two kinds of events met in one nanosecond."""


def play_reference(case: Case, specification: Specification, windows_ns: Sequence[int] = ()) -> Recording:
    """Run the reference, watched."""
    with mock.patch.object(reference, "OrderedEnvironment", WatchedEnvironment):
        plane = ReferencePlane(specification)
    recording = _play(plane, case, windows_ns, lambda move: move[0] == "add" or move[1] in plane._replicas)
    recording.ties = plane._run.env.ties
    return recording


def play(
    build: Callable[[Specification], DataPlane],
    case: Case,
    specification: Specification,
    moves: Sequence[tuple[Move, ...]],
    windows_ns: Sequence[int] = (),
) -> Recording:
    """Run another engine through the moves that the reference made."""
    steps = tuple((time_ns, made) for (time_ns, _), made in zip(case.steps, moves, strict=True))
    return _play(
        build(specification), Case(case.scenario, case.files, case.seed, steps, case.end_ns), windows_ns
    )


def _play(
    plane: DataPlane, case: Case, windows_ns: Sequence[int], exists: Callable[[Move], bool] = lambda _: True
) -> Recording:
    recording = Recording()
    steps = dict(case.steps)
    for stop_ns in sorted({*steps, *windows_ns, case.end_ns}):
        counters = plane.advance(stop_ns)
        is_stop = stop_ns in steps or stop_ns == case.end_ns
        if is_stop:
            # Just before the changes of this nanosecond …
            recording.stops.append(_seen(plane, counters))
        if stop_ns in steps:
            made = _apply(plane, steps[stop_ns], exists)
            recording.moves.append(made)
            # … and right after them.
            recording.stops.append(_seen(plane, counters))
    recording.logs = plane.logs()
    return recording


def _apply(plane: DataPlane, moves: Sequence[Move], exists: Callable[[Move], bool]) -> tuple[Move, ...]:
    """Apply what can be applied: a drained replica is forgotten some time, and cannot be killed then."""
    added = {move[1] for move in moves if move[0] == "add"}
    made: list[Move] = []
    killed: set[int] = set()
    for move in moves:
        if move[1] in killed or not (exists(move) or move[1] in added):
            continue
        made.append(move)
        if move[0] == "kill":
            killed.add(move[1])
    plane.apply(change(move) for move in made)
    return tuple(made)


def _seen(plane: DataPlane, counters: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {name: getattr(counters, name).copy() for name in COUNTERS}
    seen["busy_ns"] = plane.busy_ns().copy()
    seen["unfinished"], seen["unfinished_late"] = (each.copy() for each in plane.unfinished())
    seen["snapshot"] = plane.observe()
    return seen


def differences(expected: Recording, got: Recording) -> list[str]:
    """Every difference in one line each; the request and the batch where the runs part come first."""
    assert expected.logs is not None
    assert got.logs is not None
    found: list[str] = []
    for name in (each.name for each in fields(Logs)):
        found += _rows_apart(name, getattr(expected.logs, name), getattr(got.logs, name))
    if len(expected.stops) != len(got.stops):
        found.append(f"stops: expected {len(expected.stops)}, got {len(got.stops)}")
    for number, (before, after) in enumerate(zip(expected.stops, got.stops, strict=False)):
        time_s = before["snapshot"].time_s
        for name, value in before.items():
            if name == "snapshot":
                found += _snapshots_apart(f"stop {number}", value, after[name])
            elif not _same(value, after[name]):
                found += [
                    f"stop {number} at {time_s} s: {line}" for line in _arrays_apart(name, value, after[name])
                ]
    return found


def _same(a: Any, b: Any) -> bool:
    return a.shape == b.shape and bool(np.array_equal(a, b))


def _snapshots_apart(where: str, expected: Snapshot, got: Snapshot) -> list[str]:
    return [] if expected == got else [f"{where}: expected {expected}, got {got}"]


def _rows_apart(name: str, expected: Any, got: Any) -> list[str]:
    """The first row, in the order of time, that only one of two logs has."""
    if expected.dtype == got.dtype and np.array_equal(expected, got):
        return []
    ours, theirs = (set(map(_row, log)) for log in (expected, got))
    column = "end_ns" if "end_ns" in (expected.dtype.names or ()) else "start_ns"
    when = list(expected.dtype.names).index(column)
    lines = [f"{name}: expected {len(expected)} rows, got {len(got)}; columns {expected.dtype.names}"]
    for who, rows in (("expected only", ours - theirs), ("got only", theirs - ours)):
        lines += [f"  {who}: {row}" for row in sorted(rows, key=lambda row: row[when])[:3]]
    return lines


def _row(row: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in row)


def _arrays_apart(name: str, expected: Any, got: Any) -> list[str]:
    if expected.shape != got.shape:
        return [f"{name}: expected shape {expected.shape}, got {got.shape}"]
    labels = {"class_counters": CLASS_COUNTERS, "service_counters": SERVICE_COUNTERS}.get(name)
    places = np.argwhere(expected != got)[:_MOST_SHOWN]
    return [
        f"{name}[{', '.join(map(str, place))}]{f' ({labels[place[-1]]})' if labels else ''}: "
        f"expected {expected[tuple(place)]}, got {got[tuple(place)]}"
        for place in places
    ]


def explained(case: Case, engine: str, found: Sequence[str]) -> str:
    """What a failure prints: what differs, and the case to run again."""
    shown = "\n".join(found[: 3 * _MOST_SHOWN])
    return f"{engine} differs from the reference:\n{shown}\n\ncase = {case!r}"


def check(case: Case, engines: Sequence[Engine] = ENGINES) -> tuple[Specification, Recording]:
    """Assert that the engines which take this case equal the reference. Returns what the reference did."""
    specification = case.specification()
    expected = play_reference(case, specification)
    for engine in engines:
        if engine.takes(specification):
            got = play(engine.build, case, specification, expected.moves)
            found = differences(expected, got)
            assert not found, explained(case, engine.plane, found)
    return specification, expected

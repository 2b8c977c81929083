"""The written order of simultaneous events (docs/decisions/0002-event-order.md), one small case a rule."""

import numpy as np
import pytest

from simulator.dataplane.reference_plane import ReferencePlane
from simulator.results.recorded import CLASS_COUNTERS
from tests.simulator.exact.case import change
from tests.simulator.exact.harness import ENGINES, check
from tests.simulator.exact.ties import MS, ONE, TIES, TWO, Tie

SENT, OK = CLASS_COUNTERS.index("sent"), CLASS_COUNTERS.index("ok_model")
PLANES = [ReferencePlane, *(engine.build for engine in ENGINES)]


def outcome(row) -> str:
    """What became of a request, as `Tie` writes it."""
    how = CLASS_COUNTERS[row["outcome"]].removeprefix("ok_").removeprefix("failed_")
    attempts = f"x{row['attempts']}" if row["attempts"] > 1 else ""
    return f"{how}@{row['end_ns'] // MS}{attempts}"


@pytest.mark.parametrize("tie", TIES, ids=lambda tie: tie.rule)
def test_simultaneous_events_happen_in_the_written_order(tie):
    _, recording = check(tie.case())
    requests, batches = recording.logs.requests, np.sort(recording.logs.batches, order=["start_ns", "uid"])
    names = list(tie.sends)
    found = {name: [outcome(row) for row in requests if row["cls"] == names.index(name)] for name in names}
    assert found == tie.outcomes
    shown = [f"{b['uid']}.{b['number']} {b['start_ns'] // MS}-{b['finish_ns'] // MS}" for b in batches]
    assert shown == tie.batches


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.__name__)
def test_a_window_is_closed_at_its_begin_and_open_at_its_end(plane):
    tie = Tie("", {"a": [10]}, {}, [])
    plane = plane(tie.case().specification())
    plane.apply(change(move) for move in ONE)
    assert plane.advance(10 * MS).class_counters[0, SENT] == 0
    assert plane.advance(10 * MS + 1).class_counters[0, SENT] == 1
    assert plane.observe().services[0].in_service == 1
    assert plane.advance(20 * MS).class_counters[0, OK] == 0
    assert plane.advance(20 * MS + 1).class_counters[0, OK] == 1


@pytest.mark.parametrize("plane", PLANES, ids=lambda plane: plane.__name__)
def test_draining_twice_is_draining_once(plane):
    tie = Tie("", {"a": [10, 20]}, {}, [])
    plane = plane(tie.case().specification())
    plane.apply(change(move) for move in TWO)
    plane.advance(11 * MS)
    busy = 0 if plane.observe().services[0].in_service else 1
    plane.apply([change(("drain", busy)), change(("drain", busy))])
    assert plane.advance(40 * MS).class_counters[0, OK] == 2

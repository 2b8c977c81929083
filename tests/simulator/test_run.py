"""The run loop: both engines, whole runs, and when things are read."""

from __future__ import annotations

import numpy as np
import pytest

from scenarios.errors import InvalidInput, Unsupported
from scenarios.load import load_scenario
from simulator.control.timeline import timeline
from simulator.results.recorded import CLASS_COUNTERS, POOL_GAUGES, SERVICE_COUNTERS, SERVICE_GAUGES
from simulator.run import simulate, simulate_many
from tests.simulator.small import SECOND, differences, document, load

SENT, BUSY_NS = CLASS_COUNTERS.index("sent"), SERVICE_COUNTERS.index("busy_ns")
READY, SLOTS = SERVICE_GAUGES.index("ready_replicas"), SERVICE_GAUGES.index("batch_slots")


def edges_s(**run):
    changed = document()
    changed["run"] |= run
    return (timeline(load(changed).scenario).edges_ns / SECOND).tolist()


def windowless(**run):
    changed = document()
    changed["run"] = {"duration": "60s", **run}
    changed["slos"] = []
    return timeline(load(changed).scenario)


@pytest.mark.parametrize("queue", ["per-replica", "shared"])
def test_both_engines_record_the_same_while_pools_grow_and_shrink(queue):
    changed = document()
    changed["services"][0]["queue"] = queue
    logs = {}
    records = {
        engine: simulate(
            load(changed), engine=engine, on_logs=lambda _, log, engine=engine: logs.update({engine: log})
        )
        for engine in ("kernel", "reference")
    }
    assert differences(records["kernel"], records["reference"]) == []
    assert np.array_equal(logs["kernel"].requests, logs["reference"].requests)
    assert np.array_equal(logs["kernel"].batches, logs["reference"].batches)
    kinds = {event.kind for event in records["kernel"].events}
    assert {"instance-cancelled", "instance-gone", "instance-ready"} <= kinds
    assert records["kernel"].class_counters[-1, :, SENT].sum() > 3000


def test_counters_never_fall_and_busy_time_never_exceeds_the_slots():
    record = simulate(load())
    assert (np.diff(record.class_counters, axis=0) >= 0).all()
    busy_ns = np.diff(record.service_counters[:, :, BUSY_NS], axis=0)
    lengths_ns = np.diff(record.edges_ns)[:, None]
    draining = 4  # slots of draining replicas are busy and not counted
    assert (busy_ns <= lengths_ns * (record.service_gauges[:-1, :, SLOTS] + draining)).all()


def test_counters_at_an_edge_are_from_before_it_and_gauges_from_after():
    changed = document()
    changed["arrivals"] = [{"name": "web", "process": "regular", "rate": "1/s"}]
    changed["pools"][0] |= {"size": 1, "schedule": {"steps": [{"at": "20s", "size": 3}]}, "startup": {}}
    changed["models"][0] |= {"load": "0s", "warm_up": "0s"}
    record = simulate(load(changed), engine="reference")
    row = int(np.searchsorted(record.edges_ns, 20 * SECOND))
    sent = record.class_counters[:, :, SENT].sum(axis=1)
    log = []
    simulate(load(changed), engine="reference", on_logs=lambda _, logs: log.append(logs.requests))
    assert sent[row] == (log[0]["first_ns"] < 20 * SECOND).sum()
    extra = POOL_GAUGES.index("ready_instances")
    assert record.pool_gauges[[row - 1, row], 0, extra].tolist() == [1, 3]
    assert record.service_gauges[row, 0, READY] == record.pool_gauges[row, :, extra].sum()


def test_histogram_windows_add_up_to_the_answered_requests():
    record = simulate(load())
    answered = record.class_counters[-1, :, [CLASS_COUNTERS.index(f"ok_{way}") for way in
                                             ("model", "cache", "coalesced")]].sum()  # fmt: skip
    assert record.histogram.count[record.histogram.kind < 2].sum() == answered
    assert (record.histogram.count > 0).all()
    assert set(record.histogram_edges_ns) <= set(record.edges_ns)
    assert np.diff(record.histogram.window).min() >= 0


def test_the_timeline_has_the_interval_the_warmup_and_the_slo_windows():
    assert edges_s(interval="10s", duration="35s", warmup="4s") == [0, 4, 10, 14, 20, 24, 30, 34, 35]


@pytest.mark.parametrize(
    ("duration", "step_s", "rows", "windows"),
    [("60s", 0.2, 300, 150), ("5m", 1, 300, 150), ("1d", 300, 288, 144), ("30d", 7200, 360, 180),
     ("400s", 1, 400, 200), ("10ms", 0.01, 1, 1), ("3650d", 86_400, 3650, 193)],
)  # fmt: skip
def test_the_automatic_step_is_round_and_gives_some_hundred_rows(duration, step_s, rows, windows):
    found = windowless(duration=duration)
    assert np.diff(found.edges_ns)[0] == round(step_s * SECOND)
    assert len(found.edges_ns) == rows + 1
    assert len(found.histogram_edges_ns) == windows + 1


def test_the_automatic_step_divides_the_slo_windows_where_it_can():
    changed = document()
    changed["run"] = {"duration": "2d"}  # 600 s would give fewer than 500 rows
    changed["slos"][0]["window"] = "45m"
    assert set(np.diff(timeline(load(changed).scenario).edges_ns)) == {900 * SECOND}


def test_too_many_slo_windows_are_refused_in_words():
    changed = document()
    changed["slos"][0]["window"] = "10us"
    with pytest.raises(InvalidInput, match=r"slos\[fast\]\.window: 10 µs gives more than 1,000,000 windows"):
        simulate(load(changed))


def test_what_the_engine_cannot_run_is_refused():
    changed = document()
    changed["models"][0]["batching"] = "continuous"
    with pytest.raises(Unsupported, match="continuous batching"):
        simulate(load(changed))


def test_progress_reaches_the_end_and_what_it_raises_ends_the_run():
    seen = []
    record = simulate(load(), progress=lambda *each: seen.append(each))
    assert seen[-1] == (7, 60.0, record.class_counters[-1, :, SENT].sum())
    assert [each[1] for each in seen] == sorted(each[1] for each in seen)
    assert len(seen) > 50

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(load(), progress=stop)


def test_an_error_in_one_of_many_runs_stops_the_others_and_is_raised():
    seen = []

    def fail(seed, simulated_s, sent):
        seen.append(simulated_s)
        if seed == 2:
            raise InvalidInput("no more")

    with pytest.raises(InvalidInput, match="no more"):
        simulate_many(load(), range(1, 40), threads=2, progress=fail)
    assert len(seen) < 39 * 50


def test_the_record_says_which_path_ran_and_what_a_faster_one_could_not_do():
    changed = document()
    record = simulate(load(changed))
    assert (record.path, record.path_reason) == ("event-ordered", "route main: feature fetch takes time")
    record = simulate(load(changed), engine="reference")
    assert (record.path, record.path_reason) == ("reference", "asked for")
    del changed["routes"][0]["feature_fetch"]
    del changed["classes"][1]["items"]
    record = simulate(load(changed))
    assert (record.path, record.path_reason) == ("block-wise", None)


def test_the_quickstart_keeps_its_promise(pytestconfig):
    loaded = load_scenario(pytestconfig.rootpath / "scenarios/library/quickstart.yaml")
    record = simulate(loaded)
    assert record.slo_good[-1, 0] >= 0.99 * record.slo_total[-1, 0]

"""A recording becomes the record that a simulation of the same events has."""

from __future__ import annotations

import numpy as np
import pytest

from serving_ref.loadtest.measured import measured
from serving_ref.loadtest.recording import (
    DENIED,
    ENDED,
    SKIPPED,
    UNFINISHED,
    Recorded,
    Recording,
    read_recorded,
    write_recorded,
)
from serving_ref.loadtest.results import FIRST_FAILURE, LOST, MODEL, NO_REPLICA, OPEN, RESULTS, SHED, TIMEOUT
from serving_ref.loadtest.schedule import read_schedule, write_schedule
from simulator.demand import draw
from simulator.results.histogram import lower_edges_ns
from simulator.results.recorded import CLASS_COUNTERS, LATENCY_KINDS
from simulator.run import simulate
from tests.serving_ref.loadtest.sending import SECOND, regular, schedule
from tests.simulator.small import document, load


def recorded_as(logs, drawn) -> Recorded:
    """What the generator would have written down, had it sent what a simulation without retries sent."""
    outcome = {(int(row["stream"]), int(row["id"])): row for row in logs.requests}
    recording = Recording(len(drawn.number), 1)
    for request, who in enumerate(zip(drawn.stream.tolist(), drawn.number.tolist(), strict=True)):
        due_ns = int(drawn.due_ns[request])
        row = recording.begin(request, 0, due_ns, due_ns)
        if who in outcome:
            name = CLASS_COUNTERS[outcome[who]["outcome"]].partition("_")[2]
            recording.end(row, int(outcome[who]["end_ns"]), RESULTS.index(name), 0)
            recording.state[request] = ENDED
    return recording.recorded()


@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_the_log_of_a_simulation_counts_to_its_own_record(engine):
    changed = document()
    for each in changed["classes"]:
        each.pop("retries", None)
        each["timeout"] = "150ms"
    changed["routes"][0]["cache"]["hit_latency"] = (
        "0s"  # a simulation counts a hit when it is found, not when it is sent
    )
    loaded = load(changed)
    logs = []
    record = simulate(loaded, 3, engine=engine, on_logs=lambda _, each: logs.append(each))
    drawn = draw(loaded, 3)
    recorded, edges_ns = recorded_as(logs[0], drawn), (record.edges_ns, record.histogram_edges_ns)
    found = measured(loaded.scenario, drawn, recorded, *edges_ns)
    for name in ("class_counters", "slo_good", "slo_total", "unfinished", "unfinished_late"):
        assert np.array_equal(getattr(found, name), getattr(record, name)), name
    for name in record.histogram.__slots__:
        expected = getattr(record.histogram, name)
        assert np.array_equal(getattr(found.histogram, name), expected), name
        assert getattr(found.histogram, name).dtype == expected.dtype
    assert record.class_counters[-1, 0, CLASS_COUNTERS.index("failed_timeout")] > 0
    assert record.unfinished.sum() > 0


def made_up(seed=1, requests=400, end_ns=60 * SECOND):
    """Requests with up to three attempts, some open, skipped, denied, or ended after the end of the run."""
    random = np.random.default_rng(seed)
    due_ns = np.sort(random.integers(0, end_ns, requests))
    recording = Recording(requests, 3)
    for request in range(requests):
        if random.random() < 0.05:
            recording.state[request] = SKIPPED
            continue
        at_ns = int(due_ns[request])
        for attempt in range(3):
            if at_ns >= end_ns:
                break
            row = recording.begin(request, attempt, at_ns, at_ns + int(random.integers(0, SECOND)))
            if random.random() < 0.03:
                break
            result = int(random.choice([MODEL, MODEL + 1, MODEL + 2, TIMEOUT, SHED, NO_REPLICA, LOST]))
            took_ns = int(random.integers(1, 3 * SECOND))
            recording.end(row, at_ns + took_ns, result, 200 if result < FIRST_FAILURE else 503)
            if result < FIRST_FAILURE or attempt == 2:
                recording.state[request] = ENDED
                break
            if random.random() < 0.2:
                recording.state[request] = DENIED
                break
            at_ns += took_ns + int(random.integers(0, SECOND))
    return schedule(due_ns, class_index=random.integers(0, 2, requests), waits=[0, 0]), recording.recorded()


def test_counters_are_those_of_counting_one_by_one():
    scenario = load().scenario
    given, recorded = made_up()
    edges_ns = np.array([0, 10, 20, 30, 40, 50, 60]) * SECOND
    found = measured(scenario, given, recorded, edges_ns, edges_ns[::2])
    expected = np.zeros_like(found.class_counters)
    unfinished = np.zeros(2, int)
    served = np.zeros_like(found.served_items)

    def count(counter, place, at_ns, amount=1):
        for row, edge_ns in enumerate(edges_ns.tolist()):
            if at_ns < edge_ns:
                expected[row, place, CLASS_COUNTERS.index(counter)] += amount

    for row, request in enumerate(recorded.request.tolist()):
        place, result, end_ns = given.class_index[request], recorded.result[row], recorded.end_ns[row]
        count("attempts", place, recorded.due_ns[row])
        if result >= FIRST_FAILURE:
            count(f"attempt_{RESULTS[result]}", place, end_ns)
        if result == MODEL and 10 * SECOND <= end_ns < 60 * SECOND:
            served[place, 0] += 1
        if recorded.attempt[row] == 0:
            count("sent", place, given.due_ns[request])
        if recorded.last[request] != row:
            continue
        state = recorded.state[request]
        if state == UNFINISHED or end_ns >= 60 * SECOND:
            unfinished[place] += 1
        elif result < FIRST_FAILURE:
            count(f"ok_{RESULTS[result]}", place, end_ns)
            count("latency_ns", place, end_ns, end_ns - given.due_ns[request])
        else:
            count(f"failed_{RESULTS[result]}", place, end_ns)
            if state == DENIED:
                count("retries_denied", place, end_ns)
    assert np.array_equal(found.class_counters, expected)
    assert found.unfinished.tolist() == unfinished.tolist()
    assert np.array_equal(found.served_items, served)
    assert (expected[-1] > 0).sum() > 20


def test_a_retried_answer_counts_from_its_first_send_and_from_its_own():
    recording = Recording(1, 2)
    recording.end(recording.begin(0, 0, 0, 0), SECOND, SHED, 503)
    recording.end(recording.begin(0, 1, 2 * SECOND, 2 * SECOND), 5 * SECOND, MODEL, 200)
    recording.state[0] = ENDED
    edges_ns = np.array([0, 60]) * SECOND
    found = measured(
        load().scenario, schedule([0], waits=[0]), recording.recorded(), edges_ns, edges_ns
    ).histogram
    buckets = np.searchsorted(lower_edges_ns(), [5 * SECOND, 3 * SECOND], side="right") - 1
    assert [LATENCY_KINDS[kind] for kind in found.kind] == ["retried_logical", "retried_attempt"]
    assert found.bucket.tolist() == buckets.tolist()
    assert found.count.tolist() == [1, 1]


def test_latency_counts_from_when_a_request_was_due_however_late_it_was_sent():
    """Due at 20 s, sent at 20.15 s, answered at 20.25 s: too late for 200 ms."""
    due_ns = 20 * SECOND
    recording = Recording(1, 1)
    recording.end(recording.begin(0, 0, due_ns, due_ns + 150_000_000), due_ns + 250_000_000, MODEL, 200)
    recording.state[0] = ENDED
    edges_ns = np.array([0, 60]) * SECOND
    found = measured(load().scenario, schedule([due_ns]), recording.recorded(), edges_ns, edges_ns)
    assert found.class_counters[-1, 0, CLASS_COUNTERS.index("latency_ns")] == 250_000_000
    assert lower_edges_ns()[found.histogram.bucket[0]] == pytest.approx(250e6, rel=0.016)
    assert (found.slo_good[-1, 0], found.slo_total[-1, 0]) == (0, 1)


def test_what_the_service_names_is_counted_for_it():
    changed = document()
    changed["services"].append({"name": "other", "model": "m", "pools": ["extra"]})
    recording = Recording(2, 1)
    for request, service in enumerate((1, -1)):
        row = recording.begin(request, 0, 0, 0)
        recording.end(row, 20 * SECOND, MODEL, 200)
        recording.service[row] = service
        recording.state[request] = ENDED
    edges_ns = np.array([0, 60]) * SECOND
    found = measured(load(changed).scenario, schedule([0, 0]), recording.recorded(), edges_ns, edges_ns)
    assert found.served_items.tolist() == [[1, 1], [0, 0]]


def test_columns_come_back_from_disk_as_they_were(tmp_path):
    given, recorded = made_up(seed=2)
    write_recorded(tmp_path, recorded)
    back = read_recorded(tmp_path)
    assert all(np.array_equal(getattr(back, name), column) for name, column in vars(recorded).items())
    assert (back.result == OPEN).any()
    for one in (given, schedule(regular(10, 1))):
        write_schedule(tmp_path / "schedule.parquet", one)
        again = read_schedule(tmp_path / "schedule.parquet")
        assert all(np.array_equal(getattr(again, name), column) for name, column in vars(one).items())
        assert again.retry_wait_ns.shape == one.retry_wait_ns.shape

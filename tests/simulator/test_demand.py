"""A demand drawn up front is exactly what a simulation sends."""

from __future__ import annotations

import numpy as np
import pytest

from scenarios.errors import InvalidInput, Unsupported
from simulator import demand
from simulator.dataplane import specification
from simulator.dataplane.python_draws import draw_wait_ns
from simulator.dataplane.reference import Reference
from simulator.dataplane.resolve_fleet import resolve
from simulator.dataplane.state import backoff_waits_ns
from simulator.demand import draw
from simulator.results.recorded import CLASS_COUNTERS
from simulator.run import simulate
from tests.simulator.small import document, load

BURSTY = {
    "rate": "80/s",
    "process": {"mmpp": [{"mean_duration": "3s", "times": 0.2}, {"mean_duration": "2s", "times": 3}]},
}
SHAPED = {
    "rate": "50/s",
    "shape_step": "2s",
    "shape": [{"spike": {"at": "20s", "times": 4, "rise": "2s", "hold": "5s", "fall": "3s"}}],
    "process": {"gamma_cv": 2},
}


def several_streams():
    changed = document()
    changed["run"]["duration"] = "40s"
    changed["arrivals"] = [
        {"name": "web", **SHAPED},
        {"name": "app", **BURSTY},
        {"name": "batch", "rate": "10/s", "process": "regular"},
    ]
    changed["classes"] += [
        {"name": "app", "arrivals": "app", "route": "main", "items": 2,
         "keys": {"count": 1000, "zipf": 1.1, "drift": {"every": "10s", "by": 7}},
         "retries": {"max": 3, "backoff": "20ms", "jitter": "equal"}},
        {"name": "nightly", "arrivals": "batch", "route": "tiers"},
    ]  # fmt: skip
    changed["routes"].append({
        "name": "tiers", "split": "difficulty",
        "targets": [{"service": "ranker", "difficulty_below": "60%"}, {"service": "ranker"}],
    })  # fmt: skip
    return load(changed)


@pytest.mark.parametrize("loaded", [load(), several_streams()], ids=["small", "several streams"])
@pytest.mark.parametrize("seed", [None, 23])
def test_it_is_what_the_request_log_of_a_simulation_shows(loaded, seed):
    logs = []
    record = simulate(loaded, seed, on_logs=lambda _, each: logs.append(each))
    drawn = draw(loaded, seed)
    rows = {
        (stream, number): (place, due_ns)
        for stream, number, place, due_ns in zip(
            drawn.stream.tolist(),
            drawn.number.tolist(),
            drawn.class_index.tolist(),
            drawn.due_ns.tolist(),
            strict=True,
        )
    }
    ended = logs[0].requests
    assert len(ended) > 1000
    for row in ended:
        assert rows[int(row["stream"]), int(row["id"])] == (int(row["cls"]), int(row["first_ns"]))
    sent = record.class_counters[-1, :, CLASS_COUNTERS.index("sent")]
    assert np.bincount(drawn.class_index, minlength=len(sent)).tolist() == sent.tolist()


def test_keys_items_and_difficulties_are_those_of_the_reference_engine(monkeypatch):
    loaded = several_streams()
    seen = []
    born = Reference.born

    def watched(self, stream, ident):
        request = born(self, stream, ident)
        key = request.key - request.cls.key_offset if request.key >= 0 else -1
        seen.append((stream.index, ident, request.cls.index, key, request.items, request.difficulty))
        return request

    monkeypatch.setattr(Reference, "born", watched)
    simulate(loaded, 5, engine="reference")
    drawn = draw(loaded, 5)
    columns = (drawn.stream, drawn.number, drawn.class_index, drawn.key, drawn.items, drawn.difficulty)
    assert sorted(zip(*(each.tolist() for each in columns), strict=True)) == sorted(seen)
    assert {key < 0 for *_, key, _, _ in seen} == {True, False}
    assert len({difficulty for *_, difficulty in seen}) > 100


def test_the_waits_before_retries_are_those_of_the_simulated_clients():
    loaded = several_streams()
    drawn = draw(loaded, 5)
    classes = resolve(loaded.scenario, loaded.files, 5).classes
    for row in range(0, len(drawn.number), 97):
        each = classes[drawn.class_index[row]]
        waits = backoff_waits_ns(each)
        expected = [
            draw_wait_ns(
                each.jitter, waits[n], each.seeds[specification.FOR_JITTER], int(drawn.number[row]), n
            )
            if n < each.max_retries
            else 0
            for n in range(drawn.retry_wait_ns.shape[1])
        ]
        assert drawn.retry_wait_ns[row].tolist() == expected


def test_requests_are_in_the_order_in_which_they_are_sent():
    drawn = draw(several_streams())
    assert (np.diff(drawn.due_ns) >= 0).all()
    assert drawn.due_ns[-1] < 40_000_000_000


def test_closed_loop_users_have_no_schedule():
    changed = document()
    changed["arrivals"] = [{"name": "web", "users": {"count": 3, "think_time": "1s"}}]
    with pytest.raises(Unsupported, match=r"arrivals\[web\].users: closed-loop users"):
        draw(load(changed))


def test_a_schedule_that_does_not_fit_into_memory_is_refused(monkeypatch):
    monkeypatch.setattr(demand, "MOST_REQUESTS", 1000)
    with pytest.raises(InvalidInput, match="may have 1,000 requests"):
        draw(load())

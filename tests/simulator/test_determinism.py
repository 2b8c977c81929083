"""The same scenario and seed give the same bytes, and nothing unrelated changes what a stream meets."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from scenarios.catalogue import load_catalogue
from simulator.money.bill import bill
from simulator.money.prices import list_prices
from simulator.results.run_directory import META, write_run
from simulator.run import simulate, simulate_many
from tests.simulator.small import document, load


def written(directory, records):
    """Bytes of every file of the run directory, by name; meta.json left out."""
    loaded = load()
    write_run(
        directory,
        scenario=loaded.scenario,
        digest=loaded.digest,
        document=loaded.document,
        records=records,
        lines=bill(loaded.scenario, records, list_prices(loaded.scenario, load_catalogue())),
        engine="kernel",
        versions={},
        meta={"directory": str(directory)},
    )
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != META}


@pytest.mark.parametrize("window_s", [0.1, 1, 15])
def test_windows_change_no_byte(tmp_path, window_s):
    plain = written(tmp_path / "plain", [simulate(load())])
    windowed = written(tmp_path / "windowed", [simulate(load(), window_s=window_s)])
    assert len(plain) == 6
    assert windowed == plain


def test_threads_change_no_byte(tmp_path):
    seeds = [3, 4, 5, 6]
    one = written(tmp_path / "one", simulate_many(load(), seeds, threads=1))
    two = written(tmp_path / "two", simulate_many(load(), seeds, threads=2))
    assert two == one


def test_a_repeated_run_has_the_same_bytes_and_another_seed_has_not(tmp_path):
    first = written(tmp_path / "first", [simulate(load(), 3)])
    assert written(tmp_path / "again", [simulate(load(), 3)]) == first
    assert written(tmp_path / "other", [simulate(load(), 4)])["timeline.parquet"] != first["timeline.parquet"]


def test_many_seeds_are_the_single_runs_in_their_order():
    records = simulate_many(load(), [9, 2], threads=2)
    assert [record.seed for record in records] == [9, 2]
    for record in records:
        alone = simulate(load(), record.seed)
        assert np.array_equal(alone.class_counters, record.class_counters)


def requests_of(changed, stream):
    """The log of one stream's requests, without what only numbers the stream and the class."""
    logs = []
    loaded = load(changed)
    simulate(loaded, on_logs=lambda _, log: logs.append(log.requests))
    index = [each.name for each in loaded.scenario.arrivals].index(stream)
    own = logs[0][logs[0]["stream"] == index]
    return {name: own[name] for name in ("id", "attempts", "outcome", "first_ns", "end_ns")}


def with_a_neighbour():
    """A second stream, class, route, model, service and pool, all of them first in their lists."""
    changed = document()
    neighbour = {
        "arrivals": {"name": "bots", "rate": "40/s"},
        "classes": {"name": "crawl", "arrivals": "bots", "route": "aside", "keys": {"count": 50},
                    "timeout": "400ms"},
        "routes": {"name": "aside", "targets": [{"service": "aside"}],
                   "cache": {"kind": "lru", "capacity": 9}},
        "services": {"name": "aside", "model": "tiny", "pools": ["cpu"]},
        "models": {**copy.deepcopy(changed["models"][0]), "name": "tiny"},
        "pools": {**copy.deepcopy(changed["pools"][0]), "name": "cpu", "instance_type": "c5.2xlarge"},
    }  # fmt: skip
    for key, entry in neighbour.items():
        changed[key].insert(0, entry)
    return changed


def test_a_neighbour_leaves_every_request_of_a_stream_as_it_was():
    alone, beside = requests_of(document(), "web"), requests_of(with_a_neighbour(), "web")
    assert len(alone["id"]) > 3000
    for name, column in alone.items():
        assert np.array_equal(column, beside[name]), name


def test_a_pool_that_nothing_runs_on_leaves_every_request_as_it_was():
    changed = document()
    schedule = {"steps": [{"at": "16s", "size": 5}]}
    changed["pools"].insert(0, {"name": "aaa", "instance_type": "c5.large", "size": 3, "schedule": schedule})
    alone, beside = requests_of(document(), "web"), requests_of(changed, "web")
    for name, column in alone.items():
        assert np.array_equal(column, beside[name]), name


def test_the_order_of_pools_does_not_matter():
    """Both pools change at 16 s: which process SimPy wakes first must not show."""
    changed = document()
    changed["pools"].reverse()
    alone, beside = requests_of(document(), "web"), requests_of(changed, "web")
    for name, column in alone.items():
        assert np.array_equal(column, beside[name]), name


def test_a_changed_policy_meets_the_same_traffic():
    changed = document()
    changed["services"][0] |= {"balancing": "least-outstanding", "batching": {"max_batch_size": 8}}
    before, after = requests_of(document(), "web"), requests_of(changed, "web")
    sent = [dict(zip(each["id"], each["first_ns"], strict=True)) for each in (before, after)]
    common = sent[0].keys() & sent[1].keys()  # a few of each were open at the end
    assert len(common) > 3000
    assert all(sent[0][request] == sent[1][request] for request in common)
    assert not np.array_equal(before["end_ns"], after["end_ns"])

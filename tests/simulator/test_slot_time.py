"""Slot time: what busy time is held against."""

import numpy as np
import pytest

from scenarios.fleet import AddReplica
from scenarios.schema.fleet import Service
from simulator.control.slot_time import SlotTime
from simulator.results.recorded import SERVICE_COUNTERS
from simulator.results.totals import service_totals
from simulator.run import simulate
from tests.simulator.small import SECOND, document, load

BUSY_NS = SERVICE_COUNTERS.index("busy_ns")


def test_slots_count_from_the_readiness_of_their_replica_until_it_is_gone():
    services = [
        Service(name="a", model="m", pools=["gpu"], instances_per_replica=3),
        Service(name="b", model="m", pools=["gpu"]),
    ]
    slots = SlotTime(services)
    for replica, service, at in ((7, "a", 10), (8, "b", 20), (9, "a", 30)):
        slots.begin(AddReplica(replica, service, "gpu", 0, 0), at)
    assert slots.until(40).tolist() == [3 * 30 + 3 * 10, 20]
    slots.end(7, 50)
    assert slots.until(50).tolist() == slots.until(50).tolist() == [3 * 40 + 3 * 20, 30]
    assert slots.until(60).tolist() == [3 * 40 + 3 * 30, 40]


def overloaded():
    """More work than two instances can do, a third that is ready at 33 s, and intervals of 20 s."""
    changed = document()
    changed["run"] = {"duration": "100s", "interval": "20s"}
    changed["slos"] = []
    changed["arrivals"][0] |= {"rate": "200/s"}
    changed["models"][0] |= {"load": "2s", "warm_up": "1s"}
    changed["services"][0]["pools"] = ["gpu"]
    changed["pools"] = [{
        "name": "gpu", "instance_type": "g5.xlarge", "size": 2,
        "schedule": {"steps": [{"at": "15s", "size": 3}, {"at": "70500ms", "size": 1}]},
        "startup": {"grant": "10s", "boot": "5s"},
    }]  # fmt: skip
    return changed


@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_utilisation_is_at_most_one_in_every_interval_even_when_replicas_come_and_go_within_it(engine):
    record = simulate(load(overloaded()), engine=engine)
    busy, slots = np.diff(record.service_counters[:, 0, BUSY_NS]), np.diff(record.slot_ns[:, 0])
    shares = busy / slots
    assert (shares <= 1).all()
    assert shares[1] > 0.95, "the replica that is ready at 33 s is busy from then on"
    ready_s = 20 + 20 + (40 - 33)
    assert slots[:2].tolist() == [2 * 20 * SECOND, ready_s * SECOND]


def test_utilisation_of_a_service_is_of_the_time_after_the_warm_up():
    changed = overloaded()
    changed["run"]["warmup"] = "30s"
    loaded = load(changed)
    record = simulate(loaded)
    found = service_totals(record, loaded.scenario, 30 * SECOND)["ranker"]
    row = record.edges_ns.tolist().index(30 * SECOND)
    assert found["slot_s"] == (record.slot_ns[-1, 0] - record.slot_ns[row, 0]) / SECOND
    assert 0.9 < found["utilisation"] <= 1


def test_batches_of_the_warm_up_are_not_among_those_counted():
    record = simulate(load())
    row = record.edges_ns.tolist().index(10 * SECOND)
    counters = dict(
        zip(SERVICE_COUNTERS, record.service_counters[-1, 0] - record.service_counters[row, 0], strict=True)
    )
    assert record.batch_sizes[0].sum() == counters["batches"] < record.service_counters[-1, 0, 0]
    sizes = np.arange(record.batch_sizes.shape[1])
    assert (record.batch_sizes[0] * sizes).sum() == record.served_items[:, 0].sum() == counters["batch_items"]

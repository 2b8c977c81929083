"""The life of instances: start-up stages, who goes first, draining, and what is paid."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from scenarios.catalogue import load_catalogue
from scenarios.errors import InvalidInput
from scenarios.placement import replicas_per_instance
from scenarios.schema.fleet import Pool
from simulator.control.instances import ReplicaNumbers
from simulator.control.pools import kinds, wanted_sizes
from simulator.money.bill import bill
from simulator.money.prices import list_prices
from simulator.results.recorded import POOL_GAUGES, Usage
from simulator.run import simulate
from tests.simulator.small import SECOND, document, load

PAID, READY = (POOL_GAUGES.index(name) for name in ("instances", "ready_instances"))


def one_pool(*, rate="5/s", duration="100s", latency="20ms", startup=None, **pool):
    """One pool with start-up stages of fixed length: 10 s + 5 s + 3 s, then the model's 2 s + 1 s."""
    changed = document()
    changed["run"] = {"duration": duration}
    changed["slos"] = []
    changed["arrivals"][0] |= {"rate": rate, "process": "regular"}
    changed["services"][0]["pools"] = ["gpu"]
    changed["models"][0] |= {"load": "2s", "warm_up": "1s"}
    changed["models"][0]["profiles"][0]["latency"] = {"per_item": latency}
    startup = {"grant": "10s", "boot": "5s", "image_pull": "3s"} if startup is None else startup
    changed["pools"] = [{"name": "gpu", "instance_type": "g5.xlarge", "startup": startup, **pool}]
    return changed


def steps(*pairs, **more):
    return {"steps": [{"at": at, "size": size} for at, size in pairs], **more}


def lives(record):
    return [(life.pool, life.instance, life.begin_ns / SECOND, life.end_ns / SECOND) for life in record.usage]


def events(record):
    return [(event.time_ns / SECOND, event.kind, event.subject, event.detail) for event in record.events]


def test_an_instance_goes_through_its_stages():
    record = simulate(load(one_pool(size=1, schedule=steps(("20s", 2), ("60s", 1)))), engine="reference")
    assert events(record) == [
        (0, "pool-resized", "gpu", "starts with 1 instance"),
        (20, "pool-resized", "gpu", "1 to 2 instances"),
        (20, "instance-asked", "gpu/1", ""),
        (30, "instance-granted", "gpu/1", "10 s after it was asked for"),
        (41, "instance-ready", "gpu/1", "21 s after it was asked for"),
        (60, "pool-resized", "gpu", "2 to 1 instance"),
        (60, "instance-draining", "gpu/1", "1 replica"),
        (61, "instance-gone", "gpu/1", "paid for 31 s"),
    ]
    assert lives(record) == [("gpu", 0, 0, 100), ("gpu", 1, 30, 61)]
    at = {second: row for row, second in enumerate((record.edges_ns / SECOND).tolist())}
    gauges = record.pool_gauges[:, 0]
    assert [tuple(gauges[at[s], [PAID, READY]]) for s in (0, 29, 30, 40, 41, 59, 60, 61)] == [
        (1, 1), (1, 1), (2, 1), (2, 1), (2, 2), (2, 2), (2, 1), (1, 1),
    ]  # fmt: skip


def test_scaling_down_cancels_what_is_starting_before_the_newest_that_is_ready():
    schedule = steps(("10s", 4), ("15s", 5), ("22s", 2), ("23s", 1))
    record = simulate(load(one_pool(size=2, schedule=schedule)), engine="reference")
    gone = [
        (second, kind, subject)
        for second, kind, subject, _ in events(record)
        if kind in ("instance-cancelled", "instance-draining")
    ]
    assert gone == [
        (22, "instance-cancelled", "gpu/2"),
        (22, "instance-cancelled", "gpu/3"),
        (22, "instance-cancelled", "gpu/4"),
        (23, "instance-draining", "gpu/1"),
    ]
    assert lives(record) == [("gpu", 0, 0, 100), ("gpu", 1, 0, 24), ("gpu", 2, 20, 22), ("gpu", 3, 20, 22)]


def test_a_draining_instance_stays_until_its_work_is_done():
    changed = one_pool(rate="2/s", latency="900ms", size=2, schedule=steps(("50500ms", 1)))
    logs = []
    record = simulate(load(changed), on_logs=lambda _, log: logs.append(log.batches))
    (gone_s,) = [life[3] for life in lives(record) if life[1] == 1]
    own = logs[0][logs[0]["uid"] == uid_of(1)]
    last_ns = int(own["finish_ns"].max())
    assert gone_s == -(-last_ns // SECOND), "the first whole second after its last batch"
    assert (own["start_ns"] > 50.5 * SECOND).any(), "what was in its queue is served"


def uid_of(instance):
    return ReplicaNumbers().take("gpu", instance, 0)


@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_idle_instances_are_gone_at_the_next_second_even_when_others_change_meanwhile(engine):
    """The data planes forget idle replicas at the next change: the control plane must notice before."""
    changed = one_pool(
        rate="1/s", size=6, startup={}, schedule=steps(("10200ms", 3), ("10400ms", 4), ("10600ms", 1))
    )
    changed["models"][0] |= {"load": "0s", "warm_up": "0s"}
    record = simulate(load(changed), engine=engine)
    assert {life[1]: life[3] for life in lives(record)} == {0: 100, 1: 11, 2: 11, 3: 11, 4: 11, 5: 11, 6: 11}


def test_a_pool_that_nothing_runs_on_is_paid_and_never_serves():
    changed = one_pool(size=1)
    idle = {"name": "idle", "instance_type": "m5.large", "size": 1, "schedule": steps(("20s", 2), ("50s", 0))}
    changed["pools"].append(idle)
    record = simulate(load(changed), engine="reference")
    assert lives(record) == [("gpu", 0, 0, 100), ("idle", 0, 0, 50), ("idle", 1, 20, 50)]


def test_start_up_times_depend_on_the_seed_and_the_names_alone():
    alone = one_pool(size=1, startup={"grant": {"exponential": "5s"}}, schedule=steps(("5s", 4)))
    other = {"name": "a-pool", "instance_type": "m5.large", "schedule": steps(("5s", 9)),
             "startup": {"grant": {"exponential": "5s"}}}  # fmt: skip
    beside = one_pool(size=1, startup={"grant": {"exponential": "5s"}}, schedule=steps(("5s", 4)))
    beside["pools"].insert(0, other)

    def of_gpu(changed, seed=None):
        record = simulate(load(changed), seed, engine="reference")
        return [life for life in record.usage if life.pool == "gpu"]

    assert of_gpu(alone) == of_gpu(beside)
    assert of_gpu(alone) != of_gpu(alone, 8)
    assert len({life.begin_ns for life in of_gpu(alone)}) == 4


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        ({"size": 3}, [(0, 3)]),
        ({"size": 3, "schedule": steps(("0s", 5))}, [(0, 5)]),
        ({"size": 3, "schedule": steps(("4s", 5))}, [(0, 3), (4, 5)]),
        ({"size": 3, "schedule": steps(("4s", 5), ("10s", 6))}, [(0, 3), (4, 5)]),
        (
            {"size": 3, "schedule": steps(("0s", 1), ("1s", 2), every="4s")},
            [(0, 1), (1, 2), (4, 1), (5, 2), (8, 1), (9, 2)],
        ),
        ({"size": 3, "schedule": steps(("2s", 2), every="4s")}, [(0, 3), (2, 2), (6, 2)]),
    ],
)
def test_wanted_sizes_follow_the_schedule(pool, expected):
    wanted = wanted_sizes(Pool(name="gpu", instance_type="g5.xlarge", **pool), 10 * SECOND)
    assert [(time_ns / SECOND, size) for time_ns, size in wanted] == expected


@pytest.mark.parametrize(
    ("instance_type", "share", "given", "expected"),
    [
        ("g5.xlarge", 1, None, 1),
        ("g5.12xlarge", 1, None, 4),
        ("g5.12xlarge", 0.5, None, 8),
        ("g5.12xlarge", 0.4, None, 8),
        ("g5.12xlarge", 0.1, None, 40),
        ("c5.2xlarge", 0.5, None, 1),
        ("c5.2xlarge", 0.5, 3, 3),
        ("house-brand", 0.5, None, 1),
        ("house-brand", 0.5, 6, 6),
    ],
)
def test_replicas_on_an_instance(instance_type, share, given, expected):
    changed = one_pool()
    changed["pools"][0]["instance_type"] = instance_type
    changed["prices"] = [{"instance_type": "house-brand", "price": "$1/h"}]
    changed["models"][0]["accelerator_share"] = share
    changed["services"][0]["replicas_per_instance"] = given
    scenario = load(changed).scenario
    assert replicas_per_instance(scenario, scenario.pools[0], scenario.services[0]) == expected
    assert kinds(scenario, 1)[0].replicas == expected


def test_an_unknown_instance_type_is_named_with_its_pool():
    changed = one_pool()
    changed["pools"][0]["instance_type"] = "g5.xlrge"
    with pytest.raises(
        InvalidInput, match=r"pools\[gpu\]\.instance_type: unknown instance type 'g5.xlrge'.*g5\.xlarge"
    ):
        simulate(load(changed))


def test_replica_numbers_are_unique_and_do_not_depend_on_the_order_of_asking():
    names = [(pool, instance, number) for pool in "ab" for instance in range(50) for number in range(4)]
    there, back = ReplicaNumbers(), ReplicaNumbers()
    numbers = {name: there.take(*name) for name in names}
    assert {name: back.take(*name) for name in reversed(names)} == numbers
    assert len(set(numbers.values())) == len(names)
    assert max(numbers.values()) < 2**38


def test_replica_numbers_stay_unique_where_hashes_collide():
    numbers = ReplicaNumbers(bits=4)
    assert {numbers.take("gpu", instance, 0) for instance in range(16)} == set(range(16))


def test_the_bill_of_a_scheduled_pool_is_what_arithmetic_says():
    """Three instances from 10 min to 20 min of every hour beside one that is always there."""
    changed = one_pool(
        rate="1/s", duration="3h", size=1, schedule=steps(("10m", 4), ("20m", 1), every="1h"),
        startup={"grant": "30s", "boot": "1m"},
    )  # fmt: skip
    changed["prices"] = [{"instance_type": "g5.xlarge", "price": "$3.60/h"}]
    loaded = load(changed)
    record = simulate(loaded)
    lines = bill(loaded.scenario, [record], list_prices(loaded.scenario, load_catalogue()))
    # granted 30 s after the asking; drained and gone one poll after the end
    seconds = 3 * 3600 + 3 * 3 * (600 - 30 + 1)
    assert sum(line.billed_ns for line in lines) == seconds * SECOND
    assert Decimal(sum(line.billed_nano_usd for line in lines)) / 10**9 == seconds * Decimal("0.001")


def test_usage_is_ordered_and_ends_with_the_run():
    record = simulate(load())
    assert list(record.usage) == sorted(record.usage, key=lambda life: (life.pool, life.instance))
    assert all(0 <= life.begin_ns < life.end_ns <= 60 * SECOND for life in record.usage)
    assert isinstance(record.usage[0], Usage)
    assert np.all(record.pool_gauges[:, :, READY] <= record.pool_gauges[:, :, PAID])


@pytest.mark.parametrize("engine", ["kernel", "reference"])
def test_an_instance_with_several_replicas_is_gone_when_the_last_of_them_is_drained(engine):
    changed = one_pool(rate="3/s", latency="900ms", size=2, schedule=steps(("50500ms", 1)))
    changed["services"][0]["replicas_per_instance"] = 4
    changed["services"][0]["balancing"] = "random"
    logs = []
    record = simulate(load(changed), engine=engine, on_logs=lambda _, log: logs.append(log.batches))
    (gone_s,) = [life[3] for life in lives(record) if life[1] == 1]
    uids = [ReplicaNumbers().take("gpu", 1, number) for number in range(4)]
    ends_ns = [int(logs[0][logs[0]["uid"] == uid]["finish_ns"].max()) for uid in uids]
    assert min(ends_ns) < 50.5 * SECOND < max(ends_ns), "some are idle, some are at work"
    assert gone_s == -(-max(ends_ns) // SECOND)

"""The fleet of a load test, as a cluster's nodes come and go."""

from __future__ import annotations

import json
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
from kubernetes import client

from baseload.from_cluster import fleet_watch
from baseload.from_cluster.fleet_watch import FleetWatch
from scenarios.errors import EnvironmentProblem
from simulator.results.recorded import POOL_GAUGES
from tests.baseload.cluster_objects import node
from tests.serving_ref.loadtest.servers import Answer, Server
from tests.simulator.small import document, load

SECOND = 1_000_000_000


@pytest.fixture(autouse=True)
def often(monkeypatch):
    monkeypatch.setattr(fleet_watch, "EVERY_S", 0.02)


@pytest.fixture
def scenario():
    changed = document()
    changed["pools"] = [
        {"name": "gpu", "instance_type": "g5.xlarge", "zone": "us-east-1a", "size": 1},
        {"name": "extra", "instance_type": "g4dn.xlarge", "capacity_type": "spot", "size": 1},
    ]
    return load(changed).scenario


def ready(each, is_ready=True):
    status = {"conditions": [{"type": "Ready", "status": "True" if is_ready else "False"}]}
    return each | {
        "status": status,
        "metadata": each["metadata"] | {"uid": f"uid-{each['metadata']['name']}"},
    }


def api(server):
    configuration = client.Configuration()
    configuration.host = server.url
    configuration.retries = False
    return client.ApiClient(configuration)


def listing(nodes_at):
    """A server of nodes: a function of the time in seconds since the first request."""
    begun = []

    def answer(seen):
        assert urlsplit(seen.path).path == "/api/v1/nodes"
        begun.append(seen.at_ns)
        items = nodes_at((seen.at_ns - begun[0]) / SECOND)
        if isinstance(items, int):
            return Answer(items, body=b"{}")
        body = json.dumps({"metadata": {}, "items": items}).encode()
        return Answer(headers={"Content-Type": "application/json"}, body=body)

    return answer


def watched(nodes_at, scenario, edges_s):
    with Server(get=listing(nodes_at)) as server, FleetWatch(api(server), scenario) as watch:
        begin_ns = time.monotonic_ns()
        time.sleep(edges_s[-1] + 0.1)
    return watch.fleet(begin_ns, (np.array(edges_s) * SECOND).astype(np.int64))


def test_nodes_that_come_and_go_are_instances_that_do(scenario):
    a, b = ready(node("a")), ready(node("b"))
    spot = ready(node("c", "g4dn.xlarge", capacity_type="spot", zone="us-east-1c"))

    def nodes_at(seconds):
        return [a, *([b] if seconds > 0.5 else []), *([spot] if seconds < 0.5 else [])]

    fleet = watched(nodes_at, scenario, [0, 0.25, 0.75, 1.0])
    instances = fleet.pool_gauges[:, :, POOL_GAUGES.index("instances")]
    assert instances.tolist() == [[1, 1], [1, 1], [2, 0], [2, 0]]
    lives = {(each.pool, each.instance): (each.begin_ns, each.end_ns) for each in fleet.usage}
    assert lives.keys() == {("gpu", 0), ("gpu", 1), ("extra", 0)}
    assert lives["gpu", 0] == (0, SECOND)
    assert lives["gpu", 1][1] == SECOND
    assert 0.3 * SECOND < lives["gpu", 1][0] < 0.75 * SECOND
    assert lives["extra", 0][0] == 0
    assert [(each.kind, each.subject) for each in fleet.events] == [
        ("instance-gone", "extra/0"),
        ("instance-seen", "gpu/1"),
    ]


def test_a_node_is_paid_for_before_it_is_ready(scenario):
    fleet = watched(lambda seconds: [ready(node("a"), seconds > 0.4)], scenario, [0, 0.2, 0.7])
    gauges = dict(zip(POOL_GAUGES, fleet.pool_gauges[:, 0].T.tolist(), strict=True))
    assert gauges == {"instances": [1, 1, 1], "ready_instances": [0, 0, 1]}


def test_nodes_of_no_pool_are_nobodys_instances(scenario):
    others = (node("b", "m5.xlarge"), node("c", zone="us-east-1b"), node("d", capacity_type="spot"))
    fleet = watched(lambda _: [ready(each) for each in (node("a"), *others)], scenario, [0, 0.1])
    assert [(each.pool, each.instance) for each in fleet.usage] == [("gpu", 0)]


def test_what_was_seen_last_holds_while_nobody_answers(scenario):
    a = ready(node("a"))
    fleet = watched(lambda seconds: [a] if seconds < 0.1 or seconds > 0.4 else 500, scenario, [0, 0.2, 0.6])
    assert [(each.begin_ns, each.end_ns) for each in fleet.usage] == [(0, 0.6 * SECOND)]


@pytest.mark.parametrize("odd", [500, [{"metadata": {}}], "no list"], ids=str)
def test_listings_that_fail_are_told_and_those_after_them_count(scenario, odd):
    a, b = ready(node("a")), ready(node("b"))

    def nodes_at(seconds):
        return [a] if seconds < 0.1 else odd if seconds < 0.3 else [a, b]

    with Server(get=listing(nodes_at)) as server, FleetWatch(api(server), scenario) as watch:
        begin_ns = time.monotonic_ns()
        time.sleep(0.6)
    fleet = watch.fleet(begin_ns, (np.array([0, 0.5]) * SECOND).astype(np.int64))
    assert [each.instance for each in fleet.usage] == [0, 1]
    (gap,) = watch.gaps()
    assert gap.startswith("--fleet-from: ")
    assert "readings failed (the last: " in gap


@pytest.mark.parametrize(
    ("nodes", "message"),
    [([], "no node has the instance type"), (403, "--fleet-from: nodes cannot be listed: 403")],
)
def test_a_cluster_that_cannot_be_the_fleet_is_told_before_the_load(scenario, nodes, message):
    with (
        Server(get=listing(lambda _: nodes)) as server,
        pytest.raises(EnvironmentProblem, match=message),
        FleetWatch(api(server), scenario),
    ):
        pass

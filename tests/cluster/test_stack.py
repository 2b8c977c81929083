"""The serving stack on a real cluster: up by one command, served while things die, and gone."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time

import pytest

from tests.cluster.conftest import NAME, ROOT, Cluster, baseload, wait_for
from tests.serving_ref.servers import Answer, Traffic, infer_body, outcomes

PARTS = ("redis",)
NAMESPACE = "baseload"
SCENARIO = """
apiVersion: baseload/v1
metadata: {name: shop}
run: {duration: 1m}
arrivals: [{name: web, rate: 10/s}]
classes: [{name: home-page, arrivals: web, route: main, timeout: 20s, keys: {count: 100}}]
routes: [{name: main, cache: {ttl: 10m}, coalesce: true, targets: [{service: ranker}]}]
services:
  - name: ranker
    model: two-tower
    pools: [gpu]
    instances_per_replica: 4
    batching: {max_batch_size: 8, max_queue_delay: 2ms}
models: [{name: two-tower, load: 1s, profiles: [{instance_types: ["*"], latency: {fixed: 10ms, per_item: 1ms}}]}]
pools: [{name: gpu, instance_type: g5.xlarge, size: 2}]
"""


def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `baseload stack …` to its end."""
    program = "from baseload.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, "stack", *arguments, "--name", NAME],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def stack(*arguments: str) -> str:
    """Run `baseload stack …` and return its output; what it said is shown where it fails."""
    done = ended(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def cluster(no_cluster):
    baseload("up", "--name", NAME, "--nodes", "2", "--with", "redis")
    return Cluster()


@pytest.fixture(scope="module")
def gateway(cluster, tmp_path_factory):
    """Where the gateway listens."""
    path = tmp_path_factory.mktemp("scenario") / "shop.yaml"
    path.write_text(SCENARIO)
    status = json.loads(stack("up", str(path), "--json"))
    assert status["up"], status
    return status["gateways"][0]


def infer(gateway: str, **headers: str) -> Answer:
    begun = time.monotonic()
    connection = http.client.HTTPConnection(gateway, timeout=60)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("POST", "/v2/models/main/infer", infer_body(0.25), named)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        return Answer(0, {}, b"", time.monotonic() - begun)
    finally:
        connection.close()
    answered = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, answered, body, time.monotonic() - begun)


def pods(cluster: Cluster, name: str) -> list[dict]:
    """Those that are there to stay."""
    found = cluster.get("pods", "-n", NAMESPACE, "-l", f"app.kubernetes.io/name={name}")["items"]
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def test_up_serves_at_once_and_caches_in_the_clusters_redis(gateway):
    assert infer(gateway, baseload_key="user-17").outcome == "model"
    assert wait_for(lambda: infer(gateway, baseload_key="user-17").outcome == "cache", "a hit")


def test_a_killed_pod_costs_no_request(cluster, gateway):
    with Traffic(lambda _: infer(gateway)) as traffic:
        traffic.wait_for(50)
        victim = pods(cluster, "model-server")[0]["metadata"]["name"]
        cluster.kubectl.run("delete", "pod", victim, "-n", NAMESPACE, "--grace-period=0", "--force")
        traffic.wait_for(200)
    assert outcomes(traffic.answers) == {"model": traffic.asked}


def test_a_rolling_update_costs_no_request(cluster, gateway):
    name = "deployment/model-server-ranker-gpu"
    with Traffic(lambda _: infer(gateway)) as traffic:
        traffic.wait_for(50)
        cluster.kubectl.run("rollout", "restart", name, "-n", NAMESPACE)
        cluster.kubectl.run("rollout", "status", name, "-n", NAMESPACE, "--timeout=120s")
        traffic.wait_for(50)
    assert outcomes(traffic.answers) == {"model": traffic.asked}


def test_up_again_changes_nothing_and_keeps_serving(cluster, gateway, tmp_path):
    (tmp_path / "shop.yaml").write_text(SCENARIO)
    before = {pod["metadata"]["name"] for name in ("gateway", "model-server") for pod in pods(cluster, name)}
    stack("up", str(tmp_path / "shop.yaml"))
    assert {
        pod["metadata"]["name"] for name in ("gateway", "model-server") for pod in pods(cluster, name)
    } == before


def test_an_interrupted_nodes_requests_end_in_one_way_each(cluster, gateway):
    """Without notice: what was on the node's way at that moment is sent to the other replica, or times out."""
    gateways_node = pods(cluster, "gateway")[0]["spec"]["nodeName"]
    node = "node-1" if gateways_node == "node-2" else "node-2"
    placed = {pod["spec"]["nodeName"] for pod in pods(cluster, "model-server")}
    assert placed == {"node-1", "node-2"}, "replicas are spread, after a rolling update too"
    with Traffic(lambda _: infer(gateway)) as traffic:
        traffic.wait_for(50)
        baseload("interrupt", node, "--name", NAME, "--notice", "0s")
        traffic.wait_for(200)
        wait_for(lambda: outcomes(traffic.answers[-100:]) == {"model": 100}, "undisturbed service")
    assert outcomes(traffic.answers).keys() <= {"model", "timeout", "lost", "no_replica"}
    assert outcomes(traffic.answers)["model"] >= 0.9 * traffic.asked


def test_down_takes_the_stack_away_and_nothing_else(cluster, gateway):
    cluster.kubectl.run("create", "namespace", "somebodys")
    refused = ended("down", "--namespace", "somebodys")
    assert refused.returncode == 3
    assert "was not made by baseload stack" in refused.stderr
    assert json.loads(stack("down", "--json")) == {"namespace": NAMESPACE, "was_there": True}
    assert cluster.kubectl.attempt("get", "namespace", NAMESPACE).returncode != 0
    assert cluster.kubectl.attempt("get", "namespace", "somebodys").returncode == 0
    assert "there was nothing" in stack("down")

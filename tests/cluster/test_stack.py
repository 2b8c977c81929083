"""The serving stack on a real cluster: up by one command, served while things die, and gone."""

from __future__ import annotations

import http.client
import json
import subprocess
import time

import pytest

from scenarios.errors import ExitStatus
from tests.cluster.conftest import NAME, Cluster, baseload, finished, wait_for
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
    return finished("stack", *arguments, "--name", NAME)


def stack(*arguments: str) -> str:
    """Run `baseload stack …` and return its output; what it said is shown where it fails."""
    return baseload("stack", *arguments, "--name", NAME)


@pytest.fixture(scope="module")
def cluster(no_cluster):
    with_redis = ("--instance-type", "g5.xlarge", "--with", "redis")
    baseload("cluster", "up", "--name", NAME, "--nodes", "2", *with_redis)
    return Cluster()


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenario") / "shop.yaml"
    path.write_text(SCENARIO)
    return path


@pytest.fixture(scope="module")
def gateway(cluster, scenario):
    """Where the gateway listens."""
    status = json.loads(stack("up", str(scenario), "--json"))
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


def names(cluster: Cluster) -> set[str]:
    """Of all pods of the stack."""
    return {pod["metadata"]["name"] for name in ("gateway", "model-server") for pod in pods(cluster, name)}


def test_up_again_changes_nothing_and_keeps_serving(cluster, gateway, scenario):
    before = names(cluster)
    stack("up", str(scenario))
    assert names(cluster) == before


def test_another_way_to_the_same_cluster_is_a_context(cluster, gateway, scenario, monkeypatch):
    """As for a cluster that somebody else made: nothing is built or loaded, the image is one that it can pull."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubectl.kubeconfig))
    before = names(cluster)
    status = json.loads(baseload("cluster", "status", "--context", NAME, "--json"))
    assert (status["driver"], status["up"], len(status["nodes"])) == ("context", True, 2)
    (workload, *_) = json.loads(baseload("stack", "status", "--context", NAME, "--json"))["workloads"]
    baseload("stack", "up", str(scenario), "--context", NAME, "--image", workload["image"])
    assert names(cluster) == before
    refused = finished("cluster", "down", "--context", NAME)
    assert refused.returncode == ExitStatus.UNSUPPORTED
    assert "not made by baseload" in refused.stderr


def test_a_load_test_counts_and_goes_as_predicted(cluster, gateway, scenario, tmp_path, monkeypatch):
    """By the usual limits, on the cluster's own nodes, and with the fleet that the cluster says it has."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubectl.kubeconfig))
    servers = [pod["status"]["podIP"] for pod in pods(cluster, "model-server")]
    sources = [word for address in servers for word in ("--metrics", f"http://{address}:8080/metrics")]
    changed = ["--set", "run.warmup=6s", "--set", "classes.home-page.keys.count=20000"]
    changed += ["--set", "arrivals.web.rate=200/s", "--duration", "36s"]
    out = str(tmp_path / "measured")
    where = ["--target", f"http://{gateway}", "--fleet-from", NAME, *sources]
    baseload("loadtest", str(scenario), *changed, *where, "-q", "-o", out)
    judged = finished("verify", str(scenario), *changed[:6], "--against", out, "--json")
    verdict = json.loads(judged.stdout)
    assert verdict["prediction"]["made_before_the_load"]
    found = {(each["section"], each["kind"]): each for each in verdict["findings"]}
    print(json.dumps(verdict["findings"], indent=1))
    expected = {"throughput", "failed", "hit-ratio", "items-a-batch", "utilisation", "cost"}
    assert expected <= {kind for _, kind in found}
    assert all(each["verdict"] == "within" for (_, kind), each in found.items() if kind in expected)


def test_an_interrupted_nodes_requests_end_in_one_way_each(cluster, gateway):
    """Without notice: what was on the node's way at that moment is sent to the other replica, or times out."""
    gateways_node = pods(cluster, "gateway")[0]["spec"]["nodeName"]
    node = "node-1" if gateways_node == "node-2" else "node-2"
    placed = {pod["spec"]["nodeName"] for pod in pods(cluster, "model-server")}
    assert placed == {"node-1", "node-2"}, "replicas are spread, after a rolling update too"
    with Traffic(lambda _: infer(gateway)) as traffic:
        traffic.wait_for(50)
        baseload("cluster", "interrupt", node, "--name", NAME, "--notice", "0s")
        traffic.wait_for(200)
        wait_for(lambda: outcomes(traffic.answers[-100:]) == {"model": 100}, "undisturbed service")
    assert outcomes(traffic.answers).keys() <= {"model", "timeout", "lost", "no_replica"}
    assert outcomes(traffic.answers)["model"] >= 0.9 * traffic.asked


def test_another_scenario_leaves_nothing_of_the_one_before(cluster, gateway, tmp_path):
    """Its pool is called otherwise: what the old one had is deleted, once the new one is ready."""
    path = tmp_path / "shop.yaml"
    path.write_text(SCENARIO.replace("gpu", "other"))
    kinds = "deployments,configmaps,poddisruptionbudgets"

    def of_replica_sets():
        found = cluster.get(kinds, "-n", NAMESPACE, "-l", "app.kubernetes.io/part-of=baseload")["items"]
        names = {(each["kind"], each["metadata"]["name"]) for each in found}
        return {
            (kind, name.split("ranker-")[1].partition("-")[0]) for kind, name in names if "ranker-" in name
        }

    before = of_replica_sets()
    assert {name for _, name in before} == {"gpu"}
    stack("up", str(path))
    assert of_replica_sets() == {(kind, "other") for kind, _ in before}
    assert cluster.get("service", "gateway", "-n", NAMESPACE)


def test_down_takes_the_stack_away_and_nothing_else(cluster, gateway):
    cluster.kubectl.run("create", "namespace", "somebodys")
    refused = ended("down", "--namespace", "somebodys")
    assert refused.returncode == 3
    assert "was not made by baseload stack" in refused.stderr
    assert json.loads(stack("down", "--json")) == {"namespace": NAMESPACE, "was_there": True}
    assert cluster.kubectl.attempt("get", "namespace", NAMESPACE).returncode != 0
    assert cluster.kubectl.attempt("get", "namespace", "somebodys").returncode == 0
    assert "there was nothing" in stack("down")

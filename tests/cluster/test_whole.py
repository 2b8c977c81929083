"""All of it at once: from nothing to a cluster, a stack and its load, through what goes wrong, and back to nothing."""

from __future__ import annotations

import json

import pytest

from scenarios.load import load_scenario
from tests.cluster.conftest import NAME, Cluster, baseload, start, wait_for
from tests.cluster.listing import difference, machine

PARTS = ("keda", "metrics-server", "prometheus", "redis")
NAMESPACE = "baseload"
DURATION_S = 150
LARGEST = 3
"""Replicas that the autoscaler may go up to."""
SCENARIO = f"""
apiVersion: baseload/v1
metadata: {{name: shop}}
run: {{duration: {DURATION_S}s}}
# Half as much again as the one replica of the start can take.
arrivals: [{{name: web, rate: 60/s}}]
classes: [{{name: home-page, arrivals: web, route: main, timeout: 2s, keys: {{count: 2000}}}}]
routes: [{{name: main, cache: {{ttl: 5s}}, coalesce: true, targets: [{{service: ranker}}]}}]
services: [{{name: ranker, model: two-tower, pools: [gpu], batching: {{max_batch_size: 4, max_queue_delay: 2ms}}}}]
models:
  - name: two-tower
    load: 1s
    warm_up: 0
    profiles: [{{instance_types: ["*"], latency: {{table: [[1, 100ms], [4, 100ms]]}}}}]
pools: [{{name: gpu, instance_type: g5.xlarge, size: 1}}]
"""
OUTCOMES = {"timeout", "lost", "no_replica", "queue_full", "breaker_open", "shed", "rate_limited"}


@pytest.fixture(scope="module")
def before(no_cluster):
    return machine()


@pytest.fixture(scope="module")
def cluster(before):
    with_parts = ("--instance-type", "g5.xlarge", "--with", "keda,metrics-server,redis")
    baseload("cluster", "up", "--name", NAME, "--nodes", "3", *with_parts)
    return Cluster()


@pytest.fixture(scope="module")
def scenario(tmp_path_factory):
    path = tmp_path_factory.mktemp("scenario") / "shop.yaml"
    path.write_text(SCENARIO)
    return path


class Load:
    """A load test that goes on in the background."""

    def __init__(self, scenario, url):
        self.directory = scenario.with_suffix("")
        # Cores are shared with the cluster itself here: this run is about outcomes, not about latencies.
        limits = ("--max-cpu", "100%", "--max-lag", "10s")
        target = ("--target", url, *limits, "-o", str(self.directory), "-q")
        self.process = start("loadtest", str(scenario), *target)

    def goes_on(self):
        assert self.process.poll() is None, f"the load test is over:\n{self.process.communicate()[1]}"

    def result(self):
        """What it measured."""
        _, said = self.process.communicate()
        assert self.process.returncode == 0, said
        return json.loads((self.directory / "run.json").read_text())


@pytest.fixture(scope="module")
def load(cluster, scenario):
    baseload("stack", "up", str(scenario), "--name", NAME, "--gateways", "2", "--growth", str(LARGEST))
    address = cluster.get("service", "gateway", "-n", NAMESPACE)["spec"]["clusterIP"]
    load = Load(scenario, f"http://{address}")
    yield load
    load.process.kill()
    load.process.wait()


def pods(cluster, name="model-server"):
    """Node → ready pods on it that are there to stay."""
    found = cluster.get("pods", "-n", NAMESPACE, "-l", f"app.kubernetes.io/name={name}")["items"]
    placed = {}
    for pod in found:
        conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
        if "deletionTimestamp" not in pod["metadata"] and conditions.get("Ready") == "True":
            placed.setdefault(pod["spec"]["nodeName"], set()).add(pod["metadata"]["name"])
    return placed


def servers(cluster):
    return set().union(*pods(cluster).values())


def test_the_autoscaler_answers_a_queue_that_keda_sees_in_prometheus(cluster, load):
    wait_for(lambda: len(servers(cluster)) == LARGEST, f"{LARGEST} replicas")
    load.goes_on()
    (autoscaler,) = (
        each
        for each in cluster.get("hpa", "-n", NAMESPACE)["items"]
        if each["metadata"]["labels"].get("app.kubernetes.io/managed-by") == "keda-operator"
    )
    assert autoscaler["status"]["desiredReplicas"] == LARGEST
    assert [each["type"] for each in autoscaler["status"]["currentMetrics"]] == ["External"]


def test_the_gateways_autoscaler_sees_their_cpu_use(cluster, load):
    """By metrics-server: KEDA's metrics are other ones."""

    def percent():
        status = cluster.get("hpa", "gateway", "-n", NAMESPACE)["status"]
        metrics = [
            each["resource"] for each in status.get("currentMetrics") or [] if each["type"] == "Resource"
        ]
        return {each["name"]: each["current"]["averageUtilization"] for each in metrics}.get("cpu", 0)

    wait_for(lambda: percent() > 0, "a reading")
    assert "node-1" in cluster.kubectl.run("top", "nodes")


def test_what_runs_becomes_a_first_scenario(cluster, load, tmp_path, monkeypatch):
    path = tmp_path / "fleet.yaml"
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubectl.kubeconfig))
    baseload("init", "--from-cluster", "--context", NAME, "-n", NAMESPACE, "-o", str(path))
    scenario = load_scenario(path).scenario
    assert "model-server-ranker-gpu" in [each.name for each in scenario.services]
    assert {each.instance_type for each in scenario.pools} == {"g5.xlarge"}
    assert f"1 to {LARGEST} replicas by prometheus" in path.read_text()


def test_a_killed_pod_is_replaced(cluster, load):
    victim = min(servers(cluster))
    cluster.kubectl.run("delete", "pod", victim, "-n", NAMESPACE, "--grace-period=0", "--force")
    wait_for(lambda: len(servers(cluster) - {victim}) == LARGEST, "another pod in its place")
    load.goes_on()


def test_a_drained_node_gives_its_pods_away(cluster, load):
    node = min(pods(cluster))
    cluster.kubectl.run("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s")
    wait_for(lambda: len(servers(cluster)) == LARGEST and node not in pods(cluster), "its pods elsewhere")
    wait_for(lambda: sum(map(len, pods(cluster, "gateway").values())) == 2, "two gateways")
    load.goes_on()


def test_an_interrupted_node_is_survived(cluster, load):
    node = min(pods(cluster))
    done = json.loads(baseload("cluster", "interrupt", node, "--name", NAME, "--notice", "15s", "--json"))
    assert done["notice_s"] == 15.0
    wait_for(lambda: node not in cluster.node_names(), "the node to go")
    wait_for(lambda: len(servers(cluster)) == LARGEST and node not in pods(cluster), "its pods elsewhere")
    load.goes_on()


def test_every_request_of_the_load_has_one_outcome(scenario, load):
    """As many as the simulation of the same scenario sends; most are answered, the others say why not."""
    measured = load.result()["totals"]["overall"]
    simulated = json.loads(baseload("simulate", str(scenario), "--json", "-q"))["totals"]["overall"]
    assert measured["sent"] == simulated["sent"]
    assert measured["sent"] == measured["answered"] + measured["failed"] + measured["unfinished"]
    assert {why for why, count in measured["failed_by"].items() if count} <= OUTCOMES
    assert measured["answered"] >= 0.8 * measured["sent"]
    print(measured["answered_by"], measured["failed_by"], measured["latency_s"])


def test_down_leaves_the_machine_as_it_was(cluster, load, before):
    baseload("stack", "down", "--name", NAME)
    baseload("cluster", "down", "--name", NAME)
    assert not difference(before, machine())

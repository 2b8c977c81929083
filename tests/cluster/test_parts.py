"""The parts do their work: Karpenter buys and gives back, KEDA scales by a query, Prometheus scrapes, Redis answers."""

import json
import socket
import urllib.parse
import urllib.request
from collections import Counter

import pytest

from scenarios.catalogue import PurchaseOption, load_catalogue
from scenarios.errors import ExitStatus
from serving_ref.cluster.addresses import AddressPlan
from serving_ref.cluster.images import build_image
from serving_ref.cluster.node_pools import SIMULATED_TAINT
from tests.cluster.conftest import NAME, Cluster, baseload, deployment, finished, wait_for

PARTS = ("karpenter", "keda", "kwok", "metrics-server", "prometheus", "redis")
PLAN = AddressPlan()
GPU_PODS = 300
OPTIONS = {"spot": PurchaseOption.SPOT_REFERENCE, "on-demand": PurchaseOption.ON_DEMAND}
TOLERATION = {"key": SIMULATED_TAINT["key"], "operator": "Exists", "effect": "NoSchedule"}
SCENARIO = """\
apiVersion: baseload/v1
metadata: {name: fleet}
run: {duration: 1h}
arrivals: [{name: web, rate: 10/s}]
classes: [{name: all, arrivals: web, route: main}]
routes: [{name: main, targets: [{service: ranker}]}]
services: [{name: ranker, model: small, pools: [small, large]}]
models: [{name: small, profiles: [{instance_types: ["*"], latency: {per_item: 1ms}}]}]
pools:
  - {name: small, instance_type: g4dn.xlarge, size: 1}
  - {name: large, instance_type: g5.12xlarge, zone: us-east-1b, capacity_type: spot}
"""
QUEUE = """
import http.server, os
depth = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global depth
        if self.path.startswith("/depth/"):
            depth = int(self.path.rsplit("/", 1)[1])
        body = f"# TYPE queue_depth gauge\\nqueue_depth {depth}\\n".encode()
        self.send_response(200); self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def cluster(no_cluster):
    baseload("cluster", "up", "--name", NAME, "--with", "karpenter,keda,redis")
    baseload("cluster", "up", "--name", NAME, "--with", "metrics-server")  # the others stay
    return Cluster()


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read().decode()


def query(expression):
    """What Prometheus answers to a query: (labels, value) of each series."""
    url = f"http://{PLAN.control}:9090/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    return [(each["metric"], float(each["value"][1])) for each in json.loads(fetch(url))["data"]["result"]]


def test_the_parts_run(cluster):
    assert cluster.status()["parts"] == dict.fromkeys(
        ["kwok", "karpenter", "keda", "prometheus", "metrics-server", "redis"], True
    )


def test_redis_answers_this_machine_and_keeps_what_it_is_told(cluster):
    with socket.create_connection((str(PLAN.control), 6379), timeout=5) as connection:
        connection.sendall(b"SET k v\r\nGET k\r\n")
        connection.settimeout(5)
        answer = b""
        while answer.count(b"\r\n") < 3:
            answer += connection.recv(100)
    assert answer == b"+OK\r\n$1\r\nv\r\n"


def simulated(cluster):
    return cluster.get("nodes", "-l", "baseload.dev/pool")["items"]


def kind_of(node):
    labels = node["metadata"]["labels"]
    keys = ("baseload.dev/pool", "node.kubernetes.io/instance-type", "karpenter.sh/capacity-type")
    return tuple(labels[key] for key in keys)


def gpu_pods(pool, count):
    """A Deployment of pods that each want a GPU of one pool."""
    gpu = {"resources": {"limits": {"nvidia.com/gpu": 1}}}
    selector = {"baseload.dev/pool": pool}
    return deployment(
        pool, "example.invalid/gpu:1", count, container=gpu, nodeSelector=selector, tolerations=[TOLERATION]
    )


def test_karpenter_buys_a_scenario_s_pools_for_gpu_pods_and_gives_them_back(cluster, tmp_path):
    scenario = tmp_path / "fleet.yaml"
    scenario.write_text(SCENARIO)
    pools = baseload("cluster", "node-pools", str(scenario), "--consolidate-after", "5s", "--budget", "100%")
    cluster.kubectl.apply(pools)
    cluster.apply(gpu_pods("small", GPU_PODS // 2), gpu_pods("large", GPU_PODS // 2))
    wait_for(lambda: cluster.ready_replicas("small", "large") == GPU_PODS, f"{GPU_PODS} pods", timeout_s=600)

    nodes = simulated(cluster)
    assert Counter(map(kind_of, nodes)) == {
        # as many as there are pods where a node has one GPU, and a quarter where it has four
        ("small", "g4dn.xlarge", "on-demand"): GPU_PODS // 2,
        ("large", "g5.12xlarge", "spot"): pytest.approx(GPU_PODS / 8, abs=3),
    }
    for node in nodes:
        labels = node["metadata"]["labels"]
        pool, instance_type, capacity_type = kind_of(node)
        assert any(SIMULATED_TAINT.items() <= taint.items() for taint in node["spec"]["taints"])
        price = load_catalogue().price(instance_type, "us-east-1", OPTIONS[capacity_type])
        assert float(labels["eks-node-viewer/instance-price"]) == pytest.approx(float(price.price_usd_per_h))
        assert pool == "small" or labels["topology.kubernetes.io/zone"] == "us-east-1b"

    cluster.kubectl.run("scale", "deployment/small", "deployment/large", "--replicas=8")
    # Empty nodes go first; those that keep a pod may go too, where their pods fit elsewhere.
    wait_for(lambda: len(simulated(cluster)) <= 8 + 8, "nodes to be given back", timeout_s=600)
    wait_for(lambda: cluster.ready_replicas("small", "large") == 16, "the pods that stay")
    cluster.kubectl.run("delete", "deployment/small", "deployment/large")
    wait_for(lambda: not simulated(cluster), "the last nodes to be given back", timeout_s=300)


def pods_of(cluster, label):
    return Counter(pod["status"]["phase"] for pod in cluster.get("pods", "-l", label)["items"])


def test_two_hundred_simulated_nodes_take_as_many_pods_as_they_have_gpus(cluster):
    """Three hundred are asked for. One node is interrupted, one removed, and their pods wait then too."""
    wanted = ["--count", "200", "--instance-type", "g5.xlarge", "--capacity-type", "spot"]
    added = json.loads(baseload("cluster", "node", "add", "--name", NAME, "--simulated", *wanted, "--json"))
    assert len(added["nodes"]) == 200
    gpu = {"resources": {"limits": {"nvidia.com/gpu": 1}}}
    selector = {"baseload.dev/node": "simulated"}
    cluster.apply(
        deployment(
            "gpus", "example.invalid/gpu:1", GPU_PODS, container=gpu, nodeSelector=selector, tolerations=[TOLERATION]
        )
    )  # fmt: skip
    wait_for(lambda: pods_of(cluster, "app=gpus") == {"Running": 200, "Pending": 100}, "200 of 300 pods")

    # What Kubernetes does to the pods of a node that was silent for too long.
    pod = cluster.get("pods", "-l", "app=gpus", "--field-selector=status.phase=Running")["items"][0]
    name = pod["metadata"]["name"]
    silent = json.dumps({"status": {"conditions": [{"type": "Ready", "status": "False"}]}})
    cluster.kubectl.run("patch", "pod", name, "--subresource=status", "--type=strategic", "-p", silent)
    wait_for(
        lambda: name in {each["metadata"]["name"] for each in cluster.ready_pods("app=gpus")}, "its return"
    )

    baseload("cluster", "interrupt", "sim-1", "--name", NAME, "--notice", "2s")
    baseload("cluster", "node", "remove", "sim-2", "--name", NAME)
    assert not {"sim-1", "sim-2"} & cluster.node_names()
    wait_for(lambda: pods_of(cluster, "app=gpus") == {"Running": 198, "Pending": 102}, "198 of 300 pods")
    refused = finished("cluster", "interrupt", "sim-1", "--name", NAME)
    assert refused.returncode == ExitStatus.INVALID_INPUT
    assert "no node 'sim-1'" in refused.stderr

    cluster.kubectl.run("delete", "deployment/gpus")
    cluster.kubectl.run("delete", "nodes", "-l", "baseload.dev/node=simulated")


def test_a_pod_without_toleration_stays_off_simulated_nodes(cluster):
    baseload("cluster", "node", "add", "--name", NAME, "--simulated", "--instance-type", "g5.12xlarge")
    cluster.apply(
        deployment("large", "example.invalid/x:1", 1, container={"resources": {"requests": {"cpu": "32"}}})
    )
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    wait_for(
        lambda: any(
            unschedulable.items() <= each.items()
            for pod in cluster.get("pods", "-l", "app=large")["items"]
            for each in pod["status"].get("conditions", [])
        ),
        "the scheduler to say no",
    )
    cluster.kubectl.run("delete", "deployment/large")
    baseload("cluster", "node", "remove", "sim-1", "--name", NAME)


@pytest.fixture(scope="module")
def queue(cluster, tmp_path_factory):
    """A pod that says how long its queue is, as it is told; Prometheus scrapes it."""
    code = tmp_path_factory.mktemp("code") / "queue_server.py"
    code.write_text(QUEUE)
    image = build_image("queue", code=[code], entrypoint=["python3", "queue_server.py"], say=print)
    cluster.local.load(image)
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": "8000"}
    cluster.apply(
        deployment("queue", image.reference, 1, annotations=scraped),
        deployment("workers", image.reference, 1),
    )
    (pod,) = wait_for(lambda: cluster.ready_pods("app=queue"), "the queue")
    address = pod["status"]["podIP"]

    def set_depth(depth):
        wait_for(
            lambda: f"queue_depth {depth}" in fetch(f"http://{address}:8000/depth/{depth}"),
            "the queue's answer",
        )
        wait_for(lambda: [value for _, value in query("queue_depth")] == [depth], "Prometheus to see it")

    wait_for(lambda: accepts(address), "the queue's server")
    return set_depth


def accepts(address):
    try:
        fetch(f"http://{address}:8000/")
    except OSError:
        return False
    return True


def test_prometheus_sees_pods_and_the_containers_of_real_nodes(cluster, queue):
    queue(3)
    ((labels, _),) = query("queue_depth")
    assert labels["namespace"] == "default"
    assert labels["node"] in {"node-1", "node-2"}
    nodes = wait_for(
        lambda: {labels["node"] for labels, _ in query("container_memory_working_set_bytes")},
        "containers' metrics",
    )
    assert nodes <= {"node-1", "node-2"}


def test_keda_scales_a_deployment_by_a_query(cluster, queue):
    queue(0)
    trigger = {
        "type": "prometheus",
        "metadata": {
            "serverAddress": f"http://{PLAN.control}:9090",
            "query": "sum(queue_depth)",
            "threshold": "10",
        },
    }
    scaled = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "workers", "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"name": "workers"},
            "minReplicaCount": 1,
            "maxReplicaCount": 4,
            "pollingInterval": 5,
            "advanced": {
                "horizontalPodAutoscalerConfig": {
                    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}}
                }
            },
            "triggers": [trigger],
        },
    }
    cluster.apply(scaled)
    wait_for(lambda: cluster.kubectl.attempt("get", "hpa", "keda-hpa-workers").returncode == 0, "KEDA's HPA")
    queue(35)
    wait_for(lambda: len(cluster.ready_pods("app=workers")) == 4, "four workers", timeout_s=180)
    queue(5)
    wait_for(lambda: len(cluster.ready_pods("app=workers")) == 1, "one worker again", timeout_s=180)
    cluster.kubectl.run("delete", "scaledobject", "workers")

"""A cluster's life: up from nothing, pods, nodes that come and go, an interruption, down to nothing."""

import json
import time
import urllib.request
from pathlib import Path

import pytest

from serving_ref.cluster.addresses import AddressPlan
from serving_ref.cluster.images import build_image
from serving_ref.cluster.processes import running
from tests.cluster.conftest import NAME, Cluster, baseload, deployment, wait_for
from tests.cluster.listing import difference, machine

SERVER = """
import http.server, os, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = socket.gethostname().encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""
SPREAD = {
    "maxSkew": 1,
    "topologyKey": "kubernetes.io/hostname",
    "whenUnsatisfiable": "ScheduleAnyway",
    "labelSelector": {"matchLabels": {"app": "web"}},
}


@pytest.fixture(scope="module")
def before(no_cluster):
    return machine()


@pytest.fixture(scope="module")
def cluster(before):
    baseload(
        "cluster",
        "up",
        "--name",
        NAME,
        "--nodes",
        "2",
        "--instance-type",
        "g5.xlarge",
        "--instance-type",
        "c6i.xlarge",
        "--capacity-type",
        "spot",
        "--capacity-type",
        "on-demand",
    )
    return Cluster()


@pytest.fixture(scope="module")
def web(cluster, tmp_path_factory):
    """Four pods of a small server behind a Service, spread over the nodes."""
    code = tmp_path_factory.mktemp("code") / "server.py"
    code.write_text(SERVER)
    image = build_image("web", code=[code], entrypoint=["python3", "server.py"], say=print)
    cluster.local.load(image)
    probe = {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1}
    container = {
        "readinessProbe": probe,
        "securityContext": {"runAsNonRoot": True, "readOnlyRootFilesystem": True},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8000}]},
    }
    tolerations = [
        {"key": f"node.kubernetes.io/{reason}", "effect": "NoExecute", "tolerationSeconds": 1}
        for reason in ("not-ready", "unreachable")
    ]
    cluster.apply(
        deployment(
            "web",
            image.reference,
            4,
            container=container,
            topologySpreadConstraints=[SPREAD],
            tolerations=tolerations,
        ),
        service,
    )
    wait_for(lambda: len(cluster.ready_pods("app=web")) == 4, "four pods")
    return cluster


def fetch(url):
    with urllib.request.urlopen(url, timeout=5) as response:
        return response.read().decode()


def test_nodes_are_ready_and_say_what_they_were_told_to_be(cluster):
    status = cluster.status()
    assert status["version"] == "v1.35.4"
    assert all(status["programs"].values())
    nodes = [
        (each["name"], each["ready"], each["instance_type"], each["capacity_type"])
        for each in status["nodes"]
    ]
    assert nodes == [("node-1", True, "g5.xlarge", "spot"), ("node-2", True, "c6i.xlarge", "on-demand")]
    assert [each["zone"] for each in status["nodes"]] == ["us-east-1a", "us-east-1b"]


def test_up_again_changes_nothing(cluster):
    before = running(cluster.local.folder.root)
    baseload("cluster", "up", "--name", NAME)
    time.sleep(2)  # a program that ends because a file was written to takes its time
    assert running(cluster.local.folder.root) == before
    assert cluster.node_names() == {"node-1", "node-2"}


def test_pods_run_on_both_nodes_and_answer_this_machine(web):
    pods = web.ready_pods("app=web")
    assert {pod["spec"]["nodeName"] for pod in pods} == {"node-1", "node-2"}
    for pod in pods:
        assert fetch(f"http://{pod['status']['podIP']}:8000/") == pod["metadata"]["name"]


def test_a_pod_reaches_pods_of_the_other_node_and_its_own_service(web):
    one, *others = web.ready_pods("app=web")
    name = one["metadata"]["name"]
    code = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).status)"
    for other in [*others, one]:
        url = f"http://{other['status']['podIP']}:8000/"
        assert web.kubectl.run("exec", name, "--", "python3", "-c", code, url).strip() == "200"
    for _ in range(8):  # hairpin included: the Service leads back to the asking pod now and then
        assert web.kubectl.run("exec", name, "--", "python3", "-c", code, "http://web/").strip() == "200"


def test_dns_answers_for_services_and_says_no_to_the_rest(web):
    name = web.ready_pods("app=web")[0]["metadata"]["name"]
    address = web.get("service", "web")["spec"]["clusterIP"]
    assert (
        web.in_pod(name, "import socket; print(socket.gethostbyname('web.default.svc.cluster.local'))")
        == address
    )
    plan = AddressPlan()
    found = web.in_pod(name, "import socket; print(socket.gethostbyname('kubernetes.default'))")
    assert found == str(plan.api_service)
    code = (
        "import socket\ntry: print(socket.gethostbyname('example.com'))\nexcept OSError as e: print(e.errno)"
    )
    assert web.in_pod(name, code) == "-2"  # EAI_NONAME: at once, and not 'try again'


def test_a_service_answers_this_machine(web):
    address = web.get("service", "web")["spec"]["clusterIP"]
    names = {pod["metadata"]["name"] for pod in web.ready_pods("app=web")}
    assert {fetch(f"http://{address}/") for _ in range(40)} == names


def test_logs_are_read_through_the_api_server(web):
    name = web.ready_pods("app=web")[0]["metadata"]["name"]
    assert web.kubectl.run("logs", name) == ""


def test_a_node_comes_after_its_delay_with_the_images_it_needs(web):
    said = json.loads(
        baseload(
            "cluster",
            "node",
            "add",
            "--name",
            NAME,
            "--instance-type",
            "g5.2xlarge",
            "--delay",
            "3s",
            "--json",
        )
    )
    assert said["nodes"] == ["node-3"]
    assert said["ready_s"] >= said["delay_s"] == 3.0
    web.kubectl.run("scale", "deployment/web", "--replicas=6")
    wait_for(
        lambda: (
            {pod["spec"]["nodeName"] for pod in web.ready_pods("app=web")} == {"node-1", "node-2", "node-3"}
        ),
        "a pod on the new node",
    )


def test_a_node_goes_in_good_order(web):
    baseload("cluster", "node", "remove", "node-3", "--name", NAME)
    assert wait_for(lambda: web.node_names() == {"node-1", "node-2"}, "the node to go")
    wait_for(lambda: len(web.ready_pods("app=web")) == 6, "its pods elsewhere")
    assert not any("node-3" in folder for folder in machine()["control groups"])


def test_an_interrupted_node_dies_and_its_pods_come_back_elsewhere(web):
    asked_s = time.monotonic()
    done = json.loads(
        baseload("cluster", "interrupt", "node-2", "--name", NAME, "--notice", "2s", "--no-drain", "--json")
    )
    assert time.monotonic() - asked_s >= 2.0
    assert (done["drain"], done["notice_s"]) == ("off", 2.0)
    (event,) = web.get("events", "--field-selector", "reason=SpotInterruption")["items"]
    assert event["involvedObject"]["name"] == "node-2"
    assert wait_for(lambda: web.node_names() == {"node-1"}, "the Node object to go")
    # The dead node's pods are called ready until the pod garbage collector finds that their node is gone.
    wait_for(
        lambda: [pod["spec"]["nodeName"] for pod in web.ready_pods("app=web")] == ["node-1"] * 6,
        "six pods again",
    )
    address = web.get("service", "web")["spec"]["clusterIP"]
    assert fetch(f"http://{address}/")


def test_a_drained_node_loses_no_pod_to_the_power_cut(web):
    baseload("cluster", "node", "add", "--name", NAME)
    web.kubectl.run("rollout", "restart", "deployment/web")
    web.kubectl.run("rollout", "status", "deployment/web", "--timeout=120s")
    done = json.loads(baseload("cluster", "interrupt", "node-2", "--name", NAME, "--notice", "20s", "--json"))
    assert done["drain"] == "done"
    wait_for(lambda: len(web.ready_pods("app=web")) == 6, "six pods on what is left")


def test_a_program_that_died_is_started_again(cluster):
    node = cluster.local.image_stores()[0].machine
    node.run(["pkill", "-9", "kube-proxy"])
    wait_for(lambda: not cluster.status()["programs"]["node-1/kube-proxy"], "status to tell")
    baseload("cluster", "up", "--name", NAME, "--nodes", "1")
    assert all(cluster.status()["programs"].values())


def test_the_kubeconfig_stands_on_its_own(cluster, tmp_path):
    text = baseload("cluster", "kubeconfig", "--name", NAME)
    assert "client-certificate-data" in text
    path = baseload("cluster", "kubeconfig", "--name", NAME, "--path").strip()
    assert Path(path).exists()


def test_down_leaves_the_machine_as_it_was(web, before):
    said = json.loads(baseload("cluster", "down", "--name", NAME, "--json"))
    assert said["was_there"]
    assert not difference(before, machine())
    assert not web.local.folder.root.exists()


def test_down_twice_is_no_error(no_cluster):
    assert not json.loads(baseload("cluster", "down", "--name", NAME, "--json"))["was_there"]

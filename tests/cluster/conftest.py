"""A cluster of the test's own, by the command as a person calls it; needs root, Go and some packages."""

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from serving_ref.cluster.folders import cache_folder
from serving_ref.cluster.host import complaint, read_host_facts
from serving_ref.cluster.kubectl import Kubectl
from serving_ref.cluster.local import LocalCluster
from serving_ref.cluster.programs import COMPONENTS, components_for, find_program
from serving_ref.cluster.record import PARTS
from serving_ref.cluster.tools import Toolbox

ROOT = Path(__file__).parents[2]
NAME = "bl-test"
COMMAND = [sys.executable, "-c", "from baseload.cli import main; main()"]


def why_not():
    """Why these tests cannot run here, or None."""
    words = complaint(read_host_facts(frozenset(PARTS)))
    if words is None and find_program("debootstrap") is None:
        words = "programs are missing: apt-get install debootstrap"
    if words is None and find_program("go") is None and Toolbox(cache_folder(), print).missing(COMPONENTS):
        words = "there is no go on the PATH"
    return words


WHY_NOT = why_not()


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.cluster)
            if WHY_NOT is not None:
                item.add_marker(pytest.mark.skip(reason=f"needs a machine for a cluster: {WHY_NOT}"))


def start(*arguments):
    """Start `baseload …` and hand back the process."""
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(*arguments):
    """Run `baseload …` to its end, whatever that is."""
    process = start(*arguments)
    output, said = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, output, said)


def baseload(*arguments):
    """Run `baseload …` and return its output; what it said is shown where it fails."""
    done = finished(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for(condition, what, timeout_s=120.0):
    """Wait until a condition holds, and return what it gave."""
    deadline_s = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline_s, f"waited {timeout_s:g} s in vain for {what}"
        time.sleep(0.2)
    return found


def build(parts, config):
    """Build what is missing for these parts before anything is timed, and say so while it goes on."""
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        toolbox = Toolbox(cache_folder(), lambda words: print(words, file=sys.stderr, flush=True))
        toolbox.build(components_for(frozenset(parts)))


@pytest.fixture(scope="session")
def turn(request):
    """Wait until no other session of these tests runs on this machine, whoever's it is."""
    with (Path(tempfile.gettempdir()) / "baseload-test-cluster.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
                print("waiting for the cluster tests of another session", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="module")
def no_cluster(request, turn):
    """Before and after: none of ours."""
    build(getattr(request.module, "PARTS", ()), request.config)
    baseload("cluster", "down", "--name", NAME)
    yield
    baseload("cluster", "down", "--name", NAME)


class Cluster:
    """The cluster, as the tests speak to it."""

    def __init__(self):
        self.local = LocalCluster(NAME, lambda words: print(words, file=sys.stderr))

    @property
    def kubectl(self) -> Kubectl:
        return self.local.kubectl

    def get(self, *arguments):
        return self.kubectl.get(*arguments)

    def apply(self, *objects):
        self.kubectl.apply(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))

    def status(self):
        return json.loads(baseload("cluster", "status", "--name", NAME, "--json"))

    def in_pod(self, pod, code):
        """Run Python in a pod, and return what it printed."""
        return self.kubectl.run("exec", pod, "--", "python3", "-c", code).strip()

    def ready_pods(self, label):
        """The pods of a label that are ready."""
        pods = self.get("pods", "-l", label)["items"]
        ready = {"type": "Ready", "status": "True"}
        return [
            pod
            for pod in pods
            if "deletionTimestamp" not in pod["metadata"]
            and any(ready.items() <= each.items() for each in pod["status"].get("conditions", []))
        ]

    def ready_replicas(self, *deployments):
        """How many pods of these Deployments are ready, by their status: one short answer, however many pods."""
        found = [self.get("deployment", name)["status"].get("readyReplicas", 0) for name in deployments]
        return sum(found)

    def node_names(self):
        return {node["metadata"]["name"] for node in self.get("nodes")["items"]}


def deployment(name, image, replicas, **pod):
    """A Deployment of one container; `pod` goes into the pod's spec."""
    labels = {"app": name}
    container = {"name": name, "image": image, **pod.pop("container", {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": pod.pop("annotations", {})},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **pod},
            },
        },
    }

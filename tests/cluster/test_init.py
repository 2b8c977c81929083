"""`baseload init --from-cluster` against a real API server: what it reads, with which rights, what it makes of it."""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import pytest
import yaml
from click.testing import CliRunner

from baseload.cli import cli
from baseload.from_cluster import read
from scenarios.errors import EnvironmentProblem, ExitStatus
from scenarios.load import load_scenario
from serving_ref.cluster.folders import cache_folder
from serving_ref.cluster.programs import COMPONENTS_BY_NAME, find_program
from serving_ref.cluster.tools import Toolbox
from tests.baseload.cluster_objects import (
    autoscaler,
    deployment,
    disruption_budget,
    node,
    node_pool,
    on_gpu,
    scaled_object,
)

TOOLBOX = Toolbox(cache_folder(), print)
NEEDED = [COMPONENTS_BY_NAME[name] for name in ("etcd", "kubernetes")]
pytestmark = pytest.mark.skipif(
    bool(TOOLBOX.missing(NEEDED)) and find_program("go") is None,
    reason="needs a machine for a cluster: there is no go on the PATH",
)
USERS = {"admin": "system:masters", "reader": "readers", "half": "half", "stranger": "strangers"}
READS = {
    "apps": "deployments", "autoscaling": "horizontalpodautoscalers", "keda.sh": "scaledobjects",
    "policy": "poddisruptionbudgets", "karpenter.sh": "nodepools", "": "nodes",
}  # fmt: skip
PLURALS = {
    "Deployment": "deployments", "HorizontalPodAutoscaler": "horizontalpodautoscalers", "Node": "nodes",
    "ScaledObject": "scaledobjects", "PodDisruptionBudget": "poddisruptionbudgets", "NodePool": "nodepools",
}  # fmt: skip
OTHER_ZONES = {"key": "topology.kubernetes.io/zone", "operator": "NotIn", "values": ["us-east-1a"]}
NOT_IN_A = {
    "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [OTHER_ZONES]}]
    }
}
QUERY = "sum(\n  rate(x[1m])\n)\nregion: eu-west-1\n"
KEDA = {"type": "prometheus", "metadata": {"query": QUERY, "threshold": "8"}}
OBJECTS = [
    deployment("007", pod={"affinity": {"nodeAffinity": NOT_IN_A}}, **on_gpu()),
    deployment(**on_gpu()), deployment("web"), deployment(namespace="search", **on_gpu()),
    autoscaler("web"), scaled_object(triggers=[KEDA]), disruption_budget(),
    node_pool("burst", "g5.2xlarge"), node("a"), node("b", zone="us-east-1b"), node("c", "m5.xlarge", pool="cpu"),
]  # fmt: skip


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class ApiServer:
    """etcd and kube-apiserver on loopback, with a user a group and an audit log."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        self.port, etcd, peer = free_port(), free_port(), free_port()
        self.tokens = {user: secrets.token_hex(8) for user in USERS}
        rows = [f"{token},{user},{user},{USERS[user]}" for user, token in self.tokens.items()]
        (folder / "tokens.csv").write_text("\n".join(rows))
        policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}
        (folder / "policy.yaml").write_text(yaml.safe_dump(policy))
        for command in (
            "openssl genrsa -out accounts.key 2048", "openssl rsa -in accounts.key -pubout -out accounts.pub",
        ):  # fmt: skip
            subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
        store = f"http://127.0.0.1:{etcd}"
        self._start(
            "etcd", "etcd", f"--data-dir={folder}/etcd",
            f"--listen-client-urls={store}", f"--advertise-client-urls={store}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}", "--unsafe-no-fsync",
        )  # fmt: skip
        self._start(
            "kubernetes", "kube-apiserver", f"--etcd-servers={store}", "--bind-address=127.0.0.1",
            f"--secure-port={self.port}", f"--cert-dir={folder}/pki", "--authorization-mode=RBAC",
            f"--token-auth-file={folder}/tokens.csv", "--service-cluster-ip-range=10.96.0.0/16",
            f"--service-account-key-file={folder}/accounts.pub", "--service-account-issuer=https://kubernetes",
            f"--service-account-signing-key-file={folder}/accounts.key",
            f"--audit-policy-file={folder}/policy.yaml", f"--audit-log-path={folder}/audit.log",
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.kill()
            process.wait()

    def _start(self, component, program, *flags):
        log = (self.folder / f"{program}.log").open("w")
        self.processes.append(
            subprocess.Popen([TOOLBOX.program(component, program), *flags], stdout=log, stderr=log)
        )

    def is_ready(self):
        try:
            return self.request("GET", "/readyz") == b"ok"
        except (OSError, FileNotFoundError):  # not listening yet, or without its certificate
            return False

    def wait(self):
        log = self.folder / "kube-apiserver.log"
        deadline_s = time.monotonic() + 120
        while not self.is_ready():
            assert time.monotonic() < deadline_s, log.read_text()[-2000:]
            assert self.processes[-1].poll() is None, log.read_text()[-2000:]
            time.sleep(0.2)

    def kubeconfig(self, user):
        path = self.folder / f"{user}.yaml"
        cluster = {
            "server": f"https://127.0.0.1:{self.port}",
            "certificate-authority": f"{self.folder}/pki/apiserver.crt",
        }
        path.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "real",
            "clusters": [{"name": "real", "cluster": cluster}],
            "contexts": [{"name": "real", "context": {"cluster": "real", "user": user}}],
            "users": [{"name": user, "user": {"token": self.tokens[user]}}],
        }))  # fmt: skip
        return path

    def request(self, method, path, document=None):
        headers = {"Authorization": f"Bearer {self.tokens['admin']}", "Content-Type": "application/json"}
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"https://127.0.0.1:{self.port}{path}", body, headers, method=method)
        trusted = ssl.create_default_context(cafile=str(self.folder / "pki/apiserver.crt"))
        with urllib.request.urlopen(request, context=trusted) as answer:
            return answer.read()

    def post(self, path, document):
        """A new kind of object is served a moment after its definition is stored."""
        deadline_s = time.monotonic() + 30
        while True:
            try:
                return self.request("POST", path, document)
            except urllib.error.HTTPError as error:
                if error.code != 404 or time.monotonic() > deadline_s:
                    raise
            time.sleep(0.1)

    def asked_by(self, user):
        """(verb, resource) of every request of a user that the audit log knows."""
        events = [json.loads(line) for line in (self.folder / "audit.log").read_text().splitlines()]
        return {
            (each["verb"], each["objectRef"]["resource"])
            for each in events
            if each["user"]["username"] == user
        }


def definition(group, plural, kind, version, *, scope):
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    served = {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "names": names, "scope": scope, "versions": [served]},
    }


def role(name, *resources):
    rules = [{"apiGroups": [group], "resources": [READS[group]], "verbs": ["list"]} for group in resources]
    return {"metadata": {"name": name}, "rules": rules}


def binding(name, group):
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}],
    }


@pytest.fixture(scope="module")
def api_server(tmp_path_factory):
    TOOLBOX.build(NEEDED)
    with ApiServer(tmp_path_factory.mktemp("api-server")) as server:
        server.wait()
        crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        server.post(
            crds, definition("keda.sh", "scaledobjects", "ScaledObject", "v1alpha1", scope="Namespaced")
        )
        server.post(crds, definition("karpenter.sh", "nodepools", "NodePool", "v1", scope="Cluster"))
        for name in ("shop", "search"):
            server.post("/api/v1/namespaces", {"metadata": {"name": name}})
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        for name, resources in (("readers", READS), ("half", ("apps", "autoscaling", "policy"))):
            server.post(f"{rbac}/clusterroles", role(name, *resources))
            server.post(f"{rbac}/clusterrolebindings", binding(name, name))
        for each in OBJECTS:
            version, namespace = each["apiVersion"], each["metadata"].get("namespace")
            root = "/api/v1" if version == "v1" else f"/apis/{version}"
            inside = f"/namespaces/{namespace}" if namespace else ""
            server.post(f"{root}{inside}/{PLURALS[each['kind']]}", each)
        yield server


def init(server, user, output, *more):
    arguments = ["init", "--from-cluster", "-o", str(output), *more]
    return CliRunner(env={"KUBECONFIG": str(server.kubeconfig(user))}).invoke(
        cli, arguments, catch_exceptions=False
    )


def test_a_user_who_may_only_list_gets_a_valid_scenario(api_server, tmp_path, monkeypatch):
    monkeypatch.setattr(read, "PAGE", 1)  # every list comes in parts
    result = init(api_server, "reader", tmp_path / "fleet.yaml")
    assert result.exit_code == ExitStatus.OK, result.output
    scenario = load_scenario(tmp_path / "fleet.yaml").scenario
    assert [service.name for service in scenario.services] == ["search-ranker", "007", "shop-ranker", "web"]
    shop = {
        (pool.instance_type, pool.zone): pool.size for pool in scenario.pools if pool.name.startswith("shop")
    }
    assert shop == {("g5.xlarge", "us-east-1a"): 1, ("g5.xlarge", "us-east-1b"): 1, ("g5.2xlarge", None): 1}
    seven = [pool.zone for pool in scenario.pools if pool.name.startswith("007")]
    assert seven == ["us-east-1b", None]  # None: what the NodePool without nodes would buy
    text = (tmp_path / "fleet.yaml").read_text()
    assert scenario.region == "us-east-1"
    query = "sum( rate(x[1m]) ) region: eu-west-1"
    assert f"ScaledObject ranker-keda: 1 to 40 replicas by prometheus (query {query}, threshold 8)" in text
    assert "HorizontalPodAutoscaler web-hpa: 2 to 20 replicas by cpu at 70 %" in text
    assert "PodDisruptionBudget ranker-pdb: minAvailable 50%" in text
    assert api_server.asked_by("reader") == {("list", resource) for resource in READS.values()}


def test_one_namespace_is_one_fleet(api_server, tmp_path):
    assert init(api_server, "reader", tmp_path / "fleet.yaml", "-n", "search").exit_code == ExitStatus.OK
    assert [each.name for each in load_scenario(tmp_path / "fleet.yaml").scenario.services] == ["ranker"]


def test_what_a_user_may_not_list_is_named(api_server, tmp_path):
    result = init(api_server, "half", tmp_path / "fleet.yaml")
    assert result.exit_code == ExitStatus.OK
    for kind in ("scaledobjects.keda.sh", "nodepools.karpenter.sh", "nodes"):
        assert f"left out: not read: {kind}: 403 Forbidden" in result.stderr
    load_scenario(tmp_path / "fleet.yaml")


def test_a_stranger_is_told_and_nothing_is_written(api_server, tmp_path):
    with pytest.raises(EnvironmentProblem, match=r"cannot list deployments\.apps: 403 Forbidden"):
        init(api_server, "stranger", tmp_path / "fleet.yaml")
    assert not (tmp_path / "fleet.yaml").exists()

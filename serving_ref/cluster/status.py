"""What a cluster is right now: one document, for people and programs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from serving_ref.cluster.processes import running

if TYPE_CHECKING:
    from serving_ref.cluster.kubectl import Kubectl
    from serving_ref.cluster.record import ClusterFolder

PART_PROGRAMS = {
    "kwok": ("kwok",),
    "karpenter": ("karpenter",),
    "keda": ("keda-operator", "keda-adapter"),
    "prometheus": ("prometheus",),
    "metrics-server": ("metrics-server",),
    "redis": ("redis",),
}
CONTROL_PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "coredns")
NODE_PROGRAMS = ("containerd", "kubelet", "kube-proxy")


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node, as the API server and its labels tell it."""

    name: str
    ready: bool
    real: bool
    """False: KWOK's, on which nothing runs."""
    instance_type: str
    zone: str
    capacity_type: str
    address: str


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """A cluster, whoever runs it."""

    name: str
    driver: str
    """`local`, `kind` or `context`."""
    up: bool
    version: str = ""
    """Of the API server, such as `v1.35.4`."""
    nodes: tuple[NodeStatus, ...] = ()
    programs: dict[str, bool] = field(default_factory=dict)
    """Of a local cluster: program → whether it runs."""
    parts: dict[str, bool] = field(default_factory=dict)
    """Of a local cluster: part → whether all its programs run."""


def node_status(node: dict[str, Any]) -> NodeStatus:
    """Read a Node object. Pure."""
    labels = node["metadata"].get("labels", {})
    conditions = node.get("status", {}).get("conditions", [])
    addresses = node.get("status", {}).get("addresses", [])
    return NodeStatus(
        name=node["metadata"]["name"],
        ready=any(each["type"] == "Ready" and each["status"] == "True" for each in conditions),
        real=labels.get(
            "kwok.x-k8s.io/node", node["metadata"].get("annotations", {}).get("kwok.x-k8s.io/node")
        )
        != "fake",
        instance_type=labels.get("node.kubernetes.io/instance-type", ""),
        zone=labels.get("topology.kubernetes.io/zone", ""),
        capacity_type=labels.get("karpenter.sh/capacity-type", ""),
        address=next((each["address"] for each in addresses if each["type"] == "InternalIP"), ""),
    )


def remote_status(name: str, driver: str, kubectl: Kubectl) -> ClusterStatus:
    """The status of any cluster that kubectl reaches."""
    if not kubectl.is_ready():
        return ClusterStatus(name, driver, up=False)
    nodes = tuple(node_status(node) for node in kubectl.get("nodes")["items"])
    version = json.loads(kubectl.run("get", "--raw", "/version"))["gitVersion"]
    return ClusterStatus(name, driver, up=True, version=version, nodes=nodes)


def local_status(name: str, folder: ClusterFolder, kubectl: Kubectl) -> ClusterStatus:
    """The status of a cluster of this machine; never an error where it is down or half down."""
    record = folder.read()
    if record is None:
        return ClusterStatus(name, "local", up=False)
    alive = set(running(folder.root))
    wanted = [f"control/{program}" for program in CONTROL_PROGRAMS]
    wanted += [f"{node.name}/{program}" for node in record.nodes for program in NODE_PROGRAMS]
    parts = {
        part: all(f"control/{program}" in alive for program in PART_PROGRAMS[part]) for part in record.parts
    }
    programs = {program: program in alive for program in wanted}
    return replace(remote_status(name, "local", kubectl), programs=programs, parts=parts)

"""Nodes without a machine: Node objects that KWOK keeps ready, as large as the instance types they are named after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from serving_ref.cluster.instance_types import ARCHITECTURES, resources
from serving_ref.cluster.node_pools import SIMULATED_TAINT

if TYPE_CHECKING:
    from scenarios.catalogue import InstanceType
    from serving_ref.cluster.kubectl import Kubectl
    from serving_ref.cluster.node_config import NodeSpec

KWOK_MARK = {"kwok.x-k8s.io/node": "fake"}
"""KWOK manages the nodes with this annotation; Karpenter's KWOK provider sets it as a label too."""
LABEL = "baseload.dev/node"


def simulated_name(number: int) -> str:
    """Such as `sim-1`."""
    return f"sim-{number}"


def simulated_node(spec: NodeSpec, instance_type: InstanceType) -> dict[str, object]:
    """The Node object. Pure."""
    name, size = simulated_name(spec.number), resources(instance_type)
    labels = spec.labels | KWOK_MARK | {
        LABEL: "simulated",
        "kubernetes.io/hostname": name,
        "kubernetes.io/arch": ARCHITECTURES[instance_type.arch],
        "kubernetes.io/os": "linux",
    }  # fmt: skip
    metadata: dict[str, Any] = {"name": name, "annotations": KWOK_MARK, "labels": labels}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata,
        "spec": {"taints": [SIMULATED_TAINT]},
        "status": {"allocatable": size, "capacity": size},
    }


def free_numbers(kubectl: Kubectl, count: int) -> list[int]:
    """The lowest numbers that no simulated node of this cluster has."""
    nodes = kubectl.get("nodes", "-l", f"{LABEL}=simulated")["items"]
    taken = {node["metadata"]["name"] for node in nodes}
    numbers = range(1, len(taken) + count + 1)
    return [number for number in numbers if simulated_name(number) not in taken][:count]

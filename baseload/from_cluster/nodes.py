"""Groups of alike nodes: what a pool of a scenario is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from baseload.from_cluster.read import ClusterObjects

INSTANCE_TYPE = "node.kubernetes.io/instance-type"
ZONE = "topology.kubernetes.io/zone"
CAPACITY_TYPE = "karpenter.sh/capacity-type"
EKS_CAPACITY_TYPE = "eks.amazonaws.com/capacityType"
NODE_POOL = "karpenter.sh/nodepool"
EKS_NODE_GROUP = "eks.amazonaws.com/nodegroup"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_CAPACITY_TYPES = {"on-demand": "on-demand", "on_demand": "on-demand", "spot": "spot", "reserved": "reserved",
                   "capacity_block": "reserved"}  # fmt: skip
_CONDITIONS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
_MOST_OFFERS = 6
"""Instance types of a NodePool that has no nodes: more are a menu, not a fleet."""


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Nodes of one instance type, zone and way of buying, made by one owner."""

    owner: str
    """NodePool or node group; empty if nobody is named."""
    instance_type: str
    zone: str | None
    capacity_type: str | None
    """None: it is not said."""
    labels: frozenset[tuple[str, str]]
    """That all of its nodes have."""
    taints: frozenset[tuple[str, str, str]]
    """(key, value, effect) of those that keep pods away from all of its nodes."""
    size: int
    """Nodes that are there."""

    def fits(self, selector: Mapping[str, frozenset[str]], tolerations: Iterable[Mapping[str, str]]) -> bool:
        """Whether a pod may run here: every label that it wants has a wanted value (or is not known of these nodes),
        and every taint is tolerated."""
        own = dict(self.labels)
        welcome = all(key not in own or own[key] in values for key, values in selector.items())
        return welcome and all(any(_tolerates(each, taint) for each in tolerations) for taint in self.taints)


def node_groups(objects: ClusterObjects) -> list[NodeGroup]:
    """Groups of the nodes that are there, and of what NodePools without nodes would buy; largest first."""
    members: dict[tuple[str, str, str | None, str | None], list[dict[str, Any]]] = {}
    for node in objects.nodes:
        labels = node["metadata"].get("labels", {})
        if CONTROL_PLANE in labels or INSTANCE_TYPE not in labels:
            continue
        who = (_owner(labels), labels[INSTANCE_TYPE], labels.get(ZONE), capacity_type_of(labels))
        members.setdefault(who, []).append(node)
    groups = [
        NodeGroup(
            *who,
            labels=frozenset.intersection(*(frozenset(each["metadata"]["labels"].items()) for each in of)),
            taints=frozenset.intersection(*(_taints(each["spec"]) for each in of)),
            size=len(of),
        )
        for who, of in members.items()
    ]
    owners = {group.owner for group in groups}
    for node_pool in objects.node_pools:
        if node_pool["metadata"]["name"] not in owners:
            groups += _offers(node_pool)
    return sorted(groups, key=lambda group: (-group.size, group.owner, group.instance_type, group.zone or ""))


def _owner(labels: Mapping[str, str]) -> str:
    return labels.get(NODE_POOL) or labels.get(EKS_NODE_GROUP) or ""


def capacity_type_of(labels: Mapping[str, str]) -> str | None:
    """How a node is bought, in the words of the scenario language; None where no label says it."""
    said = labels.get(CAPACITY_TYPE) or labels.get(EKS_CAPACITY_TYPE) or ""
    return _CAPACITY_TYPES.get(said.lower())


def _offers(node_pool: dict[str, Any]) -> list[NodeGroup]:
    """A group for each instance type that a NodePool without nodes names."""
    name = node_pool["metadata"]["name"]
    template = node_pool["spec"]["template"]
    wanted = {
        each["key"]: each.get("values", [])
        for each in template["spec"].get("requirements", [])
        if each.get("operator") == "In"
    }
    capacity_types = [_CAPACITY_TYPES.get(each) for each in wanted.get(CAPACITY_TYPE, [])]
    # Karpenter takes a reservation first, then spot, then on-demand.
    chosen = next((each for each in ("reserved", "spot", "on-demand") if each in capacity_types), None)
    zones = wanted.get(ZONE, [])
    labels = {**template.get("metadata", {}).get("labels", {}), NODE_POOL: name}
    return [
        NodeGroup(
            name, instance_type, zones[0] if len(zones) == 1 else None, chosen,
            frozenset({**labels, INSTANCE_TYPE: instance_type}.items()), _taints(template["spec"]), 0,
        )
        for instance_type in wanted.get(INSTANCE_TYPE, [])[:_MOST_OFFERS]
    ]  # fmt: skip


def _taints(spec: Mapping[str, Any]) -> frozenset[tuple[str, str, str]]:
    """Taints that somebody chose. Those of a node's condition (not ready, under pressure, new) come and go."""
    return frozenset(
        (each["key"], each.get("value", ""), each["effect"])
        for each in spec.get("taints", [])
        if each["effect"] in ("NoSchedule", "NoExecute") and not each["key"].startswith(_CONDITIONS)
    )


def _tolerates(toleration: Mapping[str, str], taint: tuple[str, str, str]) -> bool:
    key, value, effect = taint
    if toleration.get("effect", effect) != effect or toleration.get("key", key) != key:
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == value

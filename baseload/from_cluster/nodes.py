"""Groups of alike nodes: what a pool of a scenario is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from baseload.from_cluster.selectors import equalities, expressions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from baseload.from_cluster.read import ClusterObjects
    from baseload.from_cluster.selectors import PodRules, Requirement

    Object = dict[str, Any]
    Offer = Mapping[str, frozenset[str]]
    """Label → the values that it may have."""

INSTANCE_TYPE = "node.kubernetes.io/instance-type"
ZONE = "topology.kubernetes.io/zone"
CAPACITY_TYPE = "karpenter.sh/capacity-type"
EKS_CAPACITY_TYPE = "eks.amazonaws.com/capacityType"
NODE_POOL = "karpenter.sh/nodepool"
EKS_NODE_GROUP = "eks.amazonaws.com/nodegroup"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
_CAPACITY_TYPES = {"on-demand": "on-demand", "on_demand": "on-demand", "spot": "spot", "reserved": "reserved",
                   "capacity_block": "reserved"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Nodes of one instance type, zone and way of buying, made by one owner."""

    owner: str
    """NodePool or node group; empty if nobody is named."""
    instance_type: str
    zone: str | None
    capacity_type: str | None
    """None: it is not said."""
    size: int = 0
    """Nodes that are there."""


def node_groups(objects: ClusterObjects, rules: PodRules) -> list[NodeGroup]:
    """Groups of the nodes that a pod may run on, and of what NodePools without nodes would buy for it; largest first.

    Each node is asked by its own labels and taints: those of one group need not be alike.
    """
    sizes = Counter(_group(node) for node in objects.nodes if _works(node) and rules.allow(node))
    groups = [replace(each, size=size) for each, size in sizes.items()]
    owners = {_labels(node).get(NODE_POOL) for node in objects.nodes if _works(node)}
    for node_pool in objects.node_pools:
        if node_pool["metadata"]["name"] not in owners:
            groups += _offers(node_pool, rules)
    return sorted(
        groups,
        key=lambda group: (
            -group.size, group.owner, group.instance_type, group.zone or "", group.capacity_type or ""
        ),
    )  # fmt: skip


def nameless(objects: ClusterObjects) -> int:
    """Nodes for pods that do not say of which type they are: they make no group."""
    return sum(CONTROL_PLANE not in _labels(node) and not _works(node) for node in objects.nodes)


def capacity_type_of(labels: Mapping[str, str]) -> str | None:
    """How a node is bought, in the words of the scenario language; None where no label says it."""
    said = labels.get(CAPACITY_TYPE) or labels.get(EKS_CAPACITY_TYPE) or ""
    return _CAPACITY_TYPES.get(said.lower())


def _works(node: Object) -> bool:
    labels = _labels(node)
    return CONTROL_PLANE not in labels and bool(labels.get(INSTANCE_TYPE))


def _labels(node: Object) -> Mapping[str, str]:
    labels: Mapping[str, str] = node["metadata"].get("labels", {})
    return labels


def _group(node: Object) -> NodeGroup:
    labels = _labels(node)
    owner = labels.get(NODE_POOL) or labels.get(EKS_NODE_GROUP) or ""
    return NodeGroup(owner, labels[INSTANCE_TYPE], labels.get(ZONE), capacity_type_of(labels))


def _offers(node_pool: Object, rules: PodRules) -> Iterator[NodeGroup]:
    """A group for each instance type that a NodePool without nodes, or the pod, names.

    The pod's rules narrow what the NodePool offers, as Karpenter does it. A label of which the NodePool says nothing is
    left open: it may come with the instance type.
    """
    name, template = node_pool["metadata"]["name"], node_pool["spec"]["template"]
    if not rules.tolerate(template["spec"]):
        return
    own = (
        *equalities({**template.get("metadata", {}).get("labels", {}), NODE_POOL: name}),
        *expressions(template["spec"].get("requirements", [])),
    )
    # What it lists comes first, so that its other rules narrow that.
    own = tuple(sorted(own, key=lambda each: each.operator != "In"))
    narrowed = (_narrowed({}, (*own, *alternative)) for alternative in rules.alternatives)
    offer = next((each for each in narrowed if each is not None), None)
    if offer is None:
        return
    capacity_types = {_CAPACITY_TYPES.get(each) for each in offer.get(CAPACITY_TYPE, ())}
    # Karpenter takes a reservation first, then spot, then on-demand.
    chosen = next((each for each in ("reserved", "spot", "on-demand") if each in capacity_types), None)
    zones = offer.get(ZONE, frozenset())
    zone = next(iter(zones)) if len(zones) == 1 else None
    for instance_type in sorted(offer.get(INSTANCE_TYPE, ())):
        yield NodeGroup(name, instance_type, zone, chosen)


def _narrowed(offer: Offer, requirements: Iterable[Requirement]) -> Offer | None:
    """What an offer leaves of its values under further rules; None where nothing is left of a label."""
    left = dict(offer)
    for each in requirements:
        if each.key in left:
            left[each.key] = frozenset(value for value in left[each.key] if each.holds(value))
        elif each.operator == "In":
            left[each.key] = each.values
    return left if all(left.values()) else None

"""From a cluster's objects to a draft of a scenario: a pure function.

A Deployment becomes a service if something scales it (a HorizontalPodAutoscaler, a ScaledObject), it asks for an
accelerator, or it is Baseload's own model server; if none does, every Deployment becomes one. Its pools are the groups
of nodes that its node selector and its required node affinity allow.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from baseload.from_cluster.draft import Draft, DraftPool, DraftService
from baseload.from_cluster.nodes import INSTANCE_TYPE, NodeGroup, nameless, node_groups
from baseload.from_cluster.quantities import gibibytes, quantity
from baseload.from_cluster.scaling import scaling_notes
from baseload.from_cluster.selectors import pod_rules
from baseload.from_cluster.words import Names, as_name, one_line
from scenarios.catalogue import load_catalogue
from scenarios.schema.fleet import MAX_POOL_SIZE, MAX_REPLICAS_PER_INSTANCE
from scenarios.units import MAX_BYTES
from simulator.money.prices import PURCHASE_OPTION

if TYPE_CHECKING:
    from baseload.from_cluster.read import ClusterObjects
    from baseload.from_cluster.selectors import PodRules
    from scenarios.catalogue import InstanceType

    Object = dict[str, Any]

ACCELERATORS = ("nvidia.com/gpu", "aws.amazon.com/neuroncore", "aws.amazon.com/neuron", "amd.com/gpu")
MODEL_SERVER = ("app.kubernetes.io/name", "model-server")
UNKNOWN_TYPE = "unknown"
REGION = "topology.kubernetes.io/region"
DEFAULT_REGION = "us-east-1"
_MOST_EMPTY = 12
"""Pools of a service that stay empty: more are a menu, not a fleet."""


def draft_of(objects: ClusterObjects, context: str) -> Draft:
    """Translate what was read from a cluster; `context` says which one it was."""
    serving = [each for each in objects.deployments if _serves(each, objects)]
    chosen = serving or list(objects.deployments)
    left_out = [
        f"Deployment {_namespace(each)}/{_name(each)}: nothing scales it, and it asks for no accelerator"
        for each in objects.deployments
        if each not in chosen
    ]
    said = region_of(objects)
    region = said or DEFAULT_REGION
    names = Counter(_name(each) for each in chosen)
    service_names, pool_names = Names(), Names()
    groups: dict[PodRules, list[NodeGroup]] = {}
    services = []
    for each in chosen:
        name = service_names.give(_namespace(each) if names[_name(each)] > 1 else None, _name(each))
        rules = pod_rules(each["spec"]["template"]["spec"])
        if rules not in groups:  # many Deployments share theirs, and clusters have many nodes
            groups[rules] = node_groups(objects, rules)
        services.append(_service(each, name, pool_names, rules, groups[rules], objects, region))
    if count := nameless(objects):
        left_out.append(f"{count} nodes without the label {INSTANCE_TYPE}")
    left_out += [f"not read: {each}" for each in objects.unread]
    return Draft(
        as_name(context) or "cluster",
        context,
        region,
        said is not None,
        tuple(services),
        tuple(map(one_line, left_out)),
    )


def region_of(objects: ClusterObjects) -> str | None:
    """Where most nodes are; None where they do not say it, or the catalogue has no prices of it."""
    said = Counter(node["metadata"].get("labels", {}).get(REGION) for node in objects.nodes)
    known = [(count, region) for region, count in said.items() if region in load_catalogue().regions]
    return max(known)[1] if known else None


def _serves(deployment: Object, objects: ClusterObjects) -> bool:
    key, value = MODEL_SERVER
    return (
        bool(scaling_notes(deployment, objects, disruptions=False))
        or any(_request(deployment, name) for name in ACCELERATORS)
        or deployment["metadata"].get("labels", {}).get(key) == value
    )


def _service(
    deployment: Object,
    name: str,
    pool_names: Names,
    rules: PodRules,
    groups: list[NodeGroup],
    objects: ClusterObjects,
    region: str,
) -> DraftService:
    replicas = deployment["spec"].get("replicas", 1)
    fitting = _able(deployment, groups)
    shape = load_catalogue().instance_types_by_name.get(fitting[0].instance_type) if fitting else None
    per_instance, questions = _replicas_per_instance(deployment, shape)
    instances = math.ceil(replicas / per_instance)
    if instances > MAX_POOL_SIZE:
        questions.append(
            f"{instances} instances for its replicas are more than the {MAX_POOL_SIZE} of a pool"
        )
        instances = MAX_POOL_SIZE
    memory = _request(deployment, "memory", "limits") or _request(deployment, "memory")
    return DraftService(
        name=name,
        namespace=_namespace(deployment),
        deployment=_name(deployment),
        pools=_pools(name, pool_names, fitting, instances, rules, region),
        replicas=replicas,
        replicas_per_instance=per_instance,
        memory=gibibytes(memory) if 0 < memory <= MAX_BYTES else None,
        load_s=_initial_delay_s(deployment),
        notes=tuple(scaling_notes(deployment, objects)),
        questions=tuple(questions),
    )


def _able(deployment: Object, groups: list[NodeGroup]) -> list[NodeGroup]:
    """Of the groups that a Deployment may run on, those with accelerators if it asks for them; without, if there are
    such, those that have none. What a type has that the catalogue does not know, nobody knows."""
    types = load_catalogue().instance_types_by_name
    accelerators = {
        group: types[group.instance_type].accelerator_count if group.instance_type in types else None
        for group in groups
    }
    if any(_request(deployment, each) for each in ACCELERATORS):
        return [group for group in groups if accelerators[group] != 0]
    return [group for group in groups if not accelerators[group]] or groups


def _pools(
    service: str, names: Names, groups: list[NodeGroup], instances: int, rules: PodRules, region: str
) -> tuple[DraftPool, ...]:
    """A pool for each group that a service may run on; the first ones have its instances, as far as there are nodes."""
    if not groups:
        wanted = f" ({rules})" if str(rules) else ""
        question = f"no nodes were seen that it may run on{wanted}"
        name = names.give(service, "nodes")
        return (DraftPool(name, UNKNOWN_TYPE, "on-demand", None, instances, False, False, (question,)),)
    pools = []
    left, empty = instances, 0
    for place, group in enumerate(groups):
        size = left if place == len(groups) - 1 or not group.size else min(left, group.size)
        left -= size
        empty += not size
        if size or empty <= _MOST_EMPTY:
            pools.append(
                _pool(
                    names.give(service, group.owner, group.instance_type, group.zone, group.capacity_type),
                    group,
                    size,
                    region,
                )
            )
    if len(pools) < len(groups):
        more = f"{len(groups) - len(pools)} more groups of nodes that it may run on are left out: they would be empty"
        pools[-1] = replace(pools[-1], questions=(*pools[-1].questions, more))
    return tuple(pools)


def _pool(name: str, group: NodeGroup, size: int, region: str) -> DraftPool:
    catalogue = load_catalogue()
    instance_type = one_line(
        group.instance_type
    )  # as the file has it: two that are alike there have one price
    capacity_type = group.capacity_type or "on-demand"
    questions = [] if group.capacity_type else ["how it is bought: no label says it"]
    if not group.size:
        questions.append(f"NodePool {group.owner} has no such node now")
    return DraftPool(
        name,
        instance_type,
        capacity_type,
        group.zone,
        size,
        instance_type in catalogue.instance_types_by_name,
        (region, instance_type, PURCHASE_OPTION[capacity_type]) in catalogue.prices_by_key,
        tuple(questions),
    )


def _replicas_per_instance(deployment: Object, shape: InstanceType | None) -> tuple[int, list[str]]:
    """How many replicas fit on an instance by what they request, and what is doubtful about it."""
    if shape is None:
        return 1, ["replicas_per_instance: the instance type is not in the catalogue"]
    requests = {
        "accelerators": (sum(_request(deployment, each) for each in ACCELERATORS), shape.accelerator_count),
        "CPUs": (_request(deployment, "cpu"), shape.vcpu),
        "memory": (_request(deployment, "memory"), shape.memory_gib * 2**30),
    }
    fits = {what: math.floor(has / wanted) for what, (wanted, has) in requests.items() if wanted > 0}
    if not fits:
        return 1, ["replicas_per_instance: it requests nothing"]
    tightest = min(fits, key=lambda what: fits[what])
    count = fits[tightest]
    if count < 1:
        return 1, [f"replicas_per_instance: its {tightest} do not fit on {shape.name}"]
    if count > MAX_REPLICAS_PER_INSTANCE:
        most = f"the language takes at most {MAX_REPLICAS_PER_INSTANCE}"
        return MAX_REPLICAS_PER_INSTANCE, [
            f"replicas_per_instance: {count} fit by {tightest}, and {most}: there are more instances here"
        ]
    if count > 1 and tightest != "accelerators":
        return count, [f"replicas_per_instance: as many as fit by {tightest}, beside nothing else"]
    return count, []


def _request(deployment: Object, resource: str, part: str = "requests") -> float:
    """What a replica's containers request of a resource, all together. A limit is the request where none is given."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    total = 0.0
    for container in containers:
        resources = container.get("resources", {})
        given = resources.get(part, {}).get(resource)
        if given is None:
            given = resources.get("limits", {}).get(resource)
        total += quantity(given) if given is not None else 0.0
    return total


def _initial_delay_s(deployment: Object) -> float | None:
    """The longest first delay of its start-up and readiness probes."""
    delays = [
        container[probe].get("initialDelaySeconds", 0)
        for container in deployment["spec"]["template"]["spec"]["containers"]
        for probe in ("startupProbe", "readinessProbe")
        if probe in container
    ]
    return float(max(delays)) if delays and max(delays) else None


def _name(each: Object) -> str:
    return str(each["metadata"]["name"])


def _namespace(each: Object) -> str:
    return str(each["metadata"].get("namespace", "default"))

"""Which nodes a pod may run on, by the rules of the Kubernetes API, and what a NodePool without nodes would buy."""

from __future__ import annotations

import pytest

from baseload.from_cluster.read import ClusterObjects
from baseload.from_cluster.translate import draft_of
from scenarios.catalogue import load_catalogue
from tests.baseload.cluster_objects import deployment, disruption_budget, node, node_pool, on_gpu

DISK, SLOTS = "disk", "example.org/slots"


def with_labels(each, **labels):
    each["metadata"]["labels"] |= {key.replace("_", "/"): value for key, value in labels.items()}
    return each


def required(*terms):
    rules = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"affinity": {"nodeAffinity": rules}}


def rule(operator, *values, key=DISK):
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def expressions(*rules):
    return {"matchExpressions": list(rules)}


def service(pod, **objects):
    (found,) = draft_of(ClusterObjects((deployment(pod=pod, **on_gpu()),), **objects), "prod").services
    return found


def types(pod, **objects):
    return {pool.instance_type for pool in service(pod, **objects).pools}


SSD, HDD, BARE = "g5.xlarge", "g5.2xlarge", "g5.4xlarge"
NODES = (
    with_labels(node("a", SSD), disk="ssd", example_slots="8"),
    with_labels(node("b", HDD), disk="hdd", example_slots="16"),
    node("c", BARE),
)


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        ({}, {SSD, HDD, BARE}),
        ({"nodeSelector": {DISK: "ssd"}}, {SSD}),
        ({"nodeSelector": {DISK: ""}}, {"unknown"}),
        (required(expressions(rule("In", "ssd", "nvme"))), {SSD}),
        (required(expressions(rule("NotIn", "ssd"))), {HDD, BARE}),
        (required(expressions(rule("Exists"))), {SSD, HDD}),
        (required(expressions(rule("DoesNotExist"))), {BARE}),
        (required(expressions(rule("Gt", "8", key="example/slots"))), {HDD}),
        (required(expressions(rule("Lt", "16", key="example/slots"))), {SSD}),
        (required(expressions(rule("Gt", "1"))), {"unknown"}),  # "ssd" is no number
        (required(expressions(rule("Gt", "x", key="example/slots"))), {"unknown"}),
        (required(expressions(rule("Exists"), rule("NotIn", "ssd"))), {HDD}),
        (required(expressions(rule("In", "ssd")), expressions(rule("DoesNotExist"))), {SSD, BARE}),
        (required({}, expressions(rule("In", "ssd"))), {SSD}),  # an empty term chooses nothing
        ({"nodeSelector": {DISK: "hdd"}} | required(expressions(rule("In", "ssd"))), {"unknown"}),
        (required({"matchFields": [rule("In", "c", key="metadata.name")]}), {BARE}),
        (required({"matchFields": [rule("NotIn", "c", key="metadata.name")]}), {SSD, HDD}),
        (required(expressions(rule("NearlyIn", "ssd"))), {"unknown"}),
    ],
)  # fmt: skip
def test_a_pod_runs_where_its_rules_hold(pod, expected):
    assert types(pod, nodes=NODES) == expected


def test_every_node_is_asked_on_its_own():
    """One of a group that is alike otherwise has the label, or the taint."""
    nodes = (with_labels(node("a"), disk="ssd"), node("b"), node("c"))
    (pool,) = service({"nodeSelector": {DISK: "ssd"}}, nodes=nodes).pools
    assert pool.size == 3  # the only group takes what no node was seen for
    tainted = node("d", taints=[{"key": "dedicated", "value": "x", "effect": "NoSchedule"}])
    found = service({}, nodes=(tainted, node("e"), node("f", zone="us-east-1b")))
    assert {pool.zone: pool.size for pool in found.pools} == {"us-east-1a": 1, "us-east-1b": 2}


def test_labels_that_a_node_pool_does_not_name_are_left_open():
    pools = (node_pool("burst", "g5.2xlarge"),)
    assert types({"nodeSelector": {DISK: "ssd"}}, node_pools=pools) == {"g5.2xlarge"}
    assert types({"nodeSelector": {"karpenter.sh/nodepool": "other"}}, node_pools=pools) == {"unknown"}
    pools[0]["spec"]["template"]["metadata"] = {"labels": {DISK: "hdd"}}
    assert types({"nodeSelector": {DISK: "ssd"}}, node_pools=pools) == {"unknown"}


@pytest.mark.parametrize(
    ("pod", "offered"),
    [
        ({}, {("g5.xlarge", "spot", None), ("g5.2xlarge", "spot", None)}),
        ({"nodeSelector": {"karpenter.sh/capacity-type": "on-demand"}},
         {("g5.xlarge", "on-demand", None), ("g5.2xlarge", "on-demand", None)}),
        (required(expressions(rule("NotIn", "g5.xlarge", key="node.kubernetes.io/instance-type"))),
         {("g5.2xlarge", "spot", None)}),
        ({"nodeSelector": {"topology.kubernetes.io/zone": "us-east-1b"}},
         {("g5.xlarge", "spot", "us-east-1b"), ("g5.2xlarge", "spot", "us-east-1b")}),
        ({"nodeSelector": {"topology.kubernetes.io/zone": "us-east-1f"}}, {("unknown", "on-demand", None)}),
        (required(expressions(rule("In", "us-east-1f", key="topology.kubernetes.io/zone")),
                  expressions(rule("In", "us-east-1b", key="topology.kubernetes.io/zone"))),
         {("g5.xlarge", "spot", "us-east-1b"), ("g5.2xlarge", "spot", "us-east-1b")}),
    ],
)  # fmt: skip
def test_a_node_pool_without_nodes_offers_what_the_pod_accepts(pod, offered):
    pools = (node_pool("burst", "g5.xlarge", "g5.2xlarge", zones=["us-east-1a", "us-east-1b"]),)
    found = service(pod, node_pools=pools).pools
    assert {(pool.instance_type, pool.capacity_type, pool.zone) for pool in found} == offered


def test_a_node_pool_that_names_no_types_offers_those_that_the_pod_asks_for():
    pod = {"nodeSelector": {"node.kubernetes.io/instance-type": "g5.4xlarge"}}
    assert types(pod, node_pools=(node_pool("burst"),)) == {"g5.4xlarge"}
    assert types({}, node_pools=(node_pool("burst"),)) == {"unknown"}


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        ({"nodeSelector": {DISK: "ssd", "arch": "arm"}}, " (disk in ssd, arch in arm)"),
        (required(expressions(rule("Exists")), expressions(rule("Gt", "4", key="slots"))),
         " (disk exists; or slots > 4)"),
        (required(expressions(rule("NotIn", "b", "a"), rule("DoesNotExist", key="x"), rule("Lt", "4", key="slots"))),
         " (disk not in a|b, x does not exist, slots < 4)"),
        ({}, ""),
    ],
)  # fmt: skip
def test_what_no_node_has_is_told(pod, words):
    (pool,) = service(pod).pools
    assert pool.questions == (f"no nodes were seen that it may run on{words}",)


@pytest.mark.parametrize(
    ("selector", "told"),
    [
        ({"matchLabels": {"app": "ranker"}}, True),
        ({"matchLabels": {"app": "other"}}, False),
        ({"matchExpressions": [rule("In", "ranker", "web", key="app")]}, True),
        ({"matchLabels": {"app": "ranker"}, "matchExpressions": [rule("DoesNotExist", key="app")]}, False),
        ({}, True),  # every pod of its namespace
        (None, False),
    ],
)
def test_a_disruption_budget_protects_whom_its_selector_chooses(selector, told):
    budget = disruption_budget()
    budget["spec"] |= {"selector": selector} if selector is not None else {}
    if selector is None:
        del budget["spec"]["selector"]
    assert bool(service({}, disruption_budgets=(budget,)).notes) == told


def test_nodes_that_do_not_say_their_type_are_told_of():
    nameless = node("a")
    del nameless["metadata"]["labels"]["node.kubernetes.io/instance-type"]
    draft = draft_of(ClusterObjects((deployment(**on_gpu()),), nodes=(nameless, node("b", ""))), "prod")
    assert draft.left_out == ("2 nodes without the label node.kubernetes.io/instance-type",)


def test_of_the_pools_that_stay_empty_few_are_kept():
    offered = [name for name in load_catalogue().instance_types_by_name if name.startswith(("g5.", "g6."))]
    found = service({}, nodes=(node("a"),), node_pools=(node_pool("burst", *offered),))
    assert [pool.size for pool in found.pools] == [1, 2, *([0] * 12)]
    assert found.pools[-1].questions[-1] == (
        f"{len(offered) - 13} more groups of nodes that it may run on are left out: they would be empty"
    )


def test_prices_are_those_of_the_region_that_most_nodes_name():
    def drafted(*regions):
        nodes = tuple(node(f"n{number}", region=region) for number, region in enumerate(regions))
        draft = draft_of(ClusterObjects(deployments=(deployment(**on_gpu()),), nodes=nodes), "prod")
        return draft.region, draft.region_known

    assert drafted("us-west-2", "us-west-2", "us-east-1") == ("us-west-2", True)
    assert drafted(None, "mars-1") == ("us-east-1", False)

"""A cluster's objects become a draft of a scenario, and the draft a file that is valid as it is written."""

from __future__ import annotations

import pytest
import yaml

from baseload.from_cluster.quantities import gibibytes, quantity
from baseload.from_cluster.read import ClusterObjects
from baseload.from_cluster.translate import draft_of
from baseload.from_cluster.write import marks, scenario_text
from scenarios.load import load_scenario
from simulator.run import simulate
from tests.baseload.cluster_objects import (
    autoscaler,
    deployment,
    disruption_budget,
    node,
    node_pool,
    on_gpu,
    scaled_object,
)

TAINT = [{"key": "dedicated", "value": "models", "effect": "NoSchedule"}]


def draft(*deployments, **objects):
    return draft_of(ClusterObjects(deployments=deployments, **objects), "prod")


def only_service(*deployments, **objects):
    (service,) = draft(*deployments, **objects).services
    return service


def pools(service):
    return {(pool.instance_type, pool.zone, pool.capacity_type): pool.size for pool in service.pools}


def test_a_deployment_on_nodes_becomes_a_service_on_pools():
    nodes = (
        node("a"),
        node("b"),
        node("c", zone="us-east-1b", capacity_type="spot"),
        node("d", "m5.xlarge", pool="cpu"),
    )
    service = only_service(deployment(**on_gpu()), nodes=nodes)
    assert (service.name, service.namespace, service.replicas) == ("ranker", "shop", 3)
    assert pools(service) == {
        ("g5.xlarge", "us-east-1a", "on-demand"): 2,
        ("g5.xlarge", "us-east-1b", "spot"): 1,
    }
    assert service.memory == "3Gi"
    assert service.replicas_per_instance == 1


def test_what_serves_is_what_is_scaled_or_on_accelerators_or_our_own():
    found = draft(
        deployment("scaled"), deployment("queued"), deployment("gpu", **on_gpu()), deployment("web"),
        deployment("ours", labels={"app.kubernetes.io/name": "model-server"}),
        autoscalers=(autoscaler("scaled"),), scaled_objects=(scaled_object("queued"),), nodes=(node("a"),),
    )  # fmt: skip
    assert [service.name for service in found.services] == ["scaled", "queued", "gpu", "ours"]
    assert found.left_out == ("Deployment shop/web: nothing scales it, and it asks for no accelerator",)


def test_where_nothing_is_scaled_every_deployment_is_a_service():
    assert [service.name for service in draft(deployment("one"), deployment("two")).services] == [
        "one",
        "two",
    ]


def test_names_that_occur_in_two_namespaces_have_the_namespace_before_them():
    found = draft(deployment(namespace="shop"), deployment(namespace="search"))
    assert [service.name for service in found.services] == ["shop-ranker", "search-ranker"]


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        ({"nodeSelector": {"karpenter.sh/nodepool": "second"}}, {"g5.2xlarge"}),
        ({"nodeSelector": {"node.kubernetes.io/instance-type": "g5.xlarge"}}, {"g5.xlarge"}),
        ({"nodeSelector": {"disk": "ssd"}}, {"unknown"}),  # no node has the label, whatever its disk is
        (
            {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "node.kubernetes.io/instance-type", "operator": "In",
                                       "values": ["g5.2xlarge", "p3.2xlarge"]}]}]}}}},
            {"g5.2xlarge"},
        ),
    ],
)  # fmt: skip
def test_pools_are_where_selector_and_affinity_allow_it(pod, expected):
    nodes = (node("a"), node("b", "g5.2xlarge", pool="second"))
    assert {
        kind for kind, _, _ in pools(only_service(deployment(pod=pod, **on_gpu()), nodes=nodes))
    } == expected


@pytest.mark.parametrize(
    ("tolerations", "welcome"),
    [
        ([], False),
        ([{"key": "dedicated", "operator": "Exists"}], True),
        ([{"operator": "Exists"}], True),
        ([{"key": "dedicated", "value": "models", "effect": "NoSchedule"}], True),
        ([{"key": "dedicated", "value": "batch"}], False),
        ([{"key": "dedicated", "operator": "Exists", "effect": "NoExecute"}], False),
    ],
)
def test_taints_keep_a_service_away_unless_it_tolerates_them(tolerations, welcome):
    nodes = (node("a", taints=TAINT), node("b", "g5.2xlarge"))
    found = pools(only_service(deployment(pod={"tolerations": tolerations}, **on_gpu()), nodes=nodes))
    assert (("g5.xlarge", "us-east-1a", "on-demand") in found) == welcome


def test_the_condition_of_a_node_keeps_nobody_away():
    not_ready = [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]
    service = only_service(deployment(**on_gpu()), nodes=(node("a", taints=not_ready),))
    assert pools(service) == {("g5.xlarge", "us-east-1a", "on-demand"): 3}


def test_what_needs_no_accelerator_stays_off_nodes_that_have_one():
    nodes = (node("a"), node("b", "m5.xlarge", pool="cpu"))
    service = only_service(deployment(), autoscalers=(autoscaler(),), nodes=nodes)
    assert {kind for kind, _, _ in pools(service)} == {"m5.xlarge"}


def test_replicas_share_an_instance_as_far_as_their_requests_fit():
    nodes = (node("a", "p3.8xlarge"),)  # four accelerators
    service = only_service(deployment(replicas=6, **on_gpu()), nodes=nodes)
    assert service.replicas_per_instance == 4
    assert list(pools(service).values()) == [2]
    by_cpu = only_service(
        deployment(resources={"requests": {"cpu": "1500m", "memory": "1Gi"}}),
        autoscalers=(autoscaler(),), nodes=(node("a", "m5.xlarge"),),
    )  # fmt: skip
    assert by_cpu.replicas_per_instance == 2
    assert by_cpu.questions == ("replicas_per_instance: as many as fit by CPUs, beside nothing else",)
    too_large = only_service(deployment(**on_gpu(4)), nodes=(node("a"),))
    assert too_large.questions == ("replicas_per_instance: its accelerators do not fit on g5.xlarge",)


def test_a_limit_is_the_request_where_none_is_given():
    service = only_service(
        deployment(resources={"limits": {"cpu": "1500m"}}), nodes=(node("a", "m5.xlarge"),)
    )
    assert service.replicas_per_instance == 2


def test_a_node_pool_without_nodes_is_an_empty_pool():
    service = only_service(
        deployment(replicas=1, **on_gpu()),
        nodes=(node("a"),),
        node_pools=(node_pool("burst", "g5.2xlarge", zones=["us-east-1c"]), node_pool("gpu", "g5.xlarge")),
    )  # fmt: skip
    assert pools(service) == {
        ("g5.xlarge", "us-east-1a", "on-demand"): 1,
        ("g5.2xlarge", "us-east-1c", "spot"): 0,
    }
    assert service.pools[1].questions == ("NodePool burst has no such node now",)


def test_nodes_that_say_little_are_asked_about():
    service = only_service(
        deployment(**on_gpu()), nodes=(node("a", "x9.huge", capacity_type=None, pool=None),)
    )
    (pool,) = service.pools
    assert (pool.capacity_type, pool.known_type) == ("on-demand", False)
    assert pool.questions == ("how it is bought: no label says it",)
    assert service.questions == ("replicas_per_instance: the instance type is not in the catalogue",)
    (nowhere,) = only_service(deployment(pod={"nodeSelector": {"disk": "ssd"}}, **on_gpu())).pools
    assert nowhere.questions == ("no nodes were seen that it may run on (disk in ssd)",)


def test_a_price_that_the_catalogue_lacks_is_asked_for():
    nodes = (node("a", "c7i.xlarge", capacity_type="spot"), node("b", "c7i.xlarge", capacity_type="reserved"))
    found = draft(deployment(), nodes=nodes)
    assert {pool.capacity_type: (pool.known_type, pool.priced) for pool in found.services[0].pools} == {
        "spot": (True, False),
        "reserved": (True, True),
    }
    assert yaml.safe_load(scenario_text(found))["prices"] == [
        {"instance_type": "c7i.xlarge", "capacity_type": "spot", "price": "$1/h"}
    ]


def test_eks_node_groups_are_understood_too():
    group = node("a", capacity_type=None, pool=None)
    group["metadata"]["labels"] |= {
        "eks.amazonaws.com/capacityType": "SPOT",
        "eks.amazonaws.com/nodegroup": "gpu-spot",
    }
    (pool,) = only_service(deployment(replicas=1, **on_gpu()), nodes=(group,)).pools
    assert (pool.capacity_type, pool.name) == ("spot", "ranker-gpu-spot-g5.xlarge-us-east-1a-spot")


def test_control_plane_nodes_are_nobodys_pool():
    control = node("a")
    control["metadata"]["labels"]["node-role.kubernetes.io/control-plane"] = ""
    (pool,) = only_service(deployment(**on_gpu()), nodes=(control,)).pools
    assert pool.instance_type == "unknown"


def test_what_scales_and_protects_is_told_in_words():
    behaviour = {"scaleDown": {"stabilizationWindowSeconds": 300,
                               "policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]}}  # fmt: skip
    service = only_service(
        deployment(), autoscalers=(autoscaler(behavior=behaviour), autoscaler("web")),
        disruption_budgets=(disruption_budget(), disruption_budget("web")),
    )  # fmt: skip
    assert service.notes == (
        "HorizontalPodAutoscaler ranker-hpa: 2 to 20 replicas by cpu at 70 %; down: 10 percent in 60 s, after 300 s",
        "PodDisruptionBudget ranker-pdb: minAvailable 50%",
    )


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ({"type": "Pods", "pods": {"metric": {"name": "q"}, "target": {"averageValue": "8"}}}, "q at 8 a replica"),
        ({"type": "External", "external": {"metric": {"name": "lag"}, "target": {"value": "100"}}}, "lag at 100"),
        (
            {"type": "ContainerResource", "containerResource": {"name": "memory", "container": "c",
                                                                "target": {"averageUtilization": 60}}},
            "memory at 60 %",
        ),
        ({"type": "Object", "object": {"metric": {"name": "rps"}, "target": {"value": "2k"}}}, "rps at 2k"),
    ],
)  # fmt: skip
def test_every_kind_of_metric_has_its_words(metric, words):
    service = only_service(deployment(), autoscalers=(autoscaler(metrics=[metric]),))
    assert service.notes == (f"HorizontalPodAutoscaler ranker-hpa: 2 to 20 replicas by {words}",)


def test_a_scaled_object_speaks_for_the_autoscaler_that_it_makes_and_keeps_its_secrets():
    service = only_service(deployment(), autoscalers=(autoscaler(),), scaled_objects=(scaled_object(),))
    assert service.notes == (
        "ScaledObject ranker-keda: 1 to 40 replicas by prometheus (query sum(queue_depth), threshold 8); "
        "polled every 15 s",
    )
    assert "secret" not in scenario_text(draft(deployment(), scaled_objects=(scaled_object(),)))


FLEETS = {
    "everything": ClusterObjects(
        deployments=(
            deployment(**on_gpu(), readinessProbe={"initialDelaySeconds": 45}),
            deployment("embed", namespace="search"),
            deployment("web"),
        ),
        autoscalers=(autoscaler(), autoscaler("embed", namespace="search")),
        scaled_objects=(scaled_object(),),
        disruption_budgets=(disruption_budget(),),
        node_pools=(node_pool("burst", "g5.2xlarge", "g5.4xlarge"),),
        nodes=(node("a"), node("b", "m5.xlarge", pool="cpu"), node("c", "x9.huge")),
        unread=("nodepools.karpenter.sh: 403 Forbidden",),
    ),
    "only a deployment": ClusterObjects((deployment(),)),
    "nothing but names": ClusterObjects((
        {"metadata": {"name": "bare"}, "spec": {"template": {"metadata": {}, "spec": {"containers": [{}]}}}},
    )),
}  # fmt: skip


@pytest.mark.parametrize("objects", FLEETS.values(), ids=FLEETS.keys())
def test_the_file_is_valid_and_runs_as_it_is_written(objects, tmp_path):
    text = scenario_text(draft_of(objects, "arn:aws:eks:us-east-1:1:cluster/Prod_1"))
    (tmp_path / "fleet.yaml").write_text(text)
    loaded = load_scenario(tmp_path / "fleet.yaml", ["run.duration=6m"])
    simulate(loaded, engine="reference")
    assert marks(text) >= 8
    assert yaml.safe_load(text)["metadata"]["name"] == "arn-aws-eks-us-east-1-1-cluster-prod-1"
    for reason in objects.unread:
        assert f"# Left out: not read: {reason}" in text


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", 0.5), ("6Gi", 6 * 2**30), ("2", 2.0), (3, 3.0), ("1e3", 1000.0), ("100k", 1e5)],
)
def test_quantities(text, value):
    assert quantity(text) == value


@pytest.mark.parametrize(
    ("size", "text"), [(6 * 2**30, "6Gi"), (512 * 2**20, "512Mi"), (1e9, "954Mi"), (100, "100B"), (0.1, "0B")]
)
def test_sizes(size, text):
    assert gibibytes(size) == text


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1Zi", "x", ".", "1.2.3"])
def test_what_is_no_quantity(text):
    with pytest.raises(ValueError, match="is no quantity"):
        quantity(text)

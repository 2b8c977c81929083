"""What Karpenter is given: the catalogue as instance types, a scenario's pools as NodePools."""

import pytest

from scenarios.catalogue import PurchaseOption, load_catalogue
from scenarios.schema.fleet import Pool
from serving_ref.cluster.instance_types import accelerator_resource, instance_types, resources, zones_of
from serving_ref.cluster.node_pools import SIMULATED_TAINT, node_class, node_pools

CATALOGUE = load_catalogue()
REGION = "us-east-1"
TYPES = {each["name"]: each for each in instance_types(CATALOGUE, REGION, zones_of(REGION))}


def offerings(name):
    found = {}
    for offering in TYPES[name]["offerings"]:
        values = {each["key"]: each["values"] for each in offering["Requirements"]}
        (capacity_type,) = values["karpenter.sh/capacity-type"]
        (zone,) = values["topology.kubernetes.io/zone"]
        found[capacity_type, zone] = offering["Price"]
    return found


def test_every_priced_type_is_offered_in_every_zone_at_the_catalogue_s_prices():
    for each in CATALOGUE.instance_types:
        price = CATALOGUE.price(each.name, REGION, PurchaseOption.ON_DEMAND)
        if price is not None:
            found = offerings(each.name)
            assert {found["on-demand", zone] for zone in zones_of(REGION)} == {float(price.price_usd_per_h)}


def test_spot_is_offered_only_where_its_price_is_known():
    for name in TYPES:
        spot = CATALOGUE.price(name, REGION, PurchaseOption.SPOT_REFERENCE)
        assert any(kind == "spot" for kind, _ in offerings(name)) == (spot is not None)


def test_a_gpu_instance_has_its_gpus_and_memory():
    g5 = next(each for each in CATALOGUE.instance_types if each.name == "g5.12xlarge")
    assert resources(g5) == {
        "cpu": "48",
        "memory": "196608Mi",
        "ephemeral-storage": "100Gi",
        "pods": "110",
        "nvidia.com/gpu": "4",
    }


def test_architectures_are_called_as_kubernetes_calls_them():
    assert {each["architecture"] for each in TYPES.values()} == {"amd64", "arm64"}


@pytest.mark.parametrize(
    ("accelerator", "resource"),
    [("NVIDIA A10G", "nvidia.com/gpu"), ("AWS Inferentia2", "aws.amazon.com/neuron")],
)
def test_accelerators_are_counted_under_their_maker_s_resource(accelerator, resource):
    assert accelerator_resource(accelerator) == resource


def test_a_region_without_prices_offers_nothing():
    assert instance_types(CATALOGUE, "nowhere-1", ["nowhere-1a"]) == []


def requirements(pool):
    found = pool["spec"]["template"]["spec"]["requirements"]
    return {each["key"]: each["values"] for each in found}


def test_a_pool_becomes_a_node_pool_that_buys_just_its_kind():
    pool = Pool(name="gpu-spot", instance_type="g5.xlarge", zone="us-east-1b", capacity_type="spot")
    (document,) = node_pools([pool], consolidate_after_s=15, budget="50%")
    assert document["metadata"]["name"] == "gpu-spot"
    assert requirements(document) == {
        "node.kubernetes.io/instance-type": ["g5.xlarge"],
        "karpenter.sh/capacity-type": ["spot"],
        "topology.kubernetes.io/zone": ["us-east-1b"],
    }
    assert document["spec"]["disruption"] == {
        "consolidationPolicy": "WhenEmptyOrUnderutilized",
        "consolidateAfter": "15s",
        "budgets": [{"nodes": "50%"}],
    }
    assert document["spec"]["template"]["spec"]["nodeClassRef"]["name"] == node_class()["metadata"]["name"]


def test_simulated_nodes_are_tainted_against_pods_that_take_load():
    (document,) = node_pools([Pool(name="gpu", instance_type="g5.xlarge")])
    assert document["spec"]["template"]["spec"]["taints"] == [SIMULATED_TAINT]
    assert "topology.kubernetes.io/zone" not in requirements(document)


def test_a_reservation_is_bought_at_the_on_demand_rate():
    (document,) = node_pools([Pool(name="kept", instance_type="g5.xlarge", capacity_type="reserved")])
    assert requirements(document)["karpenter.sh/capacity-type"] == ["on-demand"]

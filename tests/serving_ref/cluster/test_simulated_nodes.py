"""Simulated nodes say what their instance type has, and that nothing runs on them."""

import pytest

from scenarios.catalogue import load_catalogue
from serving_ref.cluster.node_config import NodeSpec
from serving_ref.cluster.node_pools import SIMULATED_TAINT
from serving_ref.cluster.simulated_nodes import free_numbers, simulated_node
from serving_ref.cluster.status import node_status

TYPES = {each.name: each for each in load_catalogue().instance_types}


def made(instance_type):
    return simulated_node(NodeSpec(7, instance_type, "us-east-1b", "spot"), TYPES[instance_type])


def test_a_node_is_as_large_as_its_instance_type():
    size = made("g5.12xlarge")["status"]
    assert size["capacity"] == size["allocatable"]
    assert {key: size["capacity"][key] for key in ("cpu", "nvidia.com/gpu")} == {
        "cpu": "48",
        "nvidia.com/gpu": "4",
    }
    assert "nvidia.com/gpu" not in made("c6i.xlarge")["status"]["capacity"]


def test_a_node_carries_the_taint_and_says_what_it_is():
    node = made("g5.xlarge")
    assert node["spec"]["taints"] == [SIMULATED_TAINT]
    status = node_status(node)
    assert (status.name, status.real, status.instance_type, status.zone, status.capacity_type) == (
        "sim-7", False, "g5.xlarge", "us-east-1b", "spot",
    )  # fmt: skip


class Nodes:
    def __init__(self, *numbers):
        self.numbers = numbers

    def get(self, *arguments):
        return {"items": [{"metadata": {"name": f"sim-{number}"}} for number in self.numbers]}


@pytest.mark.parametrize(("taken", "free"), [((), [1, 2, 3]), ((1, 3), [2, 4, 5]), ((9,), [1, 2, 3])])
def test_new_nodes_get_the_lowest_free_numbers(taken, free):
    assert free_numbers(Nodes(*taken), 3) == free

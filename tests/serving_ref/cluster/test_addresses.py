"""The address plan: everybody has an address of their own, all of them set aside for benchmarks."""

from ipaddress import IPv4Network
from itertools import combinations

import pytest

from serving_ref.cluster.addresses import MAX_NODES, AddressPlan

BENCHMARKS = IPv4Network("198.18.0.0/15")


@pytest.mark.parametrize("network", ["198.18.0.0/16", "198.19.0.0/16"])
def test_everything_lies_in_the_cluster_s_network(network):
    plan = AddressPlan(IPv4Network(network))
    parts = [plan.machines, plan.pods, plan.services, plan.simulated_pods]
    assert all(part.subnet_of(plan.network) and part.subnet_of(BENCHMARKS) for part in parts)
    assert not any(one.overlaps(other) for one, other in combinations(parts, 2))


def test_every_node_has_an_address_and_pods_of_its_own():
    plan = AddressPlan()
    numbers = range(1, MAX_NODES + 1)
    addresses = {plan.node(number) for number in numbers} | {plan.control, plan.host}
    assert len(addresses) == MAX_NODES + 2
    assert all(address in plan.machines for address in addresses)
    pods = [plan.pods_of(number) for number in numbers]
    assert len(set(pods)) == MAX_NODES
    assert all(each.subnet_of(plan.pods) for each in pods)


def test_the_services_that_all_expect_lie_among_services():
    plan = AddressPlan()
    assert plan.api_service in plan.services
    assert plan.dns_service in plan.services


@pytest.mark.parametrize("number", [0, -1, MAX_NODES + 1])
def test_a_node_beyond_the_plan_is_refused(number):
    with pytest.raises(ValueError, match=str(number)):
        AddressPlan().node(number)


def test_a_network_of_another_size_is_refused():
    with pytest.raises(ValueError, match="/16"):
        AddressPlan(IPv4Network("198.18.0.0/24"))

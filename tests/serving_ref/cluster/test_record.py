"""What a cluster was asked to be, and what comes of asking again."""

import pytest

from scenarios.errors import InvalidInput
from serving_ref.cluster.local import merged
from serving_ref.cluster.node_config import NodeSpec
from serving_ref.cluster.node_specs import checked_region, node_specs
from serving_ref.cluster.record import ClusterFolder, ClusterRecord, checked_name, checked_parts

ONE, TWO, THREE = (NodeSpec(number, "c6i.xlarge", "us-east-1a") for number in (1, 2, 3))
CLUSTER = ClusterRecord("test", (ONE, TWO), ("redis",))


def test_a_record_is_read_as_it_was_written(tmp_path):
    folder = ClusterFolder(tmp_path)
    assert folder.read() is None
    folder.write(CLUSTER)
    assert folder.read() == CLUSTER


def test_up_again_adds_what_is_missing_and_removes_nothing():
    wanted = ClusterRecord("test", (ONE, TWO, THREE), ("keda",))
    assert merged(CLUSTER, wanted) == ClusterRecord("test", (ONE, TWO, THREE), ("keda", "redis"))
    assert merged(CLUSTER, ClusterRecord("test", (ONE,))) == CLUSTER


def test_a_new_node_takes_the_lowest_free_number():
    left = ClusterRecord("test", (TWO, THREE))
    assert left.next_number() == 1
    assert merged(left, ClusterRecord("test", (ONE, TWO, THREE))).with_node(ONE).nodes[-1].number == 1
    assert CLUSTER.without_node("node-1").next_number() == 1
    assert ClusterRecord("test").next_number() == 1


def test_parts_bring_the_parts_that_they_stand_on():
    assert checked_parts(["karpenter"]) == {"karpenter", "kwok"}
    assert checked_parts(["keda", "redis"]) == {"keda", "prometheus", "redis"}
    assert checked_parts([]) == frozenset()


def test_an_unknown_part_is_told_with_the_known_ones():
    with pytest.raises(InvalidInput, match="--with istio: expected some of kwok, karpenter"):
        checked_parts(["istio"])


@pytest.mark.parametrize("name", ["", "Upper", "1st", "a-", "much-too-long", "a/b", ".."])
def test_a_name_that_would_not_fit_a_link_is_refused(name):
    with pytest.raises(InvalidInput, match="cluster name"):
        checked_name(name)


@pytest.mark.parametrize("name", ["a", "baseload", "bl-test", "x1"])
def test_a_good_name_is_kept(name):
    assert checked_name(name) == name


def test_the_last_of_a_list_goes_on_and_zones_go_round():
    nodes = node_specs([1, 2, 3, 4], ["g5.xlarge", "c6i.xlarge"], [], ["spot"], "us-east-1")
    assert [node.instance_type for node in nodes] == ["g5.xlarge", "c6i.xlarge", "c6i.xlarge", "c6i.xlarge"]
    assert [node.zone[-1] for node in nodes] == ["a", "b", "c", "a"]
    assert {node.capacity_type for node in nodes} == {"spot"}


def test_a_type_that_is_not_in_the_catalogue_is_told_with_the_nearest():
    with pytest.raises(InvalidInput, match=r"g5.xlrge: did you mean .*g5.xlarge"):
        node_specs([1], ["g5.xlrge"], [], [], "us-east-1")


def test_a_zone_must_look_like_one():
    with pytest.raises(InvalidInput, match="expected a zone such as us-east-1a"):
        node_specs([1], [], ["here"], [], "us-east-1")


def test_a_region_without_prices_is_refused():
    with pytest.raises(InvalidInput, match="mars-1"):
        checked_region("mars-1")

"""Whatever a cluster's objects are called and say, the file is a scenario, and none of it is read as YAML."""

from __future__ import annotations

import pytest
import yaml

from baseload.from_cluster.read import ClusterObjects
from baseload.from_cluster.translate import draft_of
from baseload.from_cluster.write import marks, scenario_text
from scenarios.load import load_scenario
from tests.baseload.cluster_objects import (
    autoscaler,
    deployment,
    disruption_budget,
    node,
    on_gpu,
    scaled_object,
)

INJECTION = 'sum(\n  rate(x[1m])\n)\nregion: eu-west-1\n"}]\n'
LINE_ENDS = [
    "\n",
    "\r",
    "\r\n",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x85",
    "\u2028",
    "\u2029",
    "\x00",
    "\x1b[2J",
    "\ufeff",
]


def text_of(*deployments, context="prod", **objects):
    return scenario_text(draft_of(ClusterObjects(deployments=deployments, **objects), context))


def loaded(text, folder):
    (folder / "fleet.yaml").write_text(text, encoding="utf-8")
    return load_scenario(folder / "fleet.yaml").scenario


def keda(query):
    return scaled_object(triggers=[{"type": "prometheus", "metadata": {"query": query, "threshold": "8"}}])


def test_a_query_of_many_lines_is_one_remark(tmp_path):
    text = text_of(deployment(), scaled_objects=(keda(INJECTION),))
    assert loaded(text, tmp_path).region == "us-east-1"
    assert 'prometheus (query sum( rate(x[1m]) ) region: eu-west-1 "}], threshold 8)' in text


@pytest.mark.parametrize("end", LINE_ENDS, ids=ascii)
def test_no_character_ends_a_remark(end, tmp_path):
    hostile = f"x{end}region: eu-west-1{end}"
    metric = {"type": "Pods", "pods": {"metric": {"name": hostile}, "target": {"averageValue": "8"}}}
    text = text_of(
        deployment(), deployment("web", namespace=hostile), context=hostile,
        autoscalers=(autoscaler(metrics=[metric]),), unread=(f"nodes: 403 {hostile}",),
        disruption_budgets=(disruption_budget(minAvailable=hostile),),
    )  # fmt: skip
    assert loaded(text, tmp_path).region == "us-east-1"
    assert text.isprintable() or set(filter(lambda c: not c.isprintable(), text)) == {"\n"}


@pytest.mark.parametrize("context", ["a: b", "a #b", '"', "{x}", "\\", "😀", "-", ""])
def test_any_context_is_told(context, tmp_path):
    scenario = loaded(text_of(deployment(), context=context), tmp_path)
    assert scenario.metadata.description.split() == f"The fleet of {context} as it was found.".split()


@pytest.mark.parametrize(
    "name",
    ["007", "1e3", "0x1f", "0o7", "1.5", "1", "2024-01-01", "true", "null", "on", "no", "y", "yes", "off"],
)
def test_a_name_is_text_whatever_it_looks_like(name, tmp_path):
    nodes = (node("a", zone=name, pool=name), node("b", name))
    text = text_of(deployment(name, **on_gpu()), nodes=nodes)
    scenario = loaded(text, tmp_path)
    assert [each.name for each in scenario.services] == [name]
    assert {pool.instance_type for pool in scenario.pools} == {"g5.xlarge", name}
    read_by_others = yaml.safe_load(text)
    assert read_by_others["routes"] == [{"name": name, "targets": [{"service": name}]}]
    assert {each["zone"] for each in read_by_others["pools"]} == {name, "us-east-1a"}


def test_a_name_that_is_plain_stands_without_quotes():
    text = text_of(deployment(**on_gpu()), nodes=(node("a"),))
    assert "  - {name: ranker, rate: 1/s}" in text
    assert "    instance_type: g5.xlarge\n" in text


def test_names_that_are_cut_stay_apart(tmp_path):
    long = "recommendation-embedding-server-with-a-very-long-name"
    nodes = tuple(node(zone, zone=f"us-east-1{zone}") for zone in "abc")
    scenario = loaded(text_of(deployment(long, **on_gpu()), nodes=nodes), tmp_path)
    assert len({pool.name for pool in scenario.pools}) == 3
    twins = loaded(text_of(deployment("x" * 100 + "a"), deployment("x" * 100 + "b")), tmp_path)
    assert len({each.name for each in twins.services}) == 2


def test_names_that_become_alike_stay_apart(tmp_path):
    namespaces = [("x", "a"), ("x", "b"), ("a-x", "c")]
    scenario = loaded(text_of(*(deployment(name, namespace=of) for name, of in namespaces)), tmp_path)
    assert [each.name for each in scenario.services][:2] == ["a-x", "b-x"]
    nodes = (node("a", pool="b"), node("b", pool=None))
    scenario = loaded(
        text_of(deployment("s", **on_gpu()), deployment("s-b", **on_gpu()), nodes=nodes), tmp_path
    )
    assert len({pool.name for pool in scenario.pools}) == 4


def test_more_replicas_than_the_language_takes_are_cut_and_told(tmp_path):
    resources = {"requests": {"cpu": "100m"}}
    text = text_of(deployment(replicas=100, resources=resources), nodes=(node("a", "c5.4xlarge"),))
    (service,) = loaded(text, tmp_path).services
    assert service.replicas_per_instance == 64
    assert "replicas_per_instance: 160 fit by CPUs, and the language takes at most 64" in text


@pytest.mark.parametrize("memory", ["100", "1", "128974848", "100m", "7Ei", "1e3"])
def test_any_size_of_memory_is_written_as_the_language_has_it(memory, tmp_path):
    loaded(text_of(deployment(resources={"limits": {"memory": memory}})), tmp_path)


def test_more_replicas_than_a_pool_takes(tmp_path):
    text = text_of(deployment(replicas=2**31 - 1))
    assert loaded(text, tmp_path).pools[0].size == 100_000
    assert "2147483647 instances for its replicas are more than the 100000 of a pool" in text


def test_marks_are_those_of_the_file_and_not_of_the_cluster():
    quiet = text_of(deployment(), scaled_objects=(keda("up"),))
    loud = text_of(deployment(), scaled_objects=(keda("up # " + "TODO" + ": x"),), context="a # NOTE: b")
    assert marks(quiet) == marks(loud)


def test_a_remark_names_the_deployment_by_its_own_name():
    text = text_of(deployment(namespace="shop"), deployment(namespace="search"))
    assert "# Deployment shop/ranker: 3 replicas" in text

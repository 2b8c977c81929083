"""What we ask of kind. No Docker runs on the machines of these tests, so a stand-in keeps the list of clusters."""

import json

import pytest

from scenarios.errors import EnvironmentProblem, Unsupported
from serving_ref.cluster.kind import KindCluster
from serving_ref.cluster.node_config import NodeSpec
from serving_ref.cluster.record import ClusterRecord

NODES = (NodeSpec(1, "g5.xlarge", "us-east-1a"), NodeSpec(2, "c6i.xlarge", "us-east-1b"))
WANTED = ClusterRecord("shop", NODES)
KIND = """#!/bin/sh
list=$(dirname "$0")/clusters
touch "$list"
echo "$@" >>"$list.asked"
case "$1 $2" in
    "get clusters") cat "$list";;
    "create cluster") echo "$4" >>"$list"; cp "$6" "$list.config";;
    "delete cluster") grep -vx "$4" "$list" >"$list.new"; mv "$list.new" "$list";;
esac
"""
KUBECTL = """#!/bin/sh
echo '{"items": [{}, {}]}'
"""


@pytest.fixture
def programs(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("kind", KIND), ("kubectl", KUBECTL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return folder


@pytest.fixture
def cluster(programs):
    return KindCluster("shop", print)


def test_up_and_down(cluster, programs):
    assert not cluster.exists()
    cluster.up(WANTED)
    config = json.loads((programs / "clusters.config").read_text())
    assert [node["role"] for node in config["nodes"]] == ["control-plane", "worker", "worker"]
    assert cluster.exists()
    assert cluster.down()
    assert not cluster.exists()
    assert not cluster.down()


def test_up_again_asks_for_nothing_but_the_same(cluster, programs):
    cluster.up(WANTED)
    cluster.up(WANTED)
    asked = (programs / "clusters.asked").read_text().splitlines()
    assert sum(each.startswith("create") for each in asked) == 1
    with pytest.raises(Unsupported, match="has 2 nodes"):
        cluster.up(ClusterRecord("shop", NODES[:1]))


def test_a_cluster_that_somebody_else_made_is_neither_used_nor_deleted(cluster, programs):
    (programs / "clusters").write_text("shop\n")
    assert not cluster.exists()
    assert not cluster.down()
    assert (programs / "clusters").read_text() == "shop\n"
    with pytest.raises(EnvironmentProblem, match="that baseload did not make"):
        cluster.up(WANTED)

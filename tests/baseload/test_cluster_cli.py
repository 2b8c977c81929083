"""`baseload cluster` where nothing is up: help, refusals and their exit statuses; no root needed."""

import json

import pytest
import yaml
from click.testing import CliRunner

from baseload.cli import cli
from scenarios.errors import BaseloadError, ExitStatus
from serving_ref.cluster import host, provider
from serving_ref.cluster.host import HostFacts

QUICKSTART = "scenarios/library/quickstart.yaml"


@pytest.fixture(autouse=True)
def nothing_is_up(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(*arguments):
    return CliRunner().invoke(cli, ["cluster", *arguments])


def refusal(*arguments):
    error = run(*arguments).exception
    assert isinstance(error, BaseloadError), error
    return error


def test_a_cluster_that_is_not_there_is_not_up():
    result = run("status", "--json", "--driver", "local")
    assert json.loads(result.output)["up"] is False


def test_there_is_nothing_to_take_away():
    assert run("down", "--driver", "local").output == "baseload: there was nothing\n"
    assert json.loads(run("down", "--driver", "local", "--json").output) == {
        "name": "baseload",
        "was_there": False,
    }


def test_a_kubeconfig_is_asked_of_a_cluster_that_is_up():
    error = refusal("kubeconfig", "--driver", "local")
    assert error.status == ExitStatus.INVALID_INPUT
    assert "baseload cluster up --name baseload" in str(error)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (HostFacts(False, (), ()), "needs root"),
        (HostFacts(True, ("containerd",), ()), "apt-get install containerd"),
    ],
)
def test_a_machine_that_cannot_says_what_to_do_and_nothing_is_made(facts, words, monkeypatch, tmp_path):
    monkeypatch.setattr(host, "read_host_facts", lambda parts: facts)
    monkeypatch.setattr(provider, "kind_is_usable", lambda: False)
    error = refusal("up", "--driver", "local")
    assert error.status == ExitStatus.ENVIRONMENT
    assert words in str(error)
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "cache").exists()


def test_kind_without_docker_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(provider, "kind_is_usable", lambda: False)
    error = refusal("up", "--driver", "kind")
    assert error.status == ExitStatus.ENVIRONMENT
    assert "kind" in str(error)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["up", "--with", "istio"], "--with istio"),
        (["up", "--name", "Not A Name"], "cluster name"),
        (["up", "--instance-type", "g5.xlrge"], "g5.xlarge"),
        (["up", "--region", "mars-1"], "mars-1"),
        (["node", "add"], "not up"),
        (["node-pools", "no-such.yaml"], "no-such.yaml"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_made(arguments, words, tmp_path):
    error = refusal(*arguments)
    assert error.status == ExitStatus.INVALID_INPUT
    assert words in str(error)
    assert not (tmp_path / "state").exists()


def test_a_time_without_a_unit_is_bad_usage():
    result = run("interrupt", "node-1", "--notice", "soon")
    assert result.exit_code == ExitStatus.USAGE
    assert "'soon'" in result.output


@pytest.mark.parametrize("option", [("--with", "keda"), ("--nodes", "3"), ("--instance-type", "g5.xlarge")])
def test_nothing_is_made_on_a_cluster_of_somebody_else(option):
    error = refusal("up", "--context", "prod", *option)
    assert error.status == ExitStatus.UNSUPPORTED
    assert str(error).startswith(option[0])


def test_a_cluster_of_somebody_else_is_not_taken_away():
    assert refusal("down", "--context", "prod").status == ExitStatus.UNSUPPORTED


def test_a_scenario_s_pools_are_printed_as_node_pools():
    (pool,) = json.loads(run("node-pools", QUICKSTART, "--json").output)["items"]
    assert (pool["kind"], pool["metadata"]["name"]) == ("NodePool", "gpu")
    assert list(yaml.safe_load_all(run("node-pools", QUICKSTART).output)) == [pool]

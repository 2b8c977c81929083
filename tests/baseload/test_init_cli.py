"""`baseload init --from-cluster` where there is little to read; against a real API server in tests/cluster."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from click.testing import CliRunner

from baseload.cli import cli
from baseload.from_cluster import write
from scenarios.errors import EnvironmentProblem, ExitStatus
from scenarios.load import load_scenario
from tests.baseload.cluster_objects import deployment, node, on_gpu
from tests.serving_ref.loadtest.servers import Answer, Server

LISTS = {
    "/apis/apps/v1/deployments": [deployment(**on_gpu())],
    "/api/v1/nodes": [node("a")],
}


def kubeconfig(folder, url, **more):
    (folder / "config").write_text(yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": url}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "users": [{"name": "me", "user": {}}],
    } | (more or {"current-context": "here"})))  # fmt: skip
    return {"KUBECONFIG": str(folder / "config")}


def init(folder, url, *more):
    arguments = ["init", "--from-cluster", "-o", str(folder / "fleet.yaml"), *more]
    return CliRunner(env=kubeconfig(folder, url)).invoke(cli, arguments, catch_exceptions=False)


def answering(lists):
    def answer(seen):
        path = seen.path.partition("?")[0]
        if path not in lists:
            return Answer(404, body=b"{}")
        items = lists[path]
        if isinstance(items, int):
            return Answer(items, body=b"{}")
        return Answer(
            headers={"Content-Type": "application/json"},
            body=json.dumps({"metadata": {}, "items": items}).encode(),
        )

    return answer


def test_it_writes_a_scenario_and_says_what_is_open(tmp_path):
    with Server(get=answering(LISTS)) as server:
        result = init(tmp_path, server.url)
    assert result.exit_code == ExitStatus.OK
    assert result.stdout.startswith(f"wrote {tmp_path}/fleet.yaml: 1 services on 1 pools; ")
    assert load_scenario(tmp_path / "fleet.yaml").scenario.metadata.name == "here"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["config", "fleet.yaml"]


def test_only_one_namespace_is_read_if_one_is_named(tmp_path):
    lists = {"/apis/apps/v1/namespaces/shop/deployments": [deployment(**on_gpu())], "/api/v1/nodes": []}
    with Server(get=answering(lists)) as server:
        assert init(tmp_path, server.url, "-n", "shop").exit_code == ExitStatus.OK
    asked = [each.path.partition("?")[0] for each in server.seen]
    assert "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers" in asked
    assert not [path for path in asked if "secret" in path or "configmap" in path]


def test_what_may_not_be_listed_is_told(tmp_path):
    with Server(get=answering(LISTS | {"/api/v1/nodes": 403})) as server:
        result = init(tmp_path, server.url)
    assert result.exit_code == ExitStatus.OK
    assert "left out: not read: nodes: 403" in result.stderr


def test_a_file_that_is_there_is_kept(tmp_path):
    (tmp_path / "fleet.yaml").write_text("mine")
    with Server(get=answering(LISTS)) as server:
        with pytest.raises(EnvironmentProblem, match=r"fleet\.yaml exists"):
            init(tmp_path, server.url)
        assert init(tmp_path, server.url, "--force").exit_code == ExitStatus.OK
    assert (tmp_path / "fleet.yaml").read_text() != "mine"


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"/apis/apps/v1/deployments": []}, "the cluster has no Deployments that one may see"),
        ({"/apis/apps/v1/deployments": 403}, r"cannot list deployments\.apps: 403"),
    ],
)
def test_without_deployments_there_is_nothing_to_begin_with(tmp_path, lists, message):
    with Server(get=answering(lists)) as server, pytest.raises(EnvironmentProblem, match=message):
        init(tmp_path, server.url)
    assert not (tmp_path / "fleet.yaml").exists()


def test_a_cluster_that_is_not_there_is_told(tmp_path):
    with Server() as server:
        url = server.url
    with pytest.raises(EnvironmentProblem, match=f"{url} cannot be reached"):
        init(tmp_path, url)
    with pytest.raises(EnvironmentProblem, match="no cluster to read: "):
        init(tmp_path, url, "--context", "elsewhere")


def test_a_cluster_of_too_many_services_is_no_scenario(tmp_path):
    many = {"/apis/apps/v1/deployments": [deployment(f"ranker-{number}") for number in range(3500)]}
    told = "3500 services are too many for one scenario file"
    with Server(get=answering(many)) as server, pytest.raises(EnvironmentProblem, match=told):
        init(tmp_path, server.url)
    assert [each.name for each in tmp_path.iterdir()] == ["config"]


def test_a_draft_that_is_no_scenario_is_a_defect_and_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "scenario_text", lambda draft: f"apiVersion: {draft.context}")
    arguments = ["init", "--from-cluster", "-o", str(tmp_path / "fleet.yaml")]
    with Server(get=answering(LISTS)) as server:
        environment = kubeconfig(tmp_path, server.url)
        result = CliRunner(env=environment).invoke(cli, arguments)
    assert result.exit_code == ExitStatus.INTERNAL
    assert isinstance(result.exception, write.InvalidDraftError)
    assert re.search(
        r"defect of Baseload.* apiVersion: got \"here\": expected baseload/v1", str(result.exception), re.S
    )
    assert [each.name for each in tmp_path.iterdir()] == ["config"]


@pytest.mark.parametrize("current", [{"preferences": {}}, {"current-context": "gone"}])
def test_with_a_context_no_current_one_is_needed(tmp_path, current):
    arguments = ["init", "--from-cluster", "-o", str(tmp_path / "fleet.yaml")]
    with Server(get=answering(LISTS)) as server:
        runner = CliRunner(env=kubeconfig(tmp_path, server.url, **current))
        result = runner.invoke(cli, [*arguments, "--context", "here"], catch_exceptions=False)
        assert result.exit_code == ExitStatus.OK
        with pytest.raises(EnvironmentProblem, match=r"no cluster to read: .*context"):
            runner.invoke(cli, [*arguments, "--force"], catch_exceptions=False)


def test_a_kubeconfig_that_is_none_is_told(tmp_path):
    (tmp_path / "config").write_text("apiVersion: [")
    runner = CliRunner(env={"KUBECONFIG": str(tmp_path / "config")})
    with pytest.raises(EnvironmentProblem, match="no cluster to read: "):
        runner.invoke(
            cli, ["init", "--from-cluster", "-o", str(tmp_path / "fleet.yaml")], catch_exceptions=False
        )


def test_it_must_be_said_what_to_read(tmp_path):
    result = CliRunner().invoke(cli, ["init", "-o", str(tmp_path / "fleet.yaml")])
    assert result.exit_code == ExitStatus.USAGE

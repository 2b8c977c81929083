"""What `baseload stack up` tells kubectl, by a kubectl that writes it down and has a cluster of paper."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from baseload.cli.stack import command
from scenarios.errors import EnvironmentProblem, InvalidInput
from scenarios.load import load_scenario
from serving_ref.cluster.kubectl import Kubectl
from serving_ref.deployment import apply
from serving_ref.from_scenario import stack_of
from serving_ref.gateway.settings import Endpoints
from serving_ref.manifests.render import Target
from tests.serving_ref.rendering import QUICKSTART

PAPER = """#!/bin/sh
echo "$*" >> {folder}/said
case "$*" in
*api-versions) echo keda.sh/v1alpha1 ;;
kustomize*) exec {kubectl} "$@" ;;
"get deployments -n"*) cat {folder}/deployments.json ;;
"get namespace"*) ;;
get*) echo '{{"items": []}}' ;;
esac
"""


def deployment(name: str, replicas: int) -> dict:
    """As the API server shows one."""
    pod = {"spec": {"containers": [{"image": "serving:1"}]}}
    return {"metadata": {"name": name}, "spec": {"replicas": replicas, "template": pod}}


def paper_kubectl(folder: Path, *deployments: dict) -> Path:
    (folder / "deployments.json").write_text(json.dumps({"items": deployments}))
    program = folder / "kubectl"
    program.write_text(PAPER.format(folder=folder, kubectl=shutil.which("kubectl")))
    program.chmod(0o755)
    return program


@pytest.mark.kubectl
def test_up_starts_a_fleet_at_its_autoscalers_minimum_and_shrinks_none(tmp_path):
    """A size is not in the manifests where an autoscaler holds it: a new Deployment has one replica."""
    there = (deployment("gateway", 1), deployment("model-server-ranker-gpu", 7))
    program = paper_kubectl(tmp_path, *there)
    stack = stack_of(load_scenario(QUICKSTART), endpoints=lambda _: Endpoints(dns="ranker:8080"), gateways=3)
    apply(Kubectl(program), stack, Target(), timeout_s=1, say=lambda _: None)
    said = (tmp_path / "said").read_text().splitlines()
    assert [each for each in said if each.startswith("scale")] == [
        "scale deployment/gateway -n baseload --replicas=3"
    ]
    assert said.index("scale deployment/gateway -n baseload --replicas=3") < next(
        place for place, each in enumerate(said) if each.startswith("rollout status")
    )


@pytest.mark.kubectl
@pytest.mark.parametrize(
    "arguments",
    [["down"], ["up", str(QUICKSTART), "--image", "serving:1", "--redis", "own"]],
    ids=["down", "up"],
)
def test_a_cluster_that_cannot_be_asked_is_not_taken_for_an_empty_one(tmp_path, monkeypatch, arguments):
    """Somebody's namespace would be taken over, or "there was nothing" said of what is there. kubectl is real here."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(EnvironmentProblem, match=r"^kubectl .*: .*dead"):
        CliRunner().invoke(command, [*arguments, "--context", "dead"], catch_exceptions=False)


def test_another_clusters_prometheus_is_asked_for(tmp_path, monkeypatch):
    """Its KEDA would ask at the address of the local cluster's, where there is nothing."""
    monkeypatch.setenv("PATH", f"{paper_kubectl(tmp_path).parent}:{os.environ['PATH']}")
    options = ["--context", "staging", "--image", "registry/serving:1", "--redis", "own"]
    with pytest.raises(InvalidInput, match="--context staging: expected --prometheus too"):
        CliRunner().invoke(command, ["up", str(QUICKSTART), *options], catch_exceptions=False)
    assert "apply" not in (tmp_path / "said").read_text()

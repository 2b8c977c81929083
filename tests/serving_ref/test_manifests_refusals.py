"""What no cluster would take, or not as meant, is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from baseload.cli.stack import command
from scenarios.errors import InvalidInput
from tests.serving_ref.rendering import (
    ELSEWHERE,
    QUICKSTART,
    REAL,
    built,
    by_kind,
    pod_of,
    rendered,
    small_scenario,
    written,
)
from tests.simulator.small import document


def refusal(scenario: Path, folder: Path, *options: str) -> str:
    out = folder / "refused"
    with pytest.raises(InvalidInput) as caught:
        CliRunner().invoke(
            command, ["render", str(scenario), "-o", str(out), *options], catch_exceptions=False
        )
    assert not list(folder.glob("*refused*")), "nothing is left half-written"
    return str(caught.value)


@pytest.mark.kubectl
@pytest.mark.parametrize(
    ("given", "image"),
    [
        ("serving", "serving"),
        ("serving:7", "serving:7"),
        ("registry:5000/serving", "registry:5000/serving"),
        ("registry:5000/serving:7", "registry:5000/serving:7"),
        ("123.dkr.ecr.us-east-1.amazonaws.com/serving", "123.dkr.ecr.us-east-1.amazonaws.com/serving"),
        (f"registry/serving@sha256:{'a' * 64}", f"registry/serving@sha256:{'a' * 64}"),
        (f"registry/serving:7@sha256:{'a' * 64}", f"registry/serving@sha256:{'a' * 64}"),
    ],
)
def test_an_image_is_the_one_that_was_named(tmp_path, given, image):
    documents = built(rendered(QUICKSTART, tmp_path, "--image", given))
    for name in ("gateway", "model-server-ranker-gpu"):
        assert pod_of(documents, name)["containers"][0]["image"] == image


@pytest.mark.parametrize(
    "given", ["", "registry/serving:", "https://registry/serving", "serving@sha256:1", "a b"]
)
def test_what_is_no_image_is_refused(tmp_path, given):
    assert f"--image {given!r}: expected" in refusal(QUICKSTART, tmp_path, "--image", given)


@pytest.mark.parametrize("namespace", ["default", "kube-system", "kube-public", "baseload-system"])
def test_a_namespace_that_is_not_the_stacks_own_is_refused(tmp_path, namespace):
    """It would be relabelled, held to the strictest pod security, and deleted with the stack."""
    said = refusal(QUICKSTART, tmp_path, "--namespace", namespace)
    assert f"--namespace {namespace}" in said
    assert "expected a namespace of the stack's own" in said


@pytest.mark.parametrize("namespace", ["Shop", "shop.one", "-shop", "s" * 64])
def test_what_is_no_name_of_a_namespace_is_refused(tmp_path, namespace):
    assert f"--namespace={namespace}" in refusal(QUICKSTART, tmp_path, f"--namespace={namespace}").replace(
        "--namespace ", "--namespace="
    )


def scenario_with_service(folder: Path, name: str) -> Path:
    scenario = document()
    scenario["services"][0]["name"] = name
    scenario["routes"][0]["targets"] = [{"service": name}]
    return written(folder, scenario)


@pytest.mark.parametrize("name", ["rank.v2", "2nd-ranker", "gateway"])
def test_a_service_whose_name_no_kubernetes_service_can_have_is_refused(tmp_path, name):
    said = refusal(scenario_with_service(tmp_path, name), tmp_path)
    assert f"{tmp_path}/small.yaml: services[{name}].name: got {name}, expected" in said


def test_a_service_called_redis_is_refused_beside_the_stacks_own(tmp_path):
    scenario = scenario_with_service(tmp_path, "redis")
    rendered(scenario, tmp_path, "--redis", "cluster")
    assert "services[redis].name: got redis, expected" in refusal(scenario, tmp_path, "--redis", "own")


@pytest.mark.parametrize("platform", ["eks-gpu", "triton"])
def test_an_image_that_nodes_can_pull_is_asked_for(tmp_path, platform):
    said = refusal(QUICKSTART, tmp_path, "--platform", platform, *REAL, "--no-keda")
    assert said.startswith(f"--platform {platform}: expected --image too")


@pytest.mark.parametrize("platform", ["eks-gpu", "triton"])
def test_where_keda_finds_prometheus_is_asked_for(tmp_path, platform):
    """The default is the local cluster's own; elsewhere there is no such address, and nothing would scale."""
    options = ["--platform", platform, "--image", "registry/serving:7", *REAL]
    said = refusal(QUICKSTART, tmp_path, *options)
    assert "--prometheus" in said
    assert "--no-keda" in said
    rendered(QUICKSTART, tmp_path, *options, "--no-keda")


@pytest.mark.kubectl
def test_the_local_clusters_prometheus_is_known(tmp_path):
    scaled = by_kind(built(rendered(QUICKSTART, tmp_path)), "ScaledObject")["model-server-ranker-gpu"]
    address = scaled["spec"]["triggers"][0]["metadata"]["serverAddress"]
    assert address == "http://prometheus.baseload-system:9090"


def test_a_model_that_no_configmap_holds_is_refused(tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(bytes(2**20))
    said = refusal(small_scenario(tmp_path), tmp_path, "--onnx", f"m={model}")
    assert f"{model}: 1.0 MiB" in said
    assert "--onnx m=image:/" in said


@pytest.mark.kubectl
def test_a_small_model_travels_with_the_settings(tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(b"\xff" * 1000)
    documents = built(rendered(small_scenario(tmp_path), tmp_path, "--onnx", f"m={model}"))
    assert any("m.onnx" in each.get("binaryData", {}) for each in by_kind(documents, "ConfigMap").values())


@pytest.mark.kubectl
@pytest.mark.parametrize("platform", ["local", "triton"])
def test_a_model_in_the_image_is_named_and_not_carried(tmp_path, platform):
    options = ["--onnx", "m=image:/models/m.onnx", "--platform", platform, *ELSEWHERE]
    maps = by_kind(built(rendered(small_scenario(tmp_path), tmp_path, *options)), "ConfigMap")
    (found,) = (each for name, each in maps.items() if name.startswith("model-server-settings"))
    assert yaml.safe_load(found["data"]["settings.yaml"])["model"]["onnx"]["file"] == "/models/m.onnx"
    assert "binaryData" not in found


def test_a_model_in_the_image_has_an_absolute_path(tmp_path):
    said = refusal(small_scenario(tmp_path), tmp_path, "--onnx", "m=image:models/m.onnx")
    assert "--onnx m=image:models/m.onnx: expected an absolute path" in said

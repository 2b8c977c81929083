"""The rendered manifests, as kustomize builds them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner

from baseload.cli.stack import command
from scenarios.errors import InvalidInput, Unsupported
from serving_ref.gateway.settings import GatewaySettings
from serving_ref.image import packages, requirements
from serving_ref.manifests.render import MANIFESTS, PLATFORMS
from serving_ref.model_server.settings import ModelServerSettings
from tests.serving_ref.rendering import ELSEWHERE, LIBRARY, QUICKSTART, REAL, built, by_kind, rendered
from tests.serving_ref.servers import ROOT

TIERS = LIBRARY / "hybrid" / "cpu-gpu.yaml"


@pytest.fixture(scope="module", params=PLATFORMS)
def platform(request, tmp_path_factory):
    """A stack of each platform, built: its name, its folder, its objects."""
    folder = tmp_path_factory.mktemp(request.param)
    out = rendered(QUICKSTART, folder, "--platform", request.param, *REAL, *ELSEWHERE)
    return request.param, out, built(out)


@pytest.mark.kubectl
def test_every_pod_is_bounded_probed_and_without_rights(platform):
    _, _, documents = platform
    deployments = by_kind(documents, "Deployment")
    assert {"gateway", "model-server-ranker-gpu"} <= deployments.keys()
    for name, deployment in deployments.items():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["automountServiceAccountToken"] is False
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, name
            assert "memory" in container["resources"]["limits"], name
        for container in pod["containers"]:
            assert container["readinessProbe"]
            assert container["livenessProbe"]
        assert (
            deployment["spec"]["selector"]["matchLabels"].items()
            <= deployment["spec"]["template"]["metadata"]["labels"].items()
        )


@pytest.mark.kubectl
def test_every_name_that_is_referred_to_is_there(platform):
    _, _, documents = platform
    maps = by_kind(documents, "ConfigMap")
    deployments = by_kind(documents, "Deployment")
    for deployment in deployments.values():
        for volume in deployment["spec"]["template"]["spec"].get("volumes", []):
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps
    for kind in ("ScaledObject", "HorizontalPodAutoscaler"):
        for scaler in by_kind(documents, kind).values():
            assert scaler["spec"]["scaleTargetRef"]["name"] in deployments
    pods = [each["spec"]["template"]["metadata"]["labels"] for each in deployments.values()]
    for kind, field in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        for each in by_kind(documents, kind).values():
            chosen = each["spec"][field]["matchLabels"].items()
            assert any(chosen <= labels.items() for labels in pods), each["metadata"]["name"]
    for service in by_kind(documents, "Service").values():
        assert any(service["spec"]["selector"].items() <= labels.items() for labels in pods)


@pytest.mark.kubectl
def test_no_deployment_has_two_autoscalers(platform):
    _, _, documents = platform
    targets = [
        each["spec"]["scaleTargetRef"]["name"]
        for kind in ("ScaledObject", "HorizontalPodAutoscaler")
        for each in by_kind(documents, kind).values()
    ]
    assert sorted(targets) == ["gateway", "model-server-ranker-gpu"]


@pytest.mark.kubectl
def test_the_servers_can_read_their_settings(platform):
    name, _, documents = platform
    maps = by_kind(documents, "ConfigMap")

    def settings(prefix: str) -> dict:
        return next(
            yaml.safe_load(m["data"]["settings.yaml"]) for n, m in maps.items() if n.startswith(prefix)
        )

    gateway = GatewaySettings.model_validate(settings("gateway-settings"))
    assert gateway.services[0].endpoints.dns == "ranker:8080"
    assert gateway.services[0].schedule_parameters == (name == "triton")
    server = ModelServerSettings.model_validate(settings("model-server-settings-ranker-gpu"))
    assert server.batching.max_batch_size == 16
    service = by_kind(documents, "Service")["ranker"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["ports"][0]["port"] == 8080


@pytest.mark.kubectl
def test_each_platform_has_its_own(platform):
    name, _, documents = platform
    pod = by_kind(documents, "Deployment")["model-server-ranker-gpu"]["spec"]["template"]["spec"]
    limits = pod["containers"][0]["resources"]["limits"]
    tolerated = {each["key"] for each in pod.get("tolerations", [])}
    if name == "local":
        assert tolerated == set(), "nothing of KWOK, and nothing else"
        assert "affinity" not in pod
        assert "redis" not in by_kind(documents, "Deployment"), "the cluster has one"
        assert pod["containers"][0]["image"] == "registry/serving:7"
    elif name == "eks-gpu":
        assert limits["nvidia.com/gpu"] == 1
        assert tolerated == {"nvidia.com/gpu"}
    else:
        assert limits["nvidia.com/gpu"] == 1
        assert tolerated == {"nvidia.com/gpu"}
        assert pod["containers"][0]["image"].startswith("nvcr.io/nvidia/tritonserver:")
        assert pod["initContainers"][0]["image"] == "registry/serving:7"
        config = next(
            m["data"]["config.pbtxt"]
            for m in by_kind(documents, "ConfigMap").values()
            if "config.pbtxt" in m["data"]
        )
        assert "max_batch_size: 16" in config
        assert "KIND_GPU" in config
        query = by_kind(documents, "ScaledObject")["model-server-ranker-gpu"]["spec"]["triggers"][0][
            "metadata"
        ]["query"]
        assert "nv_inference_pending_request_count" in query


@pytest.mark.kubectl
def test_each_pool_of_a_service_is_a_deployment_and_the_service_has_them_all(tmp_path):
    documents = built(rendered(TIERS, tmp_path, "--gateways", "2"))
    deployments = by_kind(documents, "Deployment")
    assert deployments.keys() == {"gateway", "model-server-ranker-gpu", "model-server-ranker-small-cpu"}
    assert by_kind(documents, "Service").keys() == {"gateway", "ranker", "ranker-small"}
    gateway = by_kind(documents, "HorizontalPodAutoscaler")["gateway"]["spec"]
    assert (gateway["minReplicas"], gateway["maxReplicas"]) == (2, 8)
    scaled = by_kind(documents, "ScaledObject")["model-server-ranker-small-cpu"]["spec"]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (10, 40)


@pytest.mark.kubectl
def test_gateways_that_divide_a_limit_are_not_scaled(tmp_path):
    limited = "routes.main.rate_limit={rate: 100/s, burst: 10}"
    documents = built(rendered(QUICKSTART, tmp_path, "--gateways", "3", "--set", limited))
    gateway = by_kind(documents, "HorizontalPodAutoscaler")["gateway"]["spec"]
    assert (gateway["minReplicas"], gateway["maxReplicas"]) == (3, 3)


@pytest.mark.kubectl
def test_without_keda_nothing_of_keda_is_asked_for(tmp_path):
    documents = built(rendered(QUICKSTART, tmp_path, "--no-keda"))
    assert not by_kind(documents, "ScaledObject")


def test_the_dashboard_asks_for_metrics_that_are_there():
    text = (MANIFESTS / "base" / "monitoring" / "serving-stack.json").read_text()
    dashboard = json.loads(text)
    code = "".join(path.read_text() for path in (ROOT / "serving_ref").rglob("metrics.py"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            for word in target["expr"].replace("(", " ").replace("{", " ").split():
                if word.startswith("baseload_"):
                    base = (
                        word.removesuffix("_total")
                        .removesuffix("_bucket")
                        .removesuffix("_sum")
                        .removesuffix("_count")
                    )
                    assert base in code or base.removeprefix("baseload_model_server_") in code, word


def test_nothing_is_written_over_or_half_written(tmp_path):
    out = rendered(QUICKSTART, tmp_path)
    again = CliRunner().invoke(command, ["render", str(QUICKSTART), "-o", str(out)])
    assert again.exception is not None
    assert "exists already" in str(again.exception)
    with pytest.raises(Unsupported, match="two-tower"):
        CliRunner().invoke(
            command,
            ["render", str(QUICKSTART), "-o", str(tmp_path / "t"), "--platform", "triton", *ELSEWHERE],
            catch_exceptions=False,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["stack"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--onnx", "two-tower"], "expected MODEL=magika, MODEL=FILE or MODEL=image:/PATH"),
        (["--onnx", "two-towers=magika"], "there is no such model; expected one of two-tower"),
        (["--onnx", "two-tower=missing.onnx"], "no such file"),
    ],
)
def test_wrong_models_are_refused_in_words(tmp_path, options, said):
    with pytest.raises(InvalidInput, match=said):
        CliRunner().invoke(
            command, ["render", str(QUICKSTART), "-o", str(tmp_path / "t"), *options], catch_exceptions=False
        )


def test_the_image_holds_what_the_servers_import_and_no_engine():
    names = {line.split(">")[0] for line in requirements()}
    assert {"uvicorn", "hiredis", "pydantic", "numpy", "onnxruntime"} <= names
    assert not {"numba", "pyarrow", "simpy", "pandas"} & names
    assert [path.name for path in packages()] == ["scenarios", "simulator", "serving_ref"]
    program = (
        "import sys, serving_ref.gateway.app, serving_ref.gateway.settings, serving_ref.model_server.app, "
        "serving_ref.model_server.onnx_model; print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"numba", "pyarrow", "simpy", "pandas", "rich"} & set(done.stdout.split())

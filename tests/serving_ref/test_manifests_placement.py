"""Where the rendered model servers run: GPUs, taints, instance types, zones, purchase options, and Triton."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from baseload.cli.stack import command
from scenarios.errors import Unsupported
from tests.serving_ref.rendering import ELSEWHERE, built, by_kind, pod_of, rendered, small_scenario, written
from tests.simulator.small import document

GPU = "nvidia.com/gpu"
REAL = ["--onnx", "m=magika"]
ON_AWS = pytest.mark.parametrize("platform", ["eks-gpu", "triton"])
DEPLOYMENT = "model-server-ranker-gpu"


def objects(folder: Path, platform: str, *options: str, **pool: Any) -> list[dict[str, Any]]:
    scenario = small_scenario(folder, **pool)
    return built(rendered(scenario, folder, "--platform", platform, *ELSEWHERE, *options))


def terms(documents: list[dict[str, Any]]) -> list[dict[str, list[str]]]:
    """Label → values, for each of the terms of which a node must meet one."""
    required = pod_of(documents, DEPLOYMENT)["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    return [
        {each["key"]: each["values"] for each in term["matchExpressions"] if each["operator"] == "In"}
        for term in required["nodeSelectorTerms"]
    ]


def refused(scenario: Path, platform: str, *options: str) -> str:
    out = scenario.with_name("refused")
    arguments = ["render", str(scenario), "-o", str(out), "--platform", platform, *ELSEWHERE, *options]
    with pytest.raises(Unsupported) as caught:
        CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert not out.exists()
    return str(caught.value)


@pytest.mark.kubectl
@ON_AWS
@pytest.mark.parametrize("instance_type", ["g5.xlarge", "g5.12xlarge", "c5.xlarge"])
def test_who_computes_on_a_gpu_gets_one(tmp_path, platform, instance_type):
    """Triton's KIND_GPU and our `device: cuda` stand beside a GPU of the pod's own, and nowhere else."""
    documents = objects(tmp_path, platform, *REAL, instance_type=instance_type)
    data = next(
        each["data"]
        for name, each in by_kind(documents, "ConfigMap").items()
        if name.startswith("model-server-settings")
    )
    settings = yaml.safe_load(data["settings.yaml"])
    on_gpu = instance_type.startswith("g5")
    container = pod_of(documents, DEPLOYMENT)["containers"][0]
    assert container["resources"]["limits"].get(GPU) == (1 if on_gpu else None)
    assert settings["model"]["onnx"].get("device", "auto") == ("cuda" if on_gpu else "auto")
    if platform == "triton":
        assert re.findall(r"KIND_\w+", data["config.pbtxt"]) == ["KIND_GPU" if on_gpu else "KIND_CPU"]


@pytest.mark.kubectl
def test_a_local_stack_asks_for_no_gpu(tmp_path):
    documents = built(rendered(small_scenario(tmp_path), tmp_path, *REAL))
    assert GPU not in pod_of(documents, DEPLOYMENT)["containers"][0]["resources"]["limits"]
    (settings,) = (
        yaml.safe_load(each["data"]["settings.yaml"])
        for name, each in by_kind(documents, "ConfigMap").items()
        if name.startswith("model-server-settings")
    )
    assert settings["model"]["onnx"] == {"package": "magika"}


@pytest.mark.kubectl
@ON_AWS
@pytest.mark.parametrize(
    ("capacity_type", "karpenter", "managed"),
    [
        ("on-demand", "on-demand", "ON_DEMAND"),
        ("spot", "spot", "SPOT"),
        ("reserved", "reserved", "ON_DEMAND"),
    ],
)
def test_pods_go_where_their_pools_instances_are(tmp_path, platform, capacity_type, karpenter, managed):
    """By Karpenter's labels, or by those of EKS managed node groups, which know nothing of Karpenter's."""
    documents = objects(tmp_path, platform, *REAL, capacity_type=capacity_type, zone="us-east-1b")
    where = {
        "node.kubernetes.io/instance-type": ["g5.xlarge"],
        "topology.kubernetes.io/zone": ["us-east-1b"],
    }
    assert terms(documents) == [
        where | {"karpenter.sh/capacity-type": [karpenter]},
        where | {"eks.amazonaws.com/capacityType": [managed]},
    ]


@pytest.mark.kubectl
def test_a_pool_without_a_zone_is_in_any(tmp_path):
    documents = objects(tmp_path, "eks-gpu", *REAL)
    assert all("topology.kubernetes.io/zone" not in term for term in terms(documents))


@pytest.mark.kubectl
@pytest.mark.parametrize(
    ("instance_type", "tainted"),
    [("g5.xlarge", [GPU]), ("inf2.xlarge", ["aws.amazon.com/neuron"]), ("c5.xlarge", [])],
)
def test_a_synthetic_model_tolerates_the_taint_of_its_pool_and_takes_no_accelerator(
    tmp_path, instance_type, tainted
):
    documents = objects(tmp_path, "eks-gpu", instance_type=instance_type)
    pod = pod_of(documents, DEPLOYMENT)
    assert [(each["key"], each["operator"]) for each in pod.get("tolerations", [])] == [
        (key, "Exists") for key in tainted
    ]
    assert pod["containers"][0]["resources"]["limits"].keys() == {"memory"}


@pytest.mark.kubectl
@ON_AWS
def test_a_real_model_tolerates_the_taint_of_its_pool(tmp_path, platform):
    pod = pod_of(objects(tmp_path, platform, *REAL), DEPLOYMENT)
    assert [each["key"] for each in pod["tolerations"]] == [GPU]


@ON_AWS
def test_what_onnx_runtime_has_no_provider_for_is_refused(tmp_path, platform):
    said = refused(small_scenario(tmp_path, instance_type="inf2.xlarge"), platform, *REAL)
    assert "small.yaml: pools[gpu].instance_type: got inf2.xlarge" in said


@ON_AWS
@pytest.mark.parametrize(
    ("section", "change", "said"),
    [
        ("models", {"accelerator_share": 0.5}, "models[m].accelerator_share"),
        ("services", {"replicas_per_instance": 2}, "services[ranker].replicas_per_instance"),
    ],
)
def test_more_replicas_than_an_instance_has_gpus_are_refused(tmp_path, platform, section, change, said):
    """A pod asks for whole GPUs: the second replica of each instance would wait for ever."""
    scenario = document()
    scenario[section][0] |= change
    message = refused(written(tmp_path, scenario), platform, *REAL)
    assert said in message
    assert "2 replicas on g5.xlarge, which has 1" in message


@pytest.mark.kubectl
def test_synthetic_replicas_share_a_gpu_as_they_like(tmp_path):
    scenario = document()
    scenario["models"][0]["accelerator_share"] = 0.5
    documents = built(
        rendered(written(tmp_path, scenario), tmp_path, "--platform", "eks-gpu", "--no-keda", *ELSEWHERE)
    )
    assert by_kind(documents, "Deployment")[DEPLOYMENT]["spec"]["replicas"] == 4


@pytest.mark.kubectl
@ON_AWS
@pytest.mark.parametrize(
    ("instance_type", "strategy"),
    [
        ("g5.xlarge", {"maxUnavailable": 1, "maxSurge": 0}),
        ("c5.xlarge", {"maxUnavailable": 0, "maxSurge": 1}),
    ],
)
def test_a_rollout_needs_no_gpu_that_a_full_pool_has_not(tmp_path, platform, instance_type, strategy):
    documents = objects(tmp_path, platform, *REAL, instance_type=instance_type)
    assert by_kind(documents, "Deployment")[DEPLOYMENT]["spec"]["strategy"] == {"rollingUpdate": strategy}


@pytest.mark.kubectl
def test_triton_has_time_to_load_and_time_to_leave(tmp_path):
    """It listens when its models are loaded, and on SIGTERM refuses at once: so the news must spread before."""
    pod = pod_of(objects(tmp_path, "triton", *REAL), DEPLOYMENT)
    container = pod["containers"][0]
    probe = container["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 1800
    notice_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    limit_s = next(
        int(each.removeprefix("--exit-timeout-secs="))
        for each in container["args"]
        if each.startswith("--exit-timeout-secs=")
    )
    assert notice_s > 5, "what CoreDNS remembers of a headless Service, and a look-up of the gateway"
    assert pod["terminationGracePeriodSeconds"] > notice_s + limit_s

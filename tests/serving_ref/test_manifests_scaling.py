"""How large the rendered stack is, who changes that, and by which figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from serving_ref.cluster.addresses import AddressPlan
from serving_ref.cluster.prometheus_config import prometheus_config
from serving_ref.deployment import minimums
from serving_ref.manifests.render import MANIFESTS
from tests.serving_ref.rendering import (
    ELSEWHERE,
    QUICKSTART,
    REAL,
    built,
    by_kind,
    pod_of,
    rendered,
    written,
)
from tests.simulator.small import document

SCRAPE = MANIFESTS / "base" / "monitoring" / "scrape.yaml"
MI = 2**20


def copied_labels(job: dict) -> dict[str, str]:
    """Label of a series → label of the pod that it is copied from."""
    prefix = "__meta_kubernetes_pod_label_"
    return {
        rule["target_label"]: source.removeprefix(prefix)
        for rule in job["relabel_configs"]
        for source in rule["source_labels"]
        if source.startswith(prefix) and "target_label" in rule
    }


def pod_jobs() -> list[dict]:
    """What scrapes pods: the configuration for anybody's Prometheus, and the local cluster's own."""
    own = prometheus_config(AddressPlan(), Path("/k"), Path("/pki"), ())["scrape_configs"]
    (local,) = (job for job in own if job["job_name"] == "pods")
    return [*yaml.safe_load(SCRAPE.read_text())["scrape_configs"], local]


def query_of(documents: list[dict], name: str) -> str:
    trigger = by_kind(documents, "ScaledObject")[name]["spec"]["triggers"][0]
    return trigger["metadata"]["query"]


@pytest.mark.kubectl
@pytest.mark.parametrize("platform", ["local", "triton"])
def test_a_query_sees_the_pods_of_its_own_pool_and_no_others(tmp_path, platform):
    """By what Prometheus copies from the labels of the pods: the names of `gpu` and `gpu-spot` begin alike."""
    scenario = document()
    scenario["services"][0]["pools"] = ["gpu", "gpu-spot"]
    scenario["pools"] = [
        {"name": name, "instance_type": "g5.xlarge", "size": 1} for name in ("gpu", "gpu-spot")
    ]
    options = ["--platform", platform, "--onnx", "m=magika", *ELSEWHERE]
    documents = built(rendered(written(tmp_path, scenario), tmp_path, *options))
    for pool in ("gpu", "gpu-spot"):
        name = f"model-server-ranker-{pool}"
        pods = by_kind(documents, "Deployment")[name]["spec"]["template"]["metadata"]["labels"]
        selected = dict(re.findall(r'(\w+)="([^"]*)"', query_of(documents, name)))
        assert selected.pop("namespace") == "baseload"
        for job in pod_jobs():
            sources = copied_labels(job)
            labels = {re.sub(r"[^a-zA-Z0-9_]", "_", key): value for key, value in pods.items()}
            assert {label: labels[sources[label]] for label in selected} == selected
        assert selected == {"baseload_service": "ranker", "baseload_pool": pool}


@pytest.mark.kubectl
def test_names_are_cut_to_what_a_label_holds_and_stay_apart(tmp_path):
    long = "a" * 60
    scenario = document()
    del scenario["classes"][1]["items"]
    scenario["services"][0] |= {"name": long, "pools": ["gpu-of-some-length", "gpu-of-some-length-2", "b.c"]}
    scenario["services"] += [
        {"name": "x-y", "model": "m", "pools": ["z"]},
        {"name": "x", "model": "m", "pools": ["y-z"]},
    ]
    names = ["gpu-of-some-length", "gpu-of-some-length-2", "b.c", "z", "y-z"]
    scenario["pools"] = [{"name": name, "instance_type": "g5.xlarge", "size": 1} for name in names]
    scenario["routes"][0]["targets"] = [{"service": service, "weight": 1} for service in (long, "x-y", "x")]
    documents = built(rendered(written(tmp_path, scenario), tmp_path))
    deployments = by_kind(documents, "Deployment").keys() - {"gateway"}
    assert len(deployments) == 5
    for name in deployments:
        assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", f"keda-hpa-{name}"), name
    assert by_kind(documents, "ScaledObject").keys() == deployments


@pytest.mark.kubectl
@pytest.mark.parametrize("keda", [True, False])
def test_a_size_is_rendered_only_where_no_autoscaler_holds_it(tmp_path, keda):
    """Else each apply would shrink a fleet to its minimum, at its peak too."""
    out = rendered(QUICKSTART, tmp_path, "--gateways", "2", *(() if keda else ("--no-keda",)))
    documents = built(out)
    sizes = {name: each["spec"].get("replicas") for name, each in by_kind(documents, "Deployment").items()}
    assert sizes == {"gateway": None, "model-server-ranker-gpu": None if keda else 2}
    held = {"gateway": 2} | ({"model-server-ranker-gpu": 2} if keda else {})
    assert minimums(documents) == held


@pytest.mark.kubectl
def test_an_empty_pool_stays_empty(tmp_path):
    """There is no queue to look at: no autoscaler, and a size of its own."""
    documents = built(rendered(QUICKSTART, tmp_path, "--set", "pools.gpu.size=0"))
    assert by_kind(documents, "Deployment")["model-server-ranker-gpu"]["spec"]["replicas"] == 0
    assert not by_kind(documents, "ScaledObject")


@pytest.mark.kubectl
@pytest.mark.parametrize("platform", ["local", "eks-gpu"])
@pytest.mark.parametrize(
    ("cache", "bytes_kept"),
    [
        ("{kind: lru, capacity: 1000}", 2 * MI + 1000 * (100 + 1024)),
        ("{kind: lru, capacity: 1000000}", 2 * MI + 1_000_000 * (100 + 1024)),
    ],
)
def test_an_lru_cache_bounds_the_stacks_redis_within_its_memory(tmp_path, platform, cache, bytes_kept):
    options = ["--redis", "own", "--set", f"routes.main.cache={cache}", "--platform", platform]
    documents = built(rendered(QUICKSTART, tmp_path, *options, *REAL, *ELSEWHERE))
    container = pod_of(documents, "redis")["containers"][0]
    kept = container["args"][container["args"].index("--maxmemory") + 1]
    assert kept == str(bytes_kept)
    asked, limit = (
        int(container["resources"][kind]["memory"].removesuffix("Mi")) * MI for kind in ("requests", "limits")
    )
    assert asked == limit
    assert max(1.5 * bytes_kept, 64 * MI) <= limit <= max(1.5 * bytes_kept + MI, 128 * MI)


def test_a_redis_without_lru_has_half_as_much_memory_again_as_it_keeps():
    text = (MANIFESTS / "components" / "own-redis" / "deployment.yaml").read_text()
    container = yaml.safe_load(text)["spec"]["template"]["spec"]["containers"][0]
    assert container["args"][container["args"].index("--maxmemory") + 1] == "256mb"
    assert container["resources"]["limits"]["memory"] == "384Mi"
    assert container["resources"]["requests"]["memory"] == "384Mi"

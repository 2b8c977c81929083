"""A scenario's stack as a kustomization: copies of the base, settings as ConfigMaps, one overlay for the platform."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from scenarios.errors import EnvironmentProblem, Unsupported
from serving_ref.from_scenario import copy_files
from serving_ref.manifests.placement import on_gpu, placement, refuse_misplaced, settings_on_instances
from serving_ref.settings import written
from serving_ref.triton import config_pbtxt

if TYPE_CHECKING:
    from serving_ref.from_scenario import ReplicaSet, Stack

MANIFESTS = Path(__file__).parent
PLATFORMS = ("local", "eks-gpu", "triton")
PORT = 8080
SERVICE, POOL = "baseload.dev/service", "baseload.dev/pool"
PART_OF = {"app.kubernetes.io/part-of": "baseload"}
POD_SECURITY = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
"""Kubernetes' strictest pod security standard: the API server refuses a pod that asks for more."""
QUEUE_DEPTH = {"ours": "baseload_model_server_queue_depth", "triton": "nv_inference_pending_request_count"}
"""Metric of requests that wait, by server."""


@dataclass(frozen=True)
class Target:
    """Where a stack is to run."""

    platform: str = "local"
    """One of PLATFORMS."""
    namespace: str = "baseload"
    image: str = "baseload-serving:latest"
    """The image of gateway and model server, with its tag."""
    prometheus: str = "http://prometheus.baseload-system:9090"
    """Where KEDA asks for queue depths."""
    keda: bool = True
    """Whether the cluster has KEDA; without it replicas stay as many as the scenario says."""
    own_redis: bool = False
    """Whether the stack brings a Redis."""


def render(stack: Stack, target: Target, folder: Path) -> None:
    """Write the kustomization of a stack into a new folder.

    Raises EnvironmentProblem where the folder is there already, Unsupported where Triton is to run a synthetic model,
    or a model an accelerator that is not for it.
    """
    if folder.exists():
        raise EnvironmentProblem(f"{folder}: exists already")
    if target.platform != "local":
        refuse_misplaced(stack)
    if target.platform == "triton":
        _refuse_synthetic(stack)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    for part in ("base", "components", f"overlays/{target.platform}"):
        shutil.copytree(MANIFESTS / part, unfinished / part)
    _gateway(stack, unfinished / "gateway")
    for replica_set in stack.replica_sets:
        _replica_set(replica_set, target, unfinished / "replica-sets" / replica_set.name)
    _write(
        unfinished / "services.yaml", *map(headless_service, sorted({s.service for s in stack.replica_sets}))
    )
    namespace = {"name": target.namespace, "labels": PART_OF | POD_SECURITY}
    _write(unfinished / "namespace.yaml", {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace})
    _write(unfinished / "kustomization.yaml", _root(stack, target))
    unfinished.rename(folder)


def headless_service(name: str) -> dict[str, Any]:
    """The Service of a scenario's service: its name has the addresses of all ready replicas, whatever their pool."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {SERVICE: name, **PART_OF}},
        "spec": {
            "clusterIP": "None",
            "selector": {"app.kubernetes.io/name": "model-server", SERVICE: name},
            "ports": [{"name": "http", "port": PORT, "targetPort": "http"}],
        },
    }


def _refuse_synthetic(stack: Stack) -> None:
    synthetic = sorted({s.settings.model.name for s in stack.replica_sets if s.settings.model.onnx is None})
    if synthetic:
        raise Unsupported(f"Triton runs real models; {', '.join(synthetic)}: expected an --onnx for each")


def _root(stack: Stack, target: Target) -> dict[str, Any]:
    name, _, tag = target.image.rpartition(":")
    components = [*(["components/own-redis"] if target.own_redis else []), f"overlays/{target.platform}"]
    root: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": target.namespace,
        "resources": [
            "namespace.yaml",
            "services.yaml",
            "gateway",
            "base/network",
            "base/monitoring",
            *(f"replica-sets/{each.name}" for each in stack.replica_sets),
        ],
        "components": components,
        "images": [{"name": "baseload-serving", "newName": name, "newTag": tag}],
    }
    if target.own_redis and stack.cache_bytes is not None:
        args = f"/spec/template/spec/containers/0/args/{_REDIS_MEMORY}"
        patch = [{"op": "replace", "path": args, "value": str(stack.cache_bytes)}]
        root["patches"] = [
            {"target": {"kind": "Deployment", "name": "redis"}, "patch": yaml.safe_dump(patch)}
        ]
    return root


_REDIS_MEMORY = 7
"""Place of the value of --maxmemory among Redis' arguments (components/own-redis/deployment.yaml)."""


def _gateway(stack: Stack, folder: Path) -> None:
    folder.mkdir(parents=True)
    replicas = stack.gateway.replicas
    folder.joinpath("settings.yaml").write_text(written(stack.gateway), encoding="utf-8")
    bounds = [
        {"op": "replace", "path": "/spec/minReplicas", "value": replicas},
        {"op": "replace", "path": "/spec/maxReplicas", "value": stack.max_gateways},
    ]
    _write(
        folder / "kustomization.yaml",
        {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": ["../base/gateway"],
            "configMapGenerator": [{"name": "gateway-settings", "files": ["settings.yaml"]}],
            "generatorOptions": {"labels": PART_OF},
            "replicas": [{"name": "gateway", "count": replicas}],
            "patches": [{"target": {"kind": "HorizontalPodAutoscaler"}, "patch": yaml.safe_dump(bounds)}],
        },
    )


def _replica_set(each: ReplicaSet, target: Target, folder: Path) -> None:
    folder.mkdir(parents=True)
    triton = target.platform == "triton"
    real_instances = target.platform != "local"
    settings = settings_on_instances(each) if real_instances else each.settings
    folder.joinpath("settings.yaml").write_text(written(settings), encoding="utf-8")
    files = ["settings.yaml", *each.files]
    copy_files(each, folder)
    if triton:
        folder.joinpath("config.pbtxt").write_text(
            config_pbtxt(each.settings, gpu=on_gpu(each)), encoding="utf-8"
        )
        files.append("config.pbtxt")
    document: dict[str, Any] = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../../base/model-server"],
        "components": [],
        "nameSuffix": f"-{each.name}",
        "labels": [{"pairs": {SERVICE: each.service, POOL: each.pool}, "includeSelectors": True}],
        "configMapGenerator": [{"name": "model-server-settings", "files": files}],
        "generatorOptions": {"labels": PART_OF},
        "replicas": [{"name": "model-server", "count": each.replicas}],
        "patches": [],
    }
    if real_instances:
        document["patches"].append(
            {"target": {"kind": "Deployment"}, "patch": yaml.safe_dump(placement(each), sort_keys=False)}
        )
        if on_gpu(each):
            document["components"].append("../../components/nvidia-gpu")
    if target.keda and each.replicas:  # a pool that starts empty has no queue to look at: its owner scales it
        document["components"].append("../../components/queue-depth-scaling")
        document["patches"].append(_scaling(each, target, triton=triton))
    _write(folder / "kustomization.yaml", document)


def _scaling(each: ReplicaSet, target: Target, *, triton: bool) -> dict[str, Any]:
    """Scale between what the scenario starts with and its growth, by the requests that wait for each replica."""
    # Triton's own metrics know the model, and pods the service by the name of their Deployment.
    pods = f'namespace="{target.namespace}",pod=~"model-server-{each.name}-.*"'
    query = f"sum({QUEUE_DEPTH['triton' if triton else 'ours']}{{{pods}}})"
    values = {
        "/spec/minReplicaCount": each.replicas,
        "/spec/maxReplicaCount": each.max_replicas,
        "/spec/fallback/replicas": each.replicas,
        "/spec/triggers/0/metadata/serverAddress": target.prometheus,
        "/spec/triggers/0/metadata/query": query,
        "/spec/triggers/0/metadata/threshold": str(each.queue_depth),
    }
    patch = [{"op": "replace", "path": path, "value": value} for path, value in values.items()]
    return {"target": {"kind": "ScaledObject"}, "patch": yaml.safe_dump(patch)}


def _write(path: Path, *documents: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False), encoding="utf-8")

"""A scenario's stack as a kustomization: copies of the base, settings as ConfigMaps, one overlay for the platform."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from scenarios.errors import EnvironmentProblem, InvalidInput, Unsupported
from serving_ref.from_scenario import copy_files
from serving_ref.manifests.names import MODEL_SERVER, kustomize_image, refuse_namespace, refuse_services
from serving_ref.manifests.placement import on_gpu, placement, refuse_misplaced, settings_on_instances
from serving_ref.settings import written
from serving_ref.triton import config_pbtxt

if TYPE_CHECKING:
    from serving_ref.from_scenario import ReplicaSet, Stack

MANIFESTS = Path(__file__).parent
PLATFORMS = ("local", "eks-gpu", "triton")
PORT = 8080
SERVICE, POOL = "baseload.dev/service", "baseload.dev/pool"
"""Labels of a replica set's pods; Prometheus knows them as baseload_service and baseload_pool (scrape.yaml)."""
PART_OF = {"app.kubernetes.io/part-of": "baseload"}
POD_SECURITY = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
"""Kubernetes' strictest pod security standard: the API server refuses a pod that asks for more."""
QUEUE_DEPTH = {"ours": "baseload_model_server_queue_depth", "triton": "nv_inference_pending_request_count"}
"""Metric of requests that wait, by server."""
LOCAL_PROMETHEUS = "http://prometheus.baseload-system:9090"
CONFIG_MAP_BYTES = 1_000_000
"""What a replica set's files may weigh: the API server takes ConfigMaps up to 2^20 bytes, settings included."""


@dataclass(frozen=True)
class Target:
    """Where a stack is to run."""

    platform: str = "local"
    """One of PLATFORMS."""
    namespace: str = "baseload"
    image: str = "baseload-serving:latest"
    """The image of gateway and model server, with its tag."""
    prometheus: str | None = None
    """Where KEDA asks for queue depths; None: the local cluster's own."""
    keda: bool = True
    """Whether the cluster has KEDA; without it replicas stay as many as the scenario says."""
    own_redis: bool = False
    """Whether the stack brings a Redis."""


def render(stack: Stack, target: Target, folder: Path) -> None:
    """Write the kustomization of a stack into a new folder.

    Raises EnvironmentProblem where the folder is there already, InvalidInput for what no cluster takes, Unsupported
    where Triton is to run a synthetic model, or a model an accelerator that is not for it.
    """
    if folder.exists():
        raise EnvironmentProblem(f"{folder}: exists already")
    _refuse(stack, target)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        _fill(unfinished, stack, target)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _fill(folder: Path, stack: Stack, target: Target) -> None:
    for part in ("base", "components", f"overlays/{target.platform}"):
        shutil.copytree(MANIFESTS / part, folder / part)
    _gateway(stack, folder / "gateway")
    for replica_set in stack.replica_sets:
        _replica_set(replica_set, target, folder / "replica-sets" / replica_set.name)
    _write(folder / "services.yaml", *map(headless_service, sorted({s.service for s in stack.replica_sets})))
    namespace = {"name": target.namespace, "labels": PART_OF | POD_SECURITY}
    _write(folder / "namespace.yaml", {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace})
    _write(folder / "kustomization.yaml", _root(stack, target))


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


def _refuse(stack: Stack, target: Target) -> None:
    refuse_namespace(target.namespace)
    taken = ["gateway", *(["redis"] if target.own_redis else [])]
    refuse_services(stack.path, sorted({each.service for each in stack.replica_sets}), taken)
    for each in stack.replica_sets:
        _refuse_heavy(each)
    if target.platform != "local":
        refuse_misplaced(stack)
    if target.platform == "triton":
        _refuse_synthetic(stack)
    if target.keda and target.prometheus is None and target.platform != "local":
        raise InvalidInput(
            f"--platform {target.platform}: expected --prometheus with the address where KEDA finds the Prometheus "
            "that scrapes the stack, such as http://prometheus-server.monitoring, or --no-keda"
        )


def _refuse_heavy(each: ReplicaSet) -> None:
    """Raise InvalidInput for files that no ConfigMap holds."""
    model = each.settings.model
    instead = (
        "state the latencies as a table"
        if model.onnx is None
        else f"put the model into the image, and say --onnx {model.name}=image:/ and its path there"
    )
    for path in each.files.values():
        size = path.stat().st_size
        if size > CONFIG_MAP_BYTES:
            raise InvalidInput(
                f"{path}: {size / 2**20:.1f} MiB, expected at most {CONFIG_MAP_BYTES / 2**20:.2f} MiB, as ConfigMaps "
                f"hold: {instead}"
            )


def _refuse_synthetic(stack: Stack) -> None:
    synthetic = sorted({s.settings.model.name for s in stack.replica_sets if s.settings.model.onnx is None})
    if synthetic:
        raise Unsupported(f"Triton runs real models; {', '.join(synthetic)}: expected an --onnx for each")


def _root(stack: Stack, target: Target) -> dict[str, Any]:
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
        "images": [{"name": "baseload-serving"} | kustomize_image(target.image)],
    }
    if target.own_redis and stack.cache_bytes is not None:
        root["patches"] = [_redis_memory(stack.cache_bytes)]
    return root


_REDIS = "/spec/template/spec/containers/0"
_REDIS_MEMORY = 7
"""Place of the value of --maxmemory among Redis' arguments (components/own-redis/deployment.yaml)."""
_SMALLEST_REDIS_MI = 64
"""A Redis that keeps nothing, and its connections."""


def _redis_memory(kept_bytes: int) -> dict[str, Any]:
    """Let Redis keep so many bytes, in half as much memory again: for what is fragmented, and for its connections."""
    memory = f"{max(math.ceil(1.5 * kept_bytes / 2**20), _SMALLEST_REDIS_MI)}Mi"
    values = {
        f"{_REDIS}/args/{_REDIS_MEMORY}": str(kept_bytes),
        f"{_REDIS}/resources/requests/memory": memory,
        f"{_REDIS}/resources/limits/memory": memory,
    }
    return _replaced({"kind": "Deployment", "name": "redis"}, values)


def _gateway(stack: Stack, folder: Path) -> None:
    folder.mkdir(parents=True)
    replicas = stack.gateway.replicas
    folder.joinpath("settings.yaml").write_text(written(stack.gateway), encoding="utf-8")
    bounds = {"/spec/minReplicas": replicas, "/spec/maxReplicas": stack.max_gateways}
    _write(
        folder / "kustomization.yaml",
        {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": ["../base/gateway"],
            "configMapGenerator": [{"name": "gateway-settings", "files": ["settings.yaml"]}],
            "generatorOptions": {"labels": PART_OF},
            "patches": [_replaced({"kind": "HorizontalPodAutoscaler"}, bounds)],
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
        "patches": [],
    }
    if real_instances:
        document["patches"].append(
            {"target": {"kind": "Deployment"}, "patch": yaml.safe_dump(placement(each), sort_keys=False)}
        )
        if on_gpu(each):
            document["components"].append("../../components/nvidia-gpu")
    if target.keda and each.replicas:
        document["components"].append("../../components/queue-depth-scaling")
        document["patches"].append(_scaling(each, target))
    else:  # also for a pool that starts empty: it has no queue to look at, and its owner scales it
        document["replicas"] = [{"name": MODEL_SERVER, "count": each.replicas}]
    _write(folder / "kustomization.yaml", document)


def _scaling(each: ReplicaSet, target: Target) -> dict[str, Any]:
    """Scale between what the scenario starts with and its growth, by the requests that wait for each replica."""
    metric = QUEUE_DEPTH["triton" if target.platform == "triton" else "ours"]
    pods = f'namespace="{target.namespace}",baseload_service="{each.service}",baseload_pool="{each.pool}"'
    values = {
        "/spec/minReplicaCount": each.replicas,
        "/spec/maxReplicaCount": each.max_replicas,
        "/spec/fallback/replicas": each.replicas,
        "/spec/triggers/0/metadata/serverAddress": target.prometheus or LOCAL_PROMETHEUS,
        "/spec/triggers/0/metadata/query": f"sum({metric}{{{pods}}})",
        "/spec/triggers/0/metadata/threshold": str(each.queue_depth),
    }
    return _replaced({"kind": "ScaledObject"}, values)


def _replaced(target: dict[str, str], values: dict[str, Any]) -> dict[str, Any]:
    """A patch that gives fields other values."""
    patch = [{"op": "replace", "path": path, "value": value} for path, value in values.items()]
    return {"target": target, "patch": yaml.safe_dump(patch)}


def _write(path: Path, *documents: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump_all(documents, sort_keys=False), encoding="utf-8")

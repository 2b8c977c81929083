"""Where replicas go on real instances: those of their pool, past its taints, each with a GPU if it computes on one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scenarios.errors import Unsupported
from serving_ref.cluster.instance_types import ACCELERATORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from serving_ref.from_scenario import ReplicaSet, Stack
    from serving_ref.model_server.settings import ModelServerSettings

GPU = ACCELERATORS["NVIDIA"]
CAPACITY_TYPES = {
    "karpenter.sh/capacity-type": {"on-demand": "on-demand", "spot": "spot", "reserved": "reserved"},
    "eks.amazonaws.com/capacityType": {"on-demand": "ON_DEMAND", "spot": "SPOT", "reserved": "ON_DEMAND"},
}
"""Label of nodes → a scenario's capacity type → its value. A node has one of them, by who made it: Karpenter, or an EKS
managed node group, where a capacity reservation is on demand like the rest."""


def on_gpu(each: ReplicaSet) -> bool:
    """Whether a replica computes on a GPU; a synthetic model only waits."""
    return each.accelerator == GPU and each.settings.model.onnx is not None


def placement(each: ReplicaSet) -> list[dict[str, Any]]:
    """A patch of the Deployment: onto nodes of the pool's instance type, zone and capacity type, by either labels."""
    where = {"node.kubernetes.io/instance-type": each.instance_type}
    if each.zone is not None:
        where["topology.kubernetes.io/zone"] = each.zone
    terms = [
        {"matchExpressions": _all_of(where | {label: values[each.capacity_type]})}
        for label, values in CAPACITY_TYPES.items()
    ]
    affinity = {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    }
    patch: list[dict[str, Any]] = [{"op": "add", "path": "/spec/template/spec/affinity", "value": affinity}]
    if each.accelerator is not None:
        # Whether it computes there or not: nodes with accelerators are customarily tainted with the resource's name.
        tolerated = {"key": each.accelerator, "operator": "Exists", "effect": "NoSchedule"}
        patch.append({"op": "add", "path": "/spec/template/spec/tolerations", "value": [tolerated]})
    return patch


def _all_of(labels: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "operator": "In", "values": [value]} for key, value in labels.items()]


def settings_on_instances(each: ReplicaSet) -> ModelServerSettings:
    """Its settings, insisting on CUDA where it has a GPU: not to start is better than to compute on the CPU unseen."""
    onnx = each.settings.model.onnx
    if onnx is None or not on_gpu(each):
        return each.settings
    model = each.settings.model.model_copy(update={"onnx": onnx.model_copy(update={"device": "cuda"})})
    return each.settings.model_copy(update={"model": model})


def refuse_misplaced(stack: Stack) -> None:
    """Raise Unsupported for real models on accelerators that they cannot use, or cannot share."""
    problems = [problem for each in stack.replica_sets for problem in _problems(each)]
    if problems:
        raise Unsupported("\n  ".join(f"{stack.path}: {problem}" for problem in problems))


def _problems(each: ReplicaSet) -> Iterator[str]:
    if each.settings.model.onnx is None or each.accelerator is None:
        return
    if each.accelerator != GPU:
        yield (
            f"pools[{each.pool}].instance_type: got {each.instance_type}, expected one with NVIDIA GPUs or without "
            f"accelerators: {each.settings.model.name} runs in ONNX Runtime, which would leave {each.accelerator} idle"
        )
    elif each.replicas_per_instance > each.accelerators:
        yield (
            f"services[{each.service}].replicas_per_instance and models[{each.settings.model.name}].accelerator_share: "
            f"got {each.replicas_per_instance} replicas on {each.instance_type}, which has {each.accelerators} GPUs; "
            "expected a GPU for each replica: pods ask for whole ones (instances_per_replica runs batches side by side)"
        )

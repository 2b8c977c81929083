"""Objects of a Kubernetes cluster as its API gives them, cut down to what matters here."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def deployment(name="ranker", *, namespace="shop", replicas=3, labels=None, pod=None, **container) -> Object:
    resources = {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"memory": "3Gi"}}
    labels = labels or {"app": name}
    spec = {"containers": [{"name": "server", "image": "server", "resources": resources} | container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec | (pod or {})},
        },
    }


def on_gpu(count=1) -> Object:
    """Container fields of a replica that takes accelerators."""
    return {
        "resources": {
            "requests": {"memory": "2Gi"},
            "limits": {"nvidia.com/gpu": str(count), "memory": "3Gi"},
        }
    }


def autoscaler(name="ranker", *, namespace="shop", **spec) -> Object:
    cpu = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
    }
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": f"{name}-hpa", "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "minReplicas": 2, "maxReplicas": 20, "metrics": [cpu],
        } | spec,
    }  # fmt: skip


def scaled_object(name="ranker", *, namespace="shop", **spec) -> Object:
    depth = {"serverAddress": "http://prometheus:9090", "query": "sum(queue_depth)", "threshold": "8"}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": f"{name}-keda", "namespace": namespace},
        "spec": {
            "scaleTargetRef": {"name": name}, "minReplicaCount": 1, "maxReplicaCount": 40, "pollingInterval": 15,
            "triggers": [{"type": "prometheus", "metadata": depth, "authenticationRef": {"name": "secret"}}],
        } | spec,
    }  # fmt: skip


def disruption_budget(name="ranker", *, namespace="shop", **rule) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": f"{name}-pdb", "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": name}}, **(rule or {"minAvailable": "50%"})},
    }


def node(
    name,
    instance_type="g5.xlarge",
    *,
    zone="us-east-1a",
    capacity_type="on-demand",
    pool="gpu",
    taints=None,
    region=None,
):
    labels = {
        "node.kubernetes.io/instance-type": instance_type,
        "topology.kubernetes.io/zone": zone,
        "kubernetes.io/hostname": name,
    }
    labels |= {"karpenter.sh/nodepool": pool} if pool else {}
    labels |= {"topology.kubernetes.io/region": region} if region else {}
    labels |= {"karpenter.sh/capacity-type": capacity_type} if capacity_type else {}
    spec = {"taints": taints} if taints else {}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": spec}


def node_pool(name, *instance_types, capacity_types=("spot", "on-demand"), zones=()) -> Object:
    wanted = {
        "node.kubernetes.io/instance-type": instance_types,
        "karpenter.sh/capacity-type": capacity_types,
        "topology.kubernetes.io/zone": zones,
    }
    requirements = [
        {"key": key, "operator": "In", "values": list(values)} for key, values in wanted.items() if values
    ]
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": name},
        "spec": {"template": {"spec": {"requirements": requirements}}},
    }

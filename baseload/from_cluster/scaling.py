"""What scales and protects a Deployment, in words: it goes into the scenario as a remark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from baseload.from_cluster.selectors import chooses
from baseload.from_cluster.words import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from baseload.from_cluster.read import ClusterObjects

    Object = dict[str, Any]

_KEDA_DEFAULT_MAX = 100
"""Largest number of replicas of a ScaledObject that gives none (KEDA's ScaledObject specification)."""


def scaling_notes(deployment: Object, objects: ClusterObjects, *, disruptions: bool = True) -> list[str]:
    """Autoscalers of a Deployment, and its disruption budgets if they are wanted."""
    own = {_key(deployment, each): each for each in objects.scaled_objects}
    scaled = own.get(_whole(deployment))
    notes = [_scaled_object(scaled)] if scaled else []
    for autoscaler in objects.autoscalers:
        # KEDA makes a HorizontalPodAutoscaler of its own: the ScaledObject says more.
        if _key(deployment, autoscaler) == _whole(deployment) and not scaled:
            notes.append(_autoscaler(autoscaler))
    if disruptions:
        notes += _disruption_budgets(deployment, objects)
    return notes


def _whole(deployment: Object) -> tuple[str, str]:
    return deployment["metadata"].get("namespace", "default"), deployment["metadata"]["name"]


def _key(deployment: Object, scaler: Object) -> tuple[str, str] | None:
    """Whom a scaler scales; None if that is no Deployment."""
    target = scaler["spec"].get("scaleTargetRef", {})
    if target.get("kind", "Deployment") != "Deployment":
        return None
    return scaler["metadata"].get("namespace", _whole(deployment)[0]), target.get("name", "")


def _autoscaler(each: Object) -> str:
    spec = each["spec"]
    metrics = ", ".join(map(_metric, spec.get("metrics", []))) or "cpu at 80 %"
    name, least, most = each["metadata"]["name"], spec.get("minReplicas", 1), spec["maxReplicas"]
    text = f"HorizontalPodAutoscaler {name}: {least} to {most} replicas by {metrics}"
    return text + "".join(_behaviour(spec.get("behavior", {})))


def _metric(metric: Object) -> str:
    source = metric.get(
        {"ContainerResource": "containerResource"}.get(metric["type"], metric["type"].lower()), {}
    )
    name = source.get("name") or source.get("metric", {}).get("name", "?")
    target = source.get("target", {})
    if "averageUtilization" in target:
        return f"{name} at {target['averageUtilization']} %"
    if "averageValue" in target:
        return f"{name} at {target['averageValue']} a replica"
    return f"{name} at {target.get('value', '?')}"


def _behaviour(behaviour: Object) -> Iterator[str]:
    for direction, text in (("scaleUp", "up"), ("scaleDown", "down")):
        rules = behaviour.get(direction)
        if rules is None:
            continue
        policies = [
            f"{each['value']} {each['type'].lower()} in {each['periodSeconds']} s"
            for each in rules.get("policies", [])
        ]
        window = rules.get("stabilizationWindowSeconds")
        parts = [*policies, *([f"after {window} s"] if window is not None else [])]
        yield f"; {text}: {', '.join(parts)}"


def _scaled_object(each: Object) -> str:
    spec = each["spec"]
    triggers = ", ".join(_trigger(trigger) for trigger in spec.get("triggers", []))
    least, most = spec.get("minReplicaCount", 0), spec.get("maxReplicaCount", _KEDA_DEFAULT_MAX)
    text = f"ScaledObject {each['metadata']['name']}: {least} to {most} replicas by {triggers}"
    text += f"; polled every {spec['pollingInterval']} s" if "pollingInterval" in spec else ""
    return text + (f"; cooldown {spec['cooldownPeriod']} s" if "cooldownPeriod" in spec else "")


def _trigger(trigger: Object) -> str:
    """Its type and threshold. Addresses and authentication are nobody's business here."""
    shown = ("metricName", "query", "threshold", "value", "timezone", "start", "end", "desiredReplicas")
    given = trigger.get("metadata", {})
    told = [f"{key} {one_line(str(given[key]))}" for key in shown if key in given]
    return f"{trigger['type']} ({', '.join(told)})" if told else str(trigger["type"])


def _disruption_budgets(deployment: Object, objects: ClusterObjects) -> Iterator[str]:
    labels = deployment["spec"]["template"]["metadata"].get("labels", {})
    for budget in objects.disruption_budgets:
        selector = budget["spec"].get("selector")
        same = budget["metadata"].get("namespace", "default") == _whole(deployment)[0]
        if same and selector is not None and chooses(selector, labels):
            rule = next((key for key in ("minAvailable", "maxUnavailable") if key in budget["spec"]), None)
            if rule is not None:
                yield f"PodDisruptionBudget {budget['metadata']['name']}: {rule} {budget['spec'][rule]}"

"""Put a stack on a cluster, look at it, and take it away: kubectl's words, and nothing that isn't ours is touched."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from scenarios.errors import EnvironmentProblem, InvalidInput
from serving_ref.manifests.render import PART_OF, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving_ref.cluster.kubectl import Kubectl
    from serving_ref.from_scenario import Stack
    from serving_ref.manifests.render import Target

OURS = ",".join(f"{name}={value}" for name, value in PART_OF.items())
KINDS = (
    "deployments",
    "services",
    "configmaps",
    "horizontalpodautoscalers",
    "poddisruptionbudgets",
    "networkpolicies",
)
"""What a stack is made of, beside KEDA's objects."""
KEDA_API = "keda.sh/v1alpha1"
CLUSTER_REDIS = ("baseload-system", "redis")
"""Namespace and name of the Redis that `baseload cluster up --with redis` gives."""


@dataclass(frozen=True)
class Workload:
    """A Deployment of the stack."""

    name: str
    wanted: int
    ready: int
    image: str


@dataclass(frozen=True)
class StackStatus:
    """What is there of a stack."""

    namespace: str
    workloads: tuple[Workload, ...]
    gateways: tuple[str, ...]
    """host:port of each gateway that is ready."""

    @property
    def up(self) -> bool:
        """Whether all that is wanted is ready."""
        return bool(self.workloads) and all(each.ready >= each.wanted for each in self.workloads)


def has_keda(kubectl: Kubectl) -> bool:
    """Whether the cluster knows ScaledObjects. Anybody may ask that; not everybody may look at its definitions."""
    return KEDA_API in kubectl.run("api-versions").split()


def has_redis(kubectl: Kubectl) -> bool:
    """Whether the cluster has the Redis that local stacks use."""
    namespace, name = CLUSTER_REDIS
    return kubectl.find("service", name, "-n", namespace) is not None


def apply(
    kubectl: Kubectl, stack: Stack, target: Target, timeout_s: float, say: Callable[[str], None]
) -> None:
    """Apply a stack, wait until every replica is ready and every route is served, and delete what it had before.

    Raises EnvironmentProblem where kubectl refuses or the time is over; what was applied stays, to be looked at.
    """
    _refuse_foreign(kubectl, target.namespace)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "stack"
        render(stack, target, folder)
        documents = kubectl.run("kustomize", str(folder))
    objects = list(yaml.safe_load_all(documents))
    wanted = {_identity(each) for each in objects}
    say("applying")
    kubectl.apply(documents)
    _raise_to_minimums(kubectl, target.namespace, minimums(objects))
    for each in status(kubectl, target.namespace).workloads:
        if ("Deployment", each.name) not in wanted:
            continue
        say(f"waiting for {each.name}: {each.wanted} replicas")
        kubectl.run(
            "rollout", "status", f"deployment/{each.name}", "-n", target.namespace, f"--timeout={timeout_s:.0f}s"
        )  # fmt: skip
    gateway = f"/api/v1/namespaces/{target.namespace}/services/gateway:http/proxy"
    for route in stack.gateway.routes:
        say(f"waiting for route {route.name}")
        _wait_until_served(kubectl, f"{gateway}/v2/models/{route.name}", timeout_s)
    for name in _left_over(kubectl, target.namespace, wanted):
        say(f"deleting {name}, which this scenario does not have")
        kubectl.run("delete", name, "-n", target.namespace, "--ignore-not-found")


def minimums(documents: list[dict[str, Any]]) -> dict[str, int]:
    """Deployment → the fewest replicas that its autoscaler lets it have. Its size is not in the manifests."""
    least = {"HorizontalPodAutoscaler": "minReplicas", "ScaledObject": "minReplicaCount"}
    specs = [(each["kind"], each["spec"]) for each in documents if each["kind"] in least]
    return {spec["scaleTargetRef"]["name"]: spec[least[kind]] for kind, spec in specs}


def _raise_to_minimums(kubectl: Kubectl, namespace: str, least: dict[str, int]) -> None:
    """Bring Deployments to their autoscalers' minimums: a new one starts with 1, and an autoscaler takes its time."""
    for each in status(kubectl, namespace).workloads:
        if each.wanted < least.get(each.name, 0):
            replicas = f"--replicas={least[each.name]}"
            kubectl.run("scale", f"deployment/{each.name}", "-n", namespace, replicas)


def _identity(document: dict[str, Any]) -> tuple[str, str]:
    return document["kind"], document["metadata"]["name"]


def _left_over(kubectl: Kubectl, namespace: str, wanted: set[tuple[str, str]]) -> list[str]:
    """What an earlier scenario of this namespace had and this one has not, as `kind/name`.

    What something else owns, such as the autoscaler that KEDA makes of a ScaledObject, goes with its owner.
    """
    kinds = [*KINDS, *(["scaledobjects"] if has_keda(kubectl) else [])]
    found = kubectl.get(",".join(kinds), "-n", namespace, "-l", OURS)["items"]
    return [
        f"{each['kind']}/{each['metadata']['name']}".lower()
        for each in found
        if _identity(each) not in wanted and not each["metadata"].get("ownerReferences")
    ]


def _wait_until_served(kubectl: Kubectl, path: str, timeout_s: float) -> None:
    """Ask the gateway what a route takes, through the API server, until it knows: names take their time to spread."""
    deadline = time.monotonic() + timeout_s
    while (asked := kubectl.attempt("get", "--raw", path)).returncode:
        if time.monotonic() > deadline:
            raise EnvironmentProblem(
                f"{path}: not served after {timeout_s:.0f} s: {asked.stderr.strip()[-300:]}"
            )
        time.sleep(0.5)


def remove(kubectl: Kubectl, namespace: str) -> bool:
    """Delete the namespace with all that is in it; False where it was not there.

    Raises InvalidInput where the namespace is not the stack's.
    """
    if not _refuse_foreign(kubectl, namespace):
        return False
    kubectl.run("delete", "namespace", namespace, "--wait=true", "--timeout=180s")
    return True


def _refuse_foreign(kubectl: Kubectl, namespace: str) -> bool:
    """Return whether the namespace is there. Raises InvalidInput where somebody else made it."""
    found = kubectl.find("namespace", namespace)
    if found is None:
        return False
    labels = found["metadata"].get("labels", {})
    if not PART_OF.items() <= labels.items():
        raise InvalidInput(
            f"--namespace {namespace}: was not made by baseload stack ({OURS} is not among its labels)"
        )
    return True


def status(kubectl: Kubectl, namespace: str) -> StackStatus:
    """Look at a stack."""
    deployments = kubectl.get("deployments", "-n", namespace, "-l", OURS)["items"]
    slices = kubectl.get("endpointslices", "-n", namespace, "-l", "kubernetes.io/service-name=gateway")[
        "items"
    ]
    return StackStatus(
        namespace,
        tuple(map(_workload, deployments)),
        tuple(sorted(a for each in slices for a in _addresses(each))),
    )


def _workload(deployment: dict[str, Any]) -> Workload:
    return Workload(
        name=deployment["metadata"]["name"],
        wanted=deployment["spec"].get("replicas", 1),
        ready=deployment.get("status", {}).get("readyReplicas", 0),
        image=deployment["spec"]["template"]["spec"]["containers"][0]["image"],
    )


def _addresses(endpoint_slice: dict[str, Any]) -> list[str]:
    ports = [port["port"] for port in endpoint_slice.get("ports") or []]
    return [
        f"{address}:{port}"
        for endpoint in endpoint_slice.get("endpoints") or []
        if endpoint.get("conditions", {}).get("ready")
        for address in endpoint["addresses"]
        for port in ports
    ]


def report(found: StackStatus) -> str:
    """Return a status as JSON."""
    return json.dumps(
        {
            "namespace": found.namespace,
            "up": found.up,
            "workloads": [each.__dict__ for each in found.workloads],
            "gateways": list(found.gateways),
        },
        indent=2,
    )


def require_redis(kubectl: Kubectl, stack: Stack) -> None:
    """Raise EnvironmentProblem where a local stack with a cache has no Redis."""
    if stack.gateway.redis is not None and not has_redis(kubectl):
        raise EnvironmentProblem(
            "the scenario has a cache, and the cluster no Redis: baseload cluster up --with redis, or --redis own"
        )

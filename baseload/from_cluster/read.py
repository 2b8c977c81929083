"""Read a cluster's objects: lists only, and nothing that holds a secret or a person's data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scenarios.errors import EnvironmentProblem

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

    Object = dict[str, Any]

PAGE = 250
"""Objects a request: a list of a large cluster comes in parts."""
TIMEOUT_S = 30


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object, by its place in the API; the core group has no name."""

    group: str
    version: str
    plural: str
    namespaced: bool = True

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


DEPLOYMENTS = Kind("apps", "v1", "deployments")
AUTOSCALERS = Kind("autoscaling", "v2", "horizontalpodautoscalers")
SCALED_OBJECTS = Kind("keda.sh", "v1alpha1", "scaledobjects")
DISRUPTION_BUDGETS = Kind("policy", "v1", "poddisruptionbudgets")
NODE_POOLS = Kind("karpenter.sh", "v1", "nodepools", namespaced=False)
NODES = Kind("", "v1", "nodes", namespaced=False)


@dataclass(frozen=True, slots=True)
class ClusterObjects:
    """What was found, as the API gives it."""

    deployments: tuple[Object, ...] = ()
    autoscalers: tuple[Object, ...] = ()
    scaled_objects: tuple[Object, ...] = ()
    disruption_budgets: tuple[Object, ...] = ()
    node_pools: tuple[Object, ...] = ()
    nodes: tuple[Object, ...] = ()
    unread: tuple[str, ...] = ()
    """Kinds that this user may not list, with the reason."""


def read_cluster(client: ApiClient, namespace: str | None) -> ClusterObjects:
    """List everything that a scenario can be made from, in one namespace or in all.

    A kind that the cluster does not know (no KEDA, no Karpenter) has no objects; one that the user may not list is
    noted. Raises EnvironmentProblem where the cluster cannot be reached, or Deployments cannot be listed.
    """
    unread: list[str] = []

    def listed(kind: Kind) -> tuple[Object, ...]:
        try:
            return tuple(list_objects(client, kind, namespace))
        except RefusedError as error:
            if kind == DEPLOYMENTS:
                raise EnvironmentProblem(f"cannot list {kind}: {error}") from None
            unread.append(f"{kind}: {error}")
            return ()

    return ClusterObjects(
        deployments=listed(DEPLOYMENTS),
        autoscalers=listed(AUTOSCALERS),
        scaled_objects=listed(SCALED_OBJECTS),
        disruption_budgets=listed(DISRUPTION_BUDGETS),
        node_pools=listed(NODE_POOLS),
        nodes=listed(NODES),
        unread=tuple(unread),
    )


def connect(context: str | None) -> tuple[ApiClient, str]:
    """A client for a context of the user's kubeconfig (None: the current one), and the name of the context.

    Raises EnvironmentProblem where there is none.
    """
    import yaml
    from kubernetes import config

    file = os.environ.get("KUBECONFIG") or None
    try:
        if context is None:  # asked for only then: a kubeconfig need not have a current context
            _, current = config.list_kube_config_contexts(file)  # type: ignore[no-untyped-call]  # it has no types
            context = str(current["name"])
        client: ApiClient = config.new_client_from_config(file, context)  # type: ignore[no-untyped-call]  # nor has this
    except (config.ConfigException, OSError, yaml.YAMLError) as error:
        raise EnvironmentProblem(f"no cluster to read: {error}") from None
    return client, context


class RefusedError(Exception):
    """The API server answers, and says no."""


def list_objects(client: ApiClient, kind: Kind, namespace: str | None) -> list[Object]:
    """Every object of a kind, in one namespace or (None) in all; none of a kind that the cluster does not know.

    Raises RefusedError where the server says no, and EnvironmentProblem where nobody answers.
    """
    from kubernetes.client import ApiException
    from urllib3.exceptions import HTTPError

    found: list[Object] = []
    following: str | None = None
    while True:
        try:
            page = _page(client, kind, namespace, following)
        except ApiException as error:
            if error.status == 404:
                return []
            raise RefusedError(f"{error.status} {error.reason}") from None
        except HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise EnvironmentProblem(f"{client.configuration.host} cannot be reached: {reason}") from None
        found += page["items"]
        following = page["metadata"].get("continue")
        if not following:
            return found


def _page(client: ApiClient, kind: Kind, namespace: str | None, following: str | None) -> Object:
    from kubernetes.client import CoreV1Api, CustomObjectsApi

    if kind == NODES:
        nodes = CoreV1Api(client).list_node(limit=PAGE, _continue=following, _request_timeout=TIMEOUT_S)
        plain: Object = client.sanitize_for_serialization(nodes)  # type: ignore[no-untyped-call]  # nor has this
        return plain
    # The custom objects' interface reads any group of the API, and gives what the server sent.
    groups = CustomObjectsApi(client)
    listed: object
    if kind.namespaced and namespace:
        listed = groups.list_namespaced_custom_object(
            kind.group, kind.version, namespace, kind.plural,
            limit=PAGE, _continue=following, _request_timeout=TIMEOUT_S,
        )  # fmt: skip
    else:
        listed = groups.list_cluster_custom_object(
            kind.group, kind.version, kind.plural, limit=PAGE, _continue=following, _request_timeout=TIMEOUT_S
        )
    assert isinstance(listed, dict)
    return listed

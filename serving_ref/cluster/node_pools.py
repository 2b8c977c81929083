"""A scenario's pools as Karpenter NodePools, whose nodes are KWOK's: bought, billed in labels, and never run a pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scenarios.schema.fleet import Pool

SIMULATED_TAINT = {"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}
"""On every KWOK node: a pod that takes load must not land where nothing runs."""
NODE_CLASS = {"group": "karpenter.kwok.sh", "kind": "KWOKNodeClass", "name": "default"}


def node_class() -> dict[str, Any]:
    """The one node class that the NodePools name."""
    return {
        "apiVersion": "karpenter.kwok.sh/v1alpha1",
        "kind": "KWOKNodeClass",
        "metadata": {"name": NODE_CLASS["name"]},
        "spec": {},
    }


def node_pools(
    pools: Iterable[Pool], *, consolidate_after_s: int = 30, budget: str = "10%"
) -> list[dict[str, Any]]:
    """One NodePool a pool. A pool's `size` is no limit here: pods decide what is bought.

    `budget` is how many of a pool's nodes may be disrupted at once, such as `5` or Karpenter's own `10%`.
    """
    return [_node_pool(pool, consolidate_after_s, budget) for pool in pools]


def _node_pool(pool: Pool, consolidate_after_s: int, budget: str) -> dict[str, Any]:
    requirements = {
        "node.kubernetes.io/instance-type": pool.instance_type,
        # A reservation is paid at the on-demand rate, and the KWOK provider knows no reservations.
        "karpenter.sh/capacity-type": "spot" if pool.capacity_type == "spot" else "on-demand",
    }
    if pool.zone is not None:
        requirements["topology.kubernetes.io/zone"] = pool.zone
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": pool.name},
        "spec": {
            "template": {
                "metadata": {"labels": {"baseload.dev/pool": pool.name}},
                "spec": {
                    "nodeClassRef": NODE_CLASS,
                    "taints": [SIMULATED_TAINT],
                    "requirements": [
                        {"key": key, "operator": "In", "values": [value]}
                        for key, value in requirements.items()
                    ],
                },
            },
            "disruption": {
                "consolidationPolicy": "WhenEmptyOrUnderutilized",
                "consolidateAfter": f"{consolidate_after_s}s",
                "budgets": [{"nodes": budget}],
            },
        },
    }

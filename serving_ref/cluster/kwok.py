"""What KWOK is told: how it keeps nodes alive, and the stages that its nodes and pods go through."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

LEASE_S = 40
"""A KWOK node renews its lease as a kubelet does."""
PARALLELISM = 16
"""Instead of 4. Two hundred leases are twenty a second: where the API server takes a fifth of a second to answer, four
at a time are too few, and nodes are called not ready that nothing ails."""
SETTINGS: dict[str, Any] = {
    "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
    "kind": "KwokConfiguration",
    "options": {
        "nodeLeaseDurationSeconds": LEASE_S,
        "nodeLeaseParallelism": PARALLELISM,
        "nodePlayStageParallelism": PARALLELISM,
        "podPlayStageParallelism": PARALLELISM,
    },
}
READY_AGAIN: dict[str, Any] = {
    "apiVersion": "kwok.x-k8s.io/v1alpha1",
    "kind": "Stage",
    "metadata": {"name": "pod-ready-again"},
    "spec": {
        "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
        "selector": {
            "matchExpressions": [
                {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
                {"key": ".status.phase", "operator": "In", "values": ["Running"]},
                {
                    "key": '.status.conditions.[] | select( .type == "Ready" ) | .status',
                    "operator": "In",
                    "values": ["False"],
                },
            ]
        },
        "delay": {"durationMilliseconds": 1000},
        "next": {
            "statusTemplate": """\
conditions:
- lastTransitionTime: {{ Now | Quote }}
  status: "True"
  type: Ready
"""
        },
    },
}
"""A node that was silent for 50 s has its pods called not ready by Kubernetes. A kubelet that comes back says what is
true of them; KWOK's own stages do not."""


def kwok_config(stages: Iterable[str]) -> str:
    """The file for `--config`, of KWOK's own stages (YAML) and ours. Pure."""
    return "\n---\n".join([json.dumps(SETTINGS), *stages, json.dumps(READY_AGAIN)])

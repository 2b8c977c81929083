"""What a spot reclaim does to a node: a notice, perhaps a drain, then no power, and later no Node object.

Without a drain handler the notice is an event that nobody acts on, and pods die with their node. With one the node is
tainted and its pods are evicted within the notice, as the handlers of cloud providers and Karpenter do it.
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving_ref.cluster.kubectl import Kubectl
    from serving_ref.cluster.local import LocalCluster

TAINT = "baseload.dev/spot-interruption"
EVENT_REASON = "SpotInterruption"


@dataclass(frozen=True, slots=True)
class Interruption:
    """What was done to a node, and when (ISO 8601, UTC)."""

    node: str
    notice_s: float
    drain: str
    """`off`, `done` (every pod was gone in time) or `cut short`."""
    noticed_at: str
    killed_at: str
    gone_at: str
    """When the Node object was deleted."""


def notice_event(node: dict[str, Any], notice_s: float, now: datetime) -> dict[str, Any]:
    """The event that tells of the coming end. Pure: `node` is the Node object."""
    name, stamp = node["metadata"]["name"], now.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name}.spot-interruption.{int(now.timestamp())}", "namespace": "default"},
        "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]},
        "type": "Warning",
        "reason": EVENT_REASON,
        "message": f"this node will lose power in {notice_s:g} s",
        "source": {"component": "baseload"},
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }


def interrupt(
    cluster: LocalCluster, name: str, *, notice_s: float, drain: bool, say: Callable[[str], None]
) -> Interruption:
    """Interrupt a node, and return when its Node object is gone; of a simulated one that object is all.

    Raises:
        InvalidInput: there is no such node.
        EnvironmentProblem: the cluster does not answer.
    """
    real, kubectl = cluster.real_node(name), cluster.kubectl
    noticed_at, deadline_s = _now(), time.monotonic() + notice_s
    event = notice_event(kubectl.get("node", name), notice_s, noticed_at)
    kubectl.run("create", "-f", "-", stdin=json.dumps(event))
    say(f"{name}: notice given, {notice_s:g} s")
    outcome = _drain(kubectl, name, notice_s) if drain else "off"
    time.sleep(max(0.0, deadline_s - time.monotonic()))
    if real is not None:
        cluster.cut_power(real)
    killed_at = _now()
    say(f"{name}: power cut (drain: {outcome})")
    cluster.forget_node(name)
    return Interruption(name, notice_s, outcome, _stamp(noticed_at), _stamp(killed_at), _stamp(_now()))


def _drain(kubectl: Kubectl, name: str, notice_s: float) -> str:
    """Taint and evict; budgets of disruption may hold pods back, and the end of the notice does not wait for them."""
    kubectl.run("taint", "node", name, f"{TAINT}=:NoSchedule", "--overwrite")
    if notice_s <= 0:
        return "cut short"
    options = ["--ignore-daemonsets", "--delete-emptydir-data", "--force"]
    try:
        done = subprocess.run(
            kubectl.command("drain", name, *options, f"--timeout={max(1, int(notice_s))}s"),
            capture_output=True,
            timeout=notice_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "cut short"
    return "done" if done.returncode == 0 else "cut short"


def _now() -> datetime:
    return datetime.now(UTC)


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")

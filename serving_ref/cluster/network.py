"""Links and routes: a bridge in the control machine, to which every node and this machine's own link are joined.

The control machine routes between pods, so a node that comes or goes changes one table only. Cluster IPs are reached
from this machine by way of a node, whose kube-proxy knows them.
"""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from scenarios.errors import EnvironmentProblem
from serving_ref.cluster.machine import run_marked

if TYPE_CHECKING:
    from ipaddress import IPv4Address
    from pathlib import Path

    from serving_ref.cluster.addresses import AddressPlan
    from serving_ref.cluster.machine import Machine
    from serving_ref.cluster.node_config import NodeSpec

BRIDGE = "cluster"
HOST_END = "host"
FORWARD = "net/ipv4/ip_forward=1"
ROUTER_SYSCTLS = (FORWARD, "net/ipv4/conf/all/send_redirects=0", "net/ipv4/conf/default/send_redirects=0")
NODE_SYSCTLS = (FORWARD, "net/bridge/bridge-nf-call-iptables=1", "net/ipv4/conf/all/route_localnet=1")
"""What kube-proxy and the bridge of pods need; all of them belong to the node's own network namespace."""


def host_link(cluster: str) -> str:
    """The name of this machine's link to a cluster."""
    return f"bl-{cluster}"


def node_link(node: NodeSpec) -> str:
    """The control machine's end of a node's link."""
    return f"to-{node.name}"


def conflict(plan: AddressPlan, addresses: str, *, link: str, up: bool) -> str | None:
    """What of this machine is in the cluster's way, or None. `addresses` is `ip -json -4 address show`. Pure.

    While the cluster is not `up`, a link of the name that it will give to its own is somebody else's: perhaps of
    another user's cluster of the same name.
    """
    for each in json.loads(addresses or "[]"):
        if each["ifname"] == link:
            if up:
                continue
            return f"there is a link {link} already"
        for address in each["addr_info"]:
            network = IPv4Network(f"{address['local']}/{address['prefixlen']}", strict=False)
            if network.overlaps(plan.network):
                return f"the cluster's addresses, {plan.network}, are in use: {each['ifname']} ({network})"
    return None


def check_addresses(plan: AddressPlan, cluster: str, folder: Path, *, up: bool) -> None:
    """Raise EnvironmentProblem where this machine uses the plan's addresses or our link's name for something else."""
    found = run_marked(folder, ["ip", "-json", "-4", "address", "show"])
    words = conflict(plan, found, link=host_link(cluster), up=up)
    if words is not None:
        raise EnvironmentProblem(f"this machine is in the cluster's way: {words}")


def hardware_address(address: IPv4Address) -> str:
    """A locally administered hardware address, as unique as `address`. Pure."""
    return ":".join(f"{byte:02x}" for byte in (2, 0, *address.packed))


def furnish_control(control: Machine, plan: AddressPlan) -> None:
    """Give the control machine its bridge and address."""
    commands = [
        # Without an address of its own a bridge takes the lowest of its links', and another when that node goes:
        # then nobody reaches the control machine until it has asked for their addresses.
        f"ip link add {BRIDGE} address {hardware_address(plan.control)} type bridge",
        f"ip address add {plan.control}/{plan.machines.prefixlen} dev {BRIDGE}",
        f"ip link set {BRIDGE} up",
        *_sysctl_commands(ROUTER_SYSCTLS),
    ]
    control.run(["sh", "-ec", "\n".join(commands)])


def connect_host(control: Machine, plan: AddressPlan, cluster: str, folder: Path) -> None:
    """Join this machine to the cluster. The caller has entered the link into the ledger."""
    link = host_link(cluster)
    peer = ["peer", "name", HOST_END, "netns", str(control.init_pid())]
    for command in (
        ["ip", "link", "add", link, "type", "veth", *peer],
        ["ip", "address", "add", f"{plan.host}/{plan.machines.prefixlen}", "dev", link],
        ["ip", "link", "set", link, "up"],
        ["ip", "route", "add", str(plan.network), "via", str(plan.control)],
    ):
        run_marked(folder, command)
    control.run(["ip", "link", "set", HOST_END, "master", BRIDGE, "up"])


def connect_node(control: Machine, machine: Machine, plan: AddressPlan, node: NodeSpec) -> None:
    """Give a node its link, its address and its route, and tell the router where its pods are."""
    link = node_link(node)
    ends = [link, "netns", str(control.init_pid()), "type", "veth"]
    ends += ["peer", "name", "eth0", "netns", str(machine.init_pid())]
    run_marked(control.cluster_folder, ["ip", "link", "add", *ends])
    address = plan.node(node.number)
    commands = [
        f"ip address add {address}/{plan.machines.prefixlen} dev eth0",
        "ip link set eth0 up",
        f"ip route add default via {plan.control}",
        *_sysctl_commands(NODE_SYSCTLS),
    ]
    machine.run(["sh", "-ec", "\n".join(commands)])
    control.run(["ip", "link", "set", link, "master", BRIDGE, "up"])
    control.run(["ip", "route", "replace", str(plan.pods_of(node.number)), "via", str(address)])


def disconnect_node(control: Machine, plan: AddressPlan, node: NodeSpec) -> None:
    """Forget where the pods of a dead node were; its link has gone with it."""
    control.run(["sh", "-c", f"ip route delete {plan.pods_of(node.number)} 2>/dev/null; true"])


def route_services(control: Machine, plan: AddressPlan, nodes: list[NodeSpec]) -> None:
    """Reach cluster IPs by way of the first node; without nodes they are not reached."""
    if nodes:
        first = min(nodes, key=lambda node: node.number)
        control.run(["ip", "route", "replace", str(plan.services), "via", str(plan.node(first.number))])


def _sysctl_commands(settings: tuple[str, ...]) -> list[str]:
    return [
        f"echo {value} >/proc/sys/{path}"
        for path, _, value in (setting.partition("=") for setting in settings)
    ]

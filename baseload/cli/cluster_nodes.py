"""`baseload cluster node` and `interrupt`: nodes that come, go and are taken."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from baseload.cli.cluster_options import (
    capacity_option,
    json_option,
    name_option,
    say,
    type_option,
    zone_option,
)
from baseload.cli.options import DURATION

if TYPE_CHECKING:
    from serving_ref.cluster.local import LocalCluster


@click.group()
def node() -> None:
    """Make nodes come and go.

    \b
    Examples:
      baseload cluster node add --instance-type g5.xlarge --capacity-type spot --delay 45s
      baseload cluster node add --simulated --count 200 --instance-type g5.xlarge
      baseload cluster node remove node-3
    """


@node.command("add")
@name_option
@click.option("--count", default=1, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option(
    "--simulated", is_flag=True, help="KWOK's: objects without a machine, which carry the taint of theirs."
)
@type_option
@zone_option
@capacity_option
@click.option(
    "--delay", "delay_s", type=DURATION, default="0s", show_default=True,
    help="From asking to power: a cloud's grant and boot.",
)  # fmt: skip
@json_option
def node_add(
    name: str,
    count: int,
    simulated: bool,
    types: tuple[str, ...],
    zones: tuple[str, ...],
    capacity_types: tuple[str, ...],
    delay_s: float,
    as_json: bool,
) -> None:
    """Add nodes, and wait until they are ready.

    Real ones by default, on which pods run. Simulated ones have the capacity of their instance type and cost nothing,
    but only pods that tolerate kwok.x-k8s.io/node=fake are put there, and nothing runs in them.

    \b
    Examples:
      baseload cluster node add --instance-type c6i.xlarge --zone us-east-1b --delay 45s
      baseload cluster node add --simulated --count 200 --instance-type g5.xlarge --capacity-type spot
    """
    from serving_ref.cluster.node_specs import node_specs
    from serving_ref.cluster.simulated_nodes import free_numbers

    cluster = _local(name)
    record = cluster.record()
    numbers = free_numbers(cluster.kubectl, count) if simulated else record.free_numbers(count)
    specs = node_specs(numbers, types, zones, capacity_types, record.region)
    started_s = time.monotonic()
    if delay_s:
        say(f"power in {delay_s:g} s")
        time.sleep(delay_s)
    names = (
        cluster.add_simulated_nodes(specs) if simulated else [cluster.add_node(each).name for each in specs]
    )
    ready_s = time.monotonic() - started_s
    if as_json:
        click.echo(json.dumps({"nodes": names, "delay_s": delay_s, "ready_s": round(ready_s, 3)}))
    else:
        words = names[0] if count == 1 else f"{count} nodes, {names[0]} to {names[-1]},"
        click.echo(f"{words} ready after {ready_s:.1f} s ({delay_s:g} s of them delay)")


@node.command("remove")
@click.argument("node_name", metavar="NODE")
@name_option
@click.option("--drain/--no-drain", default=True, show_default=True, help="Evict its pods first.")
@json_option
def node_remove(node_name: str, name: str, drain: bool, as_json: bool) -> None:
    """Remove a node in good order: drain, power off, delete the Node object.

    \b
    Example:
      baseload cluster node remove node-3
    """
    cluster = _local(name)
    real = cluster.real_node(node_name)
    if drain:
        options = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=300s")
        cluster.kubectl.run("drain", node_name, *options)
    if real is not None:
        cluster.cut_power(real)
    cluster.forget_node(node_name)
    click.echo(json.dumps({"node": node_name, "drained": drain}) if as_json else f"{node_name} removed")


@click.command("interrupt")
@click.argument("node_name", metavar="NODE")
@name_option
@click.option(
    "--notice", "notice_s", type=DURATION, default="120s", show_default=True,
    help="From the notice to the end; spot gives 2 minutes.",
)  # fmt: skip
@click.option(
    "--drain/--no-drain", default=True, show_default=True, help="A drain handler acts on the notice."
)
@json_option
def interrupt_command(node_name: str, name: str, notice_s: float, drain: bool, as_json: bool) -> None:
    """Do to a node what a spot reclaim does.

    Notice (an event; with --drain a taint and evictions), then all processes of a real node are killed at once, then
    the Node object goes, as a cloud controller removes it.

    \b
    Examples:
      baseload cluster interrupt node-2
      baseload cluster interrupt node-2 --notice 0s --no-drain
    """
    from serving_ref.cluster.interruption import interrupt

    done = interrupt(_local(name), node_name, notice_s=notice_s, drain=drain, say=say)
    if as_json:
        click.echo(json.dumps(asdict(done), indent=2))
    else:
        click.echo(f"{done.node}: noticed {done.noticed_at}, killed {done.killed_at}, drain {done.drain}")


def _local(name: str) -> LocalCluster:
    """The local cluster of this name: only its nodes are ours to switch on and off."""
    from serving_ref.cluster.local import LocalCluster
    from serving_ref.cluster.record import checked_name

    return LocalCluster(checked_name(name), say)

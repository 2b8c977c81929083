"""`baseload cluster`: a Kubernetes to serve on and to act on, made here and taken away again."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from baseload.cli.cluster_nodes import interrupt_command, node
from baseload.cli.cluster_options import (
    capacity_option,
    context_option,
    driver_option,
    json_option,
    name_option,
    say,
    type_option,
    zone_option,
)
from baseload.cli.options import DURATION
from scenarios.errors import InvalidInput, Unsupported

if TYPE_CHECKING:
    from serving_ref.cluster.provider import Cluster
    from serving_ref.cluster.status import ClusterStatus


@click.group()
def command() -> None:
    """Run a local Kubernetes that is the real thing, with nodes that can die.

    Real control plane, real kubelets and containers, no container engine; Karpenter, KWOK, KEDA, Prometheus
    and Redis on request. It needs Linux, root and Go; elsewhere kind, or a cluster you have.

    \b
    Examples:
      baseload cluster up --with keda,karpenter
      export KUBECONFIG=$(baseload cluster kubeconfig --path)
      baseload cluster interrupt node-2 --notice 30s
      baseload cluster down
    """


@command.command()
@name_option
@click.option("--nodes", default=2, show_default=True, type=click.IntRange(0, 16), help="Real nodes.")
@click.option(
    "--with",
    "parts",
    default="",
    metavar="PARTS",
    help="Of karpenter, keda, kwok, metrics-server, prometheus, redis; with commas.",
)
@click.option("--region", default="us-east-1", show_default=True, help="Whose prices Karpenter sees.")
@type_option
@zone_option
@capacity_option
@driver_option
@context_option
@json_option
def up(
    name: str,
    nodes: int,
    parts: str,
    region: str,
    types: tuple[str, ...],
    zones: tuple[str, ...],
    capacity_types: tuple[str, ...],
    driver: str,
    context: str | None,
    as_json: bool,
) -> None:
    """Bring the cluster up, or what is missing of it.

    The first time it builds Kubernetes (5 minutes on two cores) and the parts (10 more) from source. Later a
    cluster is up in seconds. Nodes are added and parts switched on where the cluster is up already.

    \b
    Examples:
      baseload cluster up
      baseload cluster up --nodes 3 --instance-type g5.xlarge --instance-type c6i.xlarge --capacity-type spot
      baseload cluster up --with karpenter,keda,redis
    """
    from serving_ref.cluster.node_specs import checked_region, node_specs
    from serving_ref.cluster.record import ClusterRecord, checked_name, checked_parts

    started_s = time.monotonic()
    wanted_parts = checked_parts([part.strip() for part in parts.split(",") if part.strip()])
    specs = node_specs(range(1, nodes + 1), types, zones, capacity_types, checked_region(region))
    wanted = ClusterRecord(checked_name(name), tuple(specs), (), region).with_parts(wanted_parts)
    if context is not None:
        _refuse_to_make(context)
        status = _context_status(context)
        if not status.up:
            raise InvalidInput(f"the cluster of context {context!r} does not answer")
    else:
        cluster = _cluster(name, driver)
        if wanted.parts and cluster.driver == "kind":
            raise Unsupported(
                f"--with {','.join(wanted.parts)}: kind clusters come without parts; --driver local"
            )
        cluster.up(wanted)
        status = cluster.status()
    if not as_json:
        say(f"up in {time.monotonic() - started_s:.0f} s")
    _show(status, as_json=as_json)


@command.command()
@name_option
@driver_option
@context_option
@json_option
def down(name: str, driver: str, context: str | None, as_json: bool) -> None:
    """Take the cluster away, with everything that it made on this machine; also after a crash.

    \b
    Example:
      baseload cluster down
    """
    if context is not None:
        raise Unsupported("--context: that cluster was not made by baseload and is not taken away by it")
    was_there = _cluster(name, driver).down()
    if as_json:
        click.echo(json.dumps({"name": name, "was_there": was_there}))
    else:
        click.echo(f"{name}: {'gone' if was_there else 'there was nothing'}")


@command.command()
@name_option
@driver_option
@context_option
@json_option
def status(name: str, driver: str, context: str | None, as_json: bool) -> None:
    """Show nodes, parts and what does not run.

    \b
    Examples:
      baseload cluster status
      baseload cluster status --context prod --json
    """
    found = _context_status(context) if context is not None else _cluster(name, driver).status()
    _show(found, as_json=as_json)


@command.command()
@name_option
@driver_option
@context_option
@click.option("--path", "only_path", is_flag=True, help="Print the path of the file (local clusters).")
@json_option
def kubeconfig(name: str, driver: str, context: str | None, only_path: bool, as_json: bool) -> None:
    """Print the kubeconfig: for kubectl, and for the other commands of baseload.

    \b
    Examples:
      baseload cluster kubeconfig >~/.kube/baseload
      export KUBECONFIG=$(baseload cluster kubeconfig --path)
    """
    from serving_ref.cluster.provider import kubectl_for_context

    kubectl = (
        kubectl_for_context(context) if context is not None else _cluster(name, driver).kubectl_when_up()
    )
    if only_path:
        if kubectl.kubeconfig is None:
            raise Unsupported("--path: this cluster's kubeconfig is part of your own")
        click.echo(json.dumps({"path": str(kubectl.kubeconfig)}) if as_json else str(kubectl.kubeconfig))
        return
    form = "json" if as_json else "yaml"
    click.echo(kubectl.run("config", "view", "--raw", "--flatten", "--minify", "-o", form), nl=False)


@command.command("node-pools")
@click.argument("scenario", type=click.Path(dir_okay=False))
@click.option(
    "--consolidate-after", "consolidate_after_s", type=DURATION, default="30s", show_default=True,
    help="How long a node may be underused, in whole seconds.",
)  # fmt: skip
@click.option(
    "--budget", default="10%", show_default=True, help="Nodes of a pool that may go at once: 5, 10%, …"
)
@json_option
def node_pools_command(scenario: str, consolidate_after_s: float, budget: str, as_json: bool) -> None:
    """Print the pools of SCENARIO as Karpenter NodePools, for `kubectl apply`.

    Their nodes are KWOK's and tainted (kwok.x-k8s.io/node=fake): only pods that tolerate it land there.

    \b
    Example:
      baseload cluster node-pools scenarios/library/quickstart.yaml | kubectl apply -f -
    """
    import yaml

    from scenarios.load import load_scenario
    from serving_ref.cluster.control_config import as_list
    from serving_ref.cluster.node_pools import node_pools

    loaded = load_scenario(scenario)
    if not re.fullmatch(r"\d{1,3}%?", budget):
        raise InvalidInput(
            f"--budget {budget!r}: expected a number of nodes such as 5, or a share such as 10%"
        )
    pools = node_pools(loaded.scenario.pools, consolidate_after_s=int(consolidate_after_s), budget=budget)
    click.echo(as_list(pools) if as_json else yaml.safe_dump_all(pools, sort_keys=False), nl=as_json)


command.add_command(node)
command.add_command(interrupt_command)


def _cluster(name: str, driver: str) -> Cluster:
    from serving_ref.cluster.provider import find_cluster

    return find_cluster(name, driver, say)


def _refuse_to_make(context: str) -> None:
    """Raise Unsupported where more was asked for than to look at somebody's cluster."""
    here = click.get_current_context()
    making = ("nodes", "parts", "region", "types", "zones", "capacity_types")
    for each in here.command.params:
        if each.name in making and here.get_parameter_source(each.name) is ParameterSource.COMMANDLINE:
            raise Unsupported(
                f"{each.opts[0]}: the cluster of --context {context} is not baseload's: nothing is made there"
            )


def _context_status(context: str) -> ClusterStatus:
    from serving_ref.cluster.provider import kubectl_for_context
    from serving_ref.cluster.status import remote_status

    return remote_status(context, "context", kubectl_for_context(context))


def _show(found: ClusterStatus, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
        return
    click.echo(
        f"{found.name} ({found.driver}): {f'up, Kubernetes {found.version}' if found.up else 'not up'}"
    )
    for each in found.nodes:
        kind = "real" if each.real else "simulated"
        labels = f"{each.instance_type} {each.zone} {each.capacity_type}".strip()
        click.echo(
            f"  {each.name:<14} {'ready' if each.ready else 'not ready':<10} {kind:<10} {each.address:<14} {labels}"
        )
    if found.parts:
        words = (f"{part}{'' if runs else ' (does not run)'}" for part, runs in found.parts.items())
        click.echo(f"  with {', '.join(words)}")
    for program, runs in found.programs.items():
        if not runs:
            click.echo(f"  {program} does not run: baseload cluster up --name {found.name}")

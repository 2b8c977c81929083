"""What the commands of `baseload cluster` have in common."""

from __future__ import annotations

import click

name_option = click.option("--name", default="baseload", show_default=True, help="The cluster's name.")
context_option = click.option(
    "--context",
    metavar="NAME",
    help="Instead: the cluster of this context in your kubeconfig; nothing is made.",
)
driver_option = click.option(
    "--driver",
    type=click.Choice(["auto", "local", "kind"]),
    default="auto",
    show_default=True,
    help="auto: local where this machine can, otherwise kind where Docker is there.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
type_option = click.option(
    "--instance-type",
    "types",
    multiple=True,
    metavar="TYPE",
    help="Label; repeat for each node, the last goes on.",
)
zone_option = click.option("--zone", "zones", multiple=True, metavar="ZONE", help="Label; repeat as above.")
capacity_option = click.option(
    "--capacity-type",
    "capacity_types",
    multiple=True,
    type=click.Choice(["on-demand", "spot", "reserved"]),
    help="Label; repeat as above.",
)


def say(words: str) -> None:
    """Tell what is done and waited for."""
    click.echo(words, err=True)

"""`baseload init`: a first scenario file, from what is there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from baseload.cli.kept import check_parent
from scenarios.errors import EnvironmentProblem

if TYPE_CHECKING:
    from baseload.from_cluster.draft import Draft


@click.command("init")
@click.option("--from-cluster", is_flag=True, help="Read a Kubernetes cluster (lists only, no secrets).")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig (default: the current one).")
@click.option("-n", "--namespace", metavar="NAME", help="Only this namespace (default: all).")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE.yaml",
    help="The scenario file.",
)
@click.option("--force", is_flag=True, help="Overwrite the file if it exists.")
@click.option("--json", "as_json", is_flag=True, help="Say as JSON what was written and what was left out.")
def command(
    from_cluster: bool, context: str | None, namespace: str | None, output: Path, force: bool, as_json: bool
) -> None:
    """Write a first scenario of a running fleet.

    Deployments that are scaled or use an accelerator become services with models; the nodes that they may run on, and
    Karpenter's NodePools, become pools; autoscalers and disruption budgets become remarks. What a cluster cannot say
    (traffic, latencies, promises) is marked in the file, which is valid as it is written.

    \b
    Example:
      baseload init --from-cluster --context prod -n recommendation -o fleet.yaml
    """
    from baseload.from_cluster.read import connect, read_cluster
    from baseload.from_cluster.translate import draft_of
    from baseload.from_cluster.write import marks, scenario_text
    from scenarios.yaml_source import MAX_BYTES

    if not from_cluster:
        raise click.UsageError("say what to read: --from-cluster")
    if output.exists() and not force:
        raise EnvironmentProblem(f"{output} exists; choose another file, or give --force to replace it")
    check_parent(output)
    client, name = connect(context)
    draft = draft_of(read_cluster(client, namespace), name)
    if not draft.services:
        where = f"namespace {namespace}" if namespace else "the cluster"
        raise EnvironmentProblem(f"{where} has no Deployments that one may see: nothing to begin with")
    text = scenario_text(draft)
    if len(text.encode()) > MAX_BYTES:
        count = len(draft.services)
        raise EnvironmentProblem(
            f"{count} services are too many for one scenario file: name a namespace (-n)"
        )
    _write(output, text)
    _say(draft, output, marks(text), as_json=as_json)


def _write(output: Path, text: str) -> None:
    """Keep the text if it is a scenario. Raises EnvironmentProblem, or InvalidDraftError: a defect, and no fault of
    whoever asked for it."""
    from baseload.from_cluster.write import check_file

    partial = output.with_name(f".{output.name}.partial-{os.getpid()}")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        check_file(partial)
        partial.replace(output)
    except OSError as error:
        raise EnvironmentProblem(f"{output}: cannot be written: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)


def _say(draft: Draft, output: Path, open_marks: int, *, as_json: bool) -> None:
    services, pools = len(draft.services), sum(len(service.pools) for service in draft.services)
    if as_json:
        counts = {"services": services, "pools": pools, "marks": open_marks}
        click.echo(json.dumps({"path": str(output), **counts, "left_out": list(draft.left_out)}, indent=2))
        return
    click.echo(f"wrote {output}: {services} services on {pools} pools; {open_marks} marks to fill in")
    for each in draft.left_out:
        click.echo(f"left out: {each}", err=True)

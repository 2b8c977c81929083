"""`baseload loadtest`: send a scenario's traffic to a real system, and keep what came back as a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from baseload.cli.kept import check_directory
from baseload.cli.options import DURATION, LENGTH, SHARE
from scenarios.errors import ExitStatus


class WatchedProcess(click.ParamType[tuple[str, int]]):
    """NAME=PID."""

    name = "name=pid"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Read "gateway=4711"."""
        name, _, pid = str(value).partition("=")
        if not name or not pid.isdecimal():
            self.fail(f"got {value!r}, expected NAME=PID, such as gateway=4711", param, ctx)
        if name == "generator":
            self.fail("the generator is watched anyway: give the process another name", param, ctx)
        return name, int(pid)


@click.command("loadtest")
@click.argument("scenario", metavar="SCENARIO", type=click.Path())
@click.option(
    "--target", "url", required=True, metavar="URL", help="The gateway, such as http://127.0.0.1:8080."
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of the traffic (default: the scenario's)."
)
@click.option(
    "--duration", type=LENGTH, metavar="TIME", help="Instead of the scenario's run.duration, such as 60s."
)
@click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Replace one value; repeatable."
)
@click.option(
    "-o", "--output", "directory", type=click.Path(path_type=Path), metavar="DIR",
    help="Keep the run in this directory (otherwise only the summary is printed).",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace DIR if it holds a run already.")
@click.option(
    "--max-in-flight", type=click.IntRange(1, 1_000_000), default=4096, show_default=True,
    help="Requests without an outcome; further ones are skipped, and the run is invalid.",
)  # fmt: skip
@click.option(
    "--connections", type=click.IntRange(0, 100_000), default=64, show_default=True, help="Opened beforehand."
)
@click.option("--cpu", type=click.IntRange(0), metavar="CORE", help="Pin the generator to this core.")
@click.option(
    "--watch",
    type=WatchedProcess(),
    multiple=True,
    help="Also measure the CPU use of this process; repeatable.",
)
@click.option(
    "--metrics", multiple=True, metavar="URL",
    help="Also read batches and utilisation here: metrics of a model server, or /federate of a Prometheus; repeatable.",
)  # fmt: skip
@click.option(
    "--fleet-from", metavar="CONTEXT",
    help="Take instances and cost from the nodes of this context of the kubeconfig, not from the scenario.",
)  # fmt: skip
@click.option(
    "--max-lag", type=DURATION, default="5ms", show_default=True, metavar="TIME",
    help="Largest p99 of the schedule lag of a run that counts.",
)  # fmt: skip
@click.option(
    "--max-cpu", type=SHARE, default="70%", show_default=True, metavar="SHARE",
    help="Largest mean CPU use, of the machine and of the generator's core, of a run that counts.",
)  # fmt: skip
@click.option(
    "--json", "as_json", is_flag=True, help="Print the results as JSON: the run.json of the run directory."
)
@click.option("--detailed-exitcode", is_flag=True, help="End with 5 if the run counts and an SLO is missed.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no hints.")
@click.pass_context
def command(
    ctx: click.Context,
    scenario: str,
    url: str,
    seed: int | None,
    duration: float | None,
    overrides: tuple[str, ...],
    directory: Path | None,
    force: bool,
    max_in_flight: int,
    connections: int,
    cpu: int | None,
    watch: tuple[tuple[str, int], ...],
    metrics: tuple[str, ...],
    fleet_from: str | None,
    max_lag: float,
    max_cpu: float,
    as_json: bool,
    detailed_exitcode: bool,
    quiet: bool,
) -> None:
    """Send a scenario's traffic to a real system and measure what comes back.

    Open loop: every request of the scenario and seed is sent when it is due, whatever became of those before it, and
    its latency counts from then. The requests are exactly those of `baseload simulate` with the same seed; that
    prediction is made first, and its digest is kept with the run (see `baseload verify`).

    A run in which the generator lagged or skipped, or the machine was busy, is kept, says so, and ends with status 7.

    \b
    Examples:
      baseload loadtest fleet.yaml --target http://127.0.0.1:8080 --duration 60s -o out/measured
      baseload verify fleet.yaml --against out/measured
    """
    from baseload.cli.progress import show_progress
    from baseload.cli.summary import print_summary  # `baseload --help` stays instant
    from scenarios.catalogue import load_catalogue
    from scenarios.load import load_scenario
    from scenarios.unsupported import refuse_unsupported
    from serving_ref.loadtest.target import parse_target
    from simulator.money.prices import list_prices

    if cpu is not None and cpu not in os.sched_getaffinity(0):
        raise click.BadParameter(f"this process may not use core {cpu}", ctx, param_hint="--cpu")
    target = parse_target(url)
    length = [] if duration is None else [f"run.duration={duration}s"]
    loaded = load_scenario(scenario, [*overrides, *length])
    refuse_unsupported(loaded.scenario)
    if directory is not None:
        check_directory(directory, force=force)
    price_of = list_prices(loaded.scenario, load_catalogue())
    for pool in loaded.scenario.pools:
        price_of(pool)  # an unknown price is found now, not after the load

    from baseload.cli.load_progress import LoadMeter
    from baseload.cli.load_run import make, prepare  # numba: half a second
    from serving_ref.loadtest.validity import Limits

    with show_progress(loaded.scenario.run.duration, 1, quiet=quiet) as progress:
        load = prepare(
            loaded, loaded.scenario.run.seed if seed is None else seed, target, price_of,
            max_in_flight=max_in_flight, connections=connections, cpu=cpu, metrics=metrics, fleet_from=fleet_from,
            limits=Limits(max_lag, max_cpu), progress=progress,
        )  # fmt: skip
    if not quiet:
        click.echo(
            f"{len(load.schedule):,} requests to {target}; prediction {load.prediction.digest[:12]} is written",
            err=True,
        )
    meter = LoadMeter(len(load.schedule), loaded.scenario.run.duration, quiet=quiet)
    try:
        document = make(load, dict(watch), directory, meter, force=force)
    finally:
        meter.close()
    print_summary(document, as_json=as_json)
    if directory is None and not quiet and not as_json:
        click.echo("nothing was kept: give -o DIR to keep the run for `baseload verify`", err=True)
    if not document["load_test"]["valid"]:
        ctx.exit(ExitStatus.INVALID_RUN)
    if detailed_exitcode and not all(slo["kept"] for slo in document["slos"].values()):
        ctx.exit(ExitStatus.NEGATIVE)

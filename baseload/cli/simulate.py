"""`baseload simulate`: run a scenario, keep its results, print them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from baseload.cli.kept import SIMULATION, check_directory, check_parent, meta, now, versions
from scenarios.errors import EnvironmentProblem, ExitStatus, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any, Literal

    from scenarios.load import LoadedScenario
    from simulator.money.bill import PriceOf
    from simulator.results.recorded import SeedRecord
    from simulator.results.trees import Tree

MOST_SEED = 2**63 - 1


@click.command("simulate")
@click.argument("scenario", metavar="SCENARIO", type=click.Path())
@click.option(
    "--seed", type=click.IntRange(0, MOST_SEED), help="Seed of the first run (default: the scenario's)."
)
@click.option(
    "--runs",
    type=click.IntRange(1, 100_000),
    default=1,
    show_default=True,
    help="Replications, with the seeds from --seed on.",
)
@click.option(
    "--engine",
    type=click.Choice(["kernel", "reference"]),
    default="kernel",
    show_default=True,
    help="The compiled kernel, or the readable reference (hundreds of times slower, same results).",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Replace one value; repeatable."
)
@click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Keep the run in this directory (otherwise only the summary is printed).",
)
@click.option("--force", is_flag=True, help="Replace DIR if it holds a run already.")
@click.option(
    "--request-log",
    type=click.Path(path_type=Path),
    metavar="FILE.parquet",
    help="Also write a row for every request that ended (for small runs).",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    help="Runs at a time (default: one a core). Results do not depend on it.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the results as JSON: the run.json of a run directory."
)
@click.option("--detailed-exitcode", is_flag=True, help="End with 5 if an SLO is missed.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no hints.")
@click.pass_context
def command(
    ctx: click.Context,
    scenario: str,
    seed: int | None,
    runs: int,
    engine: Literal["kernel", "reference"],
    overrides: tuple[str, ...],
    directory: Path | None,
    force: bool,
    request_log: Path | None,
    threads: int | None,
    as_json: bool,
    detailed_exitcode: bool,
    quiet: bool,
) -> None:
    """Run a scenario and print what it costs, how fast it answers and which SLOs it keeps.

    The same scenario and seed give the same results, to the last byte of the run directory (all but
    meta.json), whatever the number of threads.

    \b
    Examples:
      baseload simulate scenarios/library/quickstart.yaml
      baseload simulate fleet.yaml -o out/fleet --runs 10
      baseload simulate fleet.yaml --set pools.gpu.size=4 --detailed-exitcode
    """
    from baseload.cli.progress import show_progress  # `baseload --help` stays instant
    from baseload.cli.summary import print_summary
    from scenarios.catalogue import load_catalogue
    from scenarios.load import load_scenario
    from scenarios.unsupported import refuse_unsupported
    from scenarios.without_effect import without_effect
    from simulator.money.prices import list_prices

    loaded = load_scenario(scenario, overrides)
    refuse_unsupported(loaded.scenario)
    _check_targets(directory, request_log, force=force)
    price_of = list_prices(loaded.scenario, load_catalogue())
    for pool in loaded.scenario.pools:
        price_of(pool)  # an unknown price is found now, not after hours of simulation
    for unused in without_effect(loaded.scenario):
        click.echo(f"warning: {unused}", err=True)
    first = loaded.scenario.run.seed if seed is None else seed
    if first + runs - 1 > MOST_SEED:
        raise click.BadParameter(f"seeds above {MOST_SEED}", ctx, param_hint="--runs")
    seeds = range(first, first + runs)

    started = now()
    log = None
    if request_log is not None:
        from baseload.cli.request_log import RequestLog  # numba: half a second

        log = RequestLog(loaded.scenario)
    with show_progress(loaded.scenario.run.duration, runs, quiet=quiet) as progress:
        from simulator.run import simulate_many  # numba: half a second

        records = simulate_many(
            loaded,
            seeds,
            threads=threads,
            engine=engine,
            progress=progress,
            on_path=progress.announce if progress else None,
            on_logs=log.keep if log else None,
        )
    if log is not None and request_log is not None:
        log.write(request_log)
    document = _results(loaded, records, price_of, engine, directory, started, force=force)
    print_summary(document, as_json=as_json)
    if directory is None and not quiet and not as_json:
        click.echo(
            "nothing was kept: give -o DIR to keep the run for `baseload report` and `baseload compare`",
            err=True,
        )
    if detailed_exitcode and not all(slo["kept"] for slo in document["slos"].values()):
        ctx.exit(ExitStatus.NEGATIVE)


def _check_targets(directory: Path | None, request_log: Path | None, *, force: bool) -> None:
    """Refuse what could not be written at the end. Raises EnvironmentProblem, InvalidInput for a misnamed log."""
    if directory is not None:
        check_directory(directory, force=force)
    if request_log is not None:
        if request_log.suffix != ".parquet":  # whoever opened it by its name could not read it
            raise InvalidInput(f"--request-log {request_log}: expected a name that ends with .parquet")
        if request_log.exists() and not force:
            raise EnvironmentProblem(
                f"{request_log} exists; choose another file, or give --force to replace it"
            )
        if request_log.is_dir():
            raise EnvironmentProblem(f"{request_log} is a folder: expected a file to write")
        check_parent(request_log)


def _results(
    loaded: LoadedScenario,
    records: Sequence[SeedRecord],
    price_of: PriceOf,
    engine: str,
    directory: Path | None,
    started: datetime,
    *,
    force: bool,
) -> Tree:
    """The run's document; written with its tables if there is a directory."""
    from simulator.money.bill import bill
    from simulator.results.run_directory import write_run
    from simulator.results.run_document import run_document

    common: dict[str, Any] = {
        "scenario": loaded.scenario,
        "digest": loaded.digest,
        "document": loaded.document,
        "records": records,
        "lines": bill(loaded.scenario, records, price_of),
        "engine": engine,
        "versions": versions(*SIMULATION),
    }
    if directory is None:
        return run_document(**common)
    return write_run(directory, **common, meta=meta(started), force=force).document

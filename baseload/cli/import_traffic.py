"""`baseload import`: other people's traffic becomes a trace file that a scenario can name."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from baseload.cli.options import DURATION
from scenarios.errors import EnvironmentProblem, InvalidInput
from scenarios.importers.grid import GAP_POLICIES
from scenarios.importers.interval_counts import (
    DUPLICATE_POLICIES,
    STAMPS,
    VALUE_KINDS,
    CountOptions,
    import_counts,
)
from scenarios.importers.prometheus import SeriesOptions, import_json, import_matrices
from scenarios.importers.prometheus_server import Server, ask, public_url, range_query
from scenarios.importers.request_rows import RequestOptions, import_requests
from scenarios.importers.times import TIME_UNITS, parse_moment
from scenarios.traces.write import check_output, write_trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from scenarios.importers.report import ImportReport
    from scenarios.traces.model import Trace


INPUT = click.argument("input_path", metavar="INPUT", type=click.Path(path_type=Path))
TIME_COLUMN = click.option("--time-column", metavar="NAME", help="Column of the times.  [default: the first]")
TIME_UNIT = click.option(
    "--time-unit",
    type=click.Choice(TIME_UNITS),
    default="auto",
    show_default=True,
    help="iso: calendar times (without a zone: UTC); s, ms, …: from the start; epoch-…: since 1970.",
)
WINDOW = (
    click.option(
        "--from", "window_from", metavar="TIME", help="Keep what is at or after this (ISO, or seconds in)."
    ),
    click.option("--to", "window_to", metavar="TIME", help="Keep what is before this."),
)
GAP = click.option(
    "--gap",
    type=click.Choice(GAP_POLICIES),
    default="error",
    show_default=True,
    help="What missing intervals hold: nothing, the value before, a straight line; or stop and list them.",
)
SCALE = click.option(
    "--scale", type=float, default=1.0, metavar="FACTOR", help="Multiply the traffic by this."
)
OUTPUT = (
    click.option(
        "-o", "--output", required=True, type=click.Path(path_type=Path), help="OUT.parquet, or OUT.csv."
    ),
    click.option("--force", is_flag=True, help="Overwrite the output if it exists."),
    click.option("--json", "as_json", is_flag=True, help="Print the report as JSON."),
)


def _all(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.group(name="import")
def command() -> None:
    """Turn logs, counts or Prometheus queries into a traffic trace.

    A scenario names the file under `arrivals: … trace: {file: …}`. Whatever an import repairs or assumes
    is printed, and kept in the file.

    \b
    Example:
      baseload import counts requests_per_minute.csv -o traffic.parquet --gap zero
    """


@command.command("requests")
@INPUT
@_all(TIME_COLUMN, TIME_UNIT)
@click.option("--items-column", metavar="NAME", help="Column of the sizes, in model items.")
@click.option("--key-column", metavar="NAME", help="Column of what is asked for (the cache key).")
@click.option("--class-column", metavar="NAME", help="Column of the request class.")
@click.option("--step", "step_s", type=DURATION, help="Count the rows in intervals of this length.")
@_all(*WINDOW, SCALE, *OUTPUT)
def requests_command(input_path: Path, output: Path, force: bool, as_json: bool, **options: Any) -> None:
    """Import a CSV or Parquet file with one row a request.

    \b
    Example:
      baseload import requests access.csv --time-column timestamp --key-column item_id -o traffic.parquet
    """
    check_output(output, overwrite=force)
    _finish(*import_requests(input_path, RequestOptions(**options)), output, force=force, as_json=as_json)


@command.command("counts")
@INPUT
@_all(TIME_COLUMN, TIME_UNIT)
@click.option("--value-column", metavar="NAME", help="Column of the values.  [default: the other of two]")
@click.option(
    "--value",
    type=click.Choice(VALUE_KINDS),
    default="count",
    show_default=True,
    help="Values are requests in the interval, or requests per second.",
)
@click.option(
    "--stamp",
    type=click.Choice(STAMPS),
    default="start",
    show_default=True,
    help="A row's time is the start or the end of its interval.",
)
@click.option("--step", "step_s", type=DURATION, help="Step of the trace.  [default: that of the rows]")
@GAP
@click.option(
    "--duplicates",
    type=click.Choice(DUPLICATE_POLICIES),
    default="last",
    show_default=True,
    help="For rows with the same time: keep the last, add them up, or stop.",
)
@_all(*WINDOW, SCALE, *OUTPUT)
def counts_command(input_path: Path, output: Path, force: bool, as_json: bool, **options: Any) -> None:
    """Import a CSV or Parquet file with counts or rates per interval.

    \b
    Example:
      baseload import counts load_balancer.csv --time-column timestamp --value-column value \\
        --step 1m --gap interpolate -o traffic.parquet
    """
    check_output(output, overwrite=force)
    _finish(*import_counts(input_path, CountOptions(**options)), output, force=force, as_json=as_json)


@command.command("prometheus")
@click.option("--url", help="The server, such as http://prometheus:9090.")
@click.option("--query", metavar="PROMQL", help="What gives requests per second: sum(rate(…[1m])).")
@click.option("--start", metavar="TIME", help="Start of the range (ISO; without a zone: UTC).")
@click.option("--end", metavar="TIME", help="End of the range.")
@click.option("--step", "step_s", type=DURATION, help="Step of the query and of the trace.")
@click.option(
    "--json-file", type=click.Path(path_type=Path), help="Read a saved answer of /api/v1/query_range instead."
)
@click.option("--sum", "sum_series", is_flag=True, help="Add up the series, if the query gives several.")
@click.option(
    "--value",
    type=click.Choice(VALUE_KINDS),
    default="rate",
    show_default=True,
    help="Values are requests per second, or requests in the step.",
)
@click.option(
    "--stamp",
    type=click.Choice(STAMPS),
    default="end",
    show_default=True,
    help="A point speaks for the step that starts or ends at it. Live queries: end.",
)
@click.option(
    "--token-file", type=click.Path(path_type=Path), help="File with a bearer token for the server."
)
@click.option("--timeout", "timeout_s", type=DURATION, default="60s", show_default=True, help="Per request.")
@_all(GAP, SCALE, *OUTPUT)
def prometheus_command(
    *,
    url: str | None,
    query: str | None,
    start: str | None,
    end: str | None,
    step_s: float | None,
    json_file: Path | None,
    sum_series: bool,
    token_file: Path | None,
    timeout_s: float,
    output: Path,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Import a PromQL range query, from a live server or a saved answer.

    Long ranges are asked for in chunks below the server's limit of 11,000 points.

    \b
    Examples:
      baseload import prometheus --url http://prometheus:9090 \\
        --query 'sum(rate(http_requests_total[1m]))' \\
        --start 2024-05-01 --end 2024-05-08 --step 1m -o traffic.parquet
      baseload import prometheus --json-file answer.json -o traffic.parquet
    """
    check_output(output, overwrite=force)
    live = {"--url": url, "--query": query, "--start": start, "--end": end}
    if json_file is not None:
        if given := [name for name, value in live.items() if value is not None]:
            raise click.UsageError(f"--json-file does not go with {', '.join(given)}")
        saved = SeriesOptions(sum_series, CountOptions(step_s=step_s, **options))
        trace, report = import_json(json_file, saved)
    else:
        if url is None or query is None or start is None or end is None or step_s is None:
            missing = [name for name, value in {**live, "--step": step_s}.items() if value is None]
            raise click.UsageError(f"missing {', '.join(missing)} (or --json-file)")
        if options["stamp"] != "end":
            raise click.UsageError("--stamp start goes with --json-file only: a live query asks at step ends")
        server = Server(url, _token(token_file), timeout_s)
        begin, until = (
            parse_moment(text, absolute=True, option=option)
            for text, option in ((start, "--start"), (end, "--end"))
        )
        asked = range_query(query, begin, until, step_s)
        source = f"{public_url(url)} {query}"
        chunks = len(list(asked.chunks()))
        with click.progressbar(
            length=chunks, label="Prometheus", file=sys.stderr, hidden=chunks < 2 or not sys.stderr.isatty()
        ) as progress:
            answers = ask(server, asked, on_chunk=lambda: progress.update(1))
            trace, report = import_matrices(
                answers, SeriesOptions(sum_series, CountOptions(**options)), source, asked
            )
    _finish(trace, report, output, force=force, as_json=as_json)


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        token = path.read_text().strip()
    except OSError as error:
        raise EnvironmentProblem(f"--token-file {path}: cannot be read: {error}") from error
    if not token or any(character.isspace() for character in token):
        raise InvalidInput(f"--token-file {path}: expected one token and nothing else")
    return token


def _finish(trace: Trace, report: ImportReport, output: Path, *, force: bool, as_json: bool) -> None:
    write_trace(trace, output, overwrite=force)
    if as_json:
        click.echo(json.dumps({"output": str(output), **report.as_json()}, indent=2))
    else:
        click.echo(f"{report}\nwrote     {output}")

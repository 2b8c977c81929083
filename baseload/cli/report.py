"""`baseload report`: one self-contained page about one or more runs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from scenarios.errors import InvalidInput


@click.command("report")
@click.argument("runs", metavar="RUN…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default=Path("report.html"),
    show_default=True, help="Where to write the page.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Say as JSON what was written.")
def command(runs: tuple[Path, ...], output: Path, as_json: bool) -> None:
    """Write one self-contained HTML page: verdict, cost, charts, tables, assumptions.

    Several runs stand side by side on it, with the changes against the first. The page loads nothing from a
    network: it can be mailed, archived and printed.

    \b
    Examples:
      baseload report out/month -o out/month.html
      baseload report out/before out/after -o out/change.html
    """
    from baseload.report.page import write_report  # `baseload --help` stays instant
    from simulator.results.run_directory import read_run

    if output.suffix.lower() not in (".html", ".htm"):  # it would replace what is there, a scenario for one
        raise InvalidInput(f"{output}: expected a name that ends with .html")
    write_report([read_run(run) for run in runs], output)
    size = output.stat().st_size
    if as_json:
        click.echo(json.dumps({"path": str(output), "bytes": size}))
    else:
        click.echo(f"wrote {output} ({size / 1e6:.1f} MB)", err=True)

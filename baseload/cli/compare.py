"""`baseload compare`: two or more runs side by side."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from simulator.results.compare import Comparison, Row


_NAME_WIDTH, _RUN_WIDTH = 28, 36
"""Columns: a table of two runs fits 100."""


@click.command("compare")
@click.argument("runs", metavar="RUN RUN…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Write the comparison as JSON.")
def command(runs: tuple[Path, ...], as_json: bool) -> None:
    """Show two or more runs side by side, with the changes against the first.

    Runs that share seeds met the same traffic: their changes are taken seed by seed and come with a 95 %
    interval (±). Simulations and load tests can be compared alike. Of runs of other lengths, rates are compared (cost
    an hour and per 1,000 predictions, shares, error budgets), and totals are not.

    \b
    Example:
      baseload compare out/before out/after
    """
    from simulator.results.compare import compare  # `baseload --help` stays instant
    from simulator.results.run_directory import read_run

    if len(runs) < 2:
        raise click.UsageError("expected at least two runs")
    found = [read_run(run) for run in runs]
    comparison = compare(found)
    if as_json:
        click.echo(json.dumps(asdict(comparison), indent=1, ensure_ascii=False))
        return
    _print(comparison)


def _print(comparison: Comparison) -> None:
    from baseload.cli.summary import result_console

    console = result_console(sys.stdout, width=_NAME_WIDTH + _RUN_WIDTH * len(comparison.runs))
    console.print(_table(comparison))
    for warning in comparison.warnings:
        click.echo(f"warning: {warning}", err=True)


def _table(comparison: Comparison) -> Table:
    from rich.text import Text

    from baseload.cli.summary import plain_table

    changes = [text for run in comparison.runs[1:] for text in (run, "change")]
    table = plain_table("", "", comparison.runs[0], *changes)
    kept = dict(comparison.verdicts)
    for section in dict.fromkeys(row.section for row in comparison.rows):
        table.add_row(Text(section, style="bold"))
        for row in comparison.rows:
            if row.section == section:
                table.add_row(f"  {row.metric}", *_cells(row))
        if section in kept:
            marks = [_kept(each) for each in kept[section]]
            table.add_row("  verdict", marks[0], *(text for mark in marks[1:] for text in (mark, "")))
    return table


def _cells(row: Row) -> Iterator[str]:
    from baseload.report.change import show, show_changes

    yield show(row.values[0], row)
    for value, change in zip(row.values[1:], show_changes(row), strict=True):
        yield show(value, row)
        yield change


def _kept(kept: bool | None) -> str:
    return "" if kept is None else "kept" if kept else "missed"

"""The table that `simulate` prints at its end, and its JSON twin: both are views of `run.json`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from baseload.report import wording
from scenarios.units import format_duration
from simulator.results.trees import canonical_json

if TYPE_CHECKING:
    from typing import TextIO

    from simulator.results.trees import Tree

WIDTH = 100
"""Columns; a narrower terminal is respected."""
LATENCIES = ("mean", "p50", "p95", "p99", "p999")


def print_summary(document: Tree, *, as_json: bool = False, file: TextIO | None = None) -> None:
    """Print a run's results on `file` (standard output): tables, or the `run.json` document itself.

    Colour only on a terminal, and not where NO_COLOR is set.
    """
    out = file or sys.stdout
    if as_json:
        out.write(canonical_json(document))
        return
    console = result_console(out)
    totals, run = document["totals"], document["scenario"]
    seeds = document["seeds"]
    who = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds: mean of the replications"
    console.print(
        Text.assemble(
            (run["name"], "bold"),
            f"  {format_duration(totals['measured_s'])}, {who}, {wording.engine(document['engine'])}",
        )
    )
    for table in (
        request_table(document),
        failure_table(document),
        service_table(document),
        *cost_tables(document),
    ):
        if table.row_count:
            console.print()
            console.print(table)
    console.print()
    for line in verdict_lines(document, ascii_only=console.encoding.lower() not in ("utf-8", "utf8")):
        console.print(line)


def result_console(file: TextIO, width: int = WIDTH) -> Console:
    """A console for results: as wide as the terminal, at most `width`; and `width` where there is none."""
    console = Console(file=file, highlight=False)
    return Console(
        file=file, highlight=False, width=min(console.width, width) if console.is_terminal else width
    )


def plain_table(title: str, first: str, *columns: str) -> Table:
    """A table without frames: names on the left, figures on the right."""
    table = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        header_style="dim",
    )
    table.add_column(first, no_wrap=True, overflow="ellipsis", max_width=24)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def request_table(document: Tree) -> Table:
    """Logical requests by class, with the half-width of the 95 % interval below where there are several
    seeds."""
    table = plain_table(
        "Requests", "class", "sent", "answered", "hit ratio", "mean", "p50", "p95", "p99", "p99.9"
    )
    totals = document["totals"]
    for name, path, each in _class_rows(totals):
        table.add_row(
            name,
            wording.count(each["sent"]),
            wording.percent(each["answered_ratio"]),
            wording.percent(each["hit_ratio"]),
            *(wording.latency(each["latency_s"][key]) for key in LATENCIES),
        )
        if document["intervals"]:
            table.add_row(*_half_widths(document["intervals"], path), style="dim")
    return table


def _class_rows(totals: Tree) -> list[tuple[str, str, Tree]]:
    rows = [(name, f"classes/{name}", each) for name, each in totals["classes"].items()]
    return rows if len(rows) == 1 else [*rows, ("all classes", "overall", totals["overall"])]


def _half_widths(intervals: Tree, path: str) -> list[str]:
    def half(key: str) -> float | None:
        found = intervals.get(f"{path}/{key}")
        return None if found is None else (found["high"] - found["low"]) / 2

    def points(key: str) -> str:
        width = half(key)
        return "" if width is None else f"±{width * 100:.2g}"

    times = [half(f"latency_s/{key}") for key in LATENCIES]
    return [
        "  ± 95 %", "", points("answered_ratio"), points("hit_ratio"),
        *("" if each is None else f"±{wording.latency(each)}" for each in times),
    ]  # fmt: skip


def failure_table(document: Tree) -> Table:
    """Failed logical requests by cause, and attempts; no rows if there were no failures and no retries."""
    rows = _class_rows(document["totals"])
    causes = [cause for cause, total in document["totals"]["overall"]["failed_by"].items() if total]
    headings = [cause.replace("_", " ") for cause in causes]
    table = plain_table(
        "Failures and attempts",
        "class",
        "failed",
        *headings,
        "unfinished",
        "attempts",
        "a request",
        "attempts failed",
    )
    if not any(
        each["failed"] or each["unfinished"] or each["attempts"] > each["sent"] for _, _, each in rows
    ):
        return table
    for name, _, each in rows:
        table.add_row(
            name,
            wording.count(each["failed"]),
            *(wording.count(each["failed_by"][cause]) for cause in causes),
            wording.count(each["unfinished"]),
            wording.count(each["attempts"]),
            wording.number(each["attempts_per_request"], 4),
            wording.count(sum(each["attempts_failed_by"].values())),
        )
    return table


def service_table(document: Tree) -> Table:
    """Batches, utilisation and queues by service."""
    table = plain_table(
        "Services",
        "service",
        "batches",
        "items a batch",
        "utilisation",
        "queue wait",
        "queue seen",
        "ready replicas",
    )
    for name, each in document["totals"]["services"].items():
        table.add_row(
            name,
            wording.count(each["batches"]),
            wording.number(each["batch_items_mean"]),
            wording.percent(each["utilisation"]),
            wording.latency(each["queue_wait_mean_s"]),
            wording.count(each["queued_max"]),
            wording.number(each["ready_replicas_mean"]),
        )
    return table


def cost_tables(document: Tree) -> tuple[Table, Table]:
    """Costs by pool, and by class with what was paid for and not used."""
    costs = document["totals"]["costs"]
    pools = plain_table("Costs by pool", "pool", "instance hours", "USD/h", "cost", "idle")
    for name, each in costs["pools"].items():
        price = document["prices"].get(name)
        pools.add_row(
            name,
            wording.number(each["instance_hours"], 4),
            wording.NOTHING if price is None else price["contracted_usd_per_h"],
            wording.usd(each["usd"]),
            wording.usd(each["idle_usd"]),
        )
    classes = plain_table("Costs by class", "class", "cost", "share", "per 1,000 predictions")
    total = costs["billed_usd"]
    for name, each in costs["classes"].items():
        share = each["usd"] / total if total and each["usd"] is not None else None
        classes.add_row(
            name, wording.usd(each["usd"]), wording.percent(share), wording.usd(each["per_1000_usd"])
        )
    classes.add_row(
        "idle: paid, not used", wording.usd(costs["idle_usd"]), wording.percent(costs["idle_share"])
    )
    classes.add_row("total", wording.usd(total), "", wording.usd(costs["per_1000_usd"]), style="bold")
    return pools, classes


def verdict_lines(document: Tree, *, ascii_only: bool = False) -> list[Text]:
    """One line an SLO and a budget, with ✓ or ✗ (yes or NO where the terminal has no such signs)."""
    yes, no = ("yes", "NO ") if ascii_only else ("✓", "✗")
    lines = []
    for reason in wording.objections(document):
        lines.append(Text.assemble((no, "bold red"), f" this measurement does not count: {reason}"))
    lines += [
        Text.assemble(("!", "bold yellow"), f" this measurement is incomplete: {reason}")
        for reason in wording.gaps(document)
    ]
    for name, slo in document["slos"].items():
        mark = (yes, "bold green") if slo["kept"] else (no, "bold red")
        lines.append(Text.assemble(mark, " SLO ", (name, "bold"), f": {wording.slo_promise(slo)}"))
        lines.append(Text(f"  {wording.slo_outcome(slo, document['totals']['slos'][name])}"))
        if found := wording.slo_evidence(slo):
            lines.append(Text(f"  {found}"))
    for name, budget in document["budgets"].items():
        mark = (yes, "bold green") if budget["kept"] else (no, "bold red")
        terms = wording.budget_outcome(budget)
        whole = f"{wording.usd(budget['amount_usd'])} per {format_duration(budget['per_s'])}, pro rata"
        lines.append(Text.assemble(mark, " budget ", (name, "bold"), f": {terms} ({whole})"))
    return lines

"""The tables of the page: plain rows of text, so that the template has nothing to decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from baseload.report import wording
from baseload.report.change import show, show_changes
from scenarios.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseload.report.data import Series
    from simulator.results.compare import Comparison
    from simulator.results.trees import Tree


SHORT = frozenset(
    {
        "p50",
        "p99",
        "answered",
        "utilisation",
        "total",
        "per hour",
        "per 1,000 predictions",
        "idle share",
        "attainment",
        "error budget left",
        "spent",
    }
)
"""Metrics of a comparison that fit the head of a page."""


@dataclass(frozen=True, slots=True)
class Table:
    """A caption, headings, and rows whose first cell is a name and whose others are figures."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def requests(series: Series) -> Table:
    """Logical requests by class."""
    rows = []
    for name, each in _class_rows(series):
        latency, whole = each["latency_s"], each["latency_all_s"]
        rows.append((
            name, wording.count(each["sent"]), wording.percent(each["answered_ratio"]),
            wording.percent(each["hit_ratio"]),
            *(wording.latency(latency[key]) for key in ("mean", "p50", "p95", "p99", "p999")),
            wording.latency(whole["p99"], infinite="p99" in whole["infinite"]),
        ))  # fmt: skip
    return Table(
        "Logical requests by class: first send to final outcome, retries included; the last column "
        "counts failed requests as infinitely late",
        ("class", "sent", "answered", "cache hits", "mean", "p50", "p95", "p99", "p99.9", "p99 of all"),
        tuple(rows),
    )


def attempts(series: Series) -> Table:
    """Attempts and failures by class, with the causes that occurred."""
    rows = _class_rows(series)
    overall = series.totals["overall"]
    causes = [cause for cause, total in overall["failed_by"].items() if total]
    return Table(
        "Failures by cause (logical requests), and attempts",
        ("class", "failed", *(cause.replace("_", " ") for cause in causes), "still open", "attempts",
         "attempts a request", "attempts failed", "retries denied"),
        tuple(
            (
                name, wording.count(each["failed"]),
                *(wording.count(each["failed_by"][cause]) for cause in causes),
                wording.count(each["unfinished"]), wording.count(each["attempts"]),
                wording.number(each["attempts_per_request"], 4),
                wording.count(sum(each["attempts_failed_by"].values())),
                wording.count(each["retries_denied"]),
            )
            for name, each in rows
        ),
    )  # fmt: skip


def services(series: Series) -> Table:
    """Services: batches, utilisation and queues."""
    return Table(
        "Services",
        ("service", "batches", "items a batch", "utilisation", "mean queue wait", "longest queue",
         "ready replicas", "breaker opened"),
        tuple(
            (
                name, wording.count(each["batches"]), wording.number(each["batch_items_mean"]),
                wording.percent(each["utilisation"]), wording.latency(each["queue_wait_mean_s"]),
                wording.count(each["queued_max"]), wording.number(each["ready_replicas_mean"]),
                wording.count(each["breaker_opened"]),
            )
            for name in series.services
            for each in [series.totals["services"][name]]
        ),
    )  # fmt: skip


def pools(series: Series) -> Table:
    """Pools: size, price with its source, cost."""
    listed = {each["name"]: each for each in series.document["scenario"].get("document", {}).get("pools", [])}
    rows = []
    for name in series.pools:
        each, cost = series.totals["pools"][name], series.totals["costs"]["pools"][name]
        terms, price = listed.get(name, {}), series.document["prices"].get(name, {})
        rows.append((
            name, terms.get("instance_type", wording.NOTHING), terms.get("capacity_type", "on-demand"),
            wording.number(each["instances_mean"]), wording.count(each["instances_max"]),
            wording.number(cost["instance_hours"], 4), _usd_per_h(price), _source(price),
            wording.usd(cost["usd"]),
            wording.percent(cost["idle_usd"] / cost["usd"] if cost["usd"] and cost["idle_usd"] is not None else None),
        ))  # fmt: skip
    return Table(
        "Pools and prices: USD an hour after private discounts, with the date and source of the list price",
        (
            "pool",
            "instance type",
            "bought as",
            "mean size",
            "largest",
            "hours",
            "USD/h",
            "price from",
            "cost",
            "idle",
        ),
        tuple(rows),
    )


def promises(series: Series) -> Table:
    """SLOs and budgets with their verdicts."""
    rows: list[tuple[str, ...]] = []
    for name, slo in series.document["slos"].items():
        outcome = wording.slo_outcome(slo, series.totals["slos"][name])
        verdict = "kept" if slo["kept"] else "missed"
        rows.append((name, wording.slo_promise(slo), outcome, wording.slo_evidence(slo), verdict))
    for name, budget in series.document["budgets"].items():
        promised = f"{wording.usd(budget['amount_usd'])} per {format_duration(budget['per_s'])}"
        spent = f"{wording.budget_outcome(budget)} (pro rata)"
        seeds = f"kept in {budget['seeds_kept']} of {budget['seeds']} seeds" if budget["seeds"] > 1 else ""
        rows.append((f"budget {name}", promised, spent, seeds, "kept" if budget["kept"] else "missed"))
    columns: tuple[str, ...] = ("promise", "terms", "outcome", "evidence", "verdict")
    if not any(row[3] for row in rows):  # one seed is no evidence of anything
        columns, rows = (*columns[:3], columns[4]), [(*row[:3], row[4]) for row in rows]
    return Table("What was promised, and what came of it", columns, tuple(rows))


def side_by_side(comparison: Comparison, metrics: frozenset[str] | None = None) -> Table:
    """Headline figures of several runs (only these metrics, or all), with the changes against the first."""
    rows: list[tuple[str, ...]] = []
    verdicts = dict(comparison.verdicts)
    chosen = [row for row in comparison.rows if metrics is None or row.metric in metrics]
    for row, after in zip(chosen, [*chosen[1:], None], strict=True):
        cells = [show(row.values[0], row)]
        for value, change in zip(row.values[1:], show_changes(row), strict=True):
            cells += [show(value, row), change]
        rows.append((f"{row.section}: {row.metric}", *cells))
        if row.section in verdicts and (after is None or after.section != row.section):
            marks = ["" if each is None else "kept" if each else "missed" for each in verdicts[row.section]]
            rows.append(
                (f"{row.section}: verdict", marks[0], *(cell for mark in marks[1:] for cell in (mark, "")))
            )
    headings = [heading for run in comparison.runs[1:] for heading in (run, "change")]
    return Table(
        "Changes are against the first run; ± is a 95 % interval over shared seeds"
        + (
            "; totals over another length of time have no change"
            if any(any(row.other_length) for row in chosen)
            else ""
        ),
        ("", comparison.runs[0], *headings),
        tuple(rows),
    )


def _class_rows(series: Series) -> Sequence[tuple[str, Tree]]:
    rows = [(name, series.totals["classes"][name]) for name in series.classes]
    return rows if len(rows) == 1 else [*rows, ("all classes", series.totals["overall"])]


def _usd_per_h(price: Tree) -> str:
    return str(price.get("contracted_usd_per_h", wording.NOTHING))


def _source(price: Tree) -> str:
    if not price:
        return wording.NOTHING
    return "the scenario" if price["source"] == "scenario" else f"{price['source']} ({price['as_of']})"

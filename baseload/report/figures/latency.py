"""Latency percentiles over time, a row a class, with the limit that was promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from baseload.report import wording
from baseload.report.facets import TimeFacets, log_seconds
from baseload.report.figures.drawn import Drawn
from baseload.report.style import LIMIT_COLOUR, colours, rgba
from scenarios.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseload.report.data import Floats, Series

_LEVELS = [0.5, 0.95, 0.99]
_LOG_FROM = 30.0
"""A log axis where the largest figure is more than so many times the smallest."""


def draw(series: Sequence[Series]) -> Drawn:
    """p50, p95 and p99 of answered logical requests."""
    classes = list(dict.fromkeys(name for each in series for name in each.classes))
    colour = colours(classes)
    facets = TimeFacets(series, [230 if len(classes) == 1 else 190] * len(classes))
    for row, name in enumerate(classes):
        drawn = []
        for column, each in enumerate(series):
            if name in each.classes:
                values = each.latencies.percentiles_s(name, _LEVELS)
                drawn.append(values)
                _panel(facets, (row, column), each, values, colour[name])
        slo = _limit(series, name)
        if slo is None:
            facets.heading(row, name)
        else:
            facets.limit(slo, LIMIT_COLOUR, row=row)
            facets.heading(row, name, f"– – –  {format_duration(slo)} promised", LIMIT_COLOUR)
        facets.y(row, "latency", **_scale(drawn, slo))
    return Drawn(
        key="latency",
        heading="Latency over time",
        takeaways=tuple(_takeaway(each, len(series) > 1) for each in series),
        note="Answered logical requests, from the first send, retries included; seeds pooled. Failed "
        "requests have no latency here, but count as infinitely late in the SLO. Values are "
        "exact to 1.6 %.",
        figure=facets.figure() if any(len(each.latencies.middles_s) for each in series) else None,
    )


def _panel(facets: TimeFacets, panel: tuple[int, int], series: Series, values: Floats, colour: str) -> None:
    at = series.latencies.middles_s
    facets.clock(series, at, *panel)
    for index in (1, 2):
        facets.band(panel, at, values[index - 1], values[index], rgba(colour, 0.13))
    for index, name, width, alpha in ((0, "p50", 1.0, 0.55), (1, "p95", 1.2, 0.75), (2, "p99", 2.0, 1.0)):
        facets.line(
            panel, at, values[index], name, rgba(colour, alpha), width=width, unit="s", form=".3~s",
            connectgaps=False, **_lone_points(values[index], width + 2),
        )  # fmt: skip


def _lone_points(values: Floats, size: float) -> dict[str, object]:
    """Markers for points without a neighbour, of which a line would show nothing."""
    there = np.isfinite(np.concatenate(([np.nan], values, [np.nan])))
    alone = there[1:-1] & ~there[:-2] & ~there[2:]
    if not alone.any():
        return {}
    return {"mode": "lines+markers", "marker": {"size": np.where(alone, size, 0).tolist()}}


def _limit(series: Sequence[Series], name: str) -> float | None:
    limits = [
        slo["latency_s"] for each in series for slo in each.document["slos"].values() if slo["class"] == name
    ]
    return min(limits) if limits else None


def _scale(drawn: Sequence[Floats], limit: float | None) -> dict[str, object]:
    finite = np.concatenate([values[np.isfinite(values)] for values in drawn]) if drawn else np.array([])
    if len(finite) and finite.min() > 0 and finite.max() / finite.min() > _LOG_FROM:
        return log_seconds(float(finite.min()) / 1.3, max(float(finite.max()), limit or 0.0) * 1.3)
    top = max(float(finite.max()) if len(finite) else 0.0, limit or 0.0)
    return {"tickformat": ".2~s", "ticksuffix": "s", "range": [0, top * 1.12 or 1]}


def _takeaway(series: Series, named: bool) -> str:
    parts = []
    for name in series.classes:
        found = series.totals["classes"][name]["latency_s"]
        part = f"{name}: p50 {wording.latency(found['p50'])}, p95 {wording.latency(found['p95'])}"
        parts.append(f"{part}, p99 {wording.latency(found['p99'])}")
    return (f"{series.label}: " if named else "") + "; ".join(parts) + "."

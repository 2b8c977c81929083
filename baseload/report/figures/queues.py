"""How hard the services worked, and how long their queues were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from baseload.report import wording
from baseload.report.facets import TimeFacets
from baseload.report.figures.drawn import Drawn
from baseload.report.style import CLASS_COLOURS, colours
from scenarios.units import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseload.report.data import Floats, Series

SERVICE_COLOURS = tuple(reversed(CLASS_COLOURS))
"""Not the colours of the classes: a service is another thing."""


def draw(series: Sequence[Series]) -> Drawn:
    """Utilisation above, requests waiting below."""
    services = list(dict.fromkeys(name for each in series for name in each.services))
    colour = colours(services, SERVICE_COLOURS)
    facets = TimeFacets(series, (150, 170))
    for column, each in enumerate(series):
        line, at = each.timeline, each.timeline.middles_s
        for row in (0, 1):
            facets.clock(each, at, row, column)
        for name in each.services:
            queued = line.peak(line.raw("service", name, "queued"))
            facets.line((0, column), at, utilisation(each, name) * 100, name, colour[name], unit=" %")
            facets.line((1, column), at, queued, name, colour[name], shape="hv", unit=" waiting")
    facets.y(0, "busy, %", rangemode="tozero")
    facets.y(1, "waiting", rangemode="tozero")
    facets.heading(0, "utilisation")
    facets.heading(1, "queue depth")
    return Drawn(
        key="queues",
        heading="Utilisation and queue depth",
        takeaways=tuple(_takeaway(each, len(series) > 1) for each in series),
        note="Utilisation: busy time over batch slots × time. Queue depth: requests waiting, read at "
        "interval edges (the largest of a drawn point, mean over seeds).",
        figure=facets.figure(),
    )


def utilisation(series: Series, service: str) -> Floats:
    """Busy time over slot time in each drawn bin; nan without slots."""
    line = series.timeline
    busy_s = line.raw("service", service, "busy_ns") / NANOSECONDS_PER_SECOND
    slot_s = line.raw("service", service, "batch_slots") * np.diff(line.edges_s)
    busy, slots = np.add.reduceat(busy_s, line.bins), np.add.reduceat(slot_s, line.bins)
    shares: Floats = np.divide(busy, slots, out=np.full(len(busy), np.nan), where=slots > 0)
    return shares


def _takeaway(series: Series, named: bool) -> str:
    parts = []
    for name in series.services:
        totals = series.totals["services"][name]
        wait = wording.latency(totals["queue_wait_mean_s"])
        busy = wording.percent(totals["utilisation"])
        most = wording.count(totals["queued_max"])
        parts.append(
            f"{name}: {busy} busy; a request waited {wait} on average, and at most {most} were waiting"
        )
    return (f"{series.label}: " if named else "") + "; ".join(parts) + "."

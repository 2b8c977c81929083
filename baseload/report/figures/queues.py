"""How hard the services worked, and how long their queues were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from baseload.report import wording
from baseload.report.facets import TimeFacets
from baseload.report.figures.drawn import Drawn, unseen_services
from baseload.report.style import CLASS_COLOURS, colours, rgba

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseload.report.data import Floats, Series

SERVICE_COLOURS = tuple(reversed(CLASS_COLOURS))
"""Not the colours of the classes: a service is another thing."""
_DEPTH_POINTS = 250


def draw(series: Sequence[Series]) -> Drawn:
    """Utilisation above, requests waiting below."""
    services = list(dict.fromkeys(name for each in series for name in each.services))
    colour = colours(services, SERVICE_COLOURS)
    facets = TimeFacets(series, (150, 170))
    for column, each in enumerate(series):
        at = each.timeline.middles_s
        facets.clock(each, at, 0, column)
        facets.clock(each, each.timeline.coarser(_DEPTH_POINTS).middles_s, 1, column)
        for name in each.services:
            facets.line((0, column), at, utilisation(each, name) * 100, name, colour[name], unit=" %")
            _depth(facets, (1, column), each, name, colour[name])
    facets.y(0, "busy, %", rangemode="tozero")
    facets.y(1, "waiting", rangemode="tozero")
    facets.heading(0, "utilisation")
    facets.heading(1, "queue depth")
    return Drawn(
        key="queues",
        heading="Utilisation and queue depth",
        takeaways=tuple(_takeaway(each, len(series) > 1) for each in series),
        note="Utilisation: busy time over slot time (replicas that drain included). Queue depth: requests "
        "waiting, read at interval edges, mean over seeds; of a long run the mean (line) and the largest (area) "
        "of each drawn point.",
        figure=facets.figure() if services else None,
    )


def _depth(facets: TimeFacets, panel: tuple[int, int], series: Series, name: str, colour: str) -> None:
    """Mean and largest queue of each drawn point: over a long run, every single reading would be a comb."""
    line = series.timeline.coarser(_DEPTH_POINTS)
    queued, at = line.raw("service", name, "queued"), line.middles_s
    largest = line.peak(queued)
    if line.binned:
        facets.band(panel, at, np.zeros(len(at)), largest, rgba(colour, 0.25))
        facets.line(
            panel, at, largest, name, rgba(colour, 0.5), width=0.8, hover=f"{name}, largest", unit=" waiting"
        )
        facets.line(panel, at, line.mean(queued), name, colour, hover=f"{name}, mean", unit=" waiting")
    else:
        facets.line(panel, at, queued, name, colour, shape="hv", unit=" waiting")


def utilisation(series: Series, service: str) -> Floats:
    """Busy time over slot time in each drawn bin; nan without slots."""
    line = series.timeline
    busy, slots = (
        np.add.reduceat(line.raw("service", service, column), line.bins) for column in ("busy_ns", "slot_ns")
    )
    shares: Floats = np.divide(busy, slots, out=np.full(len(busy), np.nan), where=slots > 0)
    return shares


def _takeaway(series: Series, named: bool) -> str:
    if not series.services:
        return unseen_services(series, named)
    parts = []
    for name in series.services:
        totals = series.totals["services"][name]
        wait = wording.latency(totals["queue_wait_mean_s"])
        busy = wording.percent(totals["utilisation"])
        most = wording.count(totals["queued_max"])
        parts.append(
            f"{name}: {busy} busy; a request waited {wait} on average, and at most {most} were seen waiting"
        )
    return (f"{series.label}: " if named else "") + "; ".join(parts) + "."

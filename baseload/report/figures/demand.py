"""Demand against capacity: what was asked, what was answered, and what the ready fleet could have
answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from baseload.report import wording
from baseload.report.facets import TimeFacets
from baseload.report.figures.drawn import Drawn
from baseload.report.style import CAPACITY_COLOUR, LIMIT_COLOUR, POOL_COLOURS, SENT_COLOUR, colours, rgba
from simulator.results.recorded import CLASS_COUNTERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseload.report.data import Floats, Series

_ANSWERED = ("ok_model", "ok_cache", "ok_coalesced")
_FAILED = tuple(name for name in CLASS_COUNTERS if name.startswith("failed_"))


def draw(series: Sequence[Series]) -> Drawn:
    """Rates above, instances of each pool below."""
    facets = TimeFacets(series, (270, 90))
    pool_colour = colours(list(dict.fromkeys(name for each in series for name in each.pools)), POOL_COLOURS)
    class_colour = colours(list(dict.fromkeys(name for each in series for name in each.classes)))
    for column, each in enumerate(series):
        _rates(facets, (0, column), each, class_colour)
        line, at = each.timeline, each.timeline.middles_s
        facets.clock(each, at, 1, column)
        for pool in each.pools:
            colour = pool_colour[pool]
            ready = line.mean(line.raw("pool", pool, "ready_instances"))
            facets.line(
                (1, column), at, ready, pool, colour, width=0.8, shape="hv", stackgroup="pools",
                fillcolor=rgba(colour, 0.75), unit=" ready",
            )  # fmt: skip
    facets.y(0, "requests / s", rangemode="tozero")
    facets.y(1, "ready instances", rangemode="tozero", nticks=4)
    return Drawn(
        key="demand",
        heading="Demand against capacity",
        takeaways=tuple(_takeaway(each, len(series) > 1) for each in series),
        note="Logical requests a second, mean over seeds. Capacity: ready replicas at their best "
        "batch size, in requests a second at this run's mix of classes, request sizes and cache "
        "hits; the bottleneck service counts.",
        figure=facets.figure(),
    )


def _rates(facets: TimeFacets, panel: tuple[int, int], series: Series, class_colour: dict[str, str]) -> None:
    """What became of the requests, stacked; what was sent, and what could have been answered, as lines."""
    line, at = series.timeline, series.timeline.middles_s
    facets.clock(series, at, *panel)
    stack = {"width": 0.6, "stackgroup": "requests", "unit": "/s"}
    for name in series.classes:
        answered, colour = line.rate("class", name, *_ANSWERED), class_colour[name]
        hover = f"{name}, answered"
        facets.line(panel, at, answered, name, colour, fillcolor=rgba(colour, 0.6), hover=hover, **stack)
    failed = _total(series, _FAILED)
    if failed.any():
        red = rgba(LIMIT_COLOUR, 0.8)
        facets.line(panel, at, line.per_second(failed), "failed", LIMIT_COLOUR, fillcolor=red, **stack)
    sent = _total(series, ("sent",))
    facets.line(panel, at, line.per_second(sent), "sent", SENT_COLOUR, width=1.2, unit="/s")
    if line.binned:
        busiest = line.peak(sent / np.diff(line.edges_s))
        facets.line(
            panel, at, busiest, "sent, busiest interval", SENT_COLOUR, width=0.9, dash="dot", unit="/s"
        )
    ready = capacity_per_s(series)
    if ready is not None:
        name = "capacity of the ready fleet"
        facets.line(panel, at, line.mean(ready), name, CAPACITY_COLOUR, width=2, shape="hv", unit="/s")


def capacity_per_s(series: Series) -> Floats | None:
    """Logical requests per second that the ready replicas could answer, one value an interval.

    A service's capacity in items is scaled by the logical requests that the run sent for each item that the
    service worked on, so that cache hits and request sizes are in it. None if no service did anything.
    """
    limits = []
    sent = series.totals["overall"]["sent_per_s"]
    for service in series.services:
        totals = series.totals["services"][service]
        items_per_s = totals["batch_items"] / series.totals["measured_s"]
        if items_per_s and totals["busy_s"]:
            limits.append(_items_per_s(series, service) * sent / items_per_s)
    return np.minimum.reduce(limits) if limits else None


def _items_per_s(series: Series, service: str) -> Floats:
    """What the service's ready replicas can do, from its profiles; where these are samples, as it was
    measured."""
    line = series.timeline
    profiles: dict[str, float | None] = series.document.get("replica_items_per_s", {}).get(service, {})
    totals = series.totals["services"][service]
    if not profiles or None in profiles.values():
        observed: float = totals["batch_items"] / totals["busy_s"]
        return line.raw("service", service, "batch_slots") * observed
    ready = {pool: line.raw("pool", pool, "ready_instances") for pool in profiles}
    instances = sum(ready.values(), np.zeros(len(line.edges_s) - 1))
    weighted = sum((ready[pool] * (rate or 0) for pool, rate in profiles.items()), np.zeros(len(instances)))
    mean_rate = np.divide(weighted, instances, out=np.zeros(len(instances)), where=instances > 0)
    return mean_rate * line.raw("service", service, "ready_replicas")


def _total(series: Series, columns: Sequence[str]) -> Floats:
    line = series.timeline
    total = np.zeros(len(line.edges_s) - 1)
    for name in series.classes:
        for column in columns:
            total += line.raw("class", name, column)
    return total


def _takeaway(series: Series, named: bool) -> str:
    line = series.timeline
    rates = _total(series, ("sent",)) / np.diff(line.edges_s)
    top = int(rates.argmax())
    when = series.moment(float(line.edges_s[top]))
    text = f"{series.label}: demand" if named else "Demand"
    text += f" peaked at {wording.number(float(rates[top]))} requests/s ({when})"
    ready = capacity_per_s(series)
    if ready is None or not ready.any():
        return text + "."
    tight = np.divide(rates, ready, out=np.zeros(len(ready)), where=ready > 0)
    share = wording.percent(float(tight.max()))
    return f"{text}; at its tightest the ready fleet was asked for {share} of what it can do."

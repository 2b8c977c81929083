"""What the fleet cost from hour to hour, and from day to day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from baseload.report import wording
from baseload.report.facets import TimeFacets
from baseload.report.figures.drawn import Drawn
from baseload.report.style import POOL_COLOURS, colours, numbers, rgba

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseload.report.data import Floats, Series

KIND_COLOURS = ("#5b7083", "#d9a441", "#8fb9aa", "#b98fa9", "#9a9a9a")
"""Of kinds of cost, which are neither classes nor pools."""


def draw(series: Sequence[Series]) -> Drawn:
    """USD an hour by pool, stacked; below, where there are several days, the bill of each by kind of cost."""
    pools = list(dict.fromkeys(name for each in series for name in each.pools))
    colour = colours(pools, POOL_COLOURS)
    daily = any(len(each.charges.days) > 1 for each in series)
    facets = TimeFacets(series, (190, 150) if daily else (190,))
    kinds = list(dict.fromkeys(kind for each in series for kind in each.charges.kinds))
    kind_colour = colours(kinds, KIND_COLOURS)
    for column, each in enumerate(series):
        line, at = each.timeline, each.timeline.middles_s
        facets.clock(each, at, 0, column)
        for pool in each.pools:
            facets.line(
                (0, column), at, line.mean(usd_per_h(each, pool)), pool, colour[pool], width=0.8, shape="hv",
                stackgroup="pools", fillcolor=rgba(colour[pool], 0.75), form="$,.2f", unit="/h",
            )  # fmt: skip
        if daily:
            _days(facets, (1, column), each, kind_colour)
    facets.y(0, "USD / h", rangemode="tozero", tickprefix="$")
    if daily:
        facets.y(1, "USD a day", rangemode="tozero", tickprefix="$")
    return Drawn(
        key="spending",
        heading="Cost over time",
        takeaways=tuple(_takeaway(each, len(series) > 1) for each in series),
        note="Paid instances at their price after discounts, mean over seeds. By the day (UTC), the lines of the bill "
        "(costs.parquet), which leave the warm-up out.",
        figure=facets.figure(barmode="stack"),
    )


def usd_per_h(series: Series, pool: str) -> Floats:
    """What a pool's paid instances cost an hour, a value an interval."""
    price = series.document["prices"].get(pool, {}).get("contracted_usd_per_h", "0")
    return series.timeline.raw("pool", pool, "instances") * float(price)


def _days(facets: TimeFacets, panel: tuple[int, int], series: Series, colour: dict[str, str]) -> None:
    """A bar a charge period, as wide as the period is long."""
    charges = series.charges
    begin, end = (np.array([day[place] for day in charges.days]) for place in (0, 1))
    for kind in charges.kinds:
        facets.add(
            {
                "type": "bar", "name": kind, "x": facets.at((begin + end) / 2), "y": numbers(charges.usd[kind], 6),
                "width": facets.at((end - begin) * 0.9), "marker": {"color": colour[kind]},
                "customdata": [series.moment(each) for each in begin.tolist()],
                "hovertemplate": f"{kind}: $%{{y:,.2f}} from %{{customdata}}<extra></extra>",
            },
            *panel,
        )  # fmt: skip


def _takeaway(series: Series, named: bool) -> str:
    text = f"{series.label}: " if named else ""
    rate = sum((usd_per_h(series, pool) for pool in series.pools), np.zeros(len(series.timeline.edges_s) - 1))
    low, high = wording.usd(float(rate.min())), wording.usd(float(rate.max()))
    text += f"{low} an hour throughout" if low == high else f"from {low} to {high} an hour"
    return f"{text}." if named else f"{text[0].upper()}{text[1:]}."

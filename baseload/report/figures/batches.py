"""How full the batches were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from baseload.report import wording
from baseload.report.facets import Facets
from baseload.report.figures.drawn import Drawn, unseen_services
from baseload.report.figures.queues import SERVICE_COLOURS
from baseload.report.style import colours, numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseload.report.data import Series

_MOST_BARS = 130
_FILLED = 0.88
"""Of a size's place on the axis."""
_EVERY_SIZE = 16
"""Up to so many items, the axis names every size."""


def draw(series: Sequence[Series]) -> Drawn:
    """Share of batches by their number of items, a colour a service."""
    services = list(dict.fromkeys(name for each in series for name in each.services))
    colour = colours(services, SERVICE_COLOURS)
    facets = Facets([each.label for each in series], [210], x_title="items in a batch", hover="closest")
    for column, each in enumerate(series):
        for place, name in enumerate(each.services):
            sizes = {int(size): count for size, count in each.totals["services"][name]["batch_sizes"].items()}
            if sizes:
                bars = _bars(sizes, name, colour[name], place / len(each.services), 1 / len(each.services))
                facets.add(bars, 0, column)
    facets.y(0, "share of batches", ticksuffix=" %", rangemode="tozero")
    largest = max([1, *(int(n) for each in series for name in each.services
                        for n in each.totals["services"][name]["batch_sizes"])])  # fmt: skip
    facets.x(range=[0.4, largest + 0.6], **({"dtick": 1} if largest <= _EVERY_SIZE else {}))
    return Drawn(
        key="batches",
        heading="Batch sizes",
        takeaways=tuple(_takeaway(each, len(series) > 1) for each in series),
        note="Batches begun after the warm-up.",
        figure=facets.figure(barmode="overlay") if services else None,
    )


def _bars(sizes: dict[int, float], name: str, colour: str, left: float, share: float) -> dict[str, object]:
    """Bars of one size each, or of several where there would be too many.

    They take a `share` of their size's place on the axis, from `left` on: 0 is its beginning, 1 its end.
    """
    largest = max(sizes)
    step = -(-largest // _MOST_BARS)
    counts = np.zeros(-(-largest // step))
    for size, count in sizes.items():
        counts[(size - 1) // step] += count
    first = np.arange(len(counts)) * step + 1
    return {
        "type": "bar", "name": name, "x": numbers(first + (step - 1) / 2, 6),
        "offset": step * _FILLED * (left - 0.5), "width": step * _FILLED * share,
        "y": numbers(counts / counts.sum() * 100), "marker": {"color": colour},
        "customdata": [f"{low}" if step == 1 else f"{low} to {low + step - 1}" for low in first.tolist()],
        "hovertemplate": f"{name}, %{{customdata}} items: %{{y:.3~g}} %<extra></extra>",
    }  # fmt: skip


def _takeaway(series: Series, named: bool) -> str:
    if not series.services:
        return unseen_services(series, named)
    parts = []
    for name in series.services:
        totals = series.totals["services"][name]
        mean = wording.number(totals["batch_items_mean"])
        items = "item" if mean == "1" else "items"
        parts.append(f"{name}: {mean} {items} a batch on average, {wording.count(totals['batches'])} batches")
    return (f"{series.label}: " if named else "") + "; ".join(parts) + "."

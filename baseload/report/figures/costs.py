"""Where the money went: each pool's cost by the class that used it, and what nobody used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from baseload.report import wording
from baseload.report.facets import Facets
from baseload.report.figures.drawn import Drawn
from baseload.report.style import IDLE_COLOUR, Trace, colours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseload.report.data import Series
    from simulator.results.trees import Tree

_ROW_HEIGHT = 44
_ALL = "all pools"
_HATCH = {
    "shape": "/",
    "size": 6,
    "solidity": 0.12,
    "fillmode": "overlay",
    "fgcolor": "#8f979f",
    "fgopacity": 0.6,
}
"""Told apart from a class in grey print too."""


def draw(series: Sequence[Series]) -> Drawn:
    """Stacked horizontal bars: a bar a pool, a panel a run."""
    classes = list(dict.fromkeys(name for each in series for name in each.classes))
    colour = colours(classes)
    pools = list(dict.fromkeys(name for each in series for name in each.pools))
    summed = any(len(each.pools) > 1 for each in series)
    height = _ROW_HEIGHT * (len(pools) + 1) + 20
    facets = Facets([each.label for each in series], [height], x_title="USD", hover="closest")
    for column, each in enumerate(series):
        costs = each.totals["costs"]
        rows = [_ALL, *each.pools] if summed else list(each.pools)
        for name in classes:
            used = {pool: costs["pools"][pool]["classes"].get(name, 0.0) for pool in each.pools}
            used[_ALL] = sum(used.values())
            values = [used[row] for row in rows]
            facets.add(_bar(rows, values, name, colour[name]), 0, column)
        for name, rest in _unused(costs).items():
            rest[_ALL] = sum(rest.values())
            bar = _bar(rows, [rest[row] for row in rows], name, IDLE_COLOUR)
            bar["marker"]["pattern"] = _HATCH
            facets.add(bar, 0, column)
    facets.y(
        0, "", autorange="reversed", automargin=True, showgrid=False, categoryorder="array",
        categoryarray=[_ALL, *pools],
    )  # fmt: skip
    facets.x(tickprefix="$", rangemode="tozero")
    return Drawn(
        key="costs",
        heading="Cost by class, and what was not used",
        takeaways=tuple(_takeaway(each, len(series) > 1) for each in series),
        note="A pool's cost goes in equal parts to the services on it. Of each part, the service's utilisation "
        "(busy time over slot time) was used, and is divided among the classes by the items they had served "
        "there; the rest is idle. Headroom for peaks and failures is idle too: not all of it is waste.",
        figure=facets.figure(
            barmode="stack",
            bargap=0.35,
            uniformtext={"minsize": 11, "mode": "hide"},
            margin={"l": 110, "r": 16, "t": 52, "b": 46},
        ),
    )


def _unused(costs: Tree) -> dict[str, dict[str, float]]:
    """By pool, what no class used; and apart from it the cost of pools in a load test whose use nobody measured."""
    pools = costs["pools"]
    idle = {pool: 0.0 if each["idle_usd"] is None else each["idle_usd"] for pool, each in pools.items()}
    unknown = {pool: each["usd"] if each["idle_usd"] is None else 0.0 for pool, each in pools.items()}
    bars = {"idle: paid, not used": idle, "paid, its use not measured": unknown}
    return {name: bar for name, bar in bars.items() if bar is idle or any(bar.values())}


def _bar(rows: Sequence[str], values: Sequence[float], name: str, colour: str) -> Trace:
    return {
        "type": "bar", "orientation": "h", "name": name, "y": list(rows),
        "x": [round(each, 6) for each in values],
        "marker": {"color": colour}, "text": [wording.usd(each) for each in values], "textposition": "inside",
        "insidetextanchor": "middle", "textangle": 0,
        "hovertemplate": f"%{{y}}, {name}: %{{text}}<extra></extra>",
    }  # fmt: skip


def _takeaway(series: Series, named: bool) -> str:
    costs = series.totals["costs"]
    text = f"{series.label}: " if named else ""
    text += f"{wording.usd(costs['billed_usd'])} in all"
    if costs["idle_usd"] is None:
        return f"{text}; how much of it was used, and by whom, was not measured."
    for name in series.classes:
        each = costs["classes"][name]
        text += f"; {name} used {wording.usd(each['usd'])}"
        text += f" ({wording.usd(each['per_1000_usd'])} per 1,000 predictions)"
    return f"{text}; {wording.usd(costs['idle_usd'])} ({wording.percent(costs['idle_share'])}) was idle."

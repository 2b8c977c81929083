"""Failed requests by cause over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from baseload.report import wording
from baseload.report.facets import TimeFacets
from baseload.report.figures.drawn import Drawn
from baseload.report.style import FAILURE_COLOURS, rgba

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseload.report.data import Series


def draw(series: Sequence[Series]) -> Drawn:
    """Stacked areas, one a cause."""
    facets = TimeFacets(series, [200])
    totals = [each.totals["overall"]["failed_by"] for each in series]
    causes = [cause for cause in FAILURE_COLOURS if any(failed.get(cause) for failed in totals)]
    for column, each in enumerate(series):
        line = each.timeline
        facets.clock(each, line.middles_s, 0, column)
        for cause in causes:
            colour = FAILURE_COLOURS[cause]
            rates = sum(
                (line.rate("class", name, f"failed_{cause}") for name in each.classes),
                np.zeros(len(line.bins)),
            )
            facets.line(
                (0, column), line.middles_s, rates, cause.replace("_", " "), colour, width=0.8, unit="/s",
                stackgroup="causes", fillcolor=rgba(colour, 0.7),
            )  # fmt: skip
    facets.y(0, "failed / s", rangemode="tozero")
    return Drawn(
        key="failures",
        heading="Failures by cause",
        takeaways=tuple(_takeaway(each, len(series) > 1) for each in series),
        note="Logical requests that failed for good, at the time of their last attempt. Attempts that"
        " failed and were retried with success are not here; the table by class counts them.",
        figure=facets.figure() if causes else None,
    )


def _takeaway(series: Series, named: bool) -> str:
    overall = series.totals["overall"]
    text = f"{series.label}: " if named else ""
    if not overall["failed"]:
        return text + ("no" if named else "No") + " request failed."
    causes = sorted(overall["failed_by"].items(), key=lambda item: -item[1])
    told = ", ".join(f"{wording.count(total)} {cause.replace('_', ' ')}" for cause, total in causes if total)
    share = wording.percent(overall["failed"] / (overall["failed"] + overall["answered"]))
    return f"{text}{wording.count(overall['failed'])} requests failed ({share}): {told}."

"""Where the latencies lie, window by window: the tail that percentiles summarise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from baseload.report.facets import TimeFacets, log_seconds
from baseload.report.figures.drawn import Drawn
from baseload.report.style import LIMIT_COLOUR, numbers
from scenarios.units import NANOSECONDS_PER_SECOND, format_duration
from simulator.results.histogram import BUCKETS, BUCKETS_PER_OCTAVE, SMALLEST_EXPONENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseload.report.data import Floats, Series

_BANDS_PER_OCTAVE = 8
_STEP = BUCKETS_PER_OCTAVE // _BANDS_PER_OCTAVE
_LEAST_SHARE = 1e-5
_COLOUR_BAR = {
    "title": {"text": "share of requests", "side": "right"},
    "thickness": 12,
    "len": 0.95,
    "tickvals": [-5, -4, -3, -2, -1, 0],
    "ticktext": ["0.001 %", "0.01 %", "0.1 %", "1 %", "10 %", "100 %"],
}


def draw(series: Sequence[Series]) -> Drawn:
    """Share of each window's answered requests by latency, on a log scale of latency and of colour."""
    facets = TimeFacets(series, [330], hover="closest")
    shares = [_shares(each) for each in series]
    filled = [np.flatnonzero((values >= _LEAST_SHARE).any(axis=0)) for values in shares]
    if not all(len(each) for each in filled):
        return _nothing()
    low, high = min(int(each[0]) for each in filled), max(int(each[-1]) for each in filled) + 1
    bands_s = _band_edges_s()[low : high + 1]
    for column, (each, values) in enumerate(zip(series, shares, strict=True)):
        part = values[:, low:high].T
        shown = np.where(part >= _LEAST_SHARE, np.log10(np.maximum(part, _LEAST_SHARE)), np.nan)
        facets.add(
            {
                "type": "heatmap", "x": facets.at(each.latencies.edges_s), "y": numbers(bands_s),
                "z": [numbers(row, 3) for row in shown], "zmin": float(np.log10(_LEAST_SHARE)), "zmax": 0,
                "meta": {**facets.epoch(each), "log_shares": True},
                "hovertemplate": "%{customdata}<br>about %{y:.3~s}s: %{text} of the requests<extra></extra>",
                "showscale": column == len(series) - 1, "colorbar": _COLOUR_BAR,
            },
            0,
            column,
        )  # fmt: skip
    promised = _promised(series)
    top_s = max([float(bands_s[-1]), *(limit * 1.3 for limit in promised)])
    for limit in promised:
        facets.limit(limit, LIMIT_COLOUR)
    facets.y(0, "latency", **log_seconds(float(bands_s[0]), top_s))
    return Drawn(
        key="heat",
        heading="Latency heat map",
        takeaways=(
            "Each column is one stretch of time: the stronger a cell's colour, the more of that "
            "time's requests took so long. A band near the bottom is cache hits, where there is a "
            f"cache{_late(promised)}.",
        ),
        note="All classes, answered logical requests, seeds pooled. Latency axis and colours are both"
        " logarithmic: one request in 100,000 is still seen.",
        figure=facets.figure(showlegend=False),
    )


def _promised(series: Sequence[Series]) -> dict[float, list[str]]:
    """Classes by the latency that they were promised, the shortest first."""
    found: dict[float, list[str]] = {}
    for each in series:
        for slo in each.document["slos"].values():
            names = found.setdefault(slo["latency_s"], [])
            if slo["class"] not in names:
                names.append(slo["class"])
    return dict(sorted(found.items()))


def _late(promised: dict[float, list[str]]) -> str:
    """What the dashed lines are; in the text and not in the figure, where a long list would not be wrapped."""
    if not promised:
        return ""
    words = "; ".join(f"{', '.join(names)} {format_duration(limit)}" for limit, names in promised.items())
    return f"; what climbs above a dashed line is late (promised: {words})"


def _nothing() -> Drawn:
    return Drawn("heat", "Latency heat map", ("No request was answered.",), "", None)


def _band_edges_s() -> Floats:
    """Edges of the bands, the first one from half of the smallest bucket on, so that a log axis can show
    it."""
    bands = np.arange((BUCKETS - 2) // _STEP + 1)
    octave, part = np.divmod(bands, _BANDS_PER_OCTAVE)
    edges = (1 + part / _BANDS_PER_OCTAVE) * 2.0 ** (octave + SMALLEST_EXPONENT)
    return np.concatenate(([edges[0] / 2], edges)) / NANOSECONDS_PER_SECOND


def _shares(series: Series) -> Floats:
    """Share of each window's requests in each band, shape (windows, bands)."""
    counts = series.latencies.all_classes()
    inner = counts[:, 1:-1].reshape(len(counts), (BUCKETS - 2) // _STEP, _STEP).sum(axis=2)
    bands = np.concatenate((counts[:, :1], inner), axis=1).astype(np.float64)
    bands[:, -1] += counts[:, -1]  # beyond the last edge: 19 h and more
    totals = bands.sum(axis=1, keepdims=True)
    shares: Floats = np.divide(bands, totals, out=np.zeros_like(bands), where=totals > 0)
    return shares

"""Panels in rows and columns that share their axes: one column a run, one row a matter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from baseload.report.style import Figure, Trace, numbers
from scenarios.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baseload.report.data import Floats, Series

_ROW_GAP, _COLUMN_GAP = 34, 0.035
_TITLE_HEIGHT, _FOOT_HEIGHT = 46, 46
_LEGEND_LIFT, _HEADING_HEIGHT = 4, 20
"""Pixels, and a share of the width."""
_TIME_UNITS = (
    (3 * 86_400.0, "days", 86_400.0),
    (2 * 3600.0, "hours", 3600.0),
    (5 * 60.0, "minutes", 60.0),
    (0.0, "seconds", 1.0),
)

_MANY_DECADES = 500


def time_unit(duration_s: float) -> tuple[str, float]:
    """Name and seconds of the unit that a time axis of this length counts in."""
    return next((name, size) for least, name, size in _TIME_UNITS if duration_s >= least)


def log_seconds(low_s: float, high_s: float) -> dict[str, Any]:
    """Settings of a logarithmic axis of times: 1, 2 and 5 of each decade, or decades only if these are many."""
    decades = range(math.floor(math.log10(low_s)) - 1, math.ceil(math.log10(high_s)) + 1)
    steps = (1,) if high_s / low_s > _MANY_DECADES else (1, 2, 5)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    return {
        "type": "log",
        "range": [math.log10(low_s), math.log10(high_s)],
        "tickvals": ticks,
        "ticktext": [format_duration(tick) for tick in ticks],
    }


class Facets:
    """A figure made of panels. Rows share a y axis, columns an x axis; zooming one zooms its like."""

    def __init__(
        self, columns: Sequence[str], heights: Sequence[int], *, x_title: str, hover: str = "x unified"
    ):
        """`columns` are the panels' headings (shown if several), `heights` the rows' in pixels."""
        self._columns, self._rows = len(columns), len(heights)
        inner = sum(heights) + _ROW_GAP * (len(heights) - 1)
        height = inner + _TITLE_HEIGHT + _FOOT_HEIGHT
        self._data: list[Trace] = []
        self._shapes: list[dict[str, Any]] = []
        self._notes: list[dict[str, Any]] = []
        self._legend: set[str] = set()
        self._inner, self._lifted = inner, False
        self._layout: dict[str, Any] = {
            "height": height,
            "margin": {"l": 62, "r": 16, "t": _TITLE_HEIGHT, "b": _FOOT_HEIGHT},
            "hovermode": hover,
            "legend": {
                "orientation": "h",
                "x": 1,
                "y": 1 + _LEGEND_LIFT / inner,
                "yanchor": "bottom",
                "xanchor": "right",
            },
            "showlegend": True,
        }
        width = (1 - _COLUMN_GAP * (self._columns - 1)) / self._columns
        top = float(inner)
        for row, row_height in enumerate(heights):
            for column in range(self._columns):
                left = column * (width + _COLUMN_GAP)
                x, y = self._axis(row, column)
                last = row == self._rows - 1
                self._layout[f"xaxis{x}"] = {
                    "domain": [left, left + width],
                    "anchor": f"y{y}",
                    "showticklabels": last,
                    # once, as of the y axes: side by side on a telephone they would overlap
                    "title": {"text": x_title if last and column == 0 else ""},
                } | ({"matches": "x"} if x else {})
                self._layout[f"yaxis{y}"] = {
                    "domain": [max((top - row_height) / inner, 0), min(top / inner, 1)],
                    "anchor": f"x{x}",
                    "showticklabels": column == 0,
                    # said aloud, because plotly.js forgets it where x axes match and have a range
                    "autorange": True,
                } | ({"matches": f"y{self._axis(row, 0)[1]}"} if column else {})
            top -= row_height + _ROW_GAP
        if len(columns) > 1:
            for column, text in enumerate(columns):
                self._note(column * (width + _COLUMN_GAP), 1, f"<b>{text}</b>", lift=_HEADING_HEIGHT, size=13)
            self._lift(2 * _HEADING_HEIGHT)

    def _axis(self, row: int, column: int) -> tuple[str, str]:
        number = row * self._columns + column + 1
        return ("" if number == 1 else str(number),) * 2

    def add(self, trace: Trace, row: int = 0, column: int = 0) -> None:
        """Draw something in a panel. Traces of one name share an entry of the legend."""
        x, y = self._axis(row, column)
        name = trace.get("name", "")
        shown = bool(name) and trace.get("showlegend", True) and name not in self._legend
        if shown:
            self._legend.add(name)
        self._data.append(
            {**trace, "xaxis": f"x{x}", "yaxis": f"y{y}", "legendgroup": name, "showlegend": shown}
        )

    def y(self, row: int, title: str, **settings: Any) -> None:
        """Name a row's y axis and set it up, such as type="log" or ticksuffix=" %"."""
        for column in range(self._columns):
            axis = self._layout[f"yaxis{self._axis(row, column)[1]}"]
            axis.update(settings)
            if "range" in settings:
                axis["autorange"] = False
            if column == 0:
                axis["title"] = {"text": title}

    def x(self, **settings: Any) -> None:
        """Set up every x axis."""
        for row in range(self._rows):
            for column in range(self._columns):
                self._layout[f"xaxis{self._axis(row, column)[0]}"].update(settings)

    def limit(self, value: float, colour: str, row: int = 0) -> None:
        """A dashed horizontal line across a row; its heading says what it means."""
        for column in range(self._columns):
            x, y = self._axis(row, column)
            self._shapes.append({
                "type": "line", "xref": f"x{x} domain", "yref": f"y{y}",
                "x0": 0, "x1": 1, "y0": value, "y1": value,
                "line": {"color": colour, "width": 1.2, "dash": "dash"},
            })  # fmt: skip

    def _shade(self, column: int, until: float, text: str) -> None:
        """A grey stretch at the beginning of a column's panels: what is drawn there is in no total."""
        for row in range(self._rows):
            x, y = self._axis(row, column)
            label = {"text": text if row == 0 else "", "textposition": "bottom left", "font": {"size": 10}}
            self._shapes.append({
                "type": "rect", "layer": "below", "xref": f"x{x}", "yref": f"y{y} domain",
                "x0": 0, "x1": until, "y0": 0, "y1": 1,
                "fillcolor": "rgba(128,138,148,0.16)", "line": {"width": 0}, "label": label,
            })  # fmt: skip

    def heading(self, row: int, text: str, more: str = "", colour: str = "") -> None:
        """A small heading above a row, and a word on it in a colour of its own."""
        top = self._layout[f"yaxis{self._axis(row, 0)[1]}"]["domain"][1]
        words = [f"<b>{text}</b>"]
        words += [f'<span style="color:{colour}">{more}</span>'] if more else []
        self._note(0, top, "   ".join(words))
        if row == 0 and not self._lifted:
            self._lift(_HEADING_HEIGHT)

    def _lift(self, height: int) -> None:
        """Make room between the panels and the legend."""
        self._lifted = True
        self._layout["margin"]["t"] += height
        self._layout["height"] += height
        self._layout["legend"]["y"] += height / self._inner

    def _note(self, x: float, y: float, text: str, lift: int = 0, size: int = 12) -> None:
        self._notes.append({
            "xref": "paper", "yref": "paper", "x": x, "y": y, "text": text, "showarrow": False,
            "xanchor": "left", "yanchor": "bottom", "yshift": lift, "font": {"size": size},
        })  # fmt: skip

    def figure(self, **layout: Any) -> Figure:
        """The finished figure; `layout` adds to or replaces what was set."""
        whole = {**self._layout, "shapes": self._shapes, "annotations": self._notes, **layout}
        return {"data": self._data, "layout": whole}


class TimeFacets(Facets):
    """Panels over time from the start of the run; the hover says the absolute time as well."""

    def __init__(self, series: Sequence[Series], heights: Sequence[int], hover: str = "x unified"):
        """One column a run."""
        longest = max(each.document["duration_s"] for each in series)
        self.unit, self._size_s = time_unit(longest)
        super().__init__(
            [each.label for each in series], heights, x_title=f"{self.unit} from the start", hover=hover
        )
        self.x(range=[0, longest / self._size_s], unifiedhovertitle={"text": f"%{{x:.4~g}} {self.unit}"})
        for column, each in enumerate(series):
            if each.document["warmup_s"]:
                self._shade(column, each.document["warmup_s"] / self._size_s, "warm-up")

    def at(self, seconds: Floats) -> list[float | None]:
        """Points in time as the axis counts them."""
        return numbers(seconds / self._size_s, 6)

    def clock(self, series: Series, seconds: Floats, row: int, column: int) -> None:
        """An invisible line that tells the hover the absolute time (page.js writes it out)."""
        self.add(
            {
                "type": "scatter", "mode": "lines", "x": self.at(seconds), "y": [0] * len(seconds),
                "meta": self.epoch(series), "hovertemplate": "%{customdata}<extra></extra>",
                "line": {"width": 0, "color": "rgba(0,0,0,0)"},
            },
            row,
            column,
        )  # fmt: skip

    def epoch(self, series: Series) -> dict[str, float]:
        """What turns a point of the axis into an absolute time: milliseconds since 1970, and a unit's
        length."""
        return {"start_ms": series.start.timestamp() * 1000, "unit_ms": self._size_s * 1000}

    def band(self, panel: tuple[int, int], seconds: Floats, low: Floats, high: Floats, colour: str) -> None:
        """The area between two lines, one piece for each stretch in which both are there."""
        there = np.isfinite(low) & np.isfinite(high)
        edges = np.flatnonzero(np.diff(np.concatenate(([0], there.astype(np.int8), [0]))))
        x: list[float | None] = []
        y: list[float | None] = []
        for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            at = self.at(seconds[begin:end])
            x += [*at, *at[::-1], None]
            y += [*numbers(high[begin:end]), *numbers(low[begin:end])[::-1], None]
        if x:
            self.add(
                {
                    "type": "scatter", "mode": "lines", "x": x, "y": y, "fill": "toself", "fillcolor": colour,
                    "line": {"width": 0}, "hoverinfo": "skip",
                },
                *panel,
            )  # fmt: skip

    def line(
        self, panel: tuple[int, int], seconds: Floats, values: Floats, name: str, colour: str, **more: Any
    ) -> None:
        """A line over time in a (row, column).

        `unit` and `form` of the hover, `hover` (its name there), `width`, `dash`, `shape`, and any setting
        of a scatter trace.
        """
        unit, form = more.pop("unit", ""), more.pop("form", ",.4~g")
        hover = more.pop("hover", name)
        line = {"color": colour, "width": 1.6} | {
            key: more.pop(key) for key in ("width", "dash", "shape") if key in more
        }
        trace = {
            "type": "scatter", "mode": "lines", "x": self.at(seconds), "y": numbers(values), "name": name,
            "line": line, "hovertemplate": f"{hover}: %{{y:{form}}}{unit}<extra></extra>", **more,
        }  # fmt: skip
        self.add(trace, *panel)

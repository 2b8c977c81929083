"""Colours and the plain parts of every figure. Light and dark are the page's business (page.js)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Figure: TypeAlias = dict[str, Any]
"""What plotly.js draws: {"data": […], "layout": {…}}. Plain data, so that plotly's Python classes stay
out."""
Trace: TypeAlias = dict[str, Any]

CLASS_COLOURS = ("#2f6db3", "#d9822b", "#2a9d8f", "#8a63b8", "#c8508a", "#8c8b2c", "#8b5e3c", "#4fa3d1")
"""Apart in hue and in lightness, so that they survive colour blindness and a grey printer."""
POOL_COLOURS = ("#5b7083", "#9fb1c1", "#3d4f5f", "#c3ced8", "#788b9c")
IDLE_COLOUR = "#c4c9cf"
CAPACITY_COLOUR = "#6f7f8f"
SENT_COLOUR = "#8793a0"
LIMIT_COLOUR = "#c8453b"
RUN_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
FAILURE_COLOURS = {
    "timeout": "#b3372f", "queue_full": "#e07b39", "shed": "#e0b13a", "rate_limited": "#8f8f3c",
    "breaker_open": "#7a4e9e", "no_replica": "#4a4a4a", "lost": "#9a6a4f",
}  # fmt: skip


def colours(names: Sequence[str], palette: Sequence[str] = CLASS_COLOURS) -> dict[str, str]:
    """One colour a name, the same in every figure of the page."""
    return {name: palette[index % len(palette)] for index, name in enumerate(names)}


def rgba(colour: str, alpha: float) -> str:
    """A colour with transparency."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def numbers(values: Any, digits: int = 4) -> list[float | None]:
    """Numbers as short JSON: a few significant digits, None for what is not there."""
    return [None if math.isnan(value) else float(f"{value:.{digits}g}") for value in values.tolist()]

"""A comparison's figures and changes as people read them, the same in the terminal and on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from baseload.report import wording
from simulator.results.compare import Unit

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.results.compare import Change, Row


OTHER_LENGTH = "not comparable"
"""In place of the change of a total over another length of time."""


def _rate(per_s: float | None) -> str:
    return wording.NOTHING if per_s is None else f"{wording.number(per_s, 4)}/s"


_FORMATS: dict[Unit, Callable[[float | None], str]] = {
    Unit.RATE: _rate,
    Unit.SHARE: wording.percent,
    Unit.SECONDS: wording.latency,
    Unit.USD: wording.usd,
    Unit.NUMBER: wording.number,
}


def in_unit(value: float | None, unit: Unit) -> str:
    """A figure in its unit."""
    return _FORMATS[unit](value)


def show(value: float | None, row: Row) -> str:
    """A figure of a comparison's row."""
    return in_unit(value, row.unit)


def show_changes(row: Row) -> list[str]:
    """The change of every run but the first, or why there is none."""
    return [
        OTHER_LENGTH if other else _show_change(change, row)
        for change, other in zip(row.changes[1:], row.other_length[1:], strict=True)
    ]


def _show_change(change: Change | None, row: Row) -> str:
    """A change: shares in points, all else in per cent, with the half-width of the paired interval."""
    if change is None:
        return ""
    if change.absolute == 0 and (change.paired is None or change.paired.low == change.paired.high):
        return "same"
    if row.unit is Unit.SHARE:
        scale, unit, moved = 100.0, "pt", change.absolute * 100
    elif change.relative is None or row.values[0] is None:
        return ""
    else:
        scale, unit, moved = 100 / row.values[0], "%", change.relative * 100
    if change.paired is None:
        return f"{_signed(moved)} {unit}"
    half = (change.paired.high - change.paired.low) / 2 * abs(scale)
    return f"{_signed(change.paired.mean * scale)} ±{half:.1f} {unit}"


def _signed(value: float) -> str:
    text = f"{value:+.1f}"
    return "0.0" if float(text) == 0 else text.replace("-", "−")

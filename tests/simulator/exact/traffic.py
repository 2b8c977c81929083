"""Random arrival streams: every source that the scenario language knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulator.exact.strategies import Dice

_ON_GRID = ("regular", "rows", "users", "poisson_ms", "spike")
_OFF_GRID = (
    "poisson",
    "regular",
    "gamma",
    "mmpp",
    "shaped",
    "poisson_ms",
    "users",
    "rows",
    "counts",
    "poisson-counts",
)


def arrival_stream(
    dice: Dice, name: str, classes: list[dict[str, Any]], files: dict[str, str]
) -> dict[str, Any]:
    """One stream of some ten to two hundred first sends; `classes` are its own."""
    source = dice.pick(*(_ON_GRID if dice.grid else _OFF_GRID))
    if dice.plain and source == "users":
        source = "regular"
    if source == "users":
        return {"name": name, "users": {"count": dice.number(1, 6), "think_time": dice.delay(1, 8)}}
    if source == "poisson_ms":
        return {"name": name, "process": {"poisson_ms": float(dice.unit_ms * dice.number(1, 4))}}
    if source == "rows":
        files[f"{name}.csv"] = _rows(dice, classes)
        return {"name": name, "trace": {"file": f"{name}.csv"}}
    if source in ("counts", "poisson-counts"):
        files[f"{name}.csv"] = _counts(dice)
        spread = "exact" if source == "counts" else "poisson"
        return {
            "name": name,
            "trace": {"file": f"{name}.csv", "scale": dice.pick(1.0, 0.6), "spread": spread},
        }
    stream: dict[str, Any] = {"name": name, "rate": f"{1000 / dice.ms(1, 3)!r}/s", "process": source}
    if source == "gamma":
        stream["process"] = {"gamma_cv": dice.pick(0.5, 2.0)}
    elif source == "mmpp":
        n = dice.number(2, 3)
        states = [{"times": dice.pick(1.0, 0.0, 3.0), "mean_duration": dice.time(2, 20)} for _ in range(n)]
        stream["process"] = {"mmpp": states}
    elif source in ("shaped", "spike"):
        # Whole steps of a rate that doubles or falls silent keep regular arrivals on the grid, most of the time.
        stream["process"] = "regular" if dice.grid else dice.pick("poisson", "regular")
        stream["shape"] = [_shape(dice, "spike" if dice.grid else dice.pick("spike", "ramp", "diurnal"))]
        stream["shape_step"] = dice.time(2, 20)
    return stream


def _shape(dice: Dice, kind: str) -> dict[str, Any]:
    if kind == "diurnal":
        return {"diurnal": {"peak_to_trough": 3.0, "peak_at": "12h"}}
    if kind == "ramp":
        return {"ramp": {"start": dice.time(0, 20), "end": dice.time(30, 60), "times": dice.pick(3.0, 0.0)}}
    return {"spike": {"at": dice.time(5, 40), "times": dice.pick(2.0, 0.0), "hold": dice.time(5, 30)}}


def _rows(dice: Dice, classes: list[dict[str, Any]]) -> str:
    """Request rows with any of the optional columns, several at the same time among them."""
    optional = ("key", "class") if dice.plain else ("items", "key", "class")
    columns = ["time_ns", *(name for name in optional if dice.chance(4))]
    names = [kind["name"] for kind in classes]
    largest = min(dice.largest[name] for name in names)
    # Groups of rows at one time, spread over the run: few draws give many rows.
    lines, now_ns = [",".join(columns)], 0
    for group in range(dice.number(10, 40)):
        now_ns += dice.time_ns(0, max(1, dice.length // 20))
        for member in range(dice.number(1, 5)):
            mark = 7 * group + 3 * member
            items, name = mark % largest + 1, names[mark % len(names)]
            values = {"time_ns": now_ns, "items": items, "key": f"k{mark % 5}", "class": name}
            lines.append(",".join(str(values[column]) for column in columns))
    return "\n".join(lines) + "\n"


def _counts(dice: Dice) -> str:
    step_ns = dice.time_ns(1, 15) or 1
    counts = [dice.number(0, 12) for _ in range(dice.number(4, 20))]
    return "time_ns,count\n" + "".join(f"{i * step_ns},{count}\n" for i, count in enumerate(counts))

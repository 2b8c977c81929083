"""The tables of docs/accuracy.md: `python -m tests.simulator.accuracy theory` and `… ribbon`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scenarios.load import load_scenario
from tests.simulator.replications import compare, load, replicate
from tests.simulator.ribbon import (
    BANDS,
    every_mix,
    from_table,
    in_whole_milliseconds,
    published,
    smallest_of_three,
)
from tests.simulator.theory_cases import CASES, LRU_CASES

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]


def line(*cells: object) -> None:
    """One row of a Markdown table."""
    print("|", " | ".join(str(cell) for cell in cells), "|", flush=True)


def rule(columns: int) -> None:
    """The line under the header of a Markdown table."""
    print("|" + "---|" * columns)


def theory(folder: Path) -> None:
    """Every case of `theory_cases.py`."""
    line("system", "quantity", "theory", "simulated", "99 % half-width", "off by", "requests")
    rule(7)
    for case in (*CASES, *LRU_CASES):
        runs = replicate(load(case.scenario(), folder), range(1, case.replications + 1))
        for quantity, (value, measure) in case.theory.items():
            found = compare(quantity, value, [measure(run) for run in runs])
            line(
                case.name,
                quantity,
                f"{value:.5g}",
                f"{found.mean:.5g}",
                f"{found.relative_half_width:.2%}",
                f"{found.mean / value - 1:+.2%}",
                f"{case.requests / 1e6:.0f} M",
            )


def ribbon(folder: Path) -> None:
    """Every mix of Ribbon's table, read in three ways, and the first of them band by band."""
    data = Path(os.environ.setdefault("BASELOAD_DATA", str(ROOT.parent / "shared" / "data")))
    table = published(data)
    whole = from_table(in_whole_milliseconds(data / "profiles/ribbon_samples_candle.csv", folder))
    readings: Iterable[tuple[str, list[str]]] = (
        ("whole milliseconds, as Ribbon's code has it", whole),
        ("as measured, limit 40.5 ms", ["slos[in-time].latency=40.5ms"]),
        ("as measured, limit 40 ms", []),
    )
    line("latencies", "mean error", "bias", "of it the table's own noise", "if the table were one run")
    rule(5)
    first = None
    for name, overrides in readings:
        runs = every_mix(load_scenario(ROOT / "scenarios/library/ribbon-candle.yaml", overrides), table.mixes)
        ours = smallest_of_three(runs)
        error = ours.mean - table.qos_pct
        single = np.array([each.mean() for each in runs]) - table.qos_pct
        shown = (np.abs(error).mean(), error.mean(), ours.noise.mean(), np.abs(single).mean())
        line(name, *(f"{each:.3f}" for each in shown))
        first = first or (ours, error)
    assert first is not None
    ours, error = first
    print()
    line("published QoS, %", "mixes", "mean error", "bias", "the table's own noise")
    rule(5)
    for low, high in BANDS:
        band = (table.qos_pct >= low) & (table.qos_pct < high)
        shown = (np.abs(error[band]).mean(), error[band].mean(), ours.noise[band].mean())
        line(f"{low} – {min(high, 100)}", int(band.sum()), *(f"{each:.3f}" for each in shown))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        {"theory": theory, "ribbon": ribbon}[sys.argv[1]](Path(scratch))

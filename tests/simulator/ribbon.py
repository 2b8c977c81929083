"""Ribbon's published table of every mix, and the same mixes simulated.

How the table seems to have come about, from github.com/boringlee24/SC21_Ribbon before commit a06bfbb, which
checked it in: `query/distributor.py` steps through whole milliseconds and rounds each measured latency to them;
`eval_qos` in `BO/BO_functions.py` runs 10,000 queries three times and keeps the *smallest* share of good ones.
docs/accuracy.md says what speaks for it, and how far off the table is read in other ways.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from scenarios.fleet import AddReplica
from simulator.dataplane.kernel_plane import kernel_plane
from simulator.dataplane.resolve_fleet import resolve

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from scenarios.load import LoadedScenario
    from simulator.dataplane.specification import Specification

POOLS = ("c5a", "m5", "t3")
RUNS_KEPT = 3
"""Ribbon keeps the smallest of three runs."""
BANDS = ((0, 1), (1, 20), (20, 80), (80, 95), (95, 98), (98, 99), (99, 99.5), (99.5, 100.01))
"""Published QoS in %, from and up to."""
SEEDS = 100
STEADY = 0.5
"""Standard deviation in points up to which ten runs are enough."""


@dataclass(frozen=True)
class Published:
    """The published table."""

    mixes: NDArray[np.int64]
    usd_per_h: NDArray[np.float64]
    qos_pct: NDArray[np.float64]


def published(data_dir: Path) -> Published:
    """Read the exhaustive table of CANDLE."""
    with (data_dir / "profiles/ribbon_oracle_candle.csv").open(newline="") as text:
        table = np.array(list(csv.reader(text))[1:], np.float64)
    return Published(table[:, :3].astype(np.int64), table[:, 3], table[:, 4])


def in_whole_milliseconds(table: Path, folder: Path) -> Path:
    """A copy of a table of measured latencies, each rounded as Ribbon's simulation rounds it."""
    copy = folder / table.name
    with table.open(newline="") as text, copy.open("w", newline="") as out:
        rows = csv.DictReader(text)
        writer = csv.DictWriter(out, rows.fieldnames or [])
        writer.writeheader()
        for row in rows:
            values = [str(round(float(value))) for value in row["latencies_ms"].split()]
            writer.writerow(row | {"latencies_ms": " ".join(values)})
    return copy


def from_table(table: Path) -> list[str]:
    """Overrides of the scenario that take the latencies from another file."""
    return [f"models[candle].profiles[{i}].latency.samples.file={table}" for i in range(len(POOLS))]


def qos_pct(specification: Specification, mix: Sequence[int]) -> float:
    """Share of good queries in one run of a mix; late ones count, whether they were answered or not."""
    plane = kernel_plane(specification)
    (service,) = specification.services
    fleet = [(pool, instance) for pool, size in zip(POOLS, mix, strict=True) for instance in range(size)]
    plane.apply([AddReplica(i, service.name, pool, each, 0) for i, (pool, each) in enumerate(fleet)])
    counters = plane.advance(specification.duration_ns)
    _, late = plane.unfinished()
    return 100 * float(counters.slo_good[0]) / float(counters.slo_total[0] + late[0])


def every_mix(loaded: LoadedScenario, mixes: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """QoS in % of each mix, in runs with seeds 1 to 100.

    A mix gets every tenth seed, so that neighbours in the table do not all meet the same ten samples of
    traffic. Near saturation one run says little (the QoS of (2, 4, 1) is anything from 2 to 73 %): mixes
    whose ten runs differ by more than `STEADY` get all hundred.
    """
    specifications = [resolve(loaded.scenario, loaded.files, seed) for seed in range(1, SEEDS + 1)]
    runs = []
    for place, mix in enumerate(mixes.tolist()):
        few = [qos_pct(each, mix) for each in specifications[place % 10 :: 10]]
        if np.std(few, ddof=1) > STEADY:
            few = [qos_pct(each, mix) for each in specifications]
        runs.append(np.array(few))
    return runs


@dataclass(frozen=True)
class SmallestOfThree:
    """What the smallest of three runs of each mix is like, over all triples of our independent runs."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    """Standard deviation."""
    noise: NDArray[np.float64]
    """Mean absolute deviation from the mean: the error that a perfect simulator would be seen to make."""


def smallest_of_three(runs: Sequence[NDArray[np.float64]]) -> SmallestOfThree:
    """From the runs of each mix. The i-th smallest of n is the smallest of C(n - i, 2) triples."""
    rows = []
    for each in runs:
        values, n = np.sort(each), len(each)
        weights = np.array([comb(n - i, RUNS_KEPT - 1) for i in range(1, n + 1)]) / comb(n, RUNS_KEPT)
        mean = weights @ values
        deviation = np.sqrt(weights @ (values - mean) ** 2)
        rows.append((mean, deviation, weights @ np.abs(values - mean)))
    return SmallestOfThree(*np.array(rows).T)

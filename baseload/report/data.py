"""What the figures draw: a run's tables as numpy series over time, averaged over its seeds.

A series longer than `MAX_POINTS` is drawn in bins of several intervals: rates are the bins' means, peaks
their largest values. Nothing here needs pandas.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from baseload.report.charges import Charges
from scenarios.errors import InvalidInput
from scenarios.units import NANOSECONDS_PER_SECOND
from simulator.results.histogram import BUCKETS, percentiles_ns
from simulator.results.recorded import LATENCY_KINDS
from simulator.results.totals import LOGICAL

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from simulator.results.run_directory import Run
    from simulator.results.trees import Tree

    Floats = NDArray[np.float64]

MAX_POINTS = 1500
MAX_WINDOWS = 400
"""Columns of a heat map, and points of a percentile's line: more is thinner than a pixel."""


@dataclass(frozen=True)
class Series:
    """One run as the figures need it."""

    run: Run
    label: str

    @property
    def document(self) -> Tree:
        """Its `run.json`."""
        return self.run.document

    @property
    def totals(self) -> Tree:
        """Its totals: means over seeds."""
        totals: Tree = self.document["totals"]
        return totals

    @property
    def classes(self) -> list[str]:
        """Request classes, in the order of the scenario where it has one."""
        return _ordered(self.totals["classes"], self.document, "classes")

    @property
    def services(self) -> list[str]:
        """Services, in the order of the scenario where it has one."""
        return _ordered(self.totals["services"], self.document, "services")

    @property
    def pools(self) -> list[str]:
        """Pools, in the order of the scenario where it has one."""
        return _ordered(self.totals["pools"], self.document, "pools")

    @property
    def start(self) -> datetime:
        """Absolute time of the beginning, in UTC."""
        return datetime.fromisoformat(self.document["start"]).astimezone(UTC)

    @cached_property
    def timeline(self) -> Timeline:
        """Counters and gauges over time."""
        return Timeline.of(self.run.timeline())

    @cached_property
    def latencies(self) -> Latencies:
        """Histograms over time."""
        return Latencies.of(self.run.latency(), self.classes)

    @cached_property
    def charges(self) -> Charges:
        """The bill by charge period."""
        return Charges.of(self.run.costs(), self.start, len(self.document["seeds"]))

    def moment(self, seconds: float) -> str:
        """The absolute UTC time of a point of the run."""
        return f"{self.start + timedelta(seconds=round(seconds)):%a %d %b %Y %H:%M} UTC"


def _ordered(found: Tree, document: Tree, section: str) -> list[str]:
    listed = [each["name"] for each in document["scenario"].get("document", {}).get(section, [])]
    return sorted(found, key=lambda name: (listed.index(name) if name in listed else len(listed), name))


@dataclass(frozen=True)
class Timeline:
    """Counters and gauges of every interval, mean over seeds; `bins` are the first intervals of each drawn
    bin."""

    edges_s: Floats
    bins: NDArray[np.int64]
    _columns: dict[str, Floats]
    _rows: dict[tuple[str, str], NDArray[np.int64]]
    _seeds: int

    @classmethod
    def of(cls, table: pa.Table) -> Timeline:
        """From `timeline.parquet`, whose rows are ordered by seed, entity and time."""
        kind, name = (_decoded(table, column) for column in ("kind", "name"))
        rows = {
            (k, n): np.flatnonzero((kind == k) & (name == n))
            for k, n in dict.fromkeys(zip(kind.tolist(), name.tolist(), strict=True))
        }
        columns = {
            field: np.asarray(table.column(field).to_numpy(), dtype=np.float64)
            for field in table.column_names
            if field not in ("kind", "name")
        }
        seeds = len(np.unique(columns["seed"]))
        first = next(iter(rows.values()))
        count = len(first) // seeds
        begin, length = columns["time_s"][first[:count]], columns["duration_s"][first[:count]]
        bins = np.arange(0, count, -(-count // MAX_POINTS))
        return cls(np.append(begin, begin[-1] + length[-1]), bins, columns, rows, seeds)

    @property
    def middles_s(self) -> Floats:
        """Where the drawn points stand: the middle of each bin."""
        edges = np.append(self.edges_s[self.bins], self.edges_s[-1])
        middles: Floats = (edges[:-1] + edges[1:]) / 2
        return middles

    @property
    def binned(self) -> bool:
        """Whether a drawn point is more than one interval."""
        return len(self.bins) < len(self.edges_s) - 1

    def coarser(self, points: int) -> Timeline:
        """The same with at most so many drawn points."""
        count = len(self.edges_s) - 1
        bins = np.arange(0, count, -(-count // points))
        return replace(self, bins=bins) if len(bins) < len(self.bins) else self

    def raw(self, kind: str, name: str, column: str) -> Floats:
        """One value an interval, mean over seeds; InvalidInput where the run was written before there was such a
        column."""
        rows = self._rows.get((kind, name))
        if rows is None:
            return np.zeros(len(self.edges_s) - 1)
        if column not in self._columns:
            raise InvalidInput(
                f"timeline.parquet has no column {column}: the run was made by an older Baseload; make it again"
            )
        values: Floats = self._columns[column][rows].reshape(self._seeds, -1).mean(axis=0)
        return values

    def rate(self, kind: str, name: str, *columns: str) -> Floats:
        """Counted things per second, summed over columns."""
        counts = sum((self.raw(kind, name, column) for column in columns), np.zeros(len(self.edges_s) - 1))
        return self.per_second(counts)

    def per_second(self, counts: Floats) -> Floats:
        """Counts per interval → rates per bin."""
        rates: Floats = np.add.reduceat(counts, self.bins) / np.add.reduceat(np.diff(self.edges_s), self.bins)
        return rates

    def mean(self, values: Floats) -> Floats:
        """Mean of each bin, weighted by the intervals' lengths."""
        return self.per_second(values * np.diff(self.edges_s))

    def peak(self, values: Floats) -> Floats:
        """Largest interval of each bin."""
        largest: Floats = np.maximum.reduceat(values, self.bins)
        return largest


@dataclass(frozen=True)
class Latencies:
    """Counts of answered logical requests by class, time window and bucket, summed over seeds."""

    edges_s: Floats
    counts: dict[str, NDArray[np.int64]]
    """By class: (windows, BUCKETS)."""

    @classmethod
    def of(cls, table: pa.Table, classes: list[str]) -> Latencies:
        """From `latency.parquet`; neighbouring windows are merged down to `MAX_WINDOWS`."""
        begin, end = (table.column(name).to_numpy() for name in ("window_start_s", "window_end_s"))
        if not len(begin):
            return cls(np.zeros(1), {name: np.zeros((0, BUCKETS), dtype=np.int64) for name in classes})
        starts = np.unique(begin)
        step = -(-len(starts) // MAX_WINDOWS)
        merged = starts[::step]
        window = np.searchsorted(merged, begin, side="right") - 1
        logical = np.isin(_decoded(table, "kind"), [LATENCY_KINDS[index] for index in LOGICAL])
        of_class, bucket = _decoded(table, "class"), table.column("bucket").to_numpy()
        count = table.column("count").to_numpy()
        counts = {}
        for name in classes:
            rows = logical & (of_class == name)
            counts[name] = np.zeros((len(merged), BUCKETS), dtype=np.int64)
            np.add.at(counts[name], (window[rows], bucket[rows]), count[rows])
        return cls(np.append(merged, end.max()), counts)

    @property
    def middles_s(self) -> Floats:
        """The middle of each window."""
        return (self.edges_s[:-1] + self.edges_s[1:]) / 2

    def percentiles_s(self, name: str, levels: list[float]) -> Floats:
        """Percentiles of a class over time, shape (levels, windows), nan where nothing was answered."""
        rows = [percentiles_ns(window, levels) for window in self.counts[name]]
        seconds = np.array(rows, dtype=np.float64).reshape(-1, len(levels)).T / NANOSECONDS_PER_SECOND
        return seconds

    def all_classes(self) -> NDArray[np.int64]:
        """Counts of all classes together."""
        total: NDArray[np.int64] = sum(
            self.counts.values(), np.zeros((len(self.middles_s), BUCKETS), dtype=np.int64)
        )
        return total


def _decoded(table: pa.Table, column: str) -> NDArray[np.object_]:
    """A column of categories as numpy strings: few distinct ones, so codes are looked up, not decoded."""
    chunks = []
    for chunk in table.column(column).dictionary_encode().chunks:
        names = np.array(chunk.dictionary.to_pylist(), dtype=object)
        chunks.append(names[np.asarray(chunk.indices.to_numpy(zero_copy_only=False), dtype=np.int64)])
    return np.concatenate(chunks) if chunks else np.array([], dtype=object)

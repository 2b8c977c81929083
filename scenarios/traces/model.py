"""What a traffic trace is: the rows the simulator replays, and what was done to them on the way in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from scenarios.units import NANOSECONDS_PER_SECOND

Int64s: TypeAlias = npt.NDArray[np.int64]
Int32s: TypeAlias = npt.NDArray[np.int32]
Float64s: TypeAlias = npt.NDArray[np.float64]

VERSION = 1
"""Version of the trace format: a reader refuses a later one."""
METADATA_KEY = b"baseload"
"""Where the JSON document stands in a Parquet file's key-value metadata."""
DOCUMENT_COMMENT = b"# baseload:"
"""Begins the comment line of a CSV that holds the same document."""


@dataclass(frozen=True)
class Repair:
    """One kind of thing that an importer repaired, assumed or left out."""

    what: str
    """Short name, the same in every version: "gaps_filled", "sorted", …"""
    count: int
    """How many rows or intervals it touched (0: an assumption about the whole file)."""
    detail: str
    """One sentence for a person: what, where first, where last."""


@dataclass(frozen=True, eq=False)
class RequestTrace:
    """One row a request, in the order of their times. The arrays are read-only and equally long."""

    time_ns: Int64s
    """Nanoseconds from the trace's start, ascending, never negative."""
    items: Int32s | None = None
    """Size of the request in model items, at least 1; None: the trace does not say."""
    key: Int64s | None = None
    """What is asked for (the response cache's key); None: the trace does not say."""
    class_index: Int32s | None = None
    """Position in `class_names`; None: the trace does not say."""
    class_names: tuple[str, ...] = ()
    """The classes that occur, in the order of their first request."""
    start_unix_ns: int | None = None
    """Nanoseconds from 1970-01-01 UTC to the trace's start; None: the trace has no calendar."""
    source: str = ""
    """Where the rows come from, in words."""
    repairs: tuple[Repair, ...] = ()
    """What was repaired, assumed or left out at import."""

    def __post_init__(self) -> None:
        for array in (self.time_ns, self.items, self.key, self.class_index):
            if array is not None:
                array.setflags(write=False)

    @property
    def span_s(self) -> float:
        """Seconds from the start to the last request."""
        return float(self.time_ns[-1]) / NANOSECONDS_PER_SECOND

    @property
    def total(self) -> int:
        """Requests in all."""
        return len(self.time_ns)


@dataclass(frozen=True, eq=False)
class CountTrace:
    """One number an interval: `count[i]` requests arrive in [i·step, (i+1)·step). The array is read-only."""

    count: Int64s
    """Requests in each interval, never negative; no interval is missing."""
    step_ns: int
    """Length of every interval, in nanoseconds."""
    start_unix_ns: int | None = None
    """Nanoseconds from 1970-01-01 UTC to the trace's start; None: the trace has no calendar."""
    source: str = ""
    """Where the counts come from, in words."""
    repairs: tuple[Repair, ...] = ()
    """What was repaired, assumed or left out at import."""

    def __post_init__(self) -> None:
        self.count.setflags(write=False)

    @property
    def step_s(self) -> float:
        """Length of every interval, in seconds."""
        return self.step_ns / NANOSECONDS_PER_SECOND

    @property
    def span_s(self) -> float:
        """Seconds from the start to the end of the last interval."""
        return len(self.count) * self.step_ns / NANOSECONDS_PER_SECOND

    @property
    def total(self) -> int:
        """Requests in all."""
        return int(self.count.sum())


Trace: TypeAlias = RequestTrace | CountTrace
"""Either kind; `match trace: case RequestTrace(): …` tells them apart."""


def iso_time(unix_ns: int) -> str:
    """Write a moment as ISO-8601 UTC, with as many decimals as it has: "2014-04-10T00:04:00Z"."""
    text = str(np.datetime64(unix_ns, "ns"))
    seconds, _, decimals = text.partition(".")
    decimals = decimals.rstrip("0")
    return f"{seconds}.{decimals}Z" if decimals else f"{seconds}Z"

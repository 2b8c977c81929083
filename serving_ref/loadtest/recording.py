"""What the generator writes down: a row an attempt, and of each logical request where it stands.

The columns are made before the load begins and filled through memory views: recording allocates nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from serving_ref.loadtest.results import NO_ANSWER, OPEN
from simulator.results.columns import numbers

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

UNSENT, UNFINISHED, ENDED, DENIED, SKIPPED = range(5)
"""Where a logical request stands: not due yet; without its final outcome; with it; with it because the retry budget was
empty; never sent because too many were in flight."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """A finished recording. Times are nanoseconds from the start of the run; an open attempt ends at -1."""

    request: NDArray[np.int64]
    """Row of the schedule that the attempt is of; these first columns have a row an attempt."""
    attempt: NDArray[np.int16]
    """0 is the first."""
    due_ns: NDArray[np.int64]
    """When it was to be sent."""
    sent_ns: NDArray[np.int64]
    """When the generator sent it, or asked for a connection for it."""
    end_ns: NDArray[np.int64]
    result: NDArray[np.int16]
    """Place in `RESULTS`."""
    status: NDArray[np.int16]
    """HTTP status, or one of the codes of `results`."""
    service: NDArray[np.int16]
    """Place of the service that answered; -1: none, or it was not named."""
    state: NDArray[np.int16]
    """A row a logical request, like the schedule."""
    last: NDArray[np.int64]
    """Row of a logical request's latest attempt; -1: none."""


_OF_ATTEMPTS = ("request", "attempt", "due_ns", "sent_ns", "end_ns", "result", "status", "service")


class Recording:
    """Columns to fill: each field is a memory view over the numpy array of the same name in `Recorded`."""

    def __init__(self, requests: int, most_attempts: int) -> None:
        """`most_attempts` that a logical request may have."""
        rows = requests * most_attempts
        self._columns = Recorded(
            request=np.zeros(rows, np.int64),
            attempt=np.zeros(rows, np.int16),
            due_ns=np.zeros(rows, np.int64),
            sent_ns=np.zeros(rows, np.int64),
            end_ns=np.zeros(rows, np.int64),
            result=np.zeros(rows, np.int16),
            status=np.zeros(rows, np.int16),
            service=np.zeros(rows, np.int16),
            state=np.zeros(requests, np.int16),
            last=np.full(requests, -1, np.int64),
        )
        for name in _OF_ATTEMPTS:
            getattr(self._columns, name)[:requests] = (
                0  # touched now, so that memory is there when it is needed
            )
        (
            self.request, self.attempt, self.due_ns, self.sent_ns, self.end_ns, self.result, self.status, self.service,
        ) = (getattr(self._columns, name).data for name in _OF_ATTEMPTS)  # fmt: skip
        self.state, self.last = self._columns.state.data, self._columns.last.data
        self.attempts = 0
        """Rows filled so far."""

    def begin(self, request: int, attempt: int, due_ns: int, sent_ns: int) -> int:
        """Write down that an attempt was sent. Returns its row."""
        row = self.attempts
        self.attempts = row + 1
        self.request[row] = request
        self.attempt[row] = attempt
        self.due_ns[row] = due_ns
        self.sent_ns[row] = sent_ns
        self.end_ns[row] = -1
        self.result[row] = OPEN
        self.status[row] = NO_ANSWER
        self.service[row] = -1
        self.last[request] = row
        self.state[request] = UNFINISHED
        return row

    def end(self, row: int, end_ns: int, result: int, status: int) -> None:
        """Write down how an attempt ended."""
        self.end_ns[row] = end_ns
        self.result[row] = result
        self.status[row] = status

    def recorded(self) -> Recorded:
        """What has been written down so far."""
        return Recorded(**{
            field.name: getattr(self._columns, field.name)[: self.attempts if field.name in _OF_ATTEMPTS else None]
            for field in fields(Recorded)
        })  # fmt: skip


def write_recorded(folder: Path, recorded: Recorded) -> None:
    """Write `attempts.parquet` and `requests.parquet`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {field.name: numbers(getattr(recorded, field.name)) for field in fields(recorded)}
    attempts = {name: columns.pop(name) for name in _OF_ATTEMPTS}
    pq.write_table(pa.table(attempts), folder / "attempts.parquet", compression="zstd")
    pq.write_table(pa.table(columns), folder / "requests.parquet", compression="zstd")


def read_recorded(folder: Path) -> Recorded:
    """Read what `write_recorded` wrote."""
    import pyarrow.parquet as pq

    tables = [pq.read_table(folder / f"{name}.parquet") for name in ("attempts", "requests")]
    return Recorded(
        **{name: table.column(name).to_numpy() for table in tables for name in table.column_names}
    )

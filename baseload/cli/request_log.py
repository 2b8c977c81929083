"""The full log of a small run: one row for each logical request that ended."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import numpy as np

from scenarios.errors import EnvironmentProblem, InvalidInput
from simulator.results.columns import categories, numbers
from simulator.results.recorded import CLASS_COUNTERS
from simulator.run import MOST_LOGGED

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import pyarrow as pa
    from numpy.typing import NDArray

    from scenarios.schema import Scenario
    from simulator.dataplane.engine import Logs


class RequestLog:
    """Collects the requests of every run, and writes them once all have ended."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._lock = threading.Lock()
        self._requests: dict[int, NDArray[Any]] = {}

    def keep(self, seed: int, logs: Logs) -> None:
        """Keep the log of one run (see `simulator.run.OnLogs`). InvalidInput where they get too long."""
        with self._lock:
            self._requests[seed] = logs.requests
            if sum(len(each) for each in self._requests.values()) > MOST_LOGGED:
                raise InvalidInput(f"a request log may have {MOST_LOGGED:,} rows: log fewer or shorter runs")

    def write(self, path: Path) -> None:
        """Write the rows of all runs by seed, stream and id. EnvironmentProblem where the file system
        refuses."""
        import pyarrow.parquet as pq  # 0.4 s

        tables = [request_table(self._scenario, *each) for each in sorted(self._requests.items())]
        partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with pq.ParquetWriter(partial, tables[0].schema, compression="zstd") as writer:
                for table in tables:
                    writer.write_table(table)
            partial.replace(path)
        except OSError as error:
            raise EnvironmentProblem(f"{path}: cannot be written: {error.strerror or error}") from None
        finally:
            partial.unlink(missing_ok=True)


def request_table(scenario: Scenario, seed: int, requests: NDArray[Any]) -> pa.Table:
    """Columns: seed, stream, id (from 0 in its stream), class, first_send_ns, end_ns, outcome, attempts.

    `outcome` is the counter that the request was counted in, such as `ok_cache`. Requests without an outcome
    at the end of the run have no row.
    """
    import pyarrow as pa

    return pa.table({
        "seed": numbers(np.full(len(requests), seed, np.int64)),
        "stream": categories(requests["stream"], [stream.name for stream in scenario.arrivals]),
        "id": numbers(requests["id"]),
        "class": categories(requests["cls"], [each.name for each in scenario.classes]),
        "first_send_ns": numbers(requests["first_ns"]),
        "end_ns": numbers(requests["end_ns"]),
        "outcome": categories(requests["outcome"], CLASS_COUNTERS),
        "attempts": numbers(requests["attempts"]),
    })  # fmt: skip

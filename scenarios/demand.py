"""The demand of a run as it is drawn: every first send. The simulator draws it, a load test sends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Demand:
    """Columns of length N, a row a request, in the order of the simulator: by time, stream and number."""

    stream: NDArray[np.int64]
    """Place of the stream in the scenario's `arrivals`."""
    number: NDArray[np.int64]
    """Number of the request in its stream, from 0."""
    class_index: NDArray[np.int64]
    """Place of the class in the scenario's `classes`."""
    due_ns: NDArray[np.int64]
    """When it is to be sent, from the start of the run."""
    key: NDArray[np.int64]
    """What it asks for among the keys of its class, from 0; -1: it asks for something new, or nobody looks at keys."""
    items: NDArray[np.int64]
    difficulty: NDArray[np.float64]
    """0 to 1; 0 where no route looks at it."""
    retry_wait_ns: NDArray[np.int64]
    """Shape (N, most retries of any class): the wait before each retry; 0 beyond the retries of the class."""

    def __len__(self) -> int:
        return len(self.number)

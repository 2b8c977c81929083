"""The seam between the planes: what the control plane can ask of a data plane (docs/decisions/0001-seam.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from scenarios.fleet import Change, Snapshot


@dataclass(frozen=True, eq=False)
class Counters:
    """Cumulative counters at the end of a window; the arrays are the engine's own and change with the next one.

    Shapes as in `simulator.results.recorded.SeedRecord`, without the edges; `histogram` is (C, kinds, BUCKETS).
    """

    class_counters: NDArray[np.int64]
    service_counters: NDArray[np.int64]
    slo_good: NDArray[np.int64]
    slo_total: NDArray[np.int64]
    histogram: NDArray[np.int64]
    batch_sizes: NDArray[np.int64]
    served_items: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Logs:
    """Every logical request and every batch of a run with `log`, as structured arrays (see `state.py`)."""

    requests: NDArray[Any]
    batches: NDArray[Any]


class DataPlane(Protocol):
    """A data plane: either engine."""

    @property
    def path(self) -> str:
        """Name of the code path that runs: it goes into the result."""

    @property
    def path_reason(self) -> str | None:
        """Why a faster path could not run, in words; None: there is none."""

    def advance(self, to_ns: int) -> Counters:
        """Handle every event before `to_ns`, which is not before the end of the last window."""

    def apply(self, changes: Iterable[Change]) -> None:
        """Change the fleet, at the end of the last window and before any event of that nanosecond."""

    def observe(self) -> Snapshot:
        """Look at the fleet as it is now. Drained replicas are told of until the next `apply`, which forgets
        them."""

    def busy_ns(self) -> NDArray[np.int64]:
        """Time with a batch in service by service, those under way up to now included. Shape (S,)."""

    def unfinished(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Logical requests without an outcome, by class; and by SLO those already later than its latency."""

    def logs(self) -> Logs:
        """What was logged, ordered by (stream, id) and (service, replica, slot, start)."""

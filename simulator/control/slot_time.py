"""How long batch slots were there: what busy time is held against.

A slot is there from the instant in which its replica is ready until its drained replica is seen to be gone. So no
slot is ever busy outside its time, and busy time over slot time is at most 1 in every interval, whenever within it
replicas come and go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scenarios.fleet import AddReplica
    from scenarios.schema import Service


class SlotTime:
    """Batch slots × the time that they were there, by service, in nanoseconds."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._index = {service.name: index for index, service in enumerate(services)}
        self._slots_each = np.array([service.instances_per_replica for service in services], np.int64)
        self._there: dict[int, int] = {}
        """Index of the service by replica."""
        self._replicas = np.zeros(len(services), np.int64)
        self._offset_ns = np.zeros(len(services), np.int64)
        """Ends less beginnings."""

    def begin(self, replica: AddReplica, now_ns: int) -> None:
        """A replica is ready."""
        index = self._index[replica.service]
        self._there[replica.replica] = index
        self._replicas[index] += 1
        self._offset_ns[index] -= now_ns

    def end(self, replica: int, now_ns: int) -> None:
        """A replica is gone."""
        index = self._there.pop(replica)
        self._replicas[index] -= 1
        self._offset_ns[index] += now_ns

    def until(self, now_ns: int) -> NDArray[np.int64]:
        """The time up to now. Shape (services,)."""
        total: NDArray[np.int64] = (self._offset_ns + self._replicas * now_ns) * self._slots_each
        return total

"""The shared vocabulary of a fleet: what the control plane changes, and what it sees.

The same types serve the simulator, the actuators and shadow mode: a decision made on a `Snapshot` and given as
`Change`s does not know which of them it is talking to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class AddReplica:
    """A replica is ready: it takes requests from now on."""

    replica: int
    """Number of the replica, unique in a run and never used again."""
    service: str
    pool: str
    instance: int
    """Number of its instance within the pool."""
    number: int
    """Number of the replica on its instance."""


@dataclass(frozen=True, slots=True)
class DrainReplica:
    """A replica takes no new requests and finishes those it has."""

    replica: int


@dataclass(frozen=True, slots=True)
class KillReplica:
    """A replica is lost, with everything that waits or runs on it."""

    replica: int


Change: TypeAlias = AddReplica | DrainReplica | KillReplica


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service at one moment."""

    name: str
    ready_replicas: int
    draining_replicas: int
    queued: int
    """Requests waiting."""
    in_service: int
    """Requests in batches being served."""
    batch_slots: int
    """Batches that could be in service at once on ready replicas."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What can be seen of a fleet at one moment."""

    time_s: float
    services: tuple[ServiceState, ...]
    drained: tuple[int, ...]
    """Draining replicas that have nothing left to do."""

"""What a cluster tells of a scenario, and the questions that it leaves open."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DraftPool:
    """Instances that a service runs on."""

    name: str
    instance_type: str
    capacity_type: str
    zone: str | None
    size: int
    known_type: bool
    """Whether the catalogue has the type."""
    priced: bool
    """Whether the catalogue has its price, bought in this way."""
    questions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DraftService:
    """A Deployment as a service with its model."""

    name: str
    namespace: str
    deployment: str
    pools: tuple[DraftPool, ...]
    replicas: int
    replicas_per_instance: int
    memory: str | None
    """Limit of its containers, as the language writes sizes."""
    load_s: float | None
    """Delay that its probes wait at first: a guess at how long the model loads."""
    notes: tuple[str, ...] = ()
    """Autoscalers and disruption budgets, in words: this version's fleets are of fixed or scheduled size."""
    questions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A scenario as far as it is known."""

    name: str
    context: str
    region: str
    """Whose prices hold."""
    region_known: bool
    """Whether the cluster's nodes said it; otherwise it is where most examples are."""
    services: tuple[DraftService, ...]
    left_out: tuple[str, ...] = field(default=())
    """Deployments that seem to serve no model, and kinds that could not be read."""

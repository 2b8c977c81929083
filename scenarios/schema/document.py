"""The scenario document: everything a run needs, in one file or in files that it names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from scenarios.schema.base import Name, Named, Section
from scenarios.schema.fleet import Model, Pool, Service
from scenarios.schema.money import Budget, Commitment, Discount, PriceOverride
from scenarios.schema.routes import Route
from scenarios.schema.traffic import Arrivals, RequestClass
from scenarios.units import Duration, Fraction, Instant, PositiveDuration

API_VERSION = "baseload/v1"


class Metadata(Named):
    """Who this scenario is."""

    description: str = ""
    """What it shows, and why its assumptions are what they are."""


class Slo(Named):
    """In at least `window_fraction` of the windows, at least `objective` of the logical requests are
    answered well within `latency`. A request that fails, for whatever cause, counts as infinitely late."""

    request_class: Name = Field(alias="class")
    """The class it is promised to."""
    latency: PositiveDuration
    """First send to final outcome, retries included."""
    objective: Fraction
    """Share of requests."""
    window: PositiveDuration | None = None
    """Length of a window; none: the whole run is one window."""
    window_fraction: Fraction = 1.0
    """Share of windows that must keep the objective."""


class Run(Section):
    """How long, from when, and how finely."""

    duration: PositiveDuration
    """Simulated time."""
    warmup: Duration = 0.0
    """Left out of all results but the timeline."""
    start: Instant = datetime(2024, 1, 1, tzinfo=UTC)
    """Absolute time of the beginning, UTC unless it says otherwise (the default is a Monday)."""
    interval: PositiveDuration | None = None
    """Step of the timeline; none: a round step that gives some hundred rows."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    """Seed of all random numbers, unless the command line gives one."""


class Incident(Named):
    """A fault at a time: in the schema, refused by this version's engine."""

    at: Duration
    """When."""
    kind: str
    """What."""
    parameters: dict[str, Any] = {}
    """How."""


class Rollout(Named):
    """A new version on its way out: in the schema, refused by this version's engine."""

    at: Duration
    """When."""
    service: Name
    """Where."""
    strategy: Literal["rolling", "blue-green", "canary", "shadow"]
    """How."""


class Scenario(Section):
    """A fleet, its traffic and what was promised."""

    api_version: Literal["baseload/v1"] = Field(alias="apiVersion")
    """The version of this language."""
    kind: Literal["Scenario"] = "Scenario"
    """Always Scenario."""
    metadata: Metadata
    """Name, labels and description."""
    region: str = "us-east-1"
    """Where list prices are taken from."""
    run: Run
    """Duration, start, seed."""
    arrivals: list[Arrivals] = Field(min_length=1)
    """Streams of first sends."""
    classes: list[RequestClass] = Field(min_length=1)
    """Kinds of requests."""
    routes: list[Route] = Field(min_length=1)
    """Paths through the gateway."""
    services: list[Service] = Field(min_length=1)
    """Models on pools."""
    models: list[Model] = Field(min_length=1)
    """What is served."""
    pools: list[Pool] = Field(min_length=1)
    """Instances."""
    slos: list[Slo] = []
    """Promises."""
    prices: list[PriceOverride] = []
    """Prices that replace the catalogue's."""
    discounts: list[Discount] = []
    """Private discounts."""
    budgets: list[Budget] = []
    """Spending limits."""
    commitments: list[Commitment] = []
    """Reserved Instances and Savings Plans."""
    incidents: list[Incident] = []
    """Faults."""
    rollouts: list[Rollout] = []
    """Deployments."""

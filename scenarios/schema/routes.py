"""The gateway: what happens between a client's send and a replica's queue."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from scenarios.schema.base import MAX_FACTOR, Delay, DurationDistribution, Name, Named, PositiveInt, Section
from scenarios.units import Duration, Fraction, PositiveDuration, Rate


class RateLimit(Section):
    """A token bucket: attempts beyond it are answered 429 at once."""

    rate: Rate
    """Tokens a second."""
    burst: PositiveInt
    """Bucket size; it starts full."""


class Cache(Section):
    """A response cache on the request's key."""

    kind: Literal["ttl", "lru", "given"] = "ttl"
    """ttl: unlimited, entries expire; lru: `capacity` entries, least recently used out first, and they
    expire too if a ttl is given; given: a stated share of requests hits."""
    ttl: PositiveDuration | None = None
    """Life of an entry, from the moment it is filled."""
    capacity: int | None = Field(default=None, ge=1, le=100_000_000)
    """Entries (kind lru)."""
    hit_ratio: Fraction | None = None
    """Share of requests that hit (kind given)."""
    hit_latency: Duration = 0.001
    """Time to answer from the cache."""

    @model_validator(mode="after")
    def _needs(self) -> Cache:
        needed = {"ttl": ["ttl"], "lru": ["capacity"], "given": ["hit_ratio"]}[self.kind]
        allowed = {"ttl": {"ttl"}, "lru": {"capacity", "ttl"}, "given": {"hit_ratio"}}[self.kind]
        for name in needed:
            if getattr(self, name) is None:
                raise ValueError(f"kind {self.kind}: expected {name}")
        for name in ("ttl", "capacity", "hit_ratio"):
            if name not in allowed and getattr(self, name) is not None:
                raise ValueError(f"kind {self.kind}: {name} has no meaning here")
        return self


class Shedding(Section):
    """Refuse low-priority requests when too much is outstanding."""

    max_outstanding: PositiveInt
    """Requests of the route waiting or in service."""
    below_priority: int = Field(default=8, ge=1, le=8)
    """Requests with a lower priority are refused (8: all)."""


class Target(Section):
    """One service of a route, with the rule that picks it."""

    service: Name
    """The service."""
    weight: float | None = Field(default=None, gt=0, le=MAX_FACTOR)
    """Weighted split (canary): share of requests, relative to the other weights."""
    difficulty_below: Fraction | None = None
    """Tiers: takes requests whose difficulty is below this; the last target takes the rest."""


class Route(Named):
    """A path through the gateway: rate limit → validation → cache → coalescing → feature fetch → service."""

    rate_limit: RateLimit | None = None
    """None: no limit."""
    validation: Delay = DurationDistribution(constant=0.0)
    """Time before the cache is looked at."""
    cache: Cache | None = None
    """None: no cache."""
    coalesce: bool = False
    """Single flight: a request for a key that is already on its way waits for that answer."""
    feature_fetch: Delay = DurationDistribution(constant=0.0)
    """Time between a cache miss and the service's queue."""
    shedding: list[Shedding] = []
    """Load shedding rules; the first that applies refuses."""
    split: Literal["weighted", "difficulty", "cascade"] = "weighted"
    """weighted: by the targets' weights (one target needs none); difficulty: each request goes to its tier;
    cascade: every request starts at the first target, and what is too difficult for it goes on to the
    next."""
    targets: list[Target] = Field(min_length=1, max_length=8)
    """The services behind this route."""
    redispatch: bool = True
    """A request whose replica is lost is sent once more to another; otherwise the attempt fails."""

    @model_validator(mode="after")
    def _rules(self) -> Route:
        if self.split == "weighted":
            if len(self.targets) > 1 and any(target.weight is None for target in self.targets):
                raise ValueError("split weighted: expected a weight on every target")
            if any(target.difficulty_below is not None for target in self.targets):
                raise ValueError("split weighted: difficulty_below has no meaning here")
        else:
            if any(target.weight is not None for target in self.targets):
                raise ValueError(f"split {self.split}: weight has no meaning here")
            limits = [target.difficulty_below for target in self.targets[:-1]]
            if any(limit is None for limit in limits):
                raise ValueError(
                    f"split {self.split}: expected difficulty_below on every target but the last"
                )
            if (
                limits != sorted(limits, key=lambda limit: limit or 0.0)
                or self.targets[-1].difficulty_below is not None
            ):
                raise ValueError(
                    f"split {self.split}: expected ascending difficulty_below, and none on the last target"
                )
        return self

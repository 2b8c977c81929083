"""The settings document of a gateway: a scenario's own sections, and where things are."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from scenarios.schema import Breaker, Route
from scenarios.schema.base import Name, Named, Section
from scenarios.units import Duration, PositiveDuration
from serving_ref.settings import Drain, Limits


class Redis(Section):
    """The response cache's server. Without it the gateway serves on, uncached."""

    url: str = Field(default="redis://127.0.0.1:6379/0", pattern=r"^(rediss?://[^/]|unix://)\S+$")
    """As redis-py reads it: redis://[[user]:password@]host[:port][/database]; rediss://… for TLS."""
    timeout: PositiveDuration = 0.1
    """Longest wait for an answer; after it the request goes on without."""
    breaker: Breaker = Breaker.model_validate({"error_rate": "50%", "window": 10, "open_for": "1s"})
    """When it is left alone; by default for a second, when more than half of the last ten operations failed. One late
    answer must not switch the cache off: then all traffic falls on the models, which is worse than a slow Redis."""


class ServedClass(Named):
    """A request class of the scenario."""

    route: Name
    """Its route."""
    timeout: PositiveDuration | None = None
    """For requests that don't bring one; none: they wait until the call itself times out."""
    priority: int = Field(default=0, ge=0, le=7)
    """Higher is served first, and shed last."""


class Endpoints(Section):
    """Where the replicas of a service are: exactly one of the two."""

    choices = frozenset({"addresses", "dns"})

    addresses: list[str] | None = None
    """host:port of each."""
    dns: str | None = None
    """host:port, where the host's addresses are the replicas (a headless Kubernetes Service)."""
    refresh: PositiveDuration = 1.0
    """How often the name is looked up."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Endpoints:
        self.require_one_choice()
        for each in [*(self.addresses or []), *([self.dns] if self.dns else [])]:
            host, colon, port = each.rpartition(":")
            if not (host and colon and port.isdigit() and 0 < int(port) < 65_536):
                raise ValueError(f"expected host:port, got {each}")
        return self


class Upstream(Named):
    """A service of the scenario, as the gateway meets it."""

    model: Name
    """The model in the path of its requests."""
    endpoints: Endpoints
    """Where its replicas are."""
    balancing: Literal["round-robin", "random", "power-of-two", "least-outstanding"] = "power-of-two"
    """Which replica a request goes to."""
    breaker: Breaker | None = None
    """None: no breaker."""
    schedule_parameters: bool = False
    """Tell deadline and priority in the request's parameters too, as Triton's schedule policy reads them."""
    call_timeout: PositiveDuration = 60.0
    """Longest call; after it the replica counts as lost."""
    eject: Duration = 1.0
    """How long a replica that refused or broke a connection is left out."""


class GatewaySettings(Section):
    """All that a gateway is told."""

    name: Name
    """Of the stack: first part of the cache's keys."""
    replicas: int = Field(default=1, ge=1, le=1000)
    """Gateways side by side: each takes its part of the rate limits and of the shedding rules' outstanding requests."""
    redis: Redis | None = None
    """None: routes have no cache."""
    routes: list[Route] = Field(min_length=1)
    """In the words of a scenario. Delays of validation and hit_latency are what a simulation assumes of this gateway;
    feature_fetch is waited, for a feature store that isn't there."""
    classes: list[ServedClass] = []
    """A route without a class serves requests with priority 0 and no timeout of their own."""
    services: list[Upstream] = Field(min_length=1)
    """Where the targets of routes are."""
    confidence_output: str = "confidence"
    """Cascades: the output that says, from 0 to 1, how sure a model is of each item. A target's answer stands if the
    least of them is above 1 - difficulty_below."""
    limits: Limits = Limits()
    """Bounds on what a client may send."""
    drain: Drain = Drain()
    """What happens on SIGTERM."""

    @model_validator(mode="after")
    def _names(self) -> GatewaySettings:
        services = {service.name for service in self.services}
        routes = {route.name for route in self.routes}
        for route in self.routes:
            for target in route.targets:
                if target.service not in services:
                    raise ValueError(
                        f"routes: {route.name} leads to {target.service}, which is not in services"
                    )
            if route.cache is not None and route.cache.kind == "given":
                raise ValueError(
                    f"routes: {route.name}: a real cache has no given hit ratio (kinds: ttl, lru)"
                )
            if route.cache is not None and self.redis is None:
                raise ValueError(f"routes: {route.name} has a cache: expected redis")
        for each in self.classes:
            if each.route not in routes:
                raise ValueError(f"classes: {each.name} is on {each.route}, which is not in routes")
        return self

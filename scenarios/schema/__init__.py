"""The typed scenario document, one file a section. `Scenario` is the whole."""

from scenarios.schema.document import API_VERSION, Scenario, Slo
from scenarios.schema.fleet import Batching, BatchLatency, Breaker, Model, Noise, Pool, Schedule, Service
from scenarios.schema.routes import Cache, RateLimit, Route, Target
from scenarios.schema.traffic import Arrivals, Keys, RequestClass, Retries

__all__ = [
    "API_VERSION", "Arrivals", "BatchLatency", "Batching", "Breaker", "Cache", "Keys", "Model", "Noise",
    "Pool", "RateLimit", "RequestClass", "Retries", "Route", "Scenario", "Schedule", "Service", "Slo", "Target",
]  # fmt: skip

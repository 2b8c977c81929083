"""Who sends what, when: arrival streams, request classes and the clients behind them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from scenarios.schema.base import Count, CountDistribution, Delay, Name, Named, Section
from scenarios.units import Bytes, Duration, Fraction, Rate


class Diurnal(Section):
    """A daily sine wave with mean 1."""

    peak_to_trough: float = Field(ge=1)
    """Rate at the peak divided by the rate at the trough."""
    peak_at: Duration
    """Time of day of the peak, from midnight UTC."""


class Spike(Section):
    """A trapezoid: rises, holds, falls back."""

    at: Duration
    """When the rise begins, from the start of the run."""
    times: float = Field(ge=0)
    """Factor while it holds: 10 for ten times the traffic, 0 for silence."""
    rise: Duration = 0.0
    """How long the rise takes."""
    hold: Duration
    """How long it stays at the top."""
    fall: Duration = 0.0
    """How long the fall takes."""
    every: Duration | None = None
    """Repeat with this period."""


class Ramp(Section):
    """A straight line from 1 to `times`, and level after that."""

    start: Duration
    """When it begins to move."""
    end: Duration
    """When it has arrived."""
    times: float = Field(ge=0)
    """Factor at the end."""


class RateShape(Section):
    """One factor of the rate over time; the factors of a list are multiplied. Exactly one key."""

    diurnal: Diurnal | None = None
    """A daily sine wave."""
    hourly: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=24, max_length=24)] | None = None
    """24 factors, one for each hour of the day (UTC)."""
    weekly: Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=7, max_length=7)] | None = None
    """7 factors, Monday first."""
    spike: Spike | None = None
    """A burst or a silence."""
    ramp: Ramp | None = None
    """Growth or decline."""

    @model_validator(mode="after")
    def _exactly_one(self) -> RateShape:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"expected exactly one of {', '.join(type(self).model_fields)}")
        return self


class MmppState(Section):
    """One state of a Markov-modulated Poisson process."""

    times: float = Field(ge=0)
    """Factor of the rate while in this state."""
    mean_duration: Duration
    """Mean of the exponential time spent in it; the next state is the next of the list."""


class Process(Section):
    """How arrivals scatter around the rate. Exactly one key."""

    poisson: bool | None = None
    """Independent arrivals: the usual case."""
    regular: bool | None = None
    """Evenly spaced arrivals."""
    gamma_cv: float | None = Field(default=None, gt=0, le=20)
    """Gamma-distributed gaps with this coefficient of variation: above 1 bursty, below 1 smooth."""
    mmpp: Annotated[list[MmppState], Field(min_length=2, max_length=16)] | None = None
    """Poisson arrivals whose rate jumps between states, cyclically."""
    poisson_ms: float | None = Field(default=None, gt=0)
    """Gaps that are Poisson-distributed whole milliseconds with this mean (the Ribbon data set's workload);
    the stream's `rate` is then not given."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Process:
        given = [name for name in type(self).model_fields if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of {', '.join(type(self).model_fields)}")
        return self


def _bare_process(value: object) -> object:
    return {value: True} if isinstance(value, str) else value


class TraceReplay(Section):
    """Traffic from a file made by `baseload import` (or a CSV with the same columns)."""

    file: str
    """Path, relative to the scenario file; ${NAME} is an environment variable."""
    scale: float = Field(default=1.0, gt=0)
    """Counts: multiply every count. Request rows: only 1 is possible."""
    offset: Duration = 0.0
    """Skip this much of the beginning."""
    spread: Literal["exact", "poisson"] = "exact"
    """Counts: exactly that many requests, scattered evenly within each interval; or Poisson with that mean."""


class ClosedUsers(Section):
    """A fixed number of users, each with at most one request outstanding."""

    count: int = Field(ge=1, le=1_000_000)
    """How many users."""
    think_time: Delay
    """From the final outcome of one request to the next; a user's first request comes after one think time."""


class Arrivals(Named):
    """One stream of first sends: exactly one of `rate`, `process.poisson_ms`, `trace` and `users`."""

    rate: Rate | None = None
    """Base rate, before the shape's factors."""
    shape: list[RateShape] = []
    """Factors over time, multiplied together."""
    shape_step: Duration = 60.0
    """The shaped rate is held constant over steps of this length (its value at the middle of the step)."""
    process: Annotated[Process, BeforeValidator(_bare_process)] = Process(poisson=True)
    """How arrivals scatter around the rate: `poisson`, `regular`, or a mapping."""
    trace: TraceReplay | None = None
    """Replay a trace."""
    users: ClosedUsers | None = None
    """Closed-loop users."""

    @model_validator(mode="after")
    def _one_source(self) -> Arrivals:
        given = [name for name in ("rate", "trace", "users") if getattr(self, name) is not None]
        if self.process.poisson_ms is not None:
            given.append("process.poisson_ms")
        if len(given) != 1:
            raise ValueError(
                f"expected exactly one of rate, process.poisson_ms, trace, users; got {given or 'none of them'}"
            )
        if self.shape and self.rate is None:
            raise ValueError("a shape needs a base rate")
        if self.shape_step <= 0:
            raise ValueError("shape_step: expected more than 0")
        return self


class RetryBudget(Section):
    """At most this share of extra load from retries (a token bucket, as in Finagle and Envoy)."""

    ratio: Fraction
    """Tokens earned by each first attempt; a retry costs one token."""
    burst: int = Field(default=10, ge=1)
    """Most tokens that can be saved up; the bucket starts full."""


class Retries(Section):
    """What a client does when an attempt fails."""

    max: int = Field(ge=0, le=15)
    """Most attempts after the first."""
    backoff: Duration
    """Wait before the first retry."""
    multiplier: float = Field(default=2.0, ge=1, le=10)
    """Each further wait is this many times longer."""
    max_backoff: Duration = 60.0
    """Longest wait."""
    jitter: Literal["none", "equal", "full"] = "full"
    """none: exactly the wait; equal: half to once the wait; full: nothing to once the wait."""
    budget: RetryBudget | None = None
    """One bucket for all clients of the class."""


class Drift(Section):
    """Popularity that moves: the ranks rotate over the keys."""

    every: Duration
    """How often."""
    by: int = Field(ge=1)
    """By how many keys each time."""


class Keys(Section):
    """What is asked for: the response cache and coalescing work on these keys."""

    count: int = Field(ge=1, le=100_000_000)
    """Number of different keys."""
    zipf: float = Field(default=0.0, ge=0, le=5)
    """Popularity of the n-th key is proportional to 1 / n**zipf; 0 is uniform."""
    drift: Drift | None = None
    """Popularity moves over time."""


class Difficulty(Section):
    """Difficulty of a request from 0 (trivial) to 1: a Beta distribution; by default uniform."""

    alpha: float = Field(default=1.0, gt=0, le=1000)
    """First parameter."""
    beta: float = Field(default=1.0, gt=0, le=1000)
    """Second parameter."""


class RequestClass(Named):
    """A kind of request: the SLO, the cost per prediction and most counters are by class."""

    arrivals: Name
    """The stream it is a share of."""
    share: Fraction = 1.0
    """Share of that stream; the shares of one stream add up to 100 %."""
    route: Name
    """The gateway route that takes it."""
    timeout: Duration | None = None
    """The client gives an attempt up after this; none: it waits for ever."""
    retries: Retries | None = None
    """None: a failed attempt is a failed request."""
    keys: Keys | None = None
    """None: every request asks for something new."""
    items: Count = CountDistribution(constant=1)
    """Size in model items (rows, images, texts), which is what a batch counts."""
    difficulty: Difficulty = Difficulty()
    """How hard its requests are: routes send the easy ones to a cheaper tier."""
    priority: int = Field(default=0, ge=0, le=7)
    """Higher is served first, and shed last."""
    request_size: Bytes = 0
    """Payload on the way in."""
    response_size: Bytes = 0
    """Payload on the way out."""
    prompt_tokens: Count | None = None
    """LLM prompt tokens (needs LLM batching)."""
    output_tokens: Count | None = None
    """LLM output tokens (needs LLM batching)."""

"""Who sends what, when: arrival streams, request classes and the clients behind them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from scenarios.schema.base import (
    MAX_FACTOR,
    Count,
    CountDistribution,
    Delay,
    Name,
    Named,
    PositiveInt,
    Section,
)
from scenarios.units import Bytes, Duration, Fraction, PositiveDuration, Rate, Ratio


class Diurnal(Section):
    """A daily sine wave with mean 1."""

    peak_to_trough: float = Field(ge=1, le=MAX_FACTOR)
    """Rate at the peak divided by the rate at the trough."""
    peak_at: Duration
    """Time of day of the peak, from midnight UTC."""


class Spike(Section):
    """A trapezoid: rises, holds, falls back."""

    at: Duration
    """When the rise begins, from the start of the run."""
    times: float = Field(ge=0, le=MAX_FACTOR)
    """Factor while it holds: 10 for ten times the traffic, 0 for silence."""
    rise: Duration = 0.0
    """How long the rise takes."""
    hold: Duration
    """How long it stays at the top."""
    fall: Duration = 0.0
    """How long the fall takes."""
    every: PositiveDuration | None = None
    """Repeat with this period."""


class Ramp(Section):
    """A straight line from 1 to `times`, and level after that."""

    start: Duration
    """When it begins to move."""
    end: Duration
    """When it has arrived."""
    times: float = Field(ge=0, le=MAX_FACTOR)
    """Factor at the end."""


Factor = Annotated[float, Field(ge=0, le=MAX_FACTOR)]


class RateShape(Section):
    """One factor of the rate over time; the factors of a list are multiplied. Exactly one key."""

    choices = frozenset({"diurnal", "hourly", "weekly", "spike", "ramp"})

    diurnal: Diurnal | None = None
    """A daily sine wave, by the clock (UTC), whenever the run starts."""
    hourly: Annotated[list[Factor], Field(min_length=24, max_length=24)] | None = None
    """24 factors, one for each hour of the day (UTC), whenever the run starts."""
    weekly: Annotated[list[Factor], Field(min_length=7, max_length=7)] | None = None
    """7 factors, Monday first; days begin at midnight UTC."""
    spike: Spike | None = None
    """A burst or a silence."""
    ramp: Ramp | None = None
    """Growth or decline."""

    @model_validator(mode="after")
    def _exactly_one(self) -> RateShape:
        self.require_one_choice()
        return self


class MmppState(Section):
    """One state of a Markov-modulated Poisson process."""

    times: float = Field(ge=0, le=MAX_FACTOR)
    """Factor of the rate while in this state."""
    mean_duration: PositiveDuration
    """Mean of the exponential time spent in it; the next state is the next of the list."""


class Process(Section):
    """How arrivals scatter around the rate. Exactly one key."""

    choices = frozenset({"poisson", "regular", "gamma_cv", "mmpp", "poisson_ms"})

    poisson: Literal[True] | None = None
    """Independent arrivals: the usual case."""
    regular: Literal[True] | None = None
    """Evenly spaced arrivals."""
    gamma_cv: Annotated[Ratio, Field(gt=0, le=20)] | None = None
    """Gamma-distributed gaps with this coefficient of variation: above 1 bursty, below 1 smooth."""
    mmpp: Annotated[list[MmppState], Field(min_length=2, max_length=16)] | None = None
    """Poisson arrivals whose rate jumps between states, cyclically."""
    poisson_ms: float | None = Field(default=None, gt=0, le=MAX_FACTOR)
    """Gaps that are Poisson-distributed whole milliseconds with this mean (the Ribbon data set's workload);
    the stream's `rate` is then not given."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Process:
        self.require_one_choice()
        return self


def _bare_process(value: object) -> object:
    if isinstance(value, str) and value in ("poisson", "regular"):
        return {value: True}
    if isinstance(value, (dict, Process)):
        return value
    raise ValueError("expected poisson, regular, or a mapping such as {gamma_cv: 2}")


class TraceReplay(Section):
    """Traffic from a file made by `baseload import` (or a CSV with the same columns)."""

    file: str
    """Path, relative to the scenario file; ${NAME} is an environment variable."""
    scale: float = Field(default=1.0, gt=0, le=MAX_FACTOR)
    """Counts: multiply every count. Request rows: only 1 is possible."""
    offset: Duration = 0.0
    """Skip this much of the beginning."""
    spread: Literal["exact", "poisson"] = "exact"
    """Counts: exactly that many requests, scattered evenly within each interval; or Poisson with that
    mean."""


class ClosedUsers(Section):
    """A fixed number of users, each with at most one request outstanding."""

    count: int = Field(ge=1, le=1_000_000)
    """How many users."""
    think_time: Delay
    """From the final outcome of one request to the next; a user's first request comes after one think
    time."""


class Arrivals(Named):
    """One stream of first sends: exactly one of `rate`, `process.poisson_ms`, `trace` and `users`."""

    choices = frozenset({"rate", "trace", "users"})

    rate: Rate | None = None
    """Base rate, before the shape's factors."""
    shape: list[RateShape] = []
    """Factors over time, multiplied together."""
    shape_step: PositiveDuration = 60.0
    """The shaped rate is held constant over steps of this length (its value at the middle of the step)."""
    process: Annotated[Process, BeforeValidator(_bare_process)] = Process(poisson=True)
    """How arrivals scatter around the rate: `poisson`, `regular`, or a mapping."""
    trace: TraceReplay | None = None
    """Replay a trace."""
    users: ClosedUsers | None = None
    """Closed-loop users."""

    @model_validator(mode="after")
    def _one_source(self) -> Arrivals:
        given = self.chosen()
        if self.process.poisson_ms is not None:
            given.append("process.poisson_ms")
        if len(given) != 1:
            raise ValueError(
                f"expected exactly one of rate, process.poisson_ms, trace, users; "
                f"got {' and '.join(given) or 'none of them'}"
            )
        if self.shape and self.rate is None:
            raise ValueError("a shape needs a base rate")
        return self


class RetryBudget(Section):
    """At most this share of extra load from retries (a token bucket, as in Finagle and Envoy)."""

    ratio: Fraction
    """Tokens earned by each first attempt; a retry costs one token."""
    burst: PositiveInt = 10
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

    every: PositiveDuration
    """How often."""
    by: PositiveInt
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
    timeout: PositiveDuration | None = None
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

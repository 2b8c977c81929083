"""What serves: models and their measured latencies, pools of instances, services on pools."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from scenarios.schema.base import Delay, DurationDistribution, Name, Named, PositiveInt, Section
from scenarios.units import Bytes, Duration, Fraction, PositiveDuration, Ratio, nanoseconds

MAX_REPLICAS_PER_INSTANCE = 64
"""A bound against slips of the pen; the engines have none."""
MAX_POOL_SIZE = 100_000
"""Most instances of a pool."""


class Noise(Section):
    """Spread of the service time around its mean: a factor with mean 1. At most one key."""

    choices = frozenset({"lognormal_cv", "exponential", "gamma_cv"})

    lognormal_cv: Annotated[Ratio, Field(gt=0, le=10)] | None = None
    """Lognormal factor with this coefficient of variation."""
    exponential: bool = False
    """Exponential factor: for checks against queueing theory."""
    gamma_cv: Annotated[Ratio, Field(gt=0, le=10)] | None = None
    """Gamma factor with this coefficient of variation."""

    @model_validator(mode="after")
    def _at_most_one(self) -> Noise:
        if sum((self.lognormal_cv is not None, self.exponential, self.gamma_cv is not None)) > 1:
            raise ValueError("expected at most one of lognormal_cv, exponential, gamma_cv")
        return self


class LatencySamples(Section):
    """Measured latencies per batch size in a CSV file: one row a batch size, many values in one column."""

    file: str
    """Path, relative to the scenario file; ${NAME} is an environment variable."""
    where: dict[str, str] = {}
    """Only the rows whose columns have these values."""
    batch: str = "batch"
    """Column with the batch size, in items."""
    latencies: str = "latencies_ms"
    """Column with the measured values, separated by spaces."""
    unit: Literal["s", "ms", "us"] = "ms"
    """Unit of the values."""


TableRow = Annotated[tuple[PositiveInt, Duration], Field(strict=False)]
"""[items, latency]."""


class BatchLatency(Section):
    """How long one batch takes, by its number of items: exactly one of per_item, table and samples."""

    choices = frozenset({"per_item", "table", "samples"})

    fixed: Duration = 0.0
    """With per_item: a of a + b·n."""
    per_item: Duration | None = None
    """b of a + b·n."""
    table: Annotated[list[TableRow], Field(min_length=1)] | None = None
    """[[items, latency], …] as measured, ascending."""
    samples: LatencySamples | None = None
    """Measured values with their spread: a batch takes one of them at random."""
    between: Literal["interpolate", "ceil"] = "interpolate"
    """Between measured sizes: on the straight line, or the next larger measured size. Below the smallest:
    that."""
    noise: Noise = Noise()
    """Spread around per_item or table."""

    @model_validator(mode="after")
    def _exactly_one(self) -> BatchLatency:
        self.require_one_choice()
        if self.table is not None:
            sizes = [size for size, _ in self.table]
            if sizes != sorted(set(sizes)):
                raise ValueError("table: expected ascending batch sizes, each once")
            if min(latency for _, latency in self.table) <= 0:
                raise ValueError("table: expected latencies above 0")
        if self.per_item is not None and self.fixed + self.per_item <= 0:
            raise ValueError("expected fixed + per_item above 0")
        return self


class Profile(Section):
    """Latency of a model on some instance types."""

    instance_types: list[str] = Field(min_length=1)
    """Catalogue names; "*" is every type that no other profile names."""
    latency: BatchLatency
    """By batch size."""


class Model(Named):
    """A trained model and what is known of it."""

    accuracy: Fraction | None = None
    """Share of right answers, as its owners state it."""
    memory: Bytes | None = None
    """Working set of one replica."""
    accelerator_share: float = Field(default=1.0, gt=0, le=1)
    """Part of one accelerator that a replica takes: 0.5 puts two on each."""
    profiles: list[Profile] = Field(min_length=1)
    """Measured latencies, by instance type."""
    load: Delay = DurationDistribution(constant=0.0)
    """From container start to weights in memory."""
    warm_up: Delay = DurationDistribution(constant=0.0)
    """From weights in memory to ready."""
    batching: Literal["dynamic", "continuous"] = "dynamic"
    """`continuous` (LLM decoding) is in the schema, and refused by this version's engine."""


class ScheduleStep(Section):
    """A size from a time on."""

    at: Duration
    """From the start of the run, or of each period."""
    size: int = Field(ge=0, le=MAX_POOL_SIZE)
    """Instances wanted from then on."""


class Schedule(Section):
    """Sizes over time, once or periodically."""

    steps: list[ScheduleStep] = Field(min_length=1)
    """Ascending times."""
    every: PositiveDuration | None = None
    """Repeat with this period."""

    @model_validator(mode="after")
    def _ascending(self) -> Schedule:
        times = [step.at for step in self.steps]
        if times != sorted(set(times)):
            raise ValueError("steps: expected ascending times, each once")
        if self.every is not None and self.every <= times[-1]:
            raise ValueError("every: expected a period longer than the last step's time")
        return self


class Startup(Section):
    """From asking for an instance to a container that starts; the model's own load and warm-up come after."""

    grant: Delay = DurationDistribution(constant=0.0)
    """From asking to the instance being there; billing starts here."""
    boot: Delay = DurationDistribution(constant=0.0)
    """Boot and join the cluster."""
    image_pull: Delay = DurationDistribution(constant=0.0)
    """Pull of the image."""


class Pool(Named):
    """Instances of one type, in one zone, bought in one way."""

    instance_type: str
    """Catalogue name, such as p3.2xlarge."""
    zone: str | None = None
    """Such as us-east-1a; none: any zone of the region."""
    capacity_type: Literal["on-demand", "spot", "reserved"] = "on-demand"
    """`reserved` is a capacity reservation, paid at the on-demand rate. Commitments are a ledger of their
    own."""
    size: int = Field(default=0, ge=0, le=MAX_POOL_SIZE)
    """Instances at the start, all of them ready."""
    schedule: Schedule | None = None
    """Changes of the size; a step at 0s replaces `size`."""
    startup: Startup = Startup()
    """How long a new instance takes."""

    @property
    def first_size(self) -> int:
        """Instances at the start: `size`, or what the schedule says for 0s."""
        steps = self.schedule.steps if self.schedule is not None else []
        return [self.size, *(step.size for step in steps if nanoseconds(step.at) == 0)][-1]


class Batching(Section):
    """Dynamic batching with the meaning of Triton's `dynamic_batching` (model configuration, "Dynamic
    Batcher")."""

    max_batch_size: int = Field(default=1, ge=1, le=4096)
    """Most items in a batch."""
    max_batch_requests: PositiveInt | None = None
    """Most requests in a batch; none: only items count."""
    max_queue_delay: Duration = 0.0
    """How long the oldest request waits for a fuller batch."""
    preferred_batch_sizes: list[PositiveInt] = []
    """Sizes that are sent at once when they can be formed."""
    max_queue_size: PositiveInt | None = None
    """Most requests waiting in one queue; further ones are rejected. None: unbounded."""
    drop_expired: bool = False
    """Leave out requests whose client has given up when a batch is formed."""

    @model_validator(mode="after")
    def _preferred_fit(self) -> Batching:
        if any(size > self.max_batch_size for size in self.preferred_batch_sizes):
            raise ValueError("preferred_batch_sizes: expected sizes up to max_batch_size")
        return self


class Breaker(Section):
    """A circuit breaker before a service: opens on errors or slowness, then probes."""

    error_rate: Fraction | None = None
    """Opens when more than this share of the last `window` attempts failed."""
    window: int = Field(default=100, ge=1, le=100_000)
    """Attempts the error rate is taken over; it does not open on fewer."""
    slow_latency: PositiveDuration | None = None
    """Opens after `slow_consecutive` answers in a row slower than this."""
    slow_consecutive: PositiveInt = 10
    """See slow_latency."""
    open_for: Duration = 30.0
    """Time open; then half-open."""
    half_open_probes: int = Field(default=1, ge=1, le=1000)
    """Attempts let through half-open; all must succeed to close it, one failure opens it again."""

    @model_validator(mode="after")
    def _some_rule(self) -> Breaker:
        if self.error_rate is None and self.slow_latency is None:
            raise ValueError("expected error_rate, slow_latency or both")
        return self


class Service(Named):
    """A model served by replicas on one or more pools."""

    model: Name
    """The model."""
    pools: list[Name] = Field(min_length=1)
    """Where its replicas run; with a shared queue, the order in which free replicas are taken."""
    replicas_per_instance: int | None = Field(default=None, ge=1, le=MAX_REPLICAS_PER_INSTANCE)
    """None: accelerators of the instance / accelerator_share, at least 1."""
    instances_per_replica: int = Field(default=1, ge=1, le=64)
    """Batches a replica runs side by side (Triton's instance_group count)."""
    batching: Batching = Batching()
    """How requests become batches."""
    queue: Literal["per-replica", "shared"] = "per-replica"
    """One queue before each replica, or one before all of them (first free replica in listed order)."""
    balancing: Literal["round-robin", "random", "power-of-two", "least-outstanding"] = "power-of-two"
    """Which replica's queue a request joins."""
    breaker: Breaker | None = None
    """None: no breaker."""

"""Dynamic batching: how many of the waiting requests make the next batch, or whether to wait for more.

The rule is Triton's (triton-inference-server/core, `DynamicBatchScheduler::GetDynamicBatch`): a preferred size is sent
as soon as it can be formed, a batch that can't grow is sent at once, and any batch is sent when its oldest request
has waited for the delay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from scenarios.units import nanoseconds

if TYPE_CHECKING:
    from scenarios.schema import Batching


class BatchingRule(Protocol):
    """The numbers of a service's rule."""

    @property
    def max_items(self) -> int:
        """Most items in a batch; a request that is larger makes a batch of its own."""

    @property
    def max_requests(self) -> int:
        """Most requests in a batch."""

    @property
    def delay_ns(self) -> int:
        """How long the oldest request waits for a fuller batch."""

    @property
    def preferred(self) -> tuple[int, ...]:
        """Preferred sizes in items, ascending; empty: none."""


@dataclass(frozen=True)
class BatchingNumbers:
    """A `BatchingRule` by itself."""

    max_items: int
    max_requests: int
    delay_ns: int
    preferred: tuple[int, ...]


def batching_numbers(batching: Batching) -> BatchingNumbers:
    """Return the rule that a scenario's `batching` section means."""
    most = batching.max_batch_size
    return BatchingNumbers(
        max_items=most,
        max_requests=min(batching.max_batch_requests or most, most),
        delay_ns=nanoseconds(batching.max_queue_delay),
        preferred=tuple(sorted(set(batching.preferred_batch_sizes))),
    )


class Gathering:
    """One walk over a queue from its front: offer it one request after the other, then ask for the size."""

    def __init__(self, rule: BatchingRule) -> None:
        self.rule = rule
        self.largest_preferred = rule.preferred[-1] if rule.preferred else rule.max_items
        self.requests = 0
        self.items = 0
        self.best = 0
        """Requests that make the largest preferred size so far, or all before the one that went beyond them."""
        self.full = False
        self.kind: object = None
        """What the requests of the batch have in common."""

    def take(self, items: int, kind: object = None) -> bool:
        """Add the next request of the queue; False: the batch is full without it, and the walk is over.

        Only requests of one `kind` share a batch: a real queue tells them apart by the shapes of their tensors.
        """
        grown = self.items + items
        if self.requests:
            if self.best == 0 and grown > self.largest_preferred:
                self.best = self.requests
            if grown > self.rule.max_items or self.requests == self.rule.max_requests or kind != self.kind:
                self.full = True
                return False
        else:
            self.kind = kind
        self.requests += 1
        self.items = grown
        if grown in self.rule.preferred:
            self.best = self.requests
        return True

    def size(self, oldest_waited_ns: int) -> int:
        """How many requests from the queue's front make a batch now; 0: wait for more.

        `oldest_waited_ns` is how long the oldest request of the whole queue has waited.
        """
        rule = self.rule
        exceeded = rule.delay_ns > 0 and oldest_waited_ns >= rule.delay_ns
        if self.best and not exceeded:
            return self.best
        at_once = (
            self.full
            or self.items >= self.largest_preferred
            or self.requests == rule.max_requests
            or exceeded
            or rule.delay_ns == 0
        )
        return self.requests if at_once else 0

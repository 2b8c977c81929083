"""What the metrics of both servers share: Prometheus' conventions, and buckets that are the simulator's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from prometheus_client import disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from simulator.results.histogram import lower_edges_ns

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

# A `_created` series beside each would be twice the series, and no query asks for them.
disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus-client leaves this one without types
_WANTED_MS = (1, 2, 3, 5, 7.5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1_000, 2_000, 5_000)


def _edges_s() -> tuple[float, ...]:
    edges = lower_edges_ns()
    return tuple(int(edges[np.abs(edges - wanted * 1e6).argmin()]) / 1e9 for wanted in _WANTED_MS)


LATENCY_BUCKETS_S = _edges_s()
"""Upper edges of the latency histograms, 19 and infinity: each the edge of the simulator's histogram that is nearest to
a round number (at most 0.8 % from it), so that counts of the two can be compared without interpolation."""

CONTENT_TYPE = (b"content-type", CONTENT_TYPE_PLAIN_0_0_4.encode())


def exposed(registry: CollectorRegistry) -> bytes:
    """Return what a scrape is given."""
    return generate_latest(registry)

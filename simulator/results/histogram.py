"""Log-linear latency buckets: the same edges in the simulator, the load generator and Prometheus metrics.

A latency in whole nanoseconds falls into a bucket by its leading bits, like HdrHistogram (G. Tene,
https://hdrhistogram.github.io/HdrHistogram/): `BUCKETS_PER_OCTAVE` equal buckets between one power of two
and the next, so that the error of a value read back is at most 1/64 = 1.6 %, and 0.8 % at the middle of a
bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

BUCKET_BITS = 6
BUCKETS_PER_OCTAVE = 1 << BUCKET_BITS
SCHEME = f"log-linear-{BUCKETS_PER_OCTAVE}-per-octave-ns"
"""Id of the buckets, written beside every histogram."""
SMALLEST_EXPONENT = 10
"""Latencies below 2**10 ns (1 µs) share bucket 0."""
LARGEST_EXPONENT = 46
"""Latencies of 2**46 ns (19.5 h) and more share the last bucket."""
BUCKETS = (LARGEST_EXPONENT - SMALLEST_EXPONENT) * BUCKETS_PER_OCTAVE + 2


def lower_edges_ns() -> NDArray[np.int64]:
    """Lower edge of every bucket in ns, shape (BUCKETS,): bucket b holds edges[b] <= x < edges[b+1]."""
    import numpy as np  # this module is imported where numpy may not be needed

    index = np.arange(BUCKETS - 1, dtype=np.int64)
    octave, step = index // BUCKETS_PER_OCTAVE + SMALLEST_EXPONENT, index % BUCKETS_PER_OCTAVE
    edges = (BUCKETS_PER_OCTAVE + step) << (octave - BUCKET_BITS)
    return np.concatenate(([np.int64(0)], edges))


def percentiles_ns(counts: NDArray[np.int64], levels: Sequence[float]) -> list[float | None]:
    """Latencies in nanoseconds below which each of `levels` (0 < level <= 1) of the counted values lie.

    Straight lines inside a bucket, so that the answer is at most one bucket (1.6 %) from the exact one. The
    last bucket has no upper edge: its lower edge is given. None everywhere if nothing was counted.
    """
    import numpy as np

    below = np.cumsum(counts)
    total = int(below[-1])
    if total == 0:
        return [None] * len(levels)
    edges = lower_edges_ns()
    answers: list[float | None] = []
    for level in levels:
        wanted = level * total
        bucket = min(int(np.searchsorted(below, wanted, side="left")), len(edges) - 1)
        if bucket == len(edges) - 1:
            answers.append(float(edges[bucket]))
            continue
        inside = int(counts[bucket])
        share = (wanted - (int(below[bucket]) - inside)) / inside
        answers.append(float(edges[bucket] + share * (edges[bucket + 1] - edges[bucket])))
    return answers

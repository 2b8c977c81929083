"""Log-linear latency buckets: the same edges in the simulator, the load generator and Prometheus metrics.

A latency in whole nanoseconds falls into a bucket by its leading bits, like HdrHistogram (G. Tene,
https://hdrhistogram.github.io/HdrHistogram/): `BUCKETS_PER_OCTAVE` equal buckets between one power of two and the
next, so that the error of a value read back is at most 1/64 = 1.6 %, and 0.8 % at the middle of a bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    """Lower edge of every bucket in nanoseconds, shape (BUCKETS,): bucket b holds edges[b] <= x < edges[b+1]."""
    import numpy as np  # noqa: PLC0415 - this module is imported where numpy may not be needed

    index = np.arange(BUCKETS - 1, dtype=np.int64)
    octave, step = index // BUCKETS_PER_OCTAVE + SMALLEST_EXPONENT, index % BUCKETS_PER_OCTAVE
    edges = (BUCKETS_PER_OCTAVE + step) << (octave - BUCKET_BITS)
    return np.concatenate(([np.int64(0)], edges))

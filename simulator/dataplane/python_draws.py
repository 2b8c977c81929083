"""The draws that Python code makes (the reference engine, the resolution of traffic): compiled, the kernels' own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from numba import uint64

from simulator.dataplane.compiled import entry
from simulator.dataplane.draws import (
    aliased,
    below,
    delay_ns,
    exponential,
    fold,
    hashed,
    jittered,
    service_time_ns,
    unit,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@entry
def draw_exponential(seed: np.uint64, ident: int) -> float:
    """Exponential with mean 1, for Python code."""
    return float(exponential(hashed(seed, ident, 0)))


@entry
def draw_unit(seed: np.uint64, ident: int) -> float:
    """Uniform in [0, 1), for Python code."""
    return float(unit(hashed(seed, ident, 0)))


@entry
def draw_delay_ns(table: NDArray[np.float64], seed: np.uint64, ident: int, attempt: int) -> int:
    """`delay_ns` for Python code."""
    return int(delay_ns(table, 0, table.shape[0], seed, ident, attempt))


@entry
def draw_two_below(n: int, seed: np.uint64, ident: int, attempt: int) -> tuple[int, int]:
    """Two places of n, independently, for Python code."""
    h = hashed(seed, ident, attempt)
    return below(h, n), below(h << uint64(32), n)


@entry
def draw_alias(table: NDArray[np.uint64], seed: np.uint64, ident: int) -> int:
    """`aliased` for Python code."""
    return int(aliased(table, 0, table.shape[0], hashed(seed, ident, 0)))


@entry
def draw_wait_ns(kind: int, longest_ns: int, seed: np.uint64, ident: int, attempt: int) -> int:
    """`jittered` for Python code."""
    value: int = jittered(kind, longest_ns, hashed(seed, ident, attempt))
    return value


@entry
def draw_service_time_ns(
    offsets: NDArray[np.int64],
    samples: NDArray[np.int64],
    items: int,
    kind: int,
    parameter: float,
    seed: np.uint64,
    ident: int,
    index: int,
) -> int:
    """`service_time_ns` for Python code."""
    value: int = service_time_ns(offsets, 0, samples, 0, items, kind, parameter, seed, ident, index)
    return value


@entry
def draw_members(members: np.uint64, stream: int, ident: int, attempt: int) -> np.uint64:
    """Fold a request into the fingerprint of its batch, for Python code."""
    value: np.uint64 = fold(members, stream, ident, attempt)
    return value

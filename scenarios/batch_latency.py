"""How long batches take, by their number of items: measured tables, samples and lines, resolved to values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenarios.errors import InvalidInput
from scenarios.problems import Problem
from scenarios.samples import read_samples

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from scenarios.schema import BatchLatency

Measured = dict[int, "NDArray[np.float64]"]


def latencies_by_items(
    latency: BatchLatency, files: Mapping[str, Path], max_items: int, model: str, service: str
) -> list[NDArray[np.float64]]:
    """Return the values in seconds that a batch of 1, 2, … max_items takes, each as likely as the others of its size.

    `files` maps the `file:` of samples to its path; `model` and `service` are the places of the document that messages
    name. Noise is not in it. Raises InvalidInput where a file cannot be read, or does not reach up to max_items.
    """
    known = _measured(latency, files, model)
    sizes = list(known)
    if sizes and max_items > sizes[-1]:
        raise InvalidInput(
            f"{service}.batching.max_batch_size: got {max_items}: its profile is measured up to {sizes[-1]} items"
        )
    rows = []
    for items in range(1, max_items + 1):
        if not known:
            rows.append(np.array([latency.fixed + (latency.per_item or 0.0) * items]))
            continue
        above = next(size for size in sizes if size >= items)
        below = max((size for size in sizes if size <= items), default=above)
        if latency.between == "ceil" or above == below:
            rows.append(known[above])
        else:
            rows.append(_interpolated(known[below], known[above], (items - below) / (above - below)))
    return rows


def _measured(latency: BatchLatency, files: Mapping[str, Path], where: str) -> Measured:
    """Return the known latencies in seconds, ascending, by number of items (a + b·n counts as known everywhere)."""
    if latency.table is not None:
        return {items: np.array([seconds]) for items, seconds in latency.table}
    if latency.samples is None:
        return {}
    samples = read_samples(latency.samples, files[latency.samples.file])
    if isinstance(samples, Problem):
        raise InvalidInput(f"{where}: {samples}")
    return {items: np.array(seconds) for items, seconds in samples.items()}


def _interpolated(low: NDArray[np.float64], high: NDArray[np.float64], part: float) -> NDArray[np.float64]:
    """Quantile by quantile on the straight line between two measured sizes."""
    levels = (np.arange(max(len(low), len(high))) + 0.5) / max(len(low), len(high))
    low_quantiles = low[(levels * len(low)).astype(int)]
    high_quantiles = high[(levels * len(high)).astype(int)]
    between: NDArray[np.float64] = low_quantiles + part * (high_quantiles - low_quantiles)
    return between

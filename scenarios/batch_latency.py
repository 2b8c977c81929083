"""How long batches take, by their number of items: measured tables, samples and lines, resolved to values."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np

from scenarios.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from scenarios.schema import BatchLatency

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
Measured = dict[int, "NDArray[np.float64]"]


def latencies_by_items(
    latency: BatchLatency, files: Mapping[str, Path], max_items: int, model: str, service: str
) -> list[NDArray[np.float64]]:
    """Return the values in seconds that a batch of 1, 2, … max_items takes, each as likely as the others of its size.

    `files` maps the `file:` of samples to its path; `model` and `service` are the places of the document that messages
    name. Noise is not in it. Raises InvalidInput where the profile does not reach up to max_items.
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
    samples = latency.samples
    found: Measured = {}
    path = files[samples.file]
    with path.open(newline="") as text:
        rows = csv.DictReader(text)
        needed = {samples.batch, samples.latencies, *samples.where}
        missing = sorted(needed - set(rows.fieldnames or []))
        if missing:
            raise InvalidInput(
                f"{path}: no column {', '.join(missing)}; it has {', '.join(rows.fieldnames or [])}"
            )
        for number, row in enumerate(rows, start=2):
            if any(row[column] != value for column, value in samples.where.items()):
                continue
            try:
                values = np.sort(
                    [float(value) * _SECONDS[samples.unit] for value in row[samples.latencies].split()]
                )
                found[int(row[samples.batch])] = values
            except ValueError as error:
                raise InvalidInput(
                    f"{path}:{number}: {error}: expected a batch size and latencies in numbers"
                ) from None
            if not len(values) or values[0] <= 0:
                raise InvalidInput(f"{path}:{number}: expected latencies above 0")
    if not found:
        raise InvalidInput(f"{where}: {path}: no row with {samples.where}")
    return dict(sorted(found.items()))


def _interpolated(low: NDArray[np.float64], high: NDArray[np.float64], part: float) -> NDArray[np.float64]:
    """Quantile by quantile on the straight line between two measured sizes."""
    levels = (np.arange(max(len(low), len(high))) + 0.5) / max(len(low), len(high))
    low_quantiles = low[(levels * len(low)).astype(int)]
    high_quantiles = high[(levels * len(high)).astype(int)]
    between: NDArray[np.float64] = low_quantiles + part * (high_quantiles - low_quantiles)
    return between

"""A Prometheus query, asked of a live server or saved as JSON, becomes a trace of counts."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from scenarios.errors import InvalidInput
from scenarios.importers.interval_counts import CountOptions, Samples, to_counts
from scenarios.importers.report import ImportReport, summarise
from scenarios.traces.model import CountTrace, Float64s, Int64s, Repair

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from scenarios.importers.prometheus_server import RangeQuery

NANOSECONDS_PER_MS = 1_000_000
MATRIX = "the body of an answer of /api/v1/query_range, with resultType matrix"
LISTED_SERIES = 10

Labels: TypeAlias = tuple[tuple[str, str], ...]
Series: TypeAlias = tuple[Int64s, Float64s]
"""Times in milliseconds since 1970, ascending, and values (NaN where the server said NaN)."""


@dataclass(frozen=True)
class SeriesOptions:
    """How to make one trace of the series of a query."""

    sum_series: bool = False
    """Add up all series; otherwise more than one is an error."""
    counts: CountOptions = field(default_factory=lambda: CountOptions(value="rate", stamp="end"))
    """How to read the points: by default requests per second in the step that ends at the point."""


def import_json(path: Path, options: SeriesOptions) -> tuple[CountTrace, ImportReport]:
    """Read a file that holds one saved answer of /api/v1/query_range. Raises InvalidInput."""
    if not path.is_file():
        raise InvalidInput(f"{path}: no such file; expected {MATRIX}")
    try:
        body = json.loads(path.read_bytes())
    except ValueError as error:
        raise InvalidInput(f"{path}: not JSON ({error}); expected {MATRIX}") from error
    try:
        return import_matrices([_matrix(body)], options, path.name)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error}") from error


def import_matrices(
    matrices: Iterable[Any], options: SeriesOptions, source: str, asked: RangeQuery | None = None
) -> tuple[CountTrace, ImportReport]:
    """Make a trace of one or more matrix results, which are parts of one query's answer.

    With `asked`, the trace has that query's step and covers its whole range. Raises InvalidInput.
    """
    series = _stitch(matrices)
    if not series:
        raise InvalidInput(
            "the query gave no series in this range; try it in the server's expression browser"
        )
    repairs: tuple[Repair, ...] = ()
    if len(series) > 1 and not options.sum_series:
        listed = [_label_text(labels) for labels in list(series)[:LISTED_SERIES]]
        more = [f"… and {len(series) - LISTED_SERIES} more"] if len(series) > LISTED_SERIES else []
        raise InvalidInput(
            f"the query gave {len(series)} series, expected one: wrap it in sum(…), or add them up with --sum"
            + "".join(f"\n  {line}" for line in [*listed, *more])
        )
    time_ms, values = next(iter(series.values()))
    if len(series) > 1:
        time_ms, values, repairs = _sum(series)
    points = len(time_ms)
    if options.counts.stamp == "end":
        detail = "each point is taken to speak for the step that ends at it"
        repairs = (*repairs, Repair("stamp_assumed", 0, detail))
    samples = Samples(time_ms * NANOSECONDS_PER_MS, values, absolute=True, source=source, repairs=repairs)
    if asked is not None:
        extent = (asked.start_ms * NANOSECONDS_PER_MS, asked.end_ms * NANOSECONDS_PER_MS)
        samples = replace(samples, step_ns=asked.step_ms * NANOSECONDS_PER_MS, extent_ns=extent)
    trace = to_counts(samples, options.counts)
    return trace, summarise(trace, points)


def _sum(series: Mapping[Labels, Series]) -> tuple[Int64s, Float64s, tuple[Repair, ...]]:
    times = np.concatenate([time_ms for time_ms, _ in series.values()])
    values = np.concatenate([values for _, values in series.values()])
    unique, index = np.unique(times, return_inverse=True)
    has_value = np.isfinite(values)
    present = np.bincount(index[has_value], minlength=len(unique))
    total = np.bincount(index[has_value], weights=values[has_value], minlength=len(unique))
    repairs = [Repair("series_summed", len(series), f"{len(series)} series added up")]
    partial = int((present < len(series)).sum())
    if partial:
        detail = (
            f"at {partial:,} of {len(unique):,} points not every series has a value: the others are the sum"
        )
        repairs.append(Repair("series_missing", partial, detail))
    return unique, np.where(present > 0, total, np.nan), tuple(repairs)


def _stitch(matrices: Iterable[Any]) -> dict[Labels, Series]:
    """Join the parts of each series; a point that two parts hold counts once."""
    parts: dict[Labels, list[Series]] = {}
    for matrix in matrices:
        for labels, series in map(_one_series, matrix):
            parts.setdefault(labels, []).append(series)
    joined = {}
    for labels, pieces in parts.items():
        times, first = np.unique(np.concatenate([times for times, _ in pieces]), return_index=True)
        joined[labels] = times, np.concatenate([values for _, values in pieces])[first]
    return joined


def _one_series(result: Any) -> tuple[Labels, Series]:
    try:
        labels = tuple(sorted((str(name), str(value)) for name, value in result["metric"].items()))
        if "histograms" in result:
            raise InvalidInput(
                f"{_label_text(labels)} is a native histogram, expected numbers: histogram_count(…)"
            )
        points = result["values"]
        times = np.array([round(float(time) * 1000) for time, _ in points], np.int64)
        values = np.array([float(value) for _, value in points], np.float64)
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        text = json.dumps(result)[:200]
        raise InvalidInput(f"cannot read the series {text}; expected {MATRIX}") from error
    return labels, (times, values)


def _matrix(body: Any) -> Any:
    """The list of series of a saved answer."""
    if isinstance(body, dict) and body.get("status") == "error":
        raise InvalidInput(f"the saved answer is an error of the server: {body.get('error')}")
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict) or data.get("resultType") != "matrix":
        kind = data.get("resultType") if isinstance(data, dict) else None
        raise InvalidInput(f"got resultType {kind!r}, expected {MATRIX}")
    result = data.get("result")
    if not isinstance(result, list):
        raise InvalidInput(f"got a result of type {type(result).__name__}, expected {MATRIX}")
    return result


def _label_text(labels: Labels) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"

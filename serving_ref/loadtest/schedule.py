"""What the generator's process reads: the schedule (a `Demand`), and the settings that say how to send it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from pydantic import TypeAdapter

from scenarios.demand import Demand
from simulator.results.columns import numbers

if TYPE_CHECKING:
    from pathlib import Path

_WAIT = "retry_wait_{:02}_ns"


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input of the model, as the Open Inference Protocol describes it; the first dimension is the items."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    """-1: any length."""


@dataclass(frozen=True, slots=True)
class SentClass:
    """A class of requests and its clients, as the generator needs it."""

    name: str
    path: str
    """Of the URL that its requests are sent to."""
    timeout_ns: int | None
    max_retries: int
    budget_ratio: int
    """Millionths of a token that a first attempt earns; -1: no budget."""
    budget_cap: int
    """Millionths."""
    request_bytes: int
    """Payload, about."""
    inputs: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the generator's process is told beside the schedule."""

    host: str
    port: int
    tls: bool
    classes: tuple[SentClass, ...]
    streams: tuple[str, ...]
    services: tuple[str, ...]
    duration_ns: int
    drain_ns: int
    """How long answers are waited for after the end of the run."""
    max_in_flight: int
    connections: int
    """Opened before the run begins."""
    key_prefix: str
    """Before every key, so that each run meets a cold cache."""
    cpu: int | None
    """Core that the generator is pinned to."""


def write_schedule(path: Path, schedule: Demand) -> None:
    """Write the columns as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        field.name: numbers(getattr(schedule, field.name))
        for field in fields(schedule)
        if field.name != "retry_wait_ns"
    }
    for retry in range(schedule.retry_wait_ns.shape[1]):
        columns[_WAIT.format(retry + 1)] = numbers(schedule.retry_wait_ns[:, retry])
    pq.write_table(pa.table(columns), path, compression="zstd")


def read_schedule(path: Path) -> Demand:
    """Read what `write_schedule` wrote."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    waits = [columns.pop(name) for name in sorted(columns) if name.startswith("retry_wait_")]
    rows = len(columns["number"])
    retry_wait_ns = np.stack(waits, axis=1) if waits else np.zeros((rows, 0), np.int64)
    return Demand(**columns, retry_wait_ns=retry_wait_ns)


def write_settings(path: Path, settings: Settings) -> None:
    """Write the settings as JSON."""
    path.write_bytes(TypeAdapter(Settings).dump_json(settings, indent=1))


def read_settings(path: Path) -> Settings:
    """Read what `write_settings` wrote."""
    return TypeAdapter(Settings).validate_json(path.read_bytes())

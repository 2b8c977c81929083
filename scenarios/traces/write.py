"""Write a trace file: whole or not at all."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from scenarios.errors import EnvironmentProblem, InvalidInput
from scenarios.traces.model import DOCUMENT_COMMENT, METADATA_KEY, VERSION, CountTrace, Trace, iso_time
from scenarios.units import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt


def write_trace(trace: Trace, path: Path, *, overwrite: bool = False) -> None:
    """Write `trace` as Parquet, or as CSV where the name ends with .csv (for small traces that people read).

    The file appears under its name only when it is complete. Raises EnvironmentProblem where it exists
    already (unless `overwrite`) or cannot be written, InvalidInput for any other ending of the name.
    """
    check_output(path, overwrite=overwrite)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write = _write_csv if path.suffix == ".csv" else _write_parquet
        write(_table(trace), document(trace), partial)
        partial.replace(path)
    except OSError as error:
        raise EnvironmentProblem(f"{path}: cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Raise what `write_trace` would raise about the name: an import can then fail before its long part."""
    if path.suffix not in (".parquet", ".csv"):
        raise InvalidInput(f"{path}: expected a name that ends with .parquet or .csv")
    if path.is_dir():
        raise EnvironmentProblem(f"{path}: is a folder; expected the name of a file")
    if path.exists() and not overwrite:
        raise EnvironmentProblem(f"{path}: exists already; choose another name, or overwrite it with --force")
    if not path.parent.is_dir():
        raise EnvironmentProblem(f"{path}: there is no folder {path.parent}")


def document(trace: Trace) -> dict[str, Any]:
    """Make the JSON document that stands in the file beside the columns."""
    head: dict[str, Any] = {
        "kind": "counts" if isinstance(trace, CountTrace) else "requests",
        "version": VERSION,
        "start": None if trace.start_unix_ns is None else iso_time(trace.start_unix_ns),
    }
    if isinstance(trace, CountTrace):
        head["step_s"] = trace.step_s
    return head | {"source": trace.source, "repairs": [asdict(repair) for repair in trace.repairs]}


def _table(trace: Trace) -> pa.Table:

    if isinstance(trace, CountTrace):
        return pa.table({"count": _arrow(trace.count, pa.int64())})
    columns = {"time_ns": _arrow(trace.time_ns, pa.int64())}
    if trace.items is not None:
        columns["items"] = _arrow(trace.items, pa.int32())
    if trace.key is not None:
        columns["key"] = _arrow(trace.key, pa.int64())
    if trace.class_index is not None:
        columns["class"] = pa.DictionaryArray.from_arrays(
            _arrow(trace.class_index, pa.int32()), pa.array(trace.class_names, pa.string())
        )
    return pa.table(columns)


def _arrow(array: npt.NDArray[np.integer[Any]], to: pa.DataType) -> pa.Array:
    """Wrap, without a copy; pa.array(…) would import pandas on the way."""

    return pa.Array.from_buffers(to, len(array), [None, pa.py_buffer(np.ascontiguousarray(array))])


def _write_parquet(table: pa.Table, head: dict[str, Any], path: Path) -> None:

    # Times ascend and keys are hashes: delta coding halves the former, a dictionary helps neither.
    encodings = {name: "DELTA_BINARY_PACKED" for name in ("time_ns", "count") if name in table.column_names}
    pq.write_table(
        table.replace_schema_metadata({METADATA_KEY: json.dumps(head).encode()}),
        path,
        compression="zstd",
        use_dictionary=["class"],
        column_encoding=encodings,
    )


def _write_csv(table: pa.Table, head: dict[str, Any], path: Path) -> None:

    if head["kind"] == "counts":  # with its times, a person sees what each row covers
        step_ns = round(head["step_s"] * NANOSECONDS_PER_SECOND)
        times = np.arange(table.num_rows, dtype=np.int64) * step_ns
        table = table.add_column(0, "time_ns", _arrow(times, pa.int64()))
    if "class" in table.column_names:
        at = table.column_names.index("class")
        table = table.set_column(at, "class", table.column("class").cast(pa.string()))
    with path.open("wb") as file:
        file.write(DOCUMENT_COMMENT + b" " + json.dumps(head).encode() + b"\n")
        csv.write_csv(table, file)

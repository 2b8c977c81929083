"""Columns of a CSV or Parquet file as numpy arrays, with errors that name file, row, column and value."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import blake2b
from io import BufferedReader
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from scenarios.errors import EnvironmentProblem, InvalidInput
from scenarios.traces.model import DOCUMENT_COMMENT, METADATA_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy.typing as npt

    from scenarios.traces.model import Float64s, Int32s, Int64s

PARQUET_MAGIC = b"PAR1"
COMMENT = b"#"
DATA_NOT_NAME = re.compile(r"\s*([-+]?[0-9.]+([eE][-+]?\d+)?\s*$|\d{4}-\d\d-\d\d)")
"""A number or a date: a first column of that name is a first row without a header."""
MISSING = ["", "NA", "N/A", "null", "NULL", "None", "-"]
"""What stands for "no value" in a CSV ("NaN" is a number that says the same)."""


@dataclass(frozen=True)
class Columns:
    """The columns of one file. Rows are counted from 1, below the header."""

    path: Path
    names: tuple[str, ...]
    """All columns of the file, read or not."""
    table: pa.Table
    """The columns that were asked for."""
    document: dict[str, Any]
    """The `baseload` JSON document of the file; empty where there is none."""

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def bad_value(self, row: int, name: str, value: object, expected: str) -> InvalidInput:
        """Make the error for one value; `row` counts from 0."""
        where = f"{self.path}: row {row + 1}, column {name!r}"
        return InvalidInput(f"{where}: got {value!r}, expected {expected}")

    def raw(self, name: str) -> pa.ChunkedArray:
        """The column as stored; text is trimmed. Raises InvalidInput where there is no such column."""

        if self.names.count(name) != 1:
            problem = "no column" if name not in self.names else "more than one column"
            raise InvalidInput(f"{self.path}: {problem} {name!r}; the columns are {', '.join(self.names)}")
        column = self.table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return pc.utf8_trim_whitespace(column) if is_text(column) else column

    def numbers(self, name: str) -> Float64s:
        """The column as floats, NaN where there is no value. Raises InvalidInput at the first non-number."""

        column = self.cast(self.raw(name), pa.float64(), name, "a number")
        numbers: Float64s = as_numpy(column, float("nan"))
        return numbers

    def integers(self, name: str) -> Int64s:
        """The column as whole numbers; raises InvalidInput at the first that is missing or not whole."""

        column = self.raw(name)
        if column.null_count:
            raise self.bad_value(int(null_rows(column)[0]), name, None, "a whole number")
        try:
            exact: Int64s = as_numpy(column.cast(pa.int64()))
            return exact
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            numbers = self.numbers(name)  # "1e6" and "94.0" are whole numbers too
        with np.errstate(invalid="ignore"):
            wrong = ~((np.rint(numbers) == numbers) & (np.abs(numbers) < 2.0**63))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise self.bad_value(row, name, float(numbers[row]), "a whole number below 2**63")
        return numbers.astype(np.int64)

    def texts(self, name: str) -> tuple[Int32s, tuple[str, ...]]:
        """Each row's position in the list of different texts (-1: no value), and that list, by first use."""

        column = self.cast(self.raw(name), pa.string(), name, "text")
        encoded = pc.dictionary_encode(column).combine_chunks()
        index = as_numpy(encoded.indices, -1)
        return index.astype(np.int32), tuple(encoded.dictionary.to_pylist())

    def keys(self, name: str) -> tuple[Int64s, Int64s]:
        """Cache keys (integers as they are, else hashes), and the rows that have none: 0 stands there.

        Either the whole column is integers or the whole column is hashed.
        """

        column = self.raw(name)
        without = null_rows(column)
        try:
            integers: Int64s = as_numpy(column.cast(pa.int64()))
            return integers, without
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            index, texts = self.texts(name)
        hashes = np.fromiter((hash_key(text) for text in (*texts, "")), np.int64, len(texts) + 1)
        return np.where(index < 0, 0, hashes[index]), without

    def cast(self, column: pa.ChunkedArray, to: pa.DataType, name: str, expected: str) -> pa.ChunkedArray:
        """Convert a column; raises InvalidInput naming the first row that cannot be converted."""

        try:
            return column.cast(to)
        except pa.ArrowNotImplementedError as error:
            raise InvalidInput(
                f"{self.path}: column {name!r}: got values of type {column.type}, expected {expected}"
            ) from error
        except pa.ArrowInvalid as error:
            row = _first_that_fails(column, to)
            raise self.bad_value(row, name, column[row].as_py(), expected) from error


def open_columns(path: Path, wanted: Iterable[str] | None = None) -> Columns:
    """Open a CSV (plain or compressed, `#` lines on top skipped) or a Parquet file.

    `wanted` limits what is read to these columns (those that exist); None reads all. Raises InvalidInput
    where the file is absent or broken, EnvironmentProblem where the system refuses to read it.
    """

    if not path.is_file():
        raise InvalidInput(f"{path}: no such file; expected a CSV or Parquet file")
    try:
        with path.open("rb") as file:
            is_parquet = file.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
        reader = _read_parquet if is_parquet else _read_csv
        return reader(path, None if wanted is None else set(wanted))
    except pa.ArrowInvalid as error:
        raise InvalidInput(f"{path}: {error}") from error
    except OSError as error:
        raise EnvironmentProblem(f"{path}: cannot be read: {error}") from error


def hash_key(text: str) -> int:
    """A cache key from text: the first 63 bits of its BLAKE2b-64 digest, the same on every machine."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def as_numpy(column: pa.ChunkedArray | pa.Array, missing: float = 0) -> npt.NDArray[Any]:
    """A column of numbers, with `missing` where there is no value.

    Straight from Arrow's buffers, without a copy where the column is one piece: to_numpy and fill_null would
    import pandas on the way, half a second and 50 MB for nothing.
    """
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    dtype = np.dtype(whole.type.to_pandas_dtype())
    if len(whole) == 0:
        return np.empty(0, dtype)
    values = np.frombuffer(whole.buffers()[1], dtype, len(whole), whole.offset * dtype.itemsize)
    if whole.null_count:
        values = values.copy()
        values[null_rows(whole)] = missing
    return values


def null_rows(column: pa.ChunkedArray | pa.Array) -> Int64s:
    """Positions, from 0, of the rows without a value."""
    return np.flatnonzero(as_numpy(column.is_null().cast(pa.int8())))


def is_text(column: pa.ChunkedArray) -> bool:
    """Whether the values are strings."""

    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def _first_that_fails(column: pa.ChunkedArray, to: pa.DataType) -> int:
    """Bisect: a cast fails as a whole and does not say where."""

    low, high = 0, len(column)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            column[low:middle].cast(to)
            low = middle
        except pa.ArrowInvalid:
            high = middle
    return low


def _read_parquet(path: Path, wanted: set[str] | None) -> Columns:

    with pq.ParquetFile(path, memory_map=True) as file:
        names = file.schema_arrow.names
        table = file.read(columns=[name for name in names if wanted is None or name in wanted])
        document = (file.schema_arrow.metadata or {}).get(METADATA_KEY, b"{}")
    return Columns(path, tuple(names), table, _document(path, document))


def _read_csv(path: Path, wanted: set[str] | None) -> Columns:

    document, comments = b"{}", 0
    with BufferedReader(pa.input_stream(str(path))) as stream:
        for line in stream:
            if not line.removeprefix(b"\xef\xbb\xbf").startswith(COMMENT):
                break
            comments += 1
            if line.startswith(DOCUMENT_COMMENT):
                document = line.removeprefix(DOCUMENT_COMMENT)
    # Without threads the parser can say in which row it met a problem.
    reading = csv.ReadOptions(skip_rows=comments, use_threads=False)
    with csv.open_csv(str(path), read_options=reading) as header:
        names = header.schema.names
    if DATA_NOT_NAME.match(names[0]):
        raise InvalidInput(
            f"{path}: the first line reads {','.join(names)[:80]!r}, expected column names "
            "(lines on top that begin with # are comments)"
        )
    # Everything is read as text: a typed reader would stop at the first odd value without naming its row.
    converting = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=MISSING,
        strings_can_be_null=True,
        include_columns=[name for name in names if wanted is None or name in wanted] or names[:1],
    )
    table = csv.read_csv(str(path), read_options=reading, convert_options=converting)
    return Columns(path, tuple(names), table, _document(path, document))


def _document(path: Path, text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{path}: the `baseload` metadata is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidInput(f"{path}: the `baseload` metadata is {document!r}, expected a JSON object")
    return document

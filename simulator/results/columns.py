"""Arrow columns straight from memory.

`pyarrow.array` imports pandas as soon as it sees anything: half a second and 55 MB, which a run of a month,
with its 300 MB, has no use for. These builders hand buffers over instead, without a copy where there is
numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

DECIMAL = pa.decimal128(38, 9)
TIMESTAMP = pa.timestamp("us", tz="UTC")
_NUMPY_TYPES = {np.dtype(kind): arrow for kind, arrow in (
    (np.int16, pa.int16()), (np.int32, pa.int32()), (np.int64, pa.int64()), (np.float64, pa.float64()),
)}  # fmt: skip


def numbers(values: NDArray[np.generic], valid: NDArray[np.bool_] | None = None) -> pa.Array:
    """A column of numbers, null where `valid` is False."""
    data = np.ascontiguousarray(values)
    return pa.Array.from_buffers(_NUMPY_TYPES[data.dtype], len(data), [_bitmap(valid), pa.py_buffer(data)])


def times(microseconds: Sequence[int]) -> pa.Array:
    """A column of absolute times in UTC from microseconds since 1970."""
    data = np.asarray(microseconds, dtype=np.int64)
    return pa.Array.from_buffers(TIMESTAMP, len(data), [None, pa.py_buffer(data)])


def decimals(billionths: Sequence[int]) -> pa.Array:
    """A column of decimals with nine places from whole billionths."""
    data = b"".join(value.to_bytes(16, "little", signed=True) for value in billionths)
    return pa.Array.from_buffers(DECIMAL, len(billionths), [None, pa.py_buffer(data)])


def texts(values: Sequence[str | None]) -> pa.Array:
    """A column of strings, null where None."""
    encoded = [(value or "").encode() for value in values]
    lengths = np.fromiter(map(len, encoded), dtype=np.int32, count=len(encoded))
    return _strings(
        b"".join(encoded), lengths, np.array([value is not None for value in values], dtype=np.bool_)
    )


def categories(codes: NDArray[np.integer], names: Sequence[str]) -> pa.Array:
    """A column of few different strings, each row names[code]; fast where equal codes follow one another.

    Stored as plain strings (Parquet encodes them by dictionary anyway): from Arrow's own dictionary arrays
    its writer was seen to make other bytes about once in 200 files.
    """
    encoded = [name.encode() for name in names]
    lengths = np.array([len(name) for name in encoded], dtype=np.int32)
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    repeats = np.diff(starts, append=len(codes))
    data = b"".join(encoded[code] * times for code, times in zip(codes[starts], repeats, strict=True))
    return _strings(data, lengths[codes], None)


def _strings(data: bytes, lengths: NDArray[np.int32], valid: NDArray[np.bool_] | None) -> pa.Array:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    buffers = [_bitmap(valid), pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), len(lengths), buffers)


def _bitmap(valid: NDArray[np.bool_] | None) -> pa.Buffer | None:
    if valid is None or valid.all():
        return None
    return pa.py_buffer(np.packbits(valid, bitorder="little"))

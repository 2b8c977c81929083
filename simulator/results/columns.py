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
    offsets = np.zeros(len(values) + 1, dtype=np.int32)
    np.cumsum([len(each) for each in encoded], out=offsets[1:])
    valid = np.array([value is not None for value in values], dtype=np.bool_)
    buffers = [_bitmap(valid), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def categories(codes: NDArray[np.integer], names: Sequence[str]) -> pa.Array:
    """A column of few different strings: each row is names[code]."""
    indices = numbers(np.asarray(codes, dtype=np.int32))
    return pa.DictionaryArray.from_arrays(indices, texts(names))


def _bitmap(valid: NDArray[np.bool_] | None) -> pa.Buffer | None:
    if valid is None or valid.all():
        return None
    return pa.py_buffer(np.packbits(valid, bitorder="little"))

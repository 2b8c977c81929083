"""The kernel's memory for a run in plain Python: the same tables, every access within its table or an error."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from types import ModuleType

_C_TYPES = {
    "i1": ctypes.c_int8, "i2": ctypes.c_int16, "i4": ctypes.c_int32, "i8": ctypes.c_int64, "u1": ctypes.c_uint8,
    "u4": ctypes.c_uint32, "u8": ctypes.c_uint64, "f8": ctypes.c_double,
}  # fmt: skip
_structures: dict[np.dtype[Any], type[ctypes.Structure]] = {}


class Runaway(Exception):
    """The kernel goes on for ever."""


class _Record(ctypes.Structure):
    """A record in place: its fields are read as Python numbers, so that arithmetic has no width but Python's."""

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value.item() if isinstance(value, np.generic) else value)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self, name, value)


def _structure(dtype: np.dtype[Any]) -> type[ctypes.Structure]:
    """The ctypes twin of a record type, holes included."""
    if dtype not in _structures:
        fields: list[tuple[str, Any]] = []
        end = 0
        assert dtype.fields is not None
        for name, (kind, offset, *_) in sorted(dtype.fields.items(), key=lambda field: field[1][1]):
            if offset > end:
                fields.append((f"_hole{end}", ctypes.c_char * (offset - end)))
            fields.append((name, _C_TYPES[kind.str[1:]]))
            end = offset + kind.itemsize
        if dtype.itemsize > end:
            fields.append(("_rest", ctypes.c_char * (dtype.itemsize - end)))
        _structures[dtype] = type("Record", (_Record,), {"_pack_": 1, "_fields_": fields})
    return _structures[dtype]


class CheckedMemory:
    """What `record_at` and `array_at` are in a Python run: they know where tables begin and end."""

    def __init__(self) -> None:
        self.steps = 0
        self.most_steps = 1 << 60
        self._tables: dict[int, tuple[int, Any]] = {}
        """Address → (bytes, array)."""
        self._views: dict[tuple[int, np.dtype[Any]], Any] = {}
        self._nothing = 0
        """Address of all empty tables."""

    def forget(self, most_steps: int = 1 << 60) -> None:
        """Begin anew: the planes until now are not used any more."""
        self.steps, self.most_steps = 0, most_steps
        self._tables.clear()
        self._views.clear()

    def record_at(self, address: int, index: int, dtype: np.dtype[Any]) -> Any:
        """The index-th record of the table at an address."""
        self.steps += 1
        if self.steps > self.most_steps:
            raise Runaway(f"more than {self.most_steps} accesses")
        view = self._views.get((address, dtype))
        if view is None:
            start, size, _ = self._table(address)
            length = (start + size - address) // dtype.itemsize
            view = (_structure(dtype) * length).from_address(address)
            self._views[address, dtype] = view
        if not 0 <= index < view._length_:
            raise IndexError(f"record {index} of {view._length_}")
        return view[index]

    def array_at(self, address: int, n: int, dtype: Any) -> Any:
        """The n numbers at an address; no more than the table has."""
        start, _, array = self._table(address)
        flat = array.reshape(-1).view(np.ndarray).view(dtype)
        first = (address - start) // np.dtype(dtype).itemsize
        return flat[first : first + n]

    @staticmethod
    def prefetch(address: int) -> None:
        """Nothing to do: it is a hint."""

    def _table(self, address: int) -> tuple[int, int, Any]:
        if address == self._nothing:
            # Compiled code may look at (and not use) the first entry of an empty table, and finds zero there.
            return address, 8, np.zeros(8, np.int8)
        if address in self._tables:
            return (address, *self._tables[address])
        for start, (size, array) in self._tables.items():
            if start <= address < start + size:
                return start, size, array
        raise IndexError(f"no table at {address:#x}")

    def tables_class(self, memory: ModuleType) -> type[Any]:
        """`Tables` of a memory module, which tells this object what lies where."""
        checked = self
        self._nothing = memory._NOTHING.ctypes.data

        class CheckedTables(memory.Tables):
            def __init__(self) -> None:
                super().__init__()
                self.clock = _structure(memory.MEMORY)()
                self.memory = [self.clock]

            def place(self, **arrays: Any) -> None:
                for name in arrays:
                    checked._forget(self.memory[0][name])
                super().place(**arrays)
                for name in arrays:
                    array = self._arrays[name]
                    checked._forget(self.memory[0][name])
                    if array.size:
                        checked._tables[self.memory[0][name]] = (array.nbytes, array)

        return CheckedTables

    def _forget(self, address: int) -> None:
        size, _ = self._tables.pop(address, (1, None))
        for key in [key for key in self._views if address <= key[0] < address + size]:
            del self._views[key]

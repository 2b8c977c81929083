"""Tables of many sizes laid end to end in three arrays, so that compiled code takes three arguments for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Pool:
    """Collects tables; each `add_…` returns the place where the table begins."""

    def __init__(self) -> None:
        self._parts: dict[str, list[NDArray[Any]]] = {"i8": [], "f8": [], "u8": []}
        self._sizes = dict.fromkeys(self._parts, 0)

    def add_ints(self, values: Sequence[int] | NDArray[np.int64]) -> int:
        """Add whole numbers."""
        return self._add("i8", values)

    def add_floats(self, values: NDArray[np.float64]) -> int:
        """Add floating-point numbers."""
        return self._add("f8", values)

    def add_words(self, values: NDArray[np.uint64]) -> int:
        """Add unsigned words: seeds and alias tables."""
        return self._add("u8", values)

    def ints(self) -> NDArray[np.int64]:
        """All whole numbers."""
        return self._joined("i8")

    def floats(self) -> NDArray[np.float64]:
        """All floating-point numbers."""
        return self._joined("f8")

    def words(self) -> NDArray[np.uint64]:
        """All unsigned words."""
        return self._joined("u8")

    def _add(self, kind: str, values: Any) -> int:
        array = np.asarray(values, dtype=kind)
        place = self._sizes[kind]
        self._parts[kind].append(array)
        self._sizes[kind] += len(array)
        return place

    def _joined(self, kind: str) -> NDArray[Any]:
        # At least one entry: an empty array has no address that compiled code may look at.
        return np.concatenate([*self._parts[kind], np.zeros(1, kind)])

"""The kernel as plain Python: its own sources, with decorators that do nothing and memory that checks bounds.

A copy of the package is imported under another name, patched on the way if wanted: a seeded bug costs no compilation.
Draws stay compiled: they are the same functions for both engines, and their arithmetic is not what is tested here.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import struct
import sys
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import numba
import numpy as np

from simulator import dataplane
from simulator.dataplane import draws
from tests.simulator.exact.checked_memory import CheckedMemory

SOURCES = Path(str(dataplane.__file__)).parent
_WORD = (1 << 64) - 1
_SHARED = ("specification", "engine", "packing", "records", "distributions", "eligible")
"""Modules without compiled code: the copy uses the originals."""
_WORDS = {"seed", "h", "members", "entry_bits", "slot"}
"""Parameters of draws that are unsigned words; other whole numbers are signed."""
_numbers = count()


class Word(int):
    """An unsigned 64-bit number: arithmetic wraps around."""

    def __new__(cls, value: Any = 0) -> Word:
        return super().__new__(cls, int(value) & _WORD)


def _wrapping(name: str) -> Callable[..., Word]:
    plain = getattr(int, name)
    return lambda self, other: Word(plain(self, int(other)))


for _name in ("add", "sub", "mul", "and", "or", "xor", "lshift", "rshift"):
    setattr(Word, f"__{_name}__", _wrapping(f"__{_name}__"))
    setattr(Word, f"__r{_name}__", _wrapping(f"__r{_name}__"))


def int64(value: Any) -> int:
    """A signed 64-bit number from any number."""
    whole = int(value)
    return whole if -(1 << 63) <= whole < 1 << 63 else (whole + (1 << 63) & _WORD) - (1 << 63)


def _typed(name: str, value: Any) -> Any:
    """An argument of a compiled draw."""
    if name in _WORDS:
        return np.uint64(int(value) & _WORD)
    return int(value) if isinstance(value, np.integer) else value


def _callable_draw(function: Any) -> Callable[..., Any]:
    """A compiled draw for plain Python: arguments get the types that they have in the compiled kernel."""
    names = tuple(inspect.signature(function.py_func).parameters)
    is_word: list[bool] = []

    def call(*arguments: Any) -> Any:
        result = function(*map(_typed, names, arguments))
        if not is_word:
            is_word.append(function.nopython_signatures[-1].return_type == numba.types.uint64)
        return Word(result) if is_word[0] else result

    return call


def _draws() -> ModuleType:
    module = ModuleType("draws")
    for name, value in vars(draws).items():
        setattr(module, name, _callable_draw(value) if hasattr(value, "py_func") else value)
    module._bits_of = lambda x: Word(struct.unpack("<Q", struct.pack("<d", x))[0])
    return module


_DRAWS = _draws()


class PythonRun:
    """A copy of the data plane in plain Python.

    `patches` maps a file of the package to (old, new) texts; each old text stands there exactly once.
    """

    def __init__(self, patches: Mapping[str, tuple[tuple[str, str], ...]] | None = None) -> None:
        self.memory = CheckedMemory()
        self._patches = dict(patches or {})
        self._package = f"python_run_{next(_numbers)}"
        sys.modules[self._package] = self._module = ModuleType(self._package)
        self._module.__path__ = []
        self._place("draws", _DRAWS)
        self._place("compiled", self._decorators())
        self._place("numba_names", self._numba_names())
        for name in _SHARED:
            if (SOURCES / f"{name}.py").exists() and f"{name}.py" not in self._patches:
                self._place(name, importlib.import_module(f"{dataplane.__name__}.{name}"))
        sys.meta_path.insert(0, self)

    def close(self) -> None:
        """Forget the copy."""
        sys.meta_path.remove(self)
        for name in [name for name in sys.modules if name.split(".")[0] == self._package]:
            del sys.modules[name]

    def plane(self, module: str, name: str) -> Any:
        """A data plane's class from the copy of a module of the package."""
        return getattr(importlib.import_module(f"{self._package}.{module.rpartition('.')[2]}"), name)

    # What Python asks of a finder and loader of modules.

    def find_spec(self, name: str, path: object, target: object = None) -> Any:
        """A module of the copy."""
        package, _, module = name.rpartition(".")
        if package != self._package or not (SOURCES / f"{module}.py").exists():
            return None
        return importlib.util.spec_from_loader(name, self)

    def create_module(self, spec: object) -> None:
        """As usual."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a source of the package, patched and with the names of this copy."""
        name = module.__name__.rpartition(".")[2]
        path = SOURCES / f"{name}.py"
        text = patched(path, self._patches.get(path.name, ()))
        text = text.replace(dataplane.__name__, self._package)
        numba_names = f"from {self._package}.numba_names import "
        text = re.sub(r"^from numba(\.extending)? import ", numba_names, text, flags=re.MULTILINE)
        exec(compile(text, str(path), "exec"), module.__dict__)
        if name == "memory":
            module.Tables = self.memory.tables_class(module)

    def _place(self, name: str, module: ModuleType) -> None:
        sys.modules[f"{self._package}.{name}"] = module
        setattr(self._module, name, module)

    def _decorators(self) -> ModuleType:
        module = ModuleType("compiled")
        for name in ("entry", "allocating", "inlined", "outlined"):
            setattr(module, name, lambda function: function)
        return module

    def _numba_names(self) -> ModuleType:
        module = ModuleType("numba_names")
        vars(module).update(int64=int64, uint64=Word, float64=float, types=numba.types)
        vars(module)["intrinsic"] = self._intrinsic
        return module

    def _intrinsic(self, function: Callable[..., Any]) -> Any:
        return getattr(self.memory, function.__name__)


def patched(path: Path, patches: tuple[tuple[str, str], ...]) -> str:
    """The text of a source with patches applied.

    White space counts as one blank, so that layout does not matter; where a patch has lines of its own it replaces the
    whole of what it found, else only the words that differ, so that the layout around them stays.
    """
    text = path.read_text()
    for old, new in patches:
        before, after = old.split(), new.split()
        alike = 0 if "\n" in new else _alike(before, after)
        tail = 0 if "\n" in new else _alike(before[alike:][::-1], after[alike:][::-1])
        middle = slice(alike, len(before) - tail)
        parts = (before[:alike], before[middle], before[middle.stop :])
        pattern = r"\s+".join(f"({_spaced(part)})" for part in parts if part)
        found = list(re.finditer(pattern, text))
        assert len(found) == 1, f"{path.name} has {len(found)} times: {old!r}. Write the bug anew."
        start, end = found[0].span(2 if alike else 1)
        inserted = new if "\n" in new else " ".join(after[alike : len(after) - tail])
        text = text[:start] + inserted + text[end:]
    return text


def _spaced(words: list[str]) -> str:
    return r"\s+".join(map(re.escape, words))


def _alike(a: list[str], b: list[str]) -> int:
    """How many words at the beginning are the same; one at least is left to differ."""
    n = 0
    while n < min(len(a) - 1, len(b)) and a[n] == b[n]:
        n += 1
    return n

"""How the data plane is compiled: one decorator, one cache folder for exactly this source.

numba's own cache does not notice when a function in *another* file that was inlined has changed, so the cache
folder's name carries a digest of the compiled sources (and of the constants that they read): edited code never
meets old machine code.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/baseload/numba/<digest of the sources>`."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256()
    here = Path(__file__).parent
    constants = [here / "records.py", here / "specification.py", here.parent / "results/histogram.py"]
    constants.append(here.parent / "results/recorded.py")
    compiled = [
        source for source in sorted(here.glob("*.py")) if b"dataplane.compiled" in source.read_bytes()
    ]
    for source in [Path(__file__), *compiled, *constants]:
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return home / "baseload" / "numba" / digest.hexdigest()[:16]


if "NUMBA_CACHE_DIR" not in os.environ:
    numba.config.CACHE_DIR = str(cache_folder())


def entry(function: F) -> F:
    """Compile a function that Python calls: cached on disk, runs without the interpreter lock.

    It may not allocate: arrays are then borrowed, not counted. Counting them at every call of a small function
    costs ten times what the simulation costs.
    """
    compiled: F = numba.njit(cache=True, nogil=True, _nrt=False, error_model="numpy")(function)
    return compiled


def allocating(function: F) -> F:
    """Compile a function that Python calls and that makes arrays of its own."""
    compiled: F = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled


def inlined(function: F) -> F:
    """Compile a function that only compiled code calls: always inlined, so state costs nothing to pass."""
    compiled: F = numba.njit(forceinline=True, _nrt=False, error_model="numpy")(function)
    return compiled


def outlined(function: F) -> F:
    """Compile a function off the hot path that only compiled code calls: kept out of line."""
    compiled: F = numba.njit(forceinline=False, _nrt=False, error_model="numpy")(function)
    return compiled

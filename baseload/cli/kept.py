"""What commands that make runs share: where a run may be kept, and what is written down of its making."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from scenarios.errors import EnvironmentProblem

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from simulator.results.trees import Tree

SIMULATION = ("numba", "numpy", "simpy")
"""What the figures of a simulation come from, beside Baseload."""


def check_directory(directory: Path, *, force: bool) -> None:
    """Refuse a run directory that could not be written at the end. Raises EnvironmentProblem."""
    from simulator.results.run_directory import check_target  # `baseload --help` stays instant

    check_target(directory, force=force)
    check_parent(directory)


def check_parent(target: Path) -> None:
    """Refuse a path in a folder that one may not write into. Raises EnvironmentProblem."""
    nearest = next(parent for parent in target.absolute().parents if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise EnvironmentProblem(
            f"{target}: cannot be written: {nearest} is no folder that one may write into"
        )


def versions(*packages: str) -> Tree:
    """Versions of what the numbers come from."""
    from importlib.metadata import version

    return {name: version(name) for name in ("baseload", *packages)}


def meta(started: datetime) -> Tree:
    """What differs when a run is repeated."""
    import platform

    from simulator.run import available_cores

    finished = now()
    return {
        "command": sys.argv,
        "host": platform.node(),
        "machine": platform.machine(),
        "cores": available_cores(),
        "python": platform.python_version(),
        "started": started.isoformat(),
        "finished": finished.isoformat(),
        "wall_s": (finished - started).total_seconds(),
    }


def now() -> datetime:
    """The present, in UTC."""
    from datetime import UTC, datetime

    return datetime.now(UTC)

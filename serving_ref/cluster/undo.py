"""Undo what a ledger lists. Everything here may be called twice, and on things that are long gone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.errors import EnvironmentProblem
from serving_ref.cluster.cgroups import remove_group
from serving_ref.cluster.ledger import Cgroup, Entry, Folder, Link, Processes, Sysctl, undo_order
from serving_ref.cluster.processes import kill_all, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LINK_TIMEOUT_S = 10.0


def undo(entries: Iterable[Entry], say: Callable[[str], None]) -> None:
    """Undo all of it, in the right order.

    Raises:
        EnvironmentProblem: something resists; what comes later in the order is left as it is, and so is the
            ledger, so that the next call goes on from there.
    """
    for entry in undo_order(entries):
        _undo_one(entry, say)


def _undo_one(entry: Entry, say: Callable[[str], None]) -> None:
    match entry:
        case Processes(marker):
            say("ending its processes")
            kill_all(Path(marker))
        case Link(name):
            _remove_link(name)
        case Cgroup(path):
            remove_group(Path(path))
        case Sysctl(path, old, new):
            _restore(Path(path), old, new)
        case Folder(path):
            shutil.rmtree(path, ignore_errors=False) if Path(path).exists() else None


def _remove_link(name: str) -> None:
    """The kernel removes it a moment after the namespace of its other end; we only make sure."""
    link = Path("/sys/class/net") / name
    if not link.exists():
        return
    done = subprocess.run(["ip", "link", "delete", name], capture_output=True, text=True, check=False)
    words = done.stderr.strip()
    wait_until(
        lambda: not link.exists(), f"link {name} to go", timeout_s=LINK_TIMEOUT_S, hint=lambda: f": {words}"
    )


def _restore(path: Path, old: str, new: str) -> None:
    """Set a kernel setting back, unless somebody changed it after us."""
    if path.exists() and path.read_text().strip() == new:
        try:
            path.write_text(old)
        except OSError as error:
            raise EnvironmentProblem(f"{path}: cannot set it back to {old}: {error}") from error

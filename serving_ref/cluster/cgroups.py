"""The control groups under which a node's pods live: one folder a node, in every hierarchy the host has."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path

from scenarios.errors import EnvironmentProblem

ROOT = Path("/sys/fs/cgroup")
NEEDED_V1 = ("cpu", "cpuacct", "cpuset", "memory", "pids")
"""What the kubelet insists on; it uses the others where they are."""
NEEDED_V2 = ("cpu", "cpuset", "memory", "pids")
REMOVAL_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class CgroupHost:
    """How this machine arranges control groups."""

    version: int
    """1: a hierarchy a controller. 2: one for all."""
    hierarchies: tuple[Path, ...]
    controllers: tuple[str, ...]

    def missing(self) -> list[str]:
        """Controllers that nodes need and this machine does not offer."""
        needed = NEEDED_V1 if self.version == 1 else NEEDED_V2
        return [name for name in needed if name not in self.controllers]

    def folders(self, group: str) -> list[Path]:
        """Where a group such as `baseload-x/node-1` lies."""
        return [hierarchy / group for hierarchy in self.hierarchies]


def read_cgroup_host(root: Path = ROOT) -> CgroupHost:
    """Look at the mounted hierarchies."""
    together = root / "cgroup.controllers"
    if together.exists():
        return CgroupHost(2, (root,), tuple(together.read_text().split()))
    # Symbolic links such as cpu lead to hierarchies that are listed under their own names too. Beside the
    # controllers' there may be one without any of them (`unified`), in which runc makes groups all the same.
    hierarchies = sorted({path.resolve() for path in root.glob("*") if (path / "cgroup.procs").exists()})
    names = {name for path in root.glob("*") if (path / "tasks").exists() for name in path.name.split(",")}
    return CgroupHost(1, tuple(hierarchies), tuple(sorted(names)))


def make_group(host: CgroupHost, group: str) -> None:
    """Make a group, such as `baseload-x`, or one within a group; it may use all that its parent may.

    The caller has entered it into the ledger.

    Raises:
        EnvironmentProblem: the parent cannot hand down what nodes need.
    """
    for folder in host.folders(group):
        if host.version == 2:
            _hand_down(folder.parent, host.controllers)
        folder.mkdir(exist_ok=True)
        if host.version == 1 and (folder / "cpuset.cpus").exists():
            for name in (
                "cpuset.cpus",
                "cpuset.mems",
            ):  # a new group may use none, and nothing runs in it then
                (folder / name).write_text((folder.parent / name).read_text())


def _hand_down(parent: Path, controllers: tuple[str, ...]) -> None:
    """Let the groups below `parent` use the controllers that it has (version 2)."""
    file = parent / "cgroup.subtree_control"
    given = file.read_text().split()
    missing = [name for name in controllers if name not in given]
    needed = [f"+{name}" for name in missing if name in NEEDED_V2]
    if needed:
        try:
            # In one word: alone, cpu and cpuset would be let through where memory is not, and leave a group of
            # threads, below which processes have no place.
            file.write_text(" ".join(needed))
        except OSError as error:
            raise EnvironmentProblem(_why_not_handed_down(parent, error)) from error
    for name in missing:
        if name not in NEEDED_V2:
            with contextlib.suppress(OSError):  # some, such as perf_event, cannot be handed down everywhere
                file.write_text(f"+{name}")


def _why_not_handed_down(parent: Path, error: OSError) -> str:
    words = f"{parent}: control groups below it cannot use what nodes need: {error.strerror}"
    if error.errno == errno.EBUSY:
        words += (
            "; processes run in this very group, as in a container: move them into a group below it (mkdir "
            f"{parent}/init and write each of {parent}/cgroup.procs to {parent}/init/cgroup.procs)"
        )
    return words


def remove_group(folder: Path) -> None:
    """Remove a group with all below it; the processes in it have been killed.

    Raises:
        EnvironmentProblem: a group stays in use.
    """
    deadline_s = time.monotonic() + REMOVAL_TIMEOUT_S
    while folder.exists():
        # A group can go a moment after its last process has, so this is tried again.
        for path, _, _ in os.walk(folder, topdown=False):
            try:
                Path(path).rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                if time.monotonic() > deadline_s:
                    raise EnvironmentProblem(f"{path}: this control group stays in use: {error}") from error
        time.sleep(0.02)

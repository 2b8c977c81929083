"""Start programs that outlive the command that started them, and find them again by a mark in their environment.

The mark is what makes `down` complete: it is in place from the moment a program starts, whoever else died meanwhile.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.errors import EnvironmentProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

CLUSTER = "BASELOAD_CLUSTER"
"""Variable that names the state folder of the cluster a process belongs to."""
PROGRAM = "BASELOAD_PROGRAM"
"""Variable that names the program within its cluster, such as `node-1/kubelet`."""
POLL_S = 0.02
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """A process of a cluster."""

    pid: int
    program: str
    """Empty for what a program started without passing its environment on whole."""
    started: int
    """Clock ticks since boot."""
    depth: int
    """Process namespaces it is in: 1 outside every machine of the cluster, 2 inside one."""


def marked(folder: Path) -> dict[str, str]:
    """The mark of the cluster that keeps its state in `folder`."""
    return {CLUSTER: str(folder)}


def processes_of(folder: Path) -> list[Process]:
    """Return the live processes with this cluster's mark, oldest first. Zombies do not count."""
    found = [_process(int(path.name), f"{CLUSTER}={folder}".encode()) for path in PROC.glob("[0-9]*")]
    return sorted((process for process in found if process is not None), key=lambda each: each.started)


def _process(pid: int, mark: bytes) -> Process | None:
    try:
        environment = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
        if mark not in environment:
            return None
        status = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        namespaces = (PROC / str(pid) / "status").read_text().partition("NSpid:")[2].partition("\n")[0]
    except OSError:
        return None  # it ended while we looked, or is not ours to look at
    if status[0] in "ZX":
        return None
    name = next((each for each in environment if each.startswith(f"{PROGRAM}=".encode())), b"=")
    return Process(pid, name.partition(b"=")[2].decode(), int(status[19]), len(namespaces.split()))


def running(folder: Path) -> dict[str, int]:
    """Program → process id, of every program that runs inside a machine of the cluster."""
    found: dict[str, int] = {}
    for process in processes_of(folder):
        if process.depth > 1:
            found.setdefault(process.program, process.pid)  # what it started in turn is younger
    return found


def spawn(
    folder: Path,
    program: str,
    command: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a program that outlives us, its output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    own = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    with log.open("ab") as file:
        # Files are closed by the very system call that starts the program: until then it holds the lock of its
        # cluster, and from then on it has its mark. So who has the lock and sees no mark knows that nothing runs.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            close_fds=False,
            cwd="/",
            env={**own, **marked(folder), PROGRAM: program, **(environment or {})},
        )


def kill_all(folder: Path, *, timeout_s: float = 30.0) -> None:
    """Kill every process of the cluster, and return when none is left.

    Raises:
        EnvironmentProblem: one does not end, such as a process that waits for a dead disk.
    """
    kill_matching(folder, lambda _: True, timeout_s=timeout_s)


def kill_matching(folder: Path, chosen: Callable[[Process], bool], *, timeout_s: float = 30.0) -> None:
    """Kill the chosen processes of the cluster, and what they start meanwhile; return when none is left."""
    deadline_s = time.monotonic() + timeout_s
    while left := [process for process in processes_of(folder) if chosen(process)]:
        if time.monotonic() > deadline_s:
            names = ", ".join(f"{process.pid} {process.program}" for process in left)
            raise EnvironmentProblem(f"these processes do not end, although killed: {names}")
        for process in left:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
            try:
                os.waitpid(process.pid, os.WNOHANG)  # ours to reap, if this very command started it
            except ChildProcessError:
                continue
        time.sleep(POLL_S)


def wait_until(
    condition: Callable[[], bool],
    what: str,
    *,
    timeout_s: float,
    hint: Callable[[], str] = lambda: "",
    alive: Callable[[], bool] = lambda: True,
) -> None:
    """Wait for a condition, as long as whoever shall make it true is `alive`.

    Raises:
        EnvironmentProblem: it does not come true in time, or never will; `hint` says what else is known then.
    """
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if not alive():
            raise EnvironmentProblem(f"waited for {what}, which has ended{hint()}")
        if time.monotonic() > deadline_s:
            raise EnvironmentProblem(f"waited {timeout_s:g} s in vain for {what}{hint()}")
        time.sleep(POLL_S)

"""How busy the machine and some processes are while a load test runs: a measurement on a busy machine is none."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from scenarios.errors import InvalidInput
from serving_ref.loadtest.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class CpuUse:
    """Mean use over a stretch of time."""

    machine: float
    """Share of all cores, 0 to 1."""
    busiest: float
    """The same in the busiest second or so."""
    processes: dict[str, float]
    """Cores that each watched process (with its children) used: 1.0 is one whole core."""


@dataclass(frozen=True, slots=True)
class _Sample:
    at_ns: int
    busy_s: float
    total_s: float
    processes_s: dict[str, float]


class CpuWatch(Watch[_Sample]):
    """Takes a sample a second."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        """`pids` by the name that a process has in the result. InvalidInput where there is no such process."""
        super().__init__("CPU use", EVERY_S)
        self._processes: dict[str, psutil.Process] = {}
        for name, pid in pids.items():
            try:
                self._processes[name] = psutil.Process(pid)
            except psutil.NoSuchProcess:
                raise InvalidInput(f"{name}: there is no process {pid}") from None
        self._used_s: dict[str, dict[int, float]] = {name: {} for name in self._processes}
        self._lasting = frozenset(pids)
        """Processes that are to be there all the time, unlike the generator."""

    def add(self, name: str, pid: int) -> None:
        """Watch one more process, which has just been started."""
        self._used_s[name] = {}
        self._processes[name] = psutil.Process(pid)

    def use(self, from_ns: int, to_ns: int) -> CpuUse | None:
        """Mean use between two times of `time.monotonic_ns()`; None where too few samples lie between them."""
        samples = [each for each in self.seen if from_ns <= each.at_ns <= to_ns]
        if len(samples) < 2:
            return None
        first, last = samples[0], samples[-1]
        shares = [_busy_share(before, after) for before, after in itertools.pairwise(samples)]
        span_s = (last.at_ns - first.at_ns) / 1e9
        return CpuUse(
            machine=_busy_share(first, last),
            busiest=max(shares),
            processes={
                name: (last.processes_s[name] - first.processes_s.get(name, 0.0)) / span_s
                for name in last.processes_s
            },
        )

    def look(self) -> _Sample:
        """Take a sample."""
        times = psutil.cpu_times()
        # Guest time is in user time already; stolen time is time that this machine did not have: busy, for us.
        total_s = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        idle_s = times.idle + getattr(times, "iowait", 0.0)
        used = {name: self._process_s(name, process) for name, process in list(self._processes.items())}
        return _Sample(time.monotonic_ns(), total_s - idle_s, total_s, used)

    def _process_s(self, name: str, process: psutil.Process) -> float:
        """CPU seconds of a process and its children so far; those that have ended count as last seen."""
        used = self._used_s[name]
        if name in self._lasting and not process.is_running():
            self.failed(f"--watch {name}", "the process has ended")
        try:
            for each in (process, *process.children(recursive=True)):
                times = each.cpu_times()
                used[each.pid] = times.user + times.system
        except psutil.Error:
            pass  # it has ended between two looks: what was seen of it stays
        return sum(used.values())


def _busy_share(before: _Sample, after: _Sample) -> float:
    """Share of the cores' time. The kernel's books of a virtual machine can be off by a tick: never above 1."""
    total_s = after.total_s - before.total_s
    return min((after.busy_s - before.busy_s) / total_s, 1.0) if total_s > 0 else 0.0

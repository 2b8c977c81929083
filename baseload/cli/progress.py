"""How far a simulation is: a bar on a terminal, a line now and then elsewhere, nothing for short runs. On
stderr."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from scenarios.units import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import TaskID

SHORT_S = 1.0
"""A run that takes no longer shows no bar."""
LINE_EVERY_S = 30.0
"""Where there is no terminal."""
KERNELS = {"event-ordered": "kernel", "block-wise": "blockwise"}
"""Modules of the compiled kernels, by the path that runs them."""
COMPILING = "compiling the simulation kernel: once per machine and version, about a minute …"


@contextmanager
def show_progress(duration_s: float, runs: int, *, quiet: bool) -> Iterator[Meter | None]:
    """Yield what runs report to (see `simulator.run.Progress`), or None if `quiet`."""
    if quiet:
        yield None
        return
    meter = Meter(duration_s, runs, Console(stderr=True))
    try:
        yield meter
    finally:
        meter.close()


def kernel_is_compiled(path: str) -> bool:
    """Whether the disk cache holds the kernel of this path for exactly this version of it."""
    from simulator.dataplane.compiled import cache_folder  # numba: half a second

    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or cache_folder())
    return any(folder.rglob(f"{KERNELS[path]}.advance-*.nbi"))


class Meter:
    """Adds up what the runs report. Called from their threads."""

    def __init__(self, duration_s: float, runs: int, console: Console) -> None:
        self._duration_s, self._runs, self._console = duration_s, runs, console
        self._lock = threading.Lock()
        self._announced = False
        self._simulated_s: dict[int, float] = {}
        self._sent: dict[int, int] = {}
        self._began_s = self._last_line_s = 0.0
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __call__(self, seed: int, simulated_s: float, sent: int) -> None:
        """One run has come this far."""
        with self._lock:
            is_first = not self._sent
            self._simulated_s[seed], self._sent[seed] = simulated_s, sent
            if is_first:  # the clock starts here: compiling is not simulating
                self._began_s = self._last_line_s = time.monotonic()
            if is_first or time.monotonic() - self._began_s < SHORT_S:
                return
            if self._console.is_terminal:
                self._draw()
            elif time.monotonic() - self._last_line_s > LINE_EVERY_S:
                self._last_line_s = time.monotonic()
                click.echo(self._words(), err=True)

    def announce(self, path: str) -> None:
        """Say once that a kernel is compiled first, where it is (see `simulator.run.OnPath`)."""
        with self._lock:
            if not self._announced:
                self._announced = True
                if path in KERNELS and not kernel_is_compiled(path):
                    click.echo(COMPILING, err=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def _draw(self) -> None:
        if self._bar is None or self._task is None:
            columns = (
                BarColumn(),
                TaskProgressColumn(),
                TextColumn("{task.description}"),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=self._duration_s * self._runs)
            self._bar.start()
        self._bar.update(self._task, completed=sum(self._simulated_s.values()), description=self._words())

    def _words(self) -> str:
        rate_per_s = sum(self._sent.values()) / (time.monotonic() - self._began_s)
        simulated = format_duration(sum(self._simulated_s.values()))
        whole = format_duration(self._duration_s * self._runs)
        return f"{simulated} of {whole} simulated, {rate_per_s:,.0f} requests/s"

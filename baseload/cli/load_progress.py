"""How far a load test is: a bar on a terminal, a line now and then elsewhere. On stderr."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from scenarios.units import format_duration

if TYPE_CHECKING:
    from rich.progress import TaskID

LINE_EVERY_S = 10.0
"""Where there is no terminal."""


class LoadMeter:
    """Takes the generator's gauges (`serving_ref.loadtest.generator.Gauges`)."""

    def __init__(self, requests: int, duration_s: float, *, quiet: bool) -> None:
        self._requests, self._duration_s, self._quiet = requests, duration_s, quiet
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._last_line_s = time.monotonic()

    def __call__(self, said: dict[str, int]) -> None:
        """The generator has come this far."""
        if self._quiet or "due" not in said:
            return
        if self._console.is_terminal:
            self._draw(said)
        elif time.monotonic() - self._last_line_s > LINE_EVERY_S:
            self._last_line_s = time.monotonic()
            click.echo(self._words(said), err=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def _draw(self, said: dict[str, int]) -> None:
        if self._bar is None or self._task is None:
            columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=self._requests)
            self._bar.start()
        self._bar.update(self._task, completed=said["due"], description=self._words(said))

    def _words(self, said: dict[str, int]) -> str:
        text = (
            f"{said['due']:,} of {self._requests:,} requests in {format_duration(self._duration_s)}, "
            f"{said['in_flight']:,} in flight"
        )
        return text + "".join(f", {said[each]:,} {each}" for each in ("failed", "skipped") if said[each])

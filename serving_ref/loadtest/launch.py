"""Start the generator's process, follow it, and end it with whoever asked for it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scenarios.errors import EnvironmentProblem
from serving_ref.loadtest.files import SCHEDULE, SETTINGS, UNREACHABLE
from serving_ref.loadtest.recording import Recorded, read_recorded
from serving_ref.loadtest.schedule import write_schedule, write_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from scenarios.demand import Demand
    from serving_ref.loadtest.cpu import CpuWatch
    from serving_ref.loadtest.schedule import Settings

    OnProgress = Callable[[dict[str, int]], None]

GENERATOR = "generator"
"""Name of the generator's process among those that are watched."""


@dataclass(frozen=True, eq=False)
class Sent:
    """A schedule that was sent."""

    start_ns: int
    """Beginning of the run as a time of `time.monotonic_ns()`."""
    start_unix_ns: int
    real_time: bool
    """Whether the generator ran before every other process."""
    most_in_flight: int
    connections: int
    """Made, those before the beginning included."""
    waits: int
    """Attempts that had to wait for a connection."""
    names_outcomes: bool
    """Whether the target said of its answers how they came about: by a model, the cache, or another's flight."""
    recorded: Recorded


def send(
    folder: Path, schedule: Demand, settings: Settings, watch: CpuWatch, on_progress: OnProgress
) -> Sent:
    """Send a schedule and wait until it is over. `folder` is for the files of the two processes.

    `on_progress` gets the generator's gauges twice a second. Raises EnvironmentProblem where the target cannot be
    reached. If this call ends in any other way (Ctrl-C), the generator is ended first.
    """
    write_schedule(folder / SCHEDULE, schedule)
    write_settings(folder / SETTINGS, settings)
    log = folder / "generator.log"  # a file, not a pipe: writing to it never waits for a reader
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving_ref.loadtest", str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    assert process.stdout is not None
    said: dict[str, Any] = {}
    try:
        watch.add(GENERATOR, process.pid)
        for line in process.stdout:
            said |= json.loads(line)
            on_progress(said)
        status = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
    complaint = log.read_text().strip()
    if status == UNREACHABLE:
        raise EnvironmentProblem(f"{settings.host}:{settings.port}: {complaint}")
    if status != 0:
        raise GeneratorError(f"the load generator ended with status {status}:\n{complaint}")
    return Sent(
        start_ns=said["start_ns"],
        start_unix_ns=said["start_unix_ns"],
        real_time=said["real_time"],
        most_in_flight=said["most_in_flight"],
        connections=said["opened"],
        waits=said["waits"],
        names_outcomes=said["named"] > 0,
        recorded=read_recorded(folder),
    )


class GeneratorError(RuntimeError):
    """The generator's process ended in a way that it must not: a defect."""

"""The generator's own process: `python -m serving_ref.loadtest FOLDER`.

The folder holds `schedule.parquet` and `settings.json`; `attempts.parquet` and `requests.parquet` are written into it
when the run is over. On standard output there is a line of JSON for the beginning and then two a second. The process
ends by itself when its standard input is closed: a generator must not outlive whoever asked for it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import signal
import ssl
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from serving_ref.loadtest.files import SCHEDULE, SETTINGS, UNREACHABLE
from serving_ref.loadtest.generator import Generator
from serving_ref.loadtest.recording import write_recorded
from serving_ref.loadtest.schedule import read_schedule, read_settings

if TYPE_CHECKING:
    from serving_ref.loadtest.schedule import Settings

REPORT_EVERY_S = 0.5
LEAD_NS = 200_000_000
"""From the last connection to the start of the run."""
REAL_TIME_PRIORITY = 1


def main(folder: Path) -> int:
    """Make one run. Returns the exit status of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; whoever asked decides
    settings = read_settings(folder / SETTINGS)
    if settings.cpu is not None:
        os.sched_setaffinity(0, {settings.cpu})
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))
    return asyncio.run(_run(folder, settings))


async def _run(folder: Path, settings: Settings) -> int:
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), _end_with_whoever_asked)
    generator = Generator(
        loop,
        read_schedule(folder / SCHEDULE),
        settings,
        ssl.create_default_context() if settings.tls else None,
    )
    try:
        await generator.pool.warm(settings.connections)
    except OSError as error:
        # asyncio says only that a call failed; what TLS says has numbers of its own.
        number = None if isinstance(error, ssl.SSLError) else error.errno
        print(error if number is None else os.strerror(number), file=sys.stderr)
        return UNREACHABLE
    # What was made so far stays, and nothing that a request makes needs the collector.
    gc.collect()
    gc.freeze()
    gc.disable()
    start_ns = time.monotonic_ns() + LEAD_NS
    _say({"start_ns": start_ns, "start_unix_ns": time.time_ns() + LEAD_NS, "real_time": _go_first()})
    reporting = loop.create_task(_report(generator))
    await generator.run(start_ns)
    reporting.cancel()
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    write_recorded(folder, generator.recording.recorded())
    _say(
        asdict(generator.gauges)
        | {"opened": generator.pool.opened, "waits": generator.pool.waits, "named": generator.pool.named}
    )
    return 0


def _go_first() -> bool:
    """Run before every ordinary process, where this user may: on a busy machine a process waits ten milliseconds for
    its turn, and all of them would be counted as the target's latency. It takes little, and the time that it takes it
    would take anyway."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(REAL_TIME_PRIORITY))
    except PermissionError:
        return False
    return True


async def _report(generator: Generator) -> None:
    while True:
        await asyncio.sleep(REPORT_EVERY_S)
        _say(asdict(generator.gauges))


def _say(document: dict[str, int]) -> None:
    print(json.dumps(document), flush=True)


def _end_with_whoever_asked() -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

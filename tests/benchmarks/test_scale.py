"""A whole run at four sizes: time grows with the requests, memory does not; and two seeds on two threads.

Each run is a process of its own (its peak of memory is then its own). The month of 1.04e9 requests takes a minute or
two; figures are in `extra_info`, and `make bench` prints them.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import pytest
import yaml

from tests.benchmarks.test_kernel import document

RATE_PER_S = 400
DAYS = {"1e6": 2500 / 86400, "1e7": 25_000 / 86400, "1e8": 250_000 / 86400, "month": 30.0}
RUN = """
import sys
from baseload.cli import main
sys.argv = ["baseload", "simulate", *sys.argv[1:]]
main()
"""


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The benchmark's case with a day's curve and an instance type that has a price."""
    each = document(1_000_000, 30)
    each["metadata"]["name"] = "month"
    each["arrivals"] = [
        {
            "name": "web",
            "rate": f"{RATE_PER_S}/s",
            "shape": [{"diurnal": {"peak_to_trough": 3, "peak_at": "20h"}}],
        }
    ]
    each["run"]["interval"] = "10m"
    path = tmp_path_factory.mktemp("scale") / "month.yaml"
    path.write_text(yaml.safe_dump(each))
    return path


def run(scenario: Any, *arguments: str) -> tuple[float, float, float]:
    """Processor seconds, wall-clock seconds and peak MB of one `baseload simulate` in a process of its own."""
    begin = time.perf_counter()
    command = [
        sys.executable,
        "-c",
        RUN,
        str(scenario),
        "--json",
        "--force",
        "-o",
        str(scenario.with_suffix("")),
    ]
    silent = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    child = os.posix_spawn(sys.executable, [*command, *arguments], os.environ, file_actions=silent)
    _, status, usage = os.wait4(child, 0)
    assert status == 0
    return usage.ru_utime + usage.ru_stime, time.perf_counter() - begin, usage.ru_maxrss / 1024


@pytest.mark.benchmark(group="scale")
def test_time_is_linear_and_memory_flat_up_to_a_month_of_a_thousand_million_requests(
    benchmark: Any, scenario: Any
) -> None:
    run(scenario, "--set", "run.duration=10m")  # compiles, where that has not been done
    for name, days in DAYS.items():
        duration = f"run.duration={days * 86400:.0f}s"
        if name == "month":
            figures = benchmark.pedantic(run, args=(scenario, "--set", duration), rounds=1)
        else:
            figures = run(scenario, "--set", duration)
        benchmark.extra_info[name] = {
            "processor_s": round(figures[0], 1),
            "ns_per_request": round(figures[0] / (days * 86400 * RATE_PER_S) * 1e9, 1),
            "peak_mb": round(figures[2]),
        }


@pytest.mark.benchmark(group="scale")
def test_two_seeds_on_two_threads(benchmark: Any, scenario: Any) -> None:
    runs = ("--set", "run.duration=400000s", "--runs", "2")
    ratios = [
        run(scenario, *runs, "--threads", "1")[1] / run(scenario, *runs, "--threads", "2")[1]
        for _ in range(3)
    ]
    benchmark.pedantic(run, args=(scenario, *runs, "--threads", "2"), rounds=1)
    benchmark.extra_info["times_faster_on_two_threads"] = sorted(ratios)[1]

"""How fast the data plane is: nanoseconds a request for each path, and ratios taken in one run.

`python -m pytest tests/benchmarks/test_kernel.py --benchmark-only` (or `make bench`). The machines are noisy: read the
ratios, which are medians over turns that alternate. The throw-away prototype `k8` is run beside the block-wise kernel
where it is found (`BASELOAD_PROTOTYPES`, by default ../shared/prototypes/kernel); its file needs its neighbours.
"""

from __future__ import annotations

import importlib
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from scenarios.fleet import AddReplica
from scenarios.schema import Scenario
from simulator.dataplane.kernel_plane import BlockwisePlane, KernelPlane
from simulator.dataplane.reference_plane import ReferencePlane
from simulator.dataplane.resolve_fleet import resolve

TICK_S = 15
CASES = {"29-percent-hits": (1_000_000, 12), "87-percent-hits": (100_000, 600)}
PROTOTYPES = Path(
    os.environ.get("BASELOAD_PROTOTYPES", Path(__file__).parents[3] / "shared/prototypes/kernel")
)


def document(keys: int, ttl_s: int) -> dict[str, Any]:
    """The prototype's case: 1,000/s, Zipf keys, TTL cache, coalescing, P2C, batching, time-outs, retries."""
    return {
        "apiVersion": "baseload/v1",
        "metadata": {"name": "speed"},
        "run": {"duration": "30d"},
        "arrivals": [{"name": "web", "rate": "1000/s"}],
        "classes": [
            {
                "name": "page",
                "arrivals": "web",
                "route": "main",
                "timeout": "500ms",
                "retries": {"max": 2, "backoff": "50ms", "jitter": "equal"},
                "keys": {"count": keys, "zipf": 0.9},
            }
        ],
        "routes": [
            {
                "name": "main",
                "cache": {"ttl": f"{ttl_s}s"},
                "coalesce": True,
                "targets": [{"service": "ranker"}],
            }
        ],
        "services": [
            {
                "name": "ranker",
                "model": "model",
                "pools": ["pool"],
                "batching": {"max_batch_size": 32, "max_queue_delay": "10ms"},
            }
        ],
        "models": [
            {
                "name": "model",
                "profiles": [
                    {
                        "instance_types": ["*"],
                        "latency": {"fixed": "8ms", "per_item": "1ms", "noise": {"lognormal_cv": 0.1}},
                    }
                ],
            }
        ],
        "pools": [{"name": "pool", "instance_type": "p3.2xlarge", "size": 8}],
        "slos": [{"name": "fast", "class": "page", "latency": "300ms", "objective": "99%"}],
    }


def ordered_document() -> dict[str, Any]:
    """The same with what needs the order of events: an LRU, a global breaker, a retry budget."""
    each = document(1_000_000, 12)
    each["routes"][0]["cache"] = {"kind": "lru", "capacity": 50_000, "ttl": "1h"}
    each["classes"][0]["retries"]["budget"] = {"ratio": "10%"}
    each["services"][0]["breaker"] = {"error_rate": "50%", "window": 100}
    return each


class Turn:
    """An engine that is advanced a stretch of simulated time at each call."""

    def __init__(self, engine: Any, each: dict[str, Any], stretch_s: int) -> None:
        self.plane = engine(resolve(Scenario.model_validate(each), {}, 1))
        self.plane.apply([AddReplica(number, "ranker", "pool", number, 0) for number in range(8)])
        self.stretch_s = stretch_s
        self.now_s = 0
        self.sent = 0
        self()

    def __call__(self) -> float:
        """Nanoseconds of processor time a request."""
        begin = time.process_time()
        for _ in range(0, self.stretch_s, TICK_S):
            self.now_s += TICK_S
            counters = self.plane.advance(self.now_s * 10**9)
        spent = time.process_time() - begin
        sent, self.sent = self.sent, int(counters.class_counters[:, 0].sum())
        return spent / (self.sent - sent) * 1e9


@pytest.mark.benchmark(group="request")
@pytest.mark.parametrize("case", CASES)
def test_block_wise_path(benchmark: Any, case: str) -> None:
    turn = Turn(BlockwisePlane, document(*CASES[case]), 600)
    figures = [turn() for _ in range(3)]
    benchmark.pedantic(turn, rounds=5)
    benchmark.extra_info["ns_per_request"] = statistics.median(figures)


@pytest.mark.benchmark(group="request")
def test_event_ordered_path_with_lru_breaker_and_retry_budget(benchmark: Any) -> None:
    turn = Turn(KernelPlane, ordered_document(), 600)
    figures = [turn() for _ in range(3)]
    benchmark.pedantic(turn, rounds=5)
    benchmark.extra_info["ns_per_request"] = statistics.median(figures)


@pytest.mark.benchmark(group="ratio")
def test_kernel_against_reference(benchmark: Any) -> None:
    kernel = Turn(BlockwisePlane, document(*CASES["29-percent-hits"]), 600)
    reference = Turn(ReferencePlane, document(*CASES["29-percent-hits"]), TICK_S)
    ratios = [reference() / kernel() for _ in range(3)]
    benchmark.pedantic(kernel, rounds=3)
    benchmark.extra_info["reference_over_kernel"] = statistics.median(ratios)


@pytest.mark.benchmark(group="ratio")
@pytest.mark.parametrize("case", CASES)
def test_block_wise_path_against_the_prototype(
    benchmark: Any, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (PROTOTYPES / "k8.py").is_file():
        pytest.skip(f"the prototype is not there: {PROTOTYPES}")
    monkeypatch.syspath_prepend(str(PROTOTYPES))
    monkeypatch.setattr(sys, "argv", ["bench"])
    keys, ttl_s = CASES[case]
    prototype = importlib.import_module("k8").DP(8, keys, TTL=float(ttl_s), T=0.5)
    state = {"now_s": 0.0}

    def prototype_turn() -> float:
        begin, before = time.process_time(), prototype.k
        for _ in range(0, 600, TICK_S):
            state["now_s"] += TICK_S
            prototype.advance(state["now_s"], 1 << 62, 1000.0)
        return (time.process_time() - begin) / (prototype.k - before) * 1e9

    ours = Turn(BlockwisePlane, document(keys, ttl_s), 600)
    prototype_turn()
    ratios = [ours() / prototype_turn() for _ in range(7)]
    benchmark.pedantic(ours, rounds=3)
    benchmark.extra_info["ours_over_prototype"] = statistics.median(ratios)

"""Five repeats of one load test through gateway, Redis and model servers: what the machine's noise makes of it.

Generator and servers have a core each. Every run must count by the usual limits (lag, skips, 70 % CPU), so an
otherwise idle machine with two cores is needed; the figures and what `baseload verify` says are in `extra_info`.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.serving_ref.scenario_stack import baseload, load_test
from tests.serving_ref.servers import running

REPEATS = 5
SCENARIO = """\
apiVersion: baseload/v1
metadata: {{name: noise-floor}}
run: {{duration: 20s, warmup: 6s, seed: 1}}
arrivals: [{{name: web, rate: {rate}/s}}]
classes: [{{name: page, arrivals: web, route: main, timeout: 1s, keys: {{count: 5000, zipf: 0.9}}}}]
routes: [{{name: main, cache: {{ttl: 60s, hit_latency: 1ms}}, coalesce: true, targets: [{{service: ranker}}]}}]
services: [{{name: ranker, model: m, pools: [p], batching: {{max_batch_size: 16, max_queue_delay: 5ms}}}}]
models: [{{name: m, profiles: [{{instance_types: ["*"], latency: {{table: [[1, 10ms], [16, 30ms]]}}}}]}}]
pools: [{{name: p, instance_type: g5.xlarge, size: 2}}]
slos: [{{name: fast, class: page, latency: 100ms, objective: 99%}}]
"""


@pytest.mark.redis
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="generator and servers need a core each")
@pytest.mark.benchmark(group="load test")
@pytest.mark.parametrize("rate_per_s", [500, 1000])
def test_noise_floor(benchmark: Any, tmp_path: Any, rate_per_s: int) -> None:
    path = tmp_path / "noise-floor.yaml"
    path.write_text(SCENARIO.format(rate=rate_per_s))
    found = []

    def repeat() -> None:
        out = tmp_path / f"run-{len(found)}"
        with running(tmp_path) as servers:
            run = load_test(servers, path, out)
        _, verdict = baseload("verify", str(path), "--against", str(out))
        found.append((run, verdict))

    benchmark.pedantic(repeat, rounds=REPEATS)
    totals = [run["totals"] for run, _ in found]
    latencies = [each["overall"]["latency_s"] for each in totals]
    ranges = {
        **{f"{p}_ms": [each[p] * 1000 for each in latencies] for p in ("p50", "p95", "p99")},
        "mean_ms": [each["mean"] * 1000 for each in latencies],
        "hit_percent": [each["overall"]["hit_ratio"] * 100 for each in totals],
        "items_a_batch": [each["services"]["ranker"]["batch_items_mean"] for each in totals],
        "utilisation_percent": [each["services"]["ranker"]["utilisation"] * 100 for each in totals],
        "lag_p99_ms": [run["load_test"]["schedule_lag_s"]["p99"] * 1000 for run, _ in found],
        "machine_busy_percent": [run["load_test"]["cpu"]["machine"] * 100 for run, _ in found],
        **{
            f"{name}_cores": [run["load_test"]["cpu"]["processes"][name] for run, _ in found]
            for name in found[0][0]["load_test"]["cpu"]["processes"]
        },
    }
    benchmark.extra_info |= {name: (round(min(of), 2), round(max(of), 2)) for name, of in ranges.items()}
    benchmark.extra_info["beyond"] = {
        f"{each['section']} {each['kind']}": (each["predicted"], each["measured"])
        for _, verdict in found
        for each in verdict["findings"]
        if each["verdict"] == "beyond"
    }

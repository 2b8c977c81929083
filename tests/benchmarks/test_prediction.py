"""A model's batch times are measured at two rates; what does the simulation then say of a third?

The model is a real one (magika, in ONNX Runtime on one core); gateway and model server are the reference stack. Each of
two load tests gives one mean batch size and one mean service time; the line through both is the profile. The prediction
is made before the third load test begins, by `baseload loadtest` itself, and held against it by `verify`.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from serving_ref.model_server.settings import OnnxModel
from tests.serving_ref.scenario_stack import baseload, load_test
from tests.serving_ref.servers import running

MEASURED_AT, PREDICTED_AT = (12, 36), 24
SCENARIO = """\
apiVersion: baseload/v1
metadata: {{name: prediction}}
run: {{duration: 30s, warmup: 5s, seed: 1}}
arrivals: [{{name: web, rate: {rate}/s}}]
classes: [{{name: file, arrivals: web, route: main, timeout: 1s}}]
routes: [{{name: main, targets: [{{service: types}}]}}]
services: [{{name: types, model: magika, pools: [p], batching: {{max_batch_size: 8, max_queue_delay: 10ms}}}}]
models:
  - name: magika
    profiles: [{{instance_types: ["*"], latency: {{fixed: {fixed_ms}ms, per_item: {per_item_ms}ms}}}}]
pools: [{{name: p, instance_type: c6i.large, size: 1}}]
slos: [{{name: fast, class: file, latency: 100ms, objective: 99%}}]
"""


@pytest.mark.redis
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="generator and servers need a core each")
@pytest.mark.benchmark(group="load test")
def test_prediction_from_other_rates(benchmark: Any, tmp_path: Any) -> None:
    path = tmp_path / "prediction.yaml"

    def run(rate: int, fixed_ms: float, per_item_ms: float) -> Any:
        path.write_text(
            SCENARIO.format(rate=rate, fixed_ms=round(fixed_ms, 3), per_item_ms=round(per_item_ms, 3))
        )
        with running(tmp_path) as servers:
            onnx = {"magika": OnnxModel(package="magika")}
            return load_test(servers, path, tmp_path / f"run-{rate}", onnx)

    (items, time_ms), (more_items, more_time_ms) = (batches(run(rate, 1.0, 1.0)) for rate in MEASURED_AT)
    per_item_ms = (more_time_ms - time_ms) / (more_items - items)
    fixed_ms = time_ms - items * per_item_ms
    benchmark.pedantic(run, args=(PREDICTED_AT, fixed_ms, per_item_ms), rounds=1)
    _, verdict = baseload("verify", str(path), "--against", str(tmp_path / f"run-{PREDICTED_AT}"))
    assert verdict["prediction"]["made_before_the_load"]
    benchmark.extra_info |= {
        "profile_ms": (round(fixed_ms, 3), round(per_item_ms, 3)),
        "findings": [
            {key: each[key] for key in ("section", "kind", "predicted", "measured", "error", "verdict")}
            for each in verdict["findings"]
            if each["error"] is not None
        ],
    }


def batches(run: Any) -> tuple[float, float]:
    """Mean items of a batch, and its mean time in milliseconds."""
    service = run["totals"]["services"]["types"]
    return service["batch_items_mean"], service["busy_s"] / service["batches"] * 1000

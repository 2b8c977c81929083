"""A load test through gateway, Redis and model servers: client and servers count the same, and a simulation can be held
against it."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from baseload.cli import cli
from scenarios.errors import ExitStatus
from simulator.results.run_directory import read_run
from tests.serving_ref.scenario_stack import start

pytestmark = pytest.mark.redis
SCENARIO = """\
apiVersion: baseload/v1
metadata: {name: stack}
run: {duration: 8s, warmup: 2s, seed: 3}
arrivals: [{name: web, rate: 60/s}]
classes:
  - {name: home-page, arrivals: web, share: 70%, route: main, timeout: 2s, keys: {count: 100, zipf: 0.9}}
  - {name: search, arrivals: web, share: 30%, route: main, timeout: 2s, items: {uniform: [1, 4]}}
routes: [{name: main, cache: {ttl: 1m, hit_latency: 2ms}, coalesce: true, targets: [{service: ranker}]}]
services: [{name: ranker, model: m, pools: [gpu], batching: {max_batch_size: 8, max_queue_delay: 5ms}}]
models: [{name: m, profiles: [{instance_types: ["*"], latency: {table: [[1, 20ms], [8, 40ms]]}}]}]
pools: [{name: gpu, instance_type: g5.xlarge, size: 2}]
slos: [{name: fast, class: home-page, latency: 1s, objective: 90%}]
"""


@pytest.fixture
def measured(servers, tmp_path):
    """A load test of the scenario's own stack: its run, the gateway and the model servers."""
    path = tmp_path / "stack.yaml"
    path.write_text(SCENARIO)
    stack = start(servers, path)
    gateway, replicas = stack.gateway, stack.replicas
    result = CliRunner().invoke(
        cli,
        ["loadtest", str(path), "--target", f"http://{gateway.address}", *stack.load_test_options,
         "--max-lag", "10s", "--max-cpu", "100%", "--watch", f"gateway={gateway.process.pid}",
         "-o", str(tmp_path / "measured")],
        catch_exceptions=False,
    )  # fmt: skip
    assert result.exit_code == ExitStatus.OK, result.output
    return path, read_run(tmp_path / "measured"), gateway, replicas


def test_client_and_servers_tell_the_same_story(measured):
    _, run, gateway, replicas = measured
    outcomes = pq.read_table(run.directory / "requests.parquet").column("outcome").to_pylist()
    answered = {how: outcomes.count(f"ok_{how}") for how in ("model", "cache", "coalesced")}
    probes = 2  # one of each class, before the run
    counted = {how: gateway.metric("baseload_gateway_requests_total", outcome=how) for how in answered}
    # What was still open at the end of the run was answered a moment later.
    late = outcomes.count("unfinished")
    assert sum(answered.values()) + late == len(outcomes)
    assert sum(counted.values()) == len(outcomes) + probes
    counted["model"] -= probes
    assert all(0 <= counted[how] - answered[how] <= late for how in answered)
    assert answered["cache"] > 0
    in_batches = sum(each.metric("baseload_model_server_batch_requests_total") for each in replicas)
    assert in_batches == counted["model"] + probes
    totals = run.document["totals"]
    assert totals["overall"]["hit_ratio"] == pytest.approx(
        totals["overall"]["answered_by"]["cache"] / totals["overall"]["answered"]
    )
    service = totals["services"]["ranker"]
    assert service["ready_replicas_mean"] == 2
    assert service["batch_requests"] == pytest.approx(totals["overall"]["answered_by"]["model"], rel=0.1)
    assert 0 < service["utilisation"] < 1
    assert run.document["load_test"]["cpu"]["processes"].keys() == {"generator", "gateway"}


def test_the_prediction_can_be_held_against_it(measured, tmp_path):
    path, run, _, _ = measured
    result = CliRunner().invoke(cli, ["verify", str(path), "--against", str(run.directory), "--json"])
    found = json.loads(result.stdout)
    assert found["prediction"]["made_before_the_load"] is True
    measured_kinds = {each["kind"] for each in found["findings"] if each["error"] is not None}
    assert measured_kinds >= {"p50", "p99", "hit-ratio", "items-a-batch", "utilisation", "throughput", "cost"}
    throughput = [each for each in found["findings"] if each["kind"] == "throughput"]
    assert all(each["verdict"] == "within" for each in throughput)

"""Metrics: the simulator's buckets, and figures that agree with each other."""

import math

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving_ref.gateway.metrics import Metrics as GatewayMetrics
from serving_ref.metrics import LATENCY_BUCKETS_S, exposed
from serving_ref.model_server.metrics import Metrics as ModelServerMetrics
from serving_ref.protocol import Outcome
from simulator.results.histogram import lower_edges_ns
from tests.serving_ref.servers import infer_body


def test_every_latency_edge_is_an_edge_of_the_simulators_histogram():
    edges_ns = set(lower_edges_ns().tolist())
    assert all(round(edge_s * 1e9) in edges_ns for edge_s in LATENCY_BUCKETS_S)
    assert list(LATENCY_BUCKETS_S) == sorted(set(LATENCY_BUCKETS_S))


def families(metrics):
    return list(text_string_to_metric_families(exposed(metrics.registry).decode()))


@pytest.mark.redis
def test_every_edge_of_every_histogram_that_a_scrape_finds_is_the_simulators(servers):
    """Of running servers that have served: all histograms of times, whoever made them, and with what buckets."""
    replica = servers.model_server("1ms")
    redis = servers.redis()
    gateway = servers.gateway(
        [replica],
        redis={"url": f"redis://{redis.address}/0"},
        routes=[{"name": "main", "targets": [{"service": "ranker"}], "cache": {"ttl": "60s"}}],
    )
    assert gateway.infer("main", infer_body(0.5), baseload_key="k").outcome == "model"
    edges_ns = set(lower_edges_ns().tolist())
    found = {}
    for server in (gateway, replica):
        text = server.request("GET", "/metrics").body.decode()
        for family in text_string_to_metric_families(text):
            if family.type == "histogram":
                buckets = [sample for sample in family.samples if sample.name.endswith("_bucket")]
                found[family.name] = {float(sample.labels["le"]) for sample in buckets} - {math.inf}
    assert found.keys() == {
        "baseload_gateway_request_seconds", "baseload_gateway_call_seconds",
        "baseload_model_server_queue_wait_seconds", "baseload_model_server_batch_seconds",
        "baseload_model_server_batch_items",
    }  # fmt: skip
    items = found.pop("baseload_model_server_batch_items")
    assert all(edge == int(edge) >= 1 for edge in items), "items are whole"
    for name, edges_s in found.items():
        assert len(edges_s) == 19, name
        assert {round(edge_s * 1e9) for edge_s in edges_s} <= edges_ns, name


def test_names_follow_the_conventions_and_buckets_are_few():
    gateway = GatewayMetrics()
    gateway.ended("main", "c", Outcome.MODEL, 0.01)
    gateway.call_time.labels("s")
    for family in [*families(gateway), *families(ModelServerMetrics("s", 1))]:
        assert family.name.startswith(("baseload_gateway_", "baseload_model_server_"))
        assert family.documentation.endswith(".")
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_batch_items"))
            buckets = [sample for sample in family.samples if sample.name.endswith("_bucket")]
            series = {
                tuple(sorted(sample.labels.items() - {("le", sample.labels["le"])})) for sample in buckets
            }
            assert len(buckets) == 20 * len(series)

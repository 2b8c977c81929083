"""Metrics: the simulator's buckets, and figures that agree with each other."""

from prometheus_client.parser import text_string_to_metric_families

from serving_ref.gateway.metrics import Metrics as GatewayMetrics
from serving_ref.metrics import LATENCY_BUCKETS_S, exposed
from serving_ref.model_server.metrics import Metrics as ModelServerMetrics
from serving_ref.protocol import Outcome
from simulator.results.histogram import lower_edges_ns


def test_every_latency_edge_is_an_edge_of_the_simulators_histogram():
    edges_ns = set(lower_edges_ns().tolist())
    assert all(round(edge_s * 1e9) in edges_ns for edge_s in LATENCY_BUCKETS_S)
    assert list(LATENCY_BUCKETS_S) == sorted(set(LATENCY_BUCKETS_S))


def families(metrics):
    return list(text_string_to_metric_families(exposed(metrics.registry).decode()))


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

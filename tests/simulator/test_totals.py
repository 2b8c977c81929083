"""Totals of a replication, against the raw latencies and the definitions."""

import dataclasses

import numpy as np
import pytest

from scenarios.schema import Scenario
from simulator.results.histogram import BUCKETS, BUCKETS_PER_OCTAVE
from simulator.results.recorded import CLASS_COUNTERS
from simulator.results.totals import class_totals, growth, latency_percentiles, pool_totals, service_totals
from tests.simulator.synthetic import DAY_S, SECOND, document, scenario, synthetic

CLASSES = ["home-page", "product-page"]


@pytest.fixture(scope="module")
def made():
    return synthetic(1, rate=0.2)


def test_percentiles_are_those_of_the_raw_latencies(made):
    classes, overall = class_totals(made.record, scenario(), 0)
    raw = [made.latencies_ns[name] for name in CLASSES]
    for tree, latencies in [*zip(classes.values(), raw, strict=True), (overall, np.concatenate(raw))]:
        found = [tree["latency_s"][name] * SECOND for name in ("p50", "p95", "p99", "p999")]
        expected = np.quantile(latencies, [0.5, 0.95, 0.99, 0.999])
        assert found == pytest.approx(expected, rel=1 / BUCKETS_PER_OCTAVE)
        assert tree["latency_s"]["mean"] * SECOND == pytest.approx(latencies.mean(), rel=1e-12)
        assert tree["answered"] == len(latencies)


def test_every_request_is_answered_or_failed_and_ratios_follow(made):
    tree = class_totals(made.record, scenario(), 0)[0]["home-page"]
    assert tree["answered"] + tree["failed"] == tree["sent"]
    assert tree["failed"] == sum(tree["failed_by"].values())
    assert tree["answered"] == sum(tree["answered_by"].values())
    assert tree["hit_ratio"] == tree["answered_by"]["cache"] / tree["answered"]
    assert tree["attempts"] > tree["sent"]


@pytest.mark.parametrize(("answered_by_it", "hits"), [(0, None), (5, 5)])
def test_a_class_without_a_cache_has_no_hit_ratio_unless_something_was_hit(made, answered_by_it, hits):
    """The target of a load test may have a cache that the scenario does not know."""
    changed = document()
    changed["routes"].append({"name": "bare", "targets": [{"service": "ranker"}]})
    changed["classes"][1]["route"] = "bare"
    counters = made.record.class_counters.copy()
    counters[:, 1, CLASS_COUNTERS.index("ok_cache")] = 0
    counters[-1, 1, CLASS_COUNTERS.index("ok_cache")] = answered_by_it
    record = dataclasses.replace(made.record, class_counters=counters)
    classes, overall = class_totals(record, Scenario.model_validate(changed), 0)
    bare = classes["product-page"]
    assert bare["hit_ratio"] == (None if hits is None else hits / bare["answered"])
    assert classes["home-page"]["hit_ratio"] > 0
    assert overall["hit_ratio"] == overall["answered_by"]["cache"] / overall["answered"]


def test_without_any_cache_the_whole_has_no_hit_ratio(made):
    changed = document()
    del changed["routes"][0]["cache"]
    counters = made.record.class_counters.copy()
    counters[:, :, CLASS_COUNTERS.index("ok_cache")] = 0
    record = dataclasses.replace(made.record, class_counters=counters)
    assert class_totals(record, Scenario.model_validate(changed), 0)[1]["hit_ratio"] is None


def test_the_warm_up_is_left_out(made):
    whole = class_totals(made.record, scenario(), 0)[1]
    half = class_totals(made.record, scenario(), DAY_S // 2 * SECOND)[1]
    row = len(made.record.edges_ns) // 2
    counters = made.record.class_counters[-1] - made.record.class_counters[row]
    assert half["sent"] == counters[:, CLASS_COUNTERS.index("sent")].sum() < whole["sent"]
    assert half["latency_s"]["p50"] != whole["latency_s"]["p50"]
    assert half["sent_per_s"] == half["sent"] / (DAY_S / 2)


def test_a_warm_up_that_ends_between_edges_is_a_defect(made):
    with pytest.raises(ValueError, match="warm-up"):
        class_totals(made.record, scenario(), 7 * SECOND)


def test_failed_requests_are_infinitely_late():
    counts = np.zeros(BUCKETS, dtype=np.int64)
    counts[700] = 97
    tree = latency_percentiles(counts, failed=3)
    assert tree["infinite"] == ["p99", "p999"]
    assert tree["p99"] is None
    assert tree["p95"] is not None
    assert latency_percentiles(counts, failed=0)["infinite"] == []


def test_utilisation_is_busy_time_over_slot_time(made):
    found = service_totals(made.record, scenario(), 0)["ranker"]
    slot_s = (np.diff(made.record.edges_ns) * made.record.service_gauges[:-1, 0, 3]).sum() / SECOND
    assert found["slot_s"] == slot_s
    assert found["utilisation"] == pytest.approx(found["busy_s"] / slot_s)
    assert sum(found["batch_sizes"].values()) == made.record.batch_sizes.sum()


def test_mean_instances_are_weighted_by_time(made):
    record = dataclasses.replace(
        made.record,
        edges_ns=np.array([0, 10, 40]) * SECOND,
        pool_gauges=np.array([[[4, 4], [0, 0]], [[8, 6], [0, 0]], [[1, 1], [0, 0]]]),
    )
    found = pool_totals(record, ["gpu", "cpu-spot"], 0)["gpu"]
    assert found == {"instances_mean": 7.0, "ready_instances_mean": 5.5, "instances_max": 8}


def test_counters_that_wrap_around_in_a_large_fleets_year_are_summed_all_the_same():
    day_ns = 40_000 * DAY_S * SECOND  # 40,000 slots for a day fit 64 bits, for a week they do not
    days = [day * day_ns for day in range(366)]
    wrapped = np.array([(total + 2**63) % 2**64 - 2**63 for total in days])
    assert growth(wrapped[:, None], 3).tolist() == [362 * day_ns]
    assert growth(wrapped[:, None], 365).tolist() == [0]

"""Latency buckets and percentiles, against the raw values they were counted from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.results.histogram import BUCKETS, BUCKETS_PER_OCTAVE, lower_edges_ns, percentiles_ns
from tests.simulator.synthetic import bucket_of

LEVELS = [0.5, 0.95, 0.99, 0.999]


def counts_of(latencies_ns):
    return np.bincount(bucket_of(latencies_ns), minlength=BUCKETS)


def test_edges_rise_by_one_part_in_64():
    edges = lower_edges_ns()
    assert len(edges) == BUCKETS
    inner = edges[1:]
    assert np.all(np.diff(inner) / inner[:-1] <= 1 / BUCKETS_PER_OCTAVE)
    assert np.all(np.diff(edges) > 0)


@pytest.mark.parametrize("spread", [0.1, 0.5, 1.5])
def test_percentiles_are_numpys_within_a_bucket(spread):
    latencies = (np.random.default_rng(7).lognormal(np.log(0.05), spread, 200_000) * 1e9).astype(np.int64)
    found = percentiles_ns(counts_of(latencies), LEVELS)
    assert found == pytest.approx(np.quantile(latencies, LEVELS), rel=1 / BUCKETS_PER_OCTAVE)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1100, 2**45), min_size=1, max_size=60), st.floats(0.01, 1))
def test_a_percentile_lies_in_the_bucket_of_its_rank(values, level):
    values = np.sort(np.array(values))
    (found,) = percentiles_ns(counts_of(values), [level])
    rank = int(np.ceil(level * len(values) - 1e-9)) - 1
    edges, bucket = lower_edges_ns(), bucket_of(values[[rank]])[0]
    assert edges[bucket] <= found <= edges[bucket + 1]


def test_nothing_counted_has_no_percentile():
    assert percentiles_ns(np.zeros(BUCKETS, dtype=np.int64), LEVELS) == [None] * 4


def test_values_beyond_the_last_edge_read_as_that_edge():
    counts = np.zeros(BUCKETS, dtype=np.int64)
    counts[-1] = 10
    assert percentiles_ns(counts, [0.5]) == [2.0**46]

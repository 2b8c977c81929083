"""SLO verdicts, against the definition counted by hand."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.schema import Slo
from simulator.results.slo import evidence, judge, window_edges_ns

SECOND = 1_000_000_000


def slo(**changes):
    terms = {"name": "fast", "class": "home", "latency": "300ms", "objective": "90%"} | changes
    return Slo.model_validate(terms)


def verdict(terms, good, total, *, warmup_s=0, step_s=60, late=0):
    edges = np.arange(len(good) + 1) * step_s * SECOND
    counts = [np.concatenate(([0], np.cumsum(each))) for each in (good, total)]
    return judge(terms, edges, *counts, warmup_ns=warmup_s * SECOND, unfinished_late=late)


def test_one_window_is_the_whole_run():
    found = verdict(slo(), [90, 80], [100, 90])
    assert (found.good, found.total, found.windows, found.kept) == (170, 190, 1, False)
    assert found.margin == pytest.approx(170 / 190 - 0.9)


def test_the_objective_itself_is_enough():
    assert verdict(slo(objective="7%"), [7], [100]).kept  # 0.07 × 100 is 7.000000000000001 in floats
    assert not verdict(slo(objective="7%"), [6], [100]).kept


def test_windows_without_traffic_are_kept():
    found = verdict(slo(window="1m"), [0, 95], [0, 100])
    assert (found.windows, found.windows_kept, found.kept) == (2, 2, True)


def test_a_share_of_the_windows_may_fail():
    good, total = [95, 10, 95, 95], [100] * 4
    assert not verdict(slo(window="1m"), good, total).kept
    found = verdict(slo(window="1m", window_fraction="75%"), good, total)
    assert found.kept
    assert (found.windows_kept, found.windows_needed) == (3, 3)
    assert found.margin == pytest.approx(0.05)  # the worst of the three best


def test_open_and_late_at_the_end_is_missed_in_the_last_window():
    assert verdict(slo(window="1m"), [100, 90], [100, 100]).kept
    found = verdict(slo(window="1m"), [100, 90], [100, 100], late=1)
    assert (found.kept, found.windows_kept, found.total) == (False, 1, 201)


@pytest.mark.parametrize(
    ("objective", "good", "left"),
    [
        ("90%", [100, 100], 1),
        ("90%", [95, 95], 0.5),
        ("7%", [7, 7], 0),
        ("90%", [80, 70], -1.5),
        ("100%", [99, 100], None),
    ],
)
def test_the_error_budget_is_what_may_miss_less_what_did(objective, good, left):
    assert verdict(slo(objective=objective), good, [100, 100]).error_budget_left == left


def test_an_error_budget_of_no_traffic_is_unknown_and_a_late_request_at_the_end_spends_it():
    assert verdict(slo(), [0], [0]).error_budget_left is None
    assert verdict(slo(), [99], [99], late=1).error_budget_left == pytest.approx(0.9)


def test_the_warm_up_does_not_count_and_windows_begin_after_it():
    found = verdict(slo(window="2m"), [0, 95, 95, 95], [100] * 4, warmup_s=60)
    assert (found.windows, found.kept, found.total) == (2, True, 300)


def test_the_last_window_may_be_shorter():
    assert window_edges_ns(slo(window="2m"), 60 * SECOND, 300 * SECOND) == [
        60 * SECOND, 180 * SECOND, 300 * SECOND,
    ]  # fmt: skip
    assert window_edges_ns(slo(window="4m"), 0, 300 * SECOND)[-2:] == [240 * SECOND, 300 * SECOND]


def test_a_timeline_without_the_windows_edges_is_a_defect():
    with pytest.raises(ValueError, match="no edges where its windows have"):
        verdict(slo(window="90s"), [1, 1, 1], [1, 1, 1])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=30),
    st.integers(0, 100),
    st.integers(0, 100),
)
def test_the_verdict_is_the_definition(counts, objective, fraction):
    good = [min(pair) for pair in counts]
    total = [max(pair) for pair in counts]
    found = verdict(slo(objective=f"{objective}%", window="1m", window_fraction=f"{fraction}%"), good, total)
    shares = [Fraction(g, t) if t else Fraction(1) for g, t in zip(good, total, strict=True)]
    kept = sum(share >= Fraction(objective, 100) for share in shares)
    assert found.windows_kept == kept
    assert found.kept == (Fraction(kept, len(shares)) >= Fraction(fraction, 100))
    if math.ceil(Fraction(fraction, 100) * len(shares)) > 0:
        assert found.kept == (found.margin >= -1e-12)


def test_evidence_of_clean_runs_is_bounded():
    found = evidence([True] * 30)
    assert (found.seeds, found.seeds_kept, found.high) == (30, 30, 1.0)
    assert found.clean_bound == pytest.approx(0.05 ** (1 / 30))
    assert evidence([True, False]).clean_bound is None

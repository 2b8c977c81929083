"""A prediction beside a measurement: what is compared, and what is near enough."""

from __future__ import annotations

import copy
import math

import pytest

from simulator.results.agreement import TOLERANCES, Tolerance, Verdict, agreement
from simulator.results.compare import Unit

PREDICTED = {
    "totals": {
        "measured_s": 50.0,
        "classes": {
            "web": {
                "answered": 5000, "answered_ratio": 0.98, "hit_ratio": 0.5,
                "latency_s": {"p50": 0.010, "p95": 0.100, "p99": 0.200},
            }
        },
        "services": {"ranker": {"batch_items_mean": 4.0, "utilisation": 0.6}},
        "slos": {"fast": {"attainment": 0.99}},
        "costs": {"billed_usd": 10.0},
    },
    "slos": {"fast": {"kept": True}},
}  # fmt: skip


def measured(**changed):
    """The prediction come true, but for some leaves, given by their path with "__" between its parts."""
    document = copy.deepcopy(PREDICTED)
    for path, value in changed.items():
        node = document
        *parents, leaf = path.split("__")
        for key in parents:
            node = node[key]
        node[leaf] = value
    return document


def test_a_prediction_come_true_holds_in_every_figure():
    found = agreement(PREDICTED, measured())
    assert found.holds
    assert {each.verdict for each in found.findings} == {Verdict.WITHIN}
    assert {each.kind for each in found.findings} == TOLERANCES.keys()
    assert {each.error for each in found.findings} == {0.0}


@pytest.mark.parametrize(
    ("path", "near", "far"),
    [
        ("totals__slos__fast__attainment", 0.9999, 0.979),
        ("totals__classes__web__answered", 5090, 4890),
        ("totals__classes__web__answered_ratio", 0.971, 0.969),
        ("totals__classes__web__latency_s__p50", 0.0119, 0.0121),
        ("totals__classes__web__latency_s__p95", 0.114, 0.084),
        ("totals__classes__web__latency_s__p99", 0.239, 0.241),
        ("totals__classes__web__hit_ratio", 0.519, 0.479),
        ("totals__services__ranker__batch_items_mean", 4.39, 3.59),
        ("totals__services__ranker__utilisation", 0.649, 0.651),
        ("totals__costs__billed_usd", 10.19, 9.79),
    ],
)
def test_each_figure_has_its_tolerance(path, near, far):
    assert agreement(PREDICTED, measured(**{path: near})).holds
    found = agreement(PREDICTED, measured(**{path: far}))
    assert not found.holds
    assert len(found.beyond) == 1


def test_a_tolerance_is_the_larger_of_its_two_parts():
    """2 ms at a p50 of 10 ms, and 10 % at one of 100 ms."""
    slow = measured(totals__classes__web__latency_s__p50=0.100)
    assert agreement(slow, measured(totals__classes__web__latency_s__p50=0.109)).holds
    assert not agreement(slow, measured(totals__classes__web__latency_s__p50=0.111)).holds
    strict = TOLERANCES | {"p50": Tolerance(0.0, 0.01)}
    assert not agreement(slow, measured(totals__classes__web__latency_s__p50=0.102), strict).holds


def test_an_slo_must_be_kept_or_missed_as_predicted_however_near_the_figures_are():
    found = agreement(PREDICTED, measured(slos__fast__kept=False))
    assert not found.holds
    assert not found.beyond
    assert found.slos == {"fast": (True, False)}


def test_what_a_load_test_could_not_see_is_unknown_and_decides_nothing():
    blind = measured(totals__services={}, totals__classes__web__hit_ratio=None)
    found = agreement(PREDICTED, blind)
    assert found.holds
    unknown = {each.kind for each in found.findings if each.verdict is Verdict.UNKNOWN}
    assert unknown == {"items-a-batch", "utilisation", "hit-ratio"}


def test_a_measurement_that_does_not_count_confirms_nothing():
    document = measured() | {"load_test": {"invalid_because": ["the machine was 90% busy"]}}
    found = agreement(PREDICTED, document)
    assert not found.holds
    assert found.objections == ("the machine was 90% busy",)


def test_throughput_is_what_was_answered():
    found = agreement(PREDICTED, measured(totals__classes__web__answered=2500))
    rate = next(each for each in found.findings if each.kind == "throughput")
    assert (rate.unit, rate.predicted, rate.measured) == (Unit.RATE, 100.0, 50.0)


def percentiles(found):
    return {each.kind: each for each in found.findings if each.kind in ("p50", "p95", "p99")}


NOTHING_ANSWERED = {
    "totals__classes__web__answered": 0,
    "totals__classes__web__answered_ratio": 0.0,
    "totals__classes__web__latency_s": {"p50": None, "p95": None, "p99": None},
}
"""What `run.json` says of a class that was sent and never answered."""


def test_where_nothing_was_answered_percentiles_are_infinite_and_far_from_every_finite_one():
    """Even where failures and throughput are as predicted, more or less: 0.5 % of the requests were to be answered."""
    predicted = measured(totals__classes__web__answered=0.001, totals__classes__web__answered_ratio=0.005)
    wide = TOLERANCES | {"throughput": Tolerance(0.0, 1.0)}
    for one, other in ((predicted, measured(**NOTHING_ANSWERED)), (measured(**NOTHING_ANSWERED), predicted)):
        found = agreement(one, other, wide)
        assert {each.verdict for each in percentiles(found).values()} == {Verdict.BEYOND}
        assert {abs(each.error) for each in percentiles(found).values()} == {math.inf}
        assert not found.holds


def test_infinite_in_both_is_as_predicted():
    found = agreement(measured(**NOTHING_ANSWERED), measured(**NOTHING_ANSWERED))
    assert {each.verdict for each in percentiles(found).values()} == {Verdict.WITHIN}
    assert {each.error for each in percentiles(found).values()} == {0.0}
    assert found.holds


def test_percentiles_of_a_class_that_was_not_sent_are_unknown():
    """No answer and no failure: there is nothing that could have been late."""
    silent = measured(**NOTHING_ANSWERED | {"totals__classes__web__answered_ratio": None})
    found = agreement(silent, silent)
    assert {each.verdict for each in percentiles(found).values()} == {Verdict.UNKNOWN}

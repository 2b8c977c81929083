"""Comparisons: paired by seed where they can be, and honest about what differs."""

import copy
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from simulator.money.bill import UnitPrice, bill
from simulator.results.compare import Unit, compare
from simulator.results.run_directory import Run
from simulator.results.run_document import run_document
from tests.simulator.synthetic import document, scenario, synthetic


def run(name, records, days=1):
    made = scenario(days)
    lines = bill(made, records, lambda pool: UnitPrice(Decimal("0.5"), "test", ""))
    found = run_document(
        scenario=made,
        digest=name,
        document=document(days),
        records=records,
        lines=lines,
        engine="kernel",
        versions={},
    )
    return Run(Path("out") / name, found)


@pytest.fixture(scope="module")
def before():
    return run("before", [synthetic(seed, rate=0.05).record for seed in (1, 2, 3)])


@pytest.fixture(scope="module")
def after():
    return run("after", [synthetic(seed, rate=0.06).record for seed in (1, 2, 3)])


def row_of(comparison, path):
    (found,) = [row for row in comparison.rows if row.path == path]
    return found


def test_a_run_against_itself_does_not_change(before):
    found = compare([before, Run(Path("out/again"), before.document)])
    assert found.warnings == ()
    for row in found.rows:
        assert row.changes[0] is None
        if row.changes[1] is not None:
            assert row.changes[1].absolute == 0
            assert (row.changes[1].paired.low, row.changes[1].paired.high) == (0, 0)


def test_shared_seeds_are_compared_in_pairs(before, after):
    change = row_of(compare([before, after]), "classes/home-page/sent_per_s").changes[1]
    values = [
        [each["totals"]["classes"]["home-page"]["sent_per_s"] for each in made.document["replications"]]
        for made in (before, after)
    ]
    difference = np.subtract(values[1], values[0])
    expected = stats.t.interval(0.95, 2, difference.mean(), stats.sem(difference))
    assert (change.paired.low, change.paired.high) == pytest.approx(expected, rel=1e-6)
    assert change.paired.replications == 3
    assert change.relative == pytest.approx(np.mean(values[1]) / np.mean(values[0]) - 1)


def test_other_seeds_are_not_paired_and_that_is_said(before):
    other = run("other", [synthetic(seed, rate=0.05).record for seed in (8, 9)])
    found = compare([before, other])
    assert all(row.changes[1] is None or row.changes[1].paired is None for row in found.rows)
    assert any("shares no seed" in warning for warning in found.warnings)


def test_some_shared_seeds_are_paired_over_those(before):
    other = run("other", [synthetic(seed, rate=0.05).record for seed in (2, 3, 9)])
    found = compare([before, other])
    assert row_of(found, "costs/billed_usd").changes[1].paired.replications == 2
    assert any("share some seeds only" in warning for warning in found.warnings)


def test_other_demand_is_said(before):
    changed = copy.deepcopy(before.document)
    changed["scenario"]["document"]["arrivals"][0]["rate"] = "70/s"
    assert any("other demand" in warning for warning in compare([before, Run(Path("b"), changed)]).warnings)
    changed = copy.deepcopy(before.document)
    changed["scenario"]["document"]["pools"][0]["size"] = 9
    assert compare([before, Run(Path("b"), changed)]).warnings == ()


def test_a_load_test_stands_beside_a_simulation(before):
    changed = copy.deepcopy(before.document) | {"source": "load-test", "seeds": [0]}
    changed["scenario"]["document"] = {}
    changed["replications"] = changed["replications"][:1]
    changed["replications"][0]["seed"] = 0
    found = compare([before, Run(Path("measured"), changed)])
    assert found.warnings == ("measured is a load test, before a simulation",)
    assert row_of(found, "classes/home-page/latency_s/p99").unit is Unit.SECONDS


def test_a_class_that_one_run_lacks_has_no_change(before):
    changed = copy.deepcopy(before.document)
    del changed["totals"]["classes"]["product-page"]
    del changed["slos"]["product-fast"]
    found = compare([before, Run(Path("b"), changed)])
    row = row_of(found, "classes/product-page/latency_s/p99")
    assert row.values[1] is None
    assert row.changes == (None, None)
    assert dict(found.verdicts)["SLO product-fast"] == (True, None)


def test_runs_that_are_called_alike_are_told_apart(before):
    twin = Run(Path("elsewhere/before"), before.document)
    assert compare([before, twin]).runs == ("out/before", "elsewhere/before")


@pytest.fixture(scope="module")
def two_days():
    return run("two-days", [synthetic(seed, days=2, rate=0.05).record for seed in (1, 2, 3)], days=2)


def test_runs_of_other_lengths_are_compared_by_rates_and_not_by_totals(before, two_days):
    found = compare([before, two_days])
    assert any("totals are not comparable" in warning for warning in found.warnings)
    for path in ("costs/billed_usd", "costs/idle_usd"):
        total = row_of(found, path)
        assert total.other_length == (False, True)
        assert total.changes == (None, None)
    for path in ("costs/per_hour_usd", "costs/per_1000_usd", "budgets/monthly/spent_share"):
        rate = row_of(found, path)
        assert rate.other_length == (False, False)
        assert rate.changes[1].paired.replications == 3
    costs, hour = two_days.document["totals"]["costs"], row_of(found, "costs/per_hour_usd")
    assert hour.values[1] == pytest.approx(costs["billed_usd"] / 48)


def test_runs_of_one_length_are_compared_by_totals_too(before, after):
    found = compare([before, after])
    assert not any(any(row.other_length) for row in found.rows)
    assert row_of(found, "costs/billed_usd").changes[1] is not None


def test_error_budgets_windows_and_budgets_of_money_are_compared(before, after, two_days):
    found = compare([before, after])
    slo = before.document["totals"]["slos"]["home-fast"]
    left = row_of(found, "slos/home-fast/error_budget_left")
    assert (left.section, left.metric) == ("SLO home-fast", "error budget left")
    assert left.values[0] == pytest.approx(slo["error_budget_left"])
    assert left.changes[1].paired.replications == 3
    budget = before.document["budgets"]["monthly"]
    spent = row_of(found, "budgets/monthly/spent_share")
    assert spent.values[0] == pytest.approx(budget["spent_usd"] / budget["allowed_usd"])
    assert dict(found.verdicts)["budget monthly"] == (
        budget["kept"],
        after.document["budgets"]["monthly"]["kept"],
    )
    windows = row_of(compare([two_days, two_days]), "slos/home-fast/windows_kept_share")
    assert windows.values[0] == two_days.document["totals"]["slos"]["home-fast"]["windows_kept"] / 2

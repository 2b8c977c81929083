"""The bill, against exact fractions; FOCUS rows against the specification's rules."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.catalogue import load_catalogue
from scenarios.errors import InvalidInput
from scenarios.schema import Scenario
from simulator.money.allocation import allocate
from simulator.money.bill import UnitPrice, bill, contracted_price, cost_nano_usd
from simulator.money.focus import COLUMNS, rows
from simulator.money.prices import list_prices
from simulator.money.usage import billed_life, charge_periods, pool_usage
from simulator.results.recorded import Usage
from tests.simulator.synthetic import DAY_S, SECOND, document, scenario, synthetic

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = 3600 * SECOND


@settings(max_examples=500, deadline=None)
@given(st.integers(1, 400 * 24 * HOUR), st.decimals(0, 500, places=6))
def test_a_line_is_price_times_quantity_rounded_once(billed_ns, price):
    exact = Fraction(price) * Fraction(billed_ns, HOUR) * 10**9
    found = cost_nano_usd(billed_ns, price)
    assert abs(found - exact) <= Fraction(1, 2)
    if abs(found - exact) == Fraction(1, 2):
        assert found % 2 == 0


def test_the_whole_bill_is_exact_arithmetic_over_lives():
    made = scenario(2)
    record = synthetic(1, days=2, rate=0.02).record
    prices = {"gpu": Decimal("0.526"), "cpu-spot": Decimal("0.1379")}
    lines = bill(made, [record], lambda pool: UnitPrice(prices[pool.name], "test", "2024-01"))
    end = int(record.edges_ns[-1])
    for pool, factor in (("gpu", Fraction(93, 100)), ("cpu-spot", Fraction(1))):
        lives = [life for life in record.usage if life.pool == pool]
        seconds = sum(-(-(min(life.end_ns, end) - life.begin_ns) // SECOND) for life in lives)
        exact = seconds * Fraction(prices[pool]) * factor / 3600 * 10**9
        found = [line for line in lines if line.pool == pool]
        assert len(found) == 2  # a line a day
        assert abs(sum(line.billed_nano_usd for line in found) - exact) <= Fraction(len(found), 2)


def test_days_are_cut_at_midnight_utc_wherever_the_run_starts():
    begin = datetime(2024, 2, 28, 22, 30, tzinfo=UTC)
    periods = charge_periods(begin, 0, 26 * HOUR)
    assert [(each.begin_ns / HOUR, each.end_ns / HOUR) for each in periods] == [
        (0, 1.5),
        (1.5, 25.5),
        (25.5, 26),
    ]
    elsewhere = begin.astimezone(tz=datetime.strptime("+0530", "%z").tzinfo)
    assert charge_periods(elsewhere, 0, 26 * HOUR) == periods


@pytest.mark.parametrize(
    ("begin_s", "end_s", "billed_s"),
    [
        (100, 110, 60),  # the minimum
        (100, 160.5, 61),  # every second begun
        (0, 10, 10),  # was there before the window: its minimum is paid already
        (995, 1000, 5),  # goes on after the window
        (100, 900, 800),
    ],
)
def test_whole_seconds_with_a_minimum_of_sixty(begin_s, end_s, billed_s):
    life = Usage("gpu", 0, int(begin_s * SECOND), int(end_s * SECOND))
    begin, end = billed_life(life, 0, 1000 * SECOND)
    assert (end - begin) / SECOND == billed_s


def test_usage_before_the_warm_up_is_not_billed():
    assert billed_life(Usage("gpu", 0, 0, 50), 100, 1000) is None
    begin, end = billed_life(Usage("gpu", 0, 0, 400 * SECOND), 100 * SECOND, 1000 * SECOND)
    assert (begin, end) == (100 * SECOND, 400 * SECOND)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3 * DAY_S), st.integers(1, DAY_S)), min_size=1, max_size=20))
def test_no_second_is_lost_or_counted_twice_at_midnight(lives):
    end_ns = 3 * DAY_S * SECOND
    usage = [Usage("p", n, b * SECOND, min((b + d) * SECOND, end_ns)) for n, (b, d) in enumerate(lives)]
    whole = [billed_life(life, 0, end_ns) for life in usage]
    found = pool_usage(usage, charge_periods(START, 0, end_ns))
    assert sum(each.billed_ns for each in found) == sum(end - begin for begin, end in filter(None, whole))


def test_discounts_follow_one_another_and_respect_the_capacity_type():
    made = document()
    made["discounts"].append({"name": "loyalty", "percent": "10%"})
    whole = Scenario.model_validate(made)
    gpu, spot = whole.pools
    assert contracted_price(Decimal("1.00"), gpu, whole) == Decimal("0.837")
    assert contracted_price(Decimal("1.00"), spot, whole) == Decimal("0.9")


def test_the_scenarios_price_comes_before_the_catalogues():
    made = document()
    made["prices"] = [{"instance_type": "g4dn.xlarge", "price": "$89/month"}]
    own = Scenario.model_validate(made)
    price_of = list_prices(own, load_catalogue())
    assert price_of(own.pools[0]) == UnitPrice(Decimal("0.121917808"), "scenario", "")
    spot = price_of(own.pools[1])
    assert (
        spot.usd_per_h
        == load_catalogue().require_price("c5.2xlarge", "us-east-1", "spot-reference").price_usd_per_h
    )
    assert spot.source != "scenario"
    assert spot.as_of


def test_a_reservation_is_paid_at_the_on_demand_rate():
    made = document()
    made["pools"][0]["capacity_type"] = "reserved"
    whole = Scenario.model_validate(made)
    on_demand = load_catalogue().require_price("g4dn.xlarge", "us-east-1", "on-demand")
    assert list_prices(whole, load_catalogue())(whole.pools[0]).usd_per_h == on_demand.price_usd_per_h
    made["prices"] = [{"instance_type": "g4dn.xlarge", "price": "$2/h"}]
    whole = Scenario.model_validate(made)
    assert list_prices(whole, load_catalogue())(whole.pools[0]).usd_per_h == 2


def test_an_unknown_price_is_said_so():
    made = document()
    made["pools"][0]["instance_type"] = "g4dn.xlarg"
    whole = Scenario.model_validate(made)
    with pytest.raises(InvalidInput, match=r"g4dn\.xlarge"):
        list_prices(whole, load_catalogue())(whole.pools[0])


def test_the_allocation_adds_up_to_the_bill():
    made = scenario()
    record = synthetic(1, rate=0.02).record
    cost = {"gpu": 12_345_678_901, "cpu-spot": 777}
    found = allocate(made, cost, {"ranker": 0.375}, record.served_items)
    assert sum(found.by_class.values()) + found.idle == sum(cost.values())
    home, product = record.served_items[:, 0].tolist()
    used = Fraction(3, 8) * sum(cost.values())
    assert found.by_class["home-page"] == pytest.approx(float(used * home / (home + product)), abs=2)


def test_an_unused_fleet_is_idle():
    made = scenario()
    record = synthetic(1, rate=0.02).record
    found = allocate(made, {"gpu": 100, "cpu-spot": 0}, {"ranker": None}, record.served_items * 0)
    assert found.idle == 100


def test_focus_rows_keep_the_specifications_rules():
    made = scenario(2)
    record = synthetic(4, days=2, rate=0.02).record
    lines = bill(made, [record], list_prices(made, load_catalogue()))
    found = list(rows(made, lines))
    assert found
    for row in found:
        assert set(row) == set(COLUMNS)
        custom = [name for name in COLUMNS if name.startswith("x_")]
        assert list(COLUMNS)[-len(custom) :] == custom  # custom columns come last
        assert row["ChargePeriodEnd"] - row["ChargePeriodStart"] == timedelta(days=1) // timedelta(
            microseconds=1
        )
        assert row["BillingPeriodStart"] <= row["ChargePeriodStart"] < row["BillingPeriodEnd"]
        unit = Fraction(row["ContractedUnitPrice"], 10**9) * Fraction(row["PricingQuantity"], 10**9)
        assert float(unit) == pytest.approx(row["ContractedCost"] / 10**9, abs=2e-9)
        assert row["PricingCategory"] == ("Dynamic" if row["ResourceId"] == "cpu-spot" else "Standard")
        assert json.loads(row["Tags"])["team"] == "discovery"
        assert row["ConsumedQuantity"] <= row["PricingQuantity"]
        assert row["x_Seed"] == 4

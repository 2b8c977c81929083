"""Prices that a scenario states itself, of instances and of metered services."""

from decimal import Decimal

import pytest

from scenarios.catalogue import SCENARIO, load_catalogue
from scenarios.own_prices import service_prices
from scenarios.references import broken_references
from scenarios.schema import Scenario
from tests.scenarios.documents import full_document, load_small, message


def scenario(*prices):
    return Scenario.model_validate(full_document() | {"prices": list(prices)})


def test_a_service_has_the_scenarios_price():
    stated = scenario({"service": "alb.lcu", "unit_price": "$0.0072/LCU-hour"})
    assert broken_references(stated) == []
    own = load_catalogue().with_overrides(price for _, price in service_prices(stated))
    found = own.service_price("eu-west-1", "alb.lcu")
    assert (found.price_usd, found.source) == (Decimal("0.0072"), SCENARIO)


@pytest.mark.parametrize("service", sorted({name for _, name in load_catalogue().service_prices_by_key}))
def test_every_service_of_the_catalogue_can_be_priced_in_its_own_unit(service):
    unit = load_catalogue().service_price("us-east-1", service).unit
    assert broken_references(scenario({"service": service, "unit_price": f"$1/{unit}"})) == []


@pytest.mark.parametrize(
    ("price", "said"),
    [
        (
            {"service": "s3.standard.storag", "unit_price": "$1/GB-month"},
            "unknown service 's3.standard.storag': did you mean s3.standard.storage",
        ),
        ({"service": "s3.standard.storage", "unit_price": "$1/GB"}, "unit 'GB', expected GB-month"),
    ],
)
def test_an_unknown_service_or_unit_is_said_where_it_stands(price, said):
    ((where, words),) = broken_references(scenario({"instance_type": "g5.xlarge", "price": "$1/h"}, price))
    assert where == ("prices", 1)
    assert said in words


@pytest.mark.parametrize(
    "price",
    [
        {"service": "alb.hour", "unit_price": "$1/hour"},
        {"instance_type": "g5.xlarge", "price": "$1/h", "capacity_type": "spot"},
    ],
)
def test_one_thing_has_one_price(price):
    ((where, words),) = broken_references(scenario(price, price))
    assert where == ("prices", 1)
    assert "has a price already: prices[0]" in words


@pytest.mark.parametrize(
    ("price", "said"),
    [
        ("{price: $1/h}", "expected exactly one of instance_type, service; got none of them"),
        ("{instance_type: a, service: b, price: $1/h}", "got instance_type and service"),
        ("{instance_type: a, unit_price: $1/GB}", "an instance type has a price"),
        (
            "{service: alb.hour, price: $1/h}",
            "a service has a unit_price, such as $0.023/GB-month, and no price",
        ),
        (
            "{service: alb.hour, unit_price: $1/hour, capacity_type: spot}",
            "capacity_type: a service has none",
        ),
        ("{service: alb.hour, unit_price: $1}", "expected a price for a unit, such as $0.023/GB-month"),
    ],
)
def test_what_does_not_go_together_is_said(tmp_path, price, said):
    assert said in message(lambda: load_small(tmp_path, "", "", f"prices: [{price}]\n"))

"""The catalogue: that its figures hang together and have sources, and that what it lacks is said in words."""

from __future__ import annotations

import csv
import importlib.resources
import json
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from baseload.cli.catalogue import command
from scenarios.catalogue import (
    SCENARIO,
    Catalogue,
    Price,
    PurchaseOption,
    ServicePrice,
    load_catalogue,
    read_catalogue,
)
from scenarios.catalogue.names import name_order
from scenarios.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

ON_DEMAND = PurchaseOption.ON_DEMAND
SPOT = PurchaseOption.SPOT_REFERENCE
NO_UPFRONT = PurchaseOption.RESERVED_1Y_NO_UPFRONT
ALL_UPFRONT = PurchaseOption.RESERVED_1Y_ALL_UPFRONT

FILES = ("sources.csv", "instance_types.csv", "prices.csv", "services.csv")

CPU_FAMILIES = (
    *("c4", "c5", "c5a", "c5n", "c6g", "c6i", "c7g", "c7i"),
    *("m4", "m5", "m5a", "m5n", "m6g", "m6i", "m7g", "m7i"),
    *("r4", "r5", "r5a", "r5n", "r6g", "r6i", "r7g", "r7i"),
    *("t2", "t3", "t3a"),
)
ACCELERATED_FAMILIES = ("g4dn", "g5", "g6", "g6e", "inf2", "p2", "p3", "p3dn", "p4d", "p4de", "p5", "p5en")
LINEAR_FAMILIES = (*CPU_FAMILIES, "p3")
"""Families whose sizes are shares of one machine; in g and inf families the accelerators do not scale so."""
SIZE_UNITS = {"micro": 1, "small": 2, "medium": 4, "large": 8, "xlarge": 16}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the real tables, to be spoiled."""
    packaged = importlib.resources.files("scenarios.catalogue")
    for name in FILES:
        (tmp_path / name).write_text((packaged / name).read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def spoil(folder: Path, file: str, old: str, new: str) -> str:
    path = folder / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(InvalidInput) as fault:
        read_catalogue(folder)
    return str(fault.value)


def rows(name: str) -> list[dict[str, str]]:
    text = (importlib.resources.files("scenarios.catalogue") / name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def units(size: str) -> int:
    return SIZE_UNITS.get(size) or 16 * int(size.removesuffix("xlarge"))


class TestFigures:
    def test_at_least_sixty_instance_types_of_every_family_that_scenarios_use(self, catalogue: Catalogue):
        assert len(catalogue.instance_types) >= 60
        families = {each.family for each in catalogue.instance_types}
        assert families == {*CPU_FAMILIES, *ACCELERATED_FAMILIES}

    def test_known_shapes(self, catalogue: Catalogue):
        p4d = catalogue.instance_type("p4d.24xlarge")
        assert (p4d.vcpu, p4d.memory_gib, p4d.arch) == (96, 1152, "x86_64")
        assert (p4d.accelerator, p4d.accelerator_count, p4d.accelerator_memory_gib) == ("NVIDIA A100", 8, 40)
        assert catalogue.instance_type("m7g.2xlarge").arch == "arm64"
        assert catalogue.instance_type("c5a.4xlarge").accelerator is None

    def test_every_row_has_a_date_and_a_known_source(self, catalogue: Catalogue):
        for name in FILES[1:]:
            for row in rows(name):
                assert row["as_of"], row
                assert row["source"] in catalogue.sources_by_id, row

    def test_every_source_is_used(self, catalogue: Catalogue):
        used = {row["source"] for name in FILES[1:] for row in rows(name)}
        assert used == set(catalogue.sources_by_id)

    def test_rows_stand_in_order_so_that_a_reviewer_finds_them(self):
        names = [row["instance_type"] for row in rows("instance_types.csv")]
        assert names == sorted(names, key=name_order)
        regions = list(dict.fromkeys(row["region"] for row in rows("prices.csv")))
        options = [option.value for option in PurchaseOption]
        keys = [
            (regions.index(row["region"]), name_order(row["instance_type"]), options.index(row["option"]))
            for row in rows("prices.csv")
        ]
        assert keys == sorted(keys)

    def test_every_instance_type_has_an_on_demand_price_in_us_east_1(self, catalogue: Catalogue):
        for each in catalogue.instance_types:
            assert catalogue.require_price(each.name, "us-east-1", ON_DEMAND).price_usd_per_h > 0

    def test_spot_and_reserved_prices_are_below_on_demand(self, catalogue: Catalogue):
        for (region, name, _), price in catalogue.prices_by_key.items():
            on_demand = catalogue.require_price(name, region, ON_DEMAND).price_usd_per_h
            assert price.price_usd_per_h <= on_demand, price

    def test_paying_all_upfront_is_no_dearer_than_paying_nothing_upfront(self, catalogue: Catalogue):
        compared = 0
        for (region, name, option), price in catalogue.prices_by_key.items():
            other = catalogue.price(name, region, NO_UPFRONT)
            if option is ALL_UPFRONT and other is not None:
                assert price.price_usd_per_h <= other.price_usd_per_h, price
                compared += 1
        assert compared > 10

    @pytest.mark.parametrize("family", LINEAR_FAMILIES)
    def test_on_demand_prices_scale_with_the_size(self, catalogue: Catalogue, family: str):
        for region in catalogue.regions:
            hourly = {
                units(each.size): price.price_usd_per_h
                for each in catalogue.instance_types
                if each.family == family and (price := catalogue.price(each.name, region, ON_DEMAND))
            }
            assert len(hourly) != 1
            for size, price in hourly.items():
                # AWS rounds each size by itself, to a tenth of a cent at the coarsest (r4, c4, m4).
                largest = max(hourly)
                assert abs(price * largest - hourly[largest] * size) <= Decimal("0.0005") * (
                    largest + size
                ), size

    def test_a_spot_price_at_exactly_thirty_percent_says_that_it_is_a_floor(self, catalogue: Catalogue):
        floors = []
        for each in catalogue.instance_types:
            spot = catalogue.price(each.name, "us-east-1", SPOT)
            if spot is not None:
                on_demand = catalogue.require_price(each.name, "us-east-1", ON_DEMAND).price_usd_per_h
                at_floor = abs(spot.price_usd_per_h / on_demand - Decimal("0.3")) < Decimal("0.0002")
                assert at_floor == ("floor" in spot.note), spot
                floors += [each.name] if at_floor else []
        assert "p3.2xlarge" in floors

    def test_a_discount_from_before_a_price_cut_is_left_out(self, catalogue: Catalogue):
        # AWS cut the prices of P4 and P5 in 2025; the spot and upfront prices at hand are from 2023.
        for name in ("p4d.24xlarge", "p4de.24xlarge", "p5.48xlarge"):
            assert catalogue.price(name, "us-east-1", SPOT) is None
            assert catalogue.price(name, "us-east-1", ALL_UPFRONT) is None

    def test_services_are_priced_in_every_region_in_one_unit(self, catalogue: Catalogue):
        services = {service for _, service in catalogue.service_prices_by_key}
        assert len(services) >= 15
        for service in services:
            assert len({catalogue.service_price(region, service).unit for region in catalogue.regions}) == 1

    def test_known_service_prices(self, catalogue: Catalogue):
        storage = catalogue.service_price("us-east-1", "s3.standard.storage")
        assert (storage.price_usd, storage.unit) == (Decimal("0.023"), "GB-month")
        assert catalogue.service_price("eu-west-1", "alb.hour").price_usd == Decimal("0.0252")

    def test_prices_are_exact_decimals(self, catalogue: Catalogue):
        price = catalogue.require_price("p3.2xlarge", "us-east-1", ON_DEMAND)
        assert price.price_usd_per_h * 3 == Decimal("9.18")


class TestLookups:
    def test_reading_happens_once(self):
        assert load_catalogue() is load_catalogue()

    def test_an_unknown_name_is_answered_with_the_nearest(self, catalogue: Catalogue):
        with pytest.raises(
            InvalidInput, match=r"unknown instance type 'p3\.2xlrge': did you mean p3\.2xlarge"
        ):
            catalogue.instance_type("p3.2xlrge")

    def test_an_unknown_price_is_none_and_an_error_where_it_is_required(self, catalogue: Catalogue):
        assert catalogue.price("g6.xlarge", "eu-west-1", ON_DEMAND) is None
        with pytest.raises(InvalidInput) as fault:
            catalogue.require_price("g6.xlarge", "eu-west-1", ON_DEMAND)
        message = str(fault.value)
        assert "no on-demand price is known for g6.xlarge in eu-west-1" in message
        assert "us-west-2: on-demand, reserved-1y-no-upfront" in message

    def test_a_price_of_an_unknown_type_is_an_error_and_not_none(self, catalogue: Catalogue):
        with pytest.raises(InvalidInput, match="did you mean"):
            catalogue.price("m5.xlrge", "us-east-1", ON_DEMAND)

    def test_an_unknown_region_is_answered_with_the_known_ones(self, catalogue: Catalogue):
        with pytest.raises(InvalidInput, match="no prices for region 'mars': known: eu-west-1, us-east-1"):
            catalogue.require_price("m5.xlarge", "mars", ON_DEMAND)

    def test_an_option_may_be_given_by_its_text(self, catalogue: Catalogue):
        assert catalogue.price("m5.xlarge", "us-east-1", "on-demand") is not None
        with pytest.raises(InvalidInput, match=r"unknown purchase option 'spot': expected one of on-demand"):
            catalogue.price("m5.xlarge", "us-east-1", "spot")

    def test_an_unknown_service_or_its_region_is_named(self, catalogue: Catalogue):
        with pytest.raises(InvalidInput, match=r"unknown service 's3\.standard\.storge': did you mean s3"):
            catalogue.service_price("us-east-1", "s3.standard.storge")
        with pytest.raises(InvalidInput, match=r"nat\.hour in mars; known in: eu-west-1, us-east-1"):
            catalogue.service_price("mars", "nat.hour")


class TestOverrides:
    def test_an_override_replaces_the_price_and_says_that_the_scenario_did(self, catalogue: Catalogue):
        mine = Price("p3.2xlarge", "us-east-1", ON_DEMAND, Decimal("2.5"), as_of="2024", source="elsewhere")
        changed = catalogue.with_overrides([mine])
        price = changed.require_price("p3.2xlarge", "us-east-1", ON_DEMAND)
        assert (price.price_usd_per_h, price.source, price.as_of) == (Decimal("2.5"), SCENARIO, "")

    def test_the_catalogue_itself_stays_as_it_is(self, catalogue: Catalogue):
        before = catalogue.require_price("p3.2xlarge", "us-east-1", ON_DEMAND)
        catalogue.with_overrides([Price("p3.2xlarge", "us-east-1", ON_DEMAND, Decimal(1))])
        assert catalogue.require_price("p3.2xlarge", "us-east-1", ON_DEMAND) == before

    def test_an_override_may_fill_a_gap_and_open_a_region(self, catalogue: Catalogue):
        spot = Price("p5.48xlarge", "us-east-1", SPOT, Decimal(20))
        elsewhere = Price("m5.large", "ap-south-1", ON_DEMAND, Decimal("0.101"))
        nat = ServicePrice("ap-south-1", "nat.hour", "hour", Decimal("0.056"))
        changed = catalogue.with_overrides([spot, elsewhere, nat])
        assert changed.require_price("p5.48xlarge", "us-east-1", SPOT).price_usd_per_h == 20
        assert "ap-south-1" in changed.regions
        assert changed.service_price("ap-south-1", "nat.hour").source == SCENARIO

    def test_own_hardware_may_cost_nothing(self, catalogue: Catalogue):
        changed = catalogue.with_overrides([Price("m5.large", "us-east-1", ON_DEMAND, Decimal(0))])
        assert changed.require_price("m5.large", "us-east-1", ON_DEMAND).price_usd_per_h == 0

    @pytest.mark.parametrize(
        ("overrides", "message"),
        [
            ([Price("m5.large", "us-east-1", ON_DEMAND, Decimal(-1))], "-1 USD, expected a finite amount"),
            ([Price("m5.large", "us-east-1", ON_DEMAND, Decimal("NaN"))], "NaN USD, expected a finite"),
            ([Price("m5.lrge", "us-east-1", ON_DEMAND, Decimal(1))], "unknown instance type"),
            ([Price("m5.large", "us-east-1", ON_DEMAND, Decimal(1))] * 2, "overridden twice"),
            ([ServicePrice("us-east-1", "nat.huor", "hour", Decimal(1))], "unknown service"),
            ([ServicePrice("us-east-1", "nat.hour", "GB", Decimal(1))], "unit 'GB', expected hour"),
        ],
    )
    def test_a_wrong_override_is_refused(self, catalogue: Catalogue, overrides: list[Price], message: str):
        with pytest.raises(InvalidInput, match=message):
            catalogue.with_overrides(overrides)


class TestReading:
    def test_the_copied_tables_read_the_same(self, folder: Path, catalogue: Catalogue):
        assert read_catalogue(folder) == catalogue

    @pytest.mark.parametrize(
        ("file", "old", "new", "message"),
        [
            ("prices.csv", "0.398", "cheap", "prices.csv:2: price_usd_per_h: 'cheap', expected a decimal"),
            ("prices.csv", "0.398", "0", "prices.csv:2: price_usd_per_h: '0', expected a decimal"),
            ("prices.csv", "0.398", "NaN", "prices.csv:2: price_usd_per_h: 'NaN'"),
            ("prices.csv", "2026-07-20", "20260720", "prices.csv:2: as_of: '20260720', expected YYYY"),
            ("prices.csv", "2026-07-20", "2026-13", "prices.csv:2: as_of: '2026-13', expected YYYY"),
            ("prices.csv", "2026-07-20", "", "prices.csv:2: as_of: ''"),
            ("prices.csv", "karpenter-2026", "hearsay", "expected an id of sources.csv"),
            ("prices.csv", "c4.2xlarge", "c4.3xlarge", "expected a name of instance_types.csv"),
            ("prices.csv", "on-demand", "free", "prices.csv:2: option: 'free', expected one of on-demand"),
            ("prices.csv", "spot-reference", "on-demand", "prices.csv:3: second row for"),
            ("prices.csv", "region,", "place,", "prices.csv:1: columns 'place,instance_type"),
            ("prices.csv", ",0.398", ",0,398", "prices.csv:2: 8 cells, expected 7"),
            ("instance_types.csv", "x86_64", "riscv", "instance_types.csv:2: arch: 'riscv'"),
            ("instance_types.csv", "c4.2xlarge,8", "c4.2xlarge,8.5", "vcpu: '8.5', expected a whole number"),
            ("instance_types.csv", ",,0,,", ",,1,,", "accelerator_count: '1', expected 0 without"),
            ("instance_types.csv", ",,0,,", ",,0,16,", "accelerator_memory_gib: '16', expected nothing"),
            ("services.csv", ",hour,", ",,", "services.csv:2: unit: ''"),
            ("sources.csv", "id,", "key,", "sources.csv:1: columns"),
        ],
    )
    def test_a_fault_is_named_by_file_line_and_column(
        self, folder: Path, file: str, old: str, new: str, message: str
    ):
        assert message in spoil(folder, file, old, new)

    def test_a_missing_file_is_named(self, folder: Path):
        (folder / "services.csv").unlink()
        with pytest.raises(InvalidInput, match=r"services\.csv: No such file"):
            read_catalogue(folder)


class TestCommand:
    def test_a_table_of_the_types_whose_name_contains_the_pattern(self):
        result = CliRunner().invoke(command, ["p3"])
        assert result.exit_code == 0
        line = next(line for line in result.output.splitlines() if "p3.8xlarge" in line)
        for cell in ("32", "244", "4 × NVIDIA V100 16 GiB", "12.24", "3.672*", "2023-08-30 to 2026-07-20"):
            assert cell in line
        assert "g5" not in result.output

    def test_an_unknown_price_is_a_dash(self):
        result = CliRunner().invoke(command, ["g6.xlarge", "--region", "eu-west-1"])
        assert result.exit_code == 0
        assert result.output.count("–") == 5

    def test_a_pattern_may_have_wildcards(self):
        result = CliRunner().invoke(command, ["c?i.2xlarge", "--json"])
        names = [each["instance_type"] for each in json.loads(result.output)["instance_types"]]
        assert names == ["c6i.2xlarge", "c7i.2xlarge"]

    def test_json_has_exact_prices_and_the_sources_they_come_from(self):
        result = CliRunner().invoke(command, ["p3.2xlarge", "--json"])
        document = json.loads(result.output)
        prices = document["instance_types"][0]["prices"]
        assert prices["on-demand"] == {
            "price_usd_per_h": "3.06",
            "as_of": "2026-07-20",
            "source": "karpenter-2026-07-20",
            "note": "",
        }
        assert "floor" in prices["spot-reference"]["note"]
        named = {price["source"] for price in prices.values()} | {document["instance_types"][0]["source"]}
        assert set(document["sources"]) == named

    def test_without_a_pattern_everything_is_listed(self, catalogue: Catalogue):
        result = CliRunner().invoke(command, ["--json"])
        assert len(json.loads(result.output)["instance_types"]) == len(catalogue.instance_types)

    def test_nothing_found_and_unknown_regions_are_invalid_input(self):
        nothing = CliRunner().invoke(command, ["p3.2xlrge"])
        assert isinstance(nothing.exception, InvalidInput)
        assert "did you mean p3.2xlarge" in str(nothing.exception)
        nowhere = CliRunner().invoke(command, ["--region", "eu-wst-1"])
        assert isinstance(nowhere.exception, InvalidInput)
        assert "did you mean eu-west-1" in str(nowhere.exception)

    def test_help_shows_an_example(self):
        assert "baseload catalogue p3" in CliRunner().invoke(command, ["--help"]).output


@pytest.mark.data
class TestAgainstTheSources:
    """The figures again, from the files they were taken from."""

    def source_rows(self, path: Path) -> list[dict[str, str]]:
        return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))

    def test_on_demand_in_us_east_1(self, catalogue: Catalogue, data_dir: Path):
        table = self.source_rows(data_dir / "prices" / "ondemand_us_east_1_2026-07-20.csv")
        published = {row["instance_type"]: Decimal(row["usd_per_hour"]) for row in table}
        for each in catalogue.instance_types:
            price = catalogue.require_price(each.name, "us-east-1", ON_DEMAND)
            assert price.price_usd_per_h == published[each.name], price

    def test_spot_upfront_prices_and_shapes_of_2023(self, catalogue: Catalogue, data_dir: Path):
        table = self.source_rows(data_dir / "prices" / "us_east_1_2023-08-30_od_spot_ri1yAU.csv")
        published = {row["instance_type"]: row for row in table}
        compared = 0
        for (_, name, option), price in catalogue.prices_by_key.items():
            column = {SPOT: "spot_min", ALL_UPFRONT: "ri_1y_all_upfront"}.get(option)
            if column is not None:
                assert price.price_usd_per_h == Decimal(published[name][column]), price
                compared += 1
        assert compared > 200
        for each in catalogue.instance_types:
            if each.name in published:
                row = published[each.name]
                assert (each.vcpu, each.arch) == (int(row["vcpu"]), row["arch"])
                assert each.memory_gib == float(row["mem_gb"])

    def test_accelerated_types_in_every_region(self, catalogue: Catalogue, data_dir: Path):
        table = self.source_rows(data_dir / "prices" / "aws_gpu_od_ri1yNU_all_regions_2026-01.csv")
        published = {(row["region"], row["instance_type"]): row for row in table}
        for each in catalogue.instance_types:
            for region in catalogue.regions:
                row = published.get((region, each.name))
                known = catalogue.prices_of(each.name, region)
                prices = {price.option: price.price_usd_per_h for price in known}
                if each.accelerator is None:
                    assert row is None
                elif row is None:
                    assert prices == {}  # not offered there
                else:
                    # The us-east-1 figures come from a later list with one more digit.
                    assert prices[ON_DEMAND] == pytest.approx(Decimal(row["od"]), abs=Decimal("0.00001"))
                    assert str(prices.get(NO_UPFRONT, "")) == row["ri_1y_no_upfront"]
                    assert (each.accelerator, each.accelerator_count) == (row["gpu"], float(row["gpu_count"]))

    def test_the_ribbon_prices_are_there(self, catalogue: Catalogue, data_dir: Path):
        for row in self.source_rows(data_dir / "profiles" / "ribbon_price.csv"):
            price = catalogue.require_price(row["instance"], "us-east-1", ON_DEMAND)
            assert price.price_usd_per_h == Decimal(row["price"].strip()), price

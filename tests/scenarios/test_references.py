"""What must hold between the parts of a scenario, one change to a sound document at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from scenarios.errors import Unsupported
from scenarios.references import broken_references
from scenarios.schema import Scenario
from scenarios.unsupported import refuse_unsupported, unsupported_features
from scenarios.without_effect import without_effect
from tests.scenarios.documents import full_document

if TYPE_CHECKING:
    from collections.abc import Callable


def findings(change: Callable[[dict[str, Any]], object]) -> dict[tuple[str | int, ...], str]:
    """Return what is wrong with the full document after a change."""
    document = full_document()
    change(document)
    return dict(broken_references(Scenario.model_validate(document)))


def only(change: Callable[[dict[str, Any]], object], location: tuple[str | int, ...], said: str) -> None:
    found = findings(change)
    assert list(found) == [location]
    assert said in found[location]


def test_a_sound_document_has_no_findings():
    assert findings(lambda document: None) == {}


class TestNames:
    @pytest.mark.parametrize("key", ["pools", "models", "slos", "discounts"])
    def test_a_name_stands_once_in_its_list(self, key):
        found = findings(lambda document: document[key].append(document[key][0]))
        assert "has this name already" in found[key, len(full_document()[key]), "name"]

    def test_one_name_may_stand_in_two_lists(self):
        def change(document):
            document["slos"][0]["name"] = "main"

        assert findings(change) == {}

    @pytest.mark.parametrize(
        ("location", "said"),
        [
            (("classes", 0, "arrivals"), "there is no x in arrivals; arrivals here: web, app, staff"),
            (("classes", 0, "route"), "there is no x in routes"),
            (("routes", 0, "targets", 0, "service"), "there is no x in services"),
            (("services", 1, "model"), "there is no x in models"),
            (("services", 1, "pools", 0), "there is no x in pools"),
            (("slos", 0, "class"), "there is no x in classes"),
        ],
    )
    def test_a_name_that_is_referred_to_exists(self, location, said):
        def change(document):
            place = document
            for key in location[:-1]:
                place = place[key]
            place[location[-1]] = "x"

        assert said in findings(change)[location]

    def test_the_nearest_name_is_suggested(self):
        def change(document):
            document["services"][0]["pools"][1] = "gpu-spt"

        only(change, ("services", 0, "pools", 1), "did you mean gpu-spot?")

    def test_a_pool_stands_once_in_a_service(self):
        only(
            lambda document: document["services"][0]["pools"].append("gpu"),
            ("services", 0, "pools", 2),
            "twice",
        )

    def test_what_nothing_uses_is_a_mistake_but_for_pools(self):
        def change(document):
            document["arrivals"].append({"name": "lost", "rate": "1/s"})
            document["routes"].append({"name": "lost", "targets": [{"service": "reco"}]})
            document["services"].append({"name": "lost", "model": "big", "pools": ["gpu"]})
            document["pools"].append({"name": "lost", "instance_type": "m5.large"})

        assert findings(change) == {
            ("arrivals", 3): "no class uses it",
            ("routes", 2): "no class uses it",
            ("services", 2): "no route uses it",
        }


class TestProfiles:
    def test_each_pool_of_a_service_has_a_profile_of_its_model(self):
        def change(document):
            document["pools"][2]["instance_type"] = "m5.large"

        said = "pool cpu is of type m5.large, for which model tiny has no profile; it has one for c6i.xlarge"
        only(change, ("services", 1, "pools", 0), said)

    def test_a_star_covers_every_type(self):
        def change(document):
            document["pools"][0]["instance_type"] = "p5.48xlarge"

        assert findings(change) == {}

    def test_a_table_reaches_up_to_the_largest_batch(self):
        def change(document):
            latency = {"table": [[1, "1ms"], [4, "2ms"]]}
            document["models"][0]["profiles"] = [{"instance_types": ["*"], "latency": latency}]

        found = findings(change)
        assert found[("services", 0, "batching", "max_batch_size")].endswith("is measured up to 4 items")

    @pytest.mark.parametrize("name", ["*", "g5.xlarge"])
    def test_a_type_has_one_profile(self, name):
        def change(document):
            document["models"][0]["profiles"].append(
                {"instance_types": [name], "latency": {"per_item": "1ms"}}
            )

        only(change, ("models", 0, "profiles", 2, "instance_types"), f"{name} already has a profile")


class TestInstanceTypes:
    """A profile for "*" would take the place of a misspelt one, and the catalogue's price that of a misspelt one."""

    def test_a_misspelt_type_of_a_profile_is_found(self):
        def change(document):
            document["models"][0]["profiles"][0]["instance_types"] = ["g4dn.xlarge", "g5.xlrge"]

        said = "g5.xlrge: no pool is of this type, and the catalogue has none; did you mean g5.xlarge"
        only(change, ("models", 0, "profiles", 0, "instance_types", 1), said)

    def test_a_misspelt_type_of_a_price_is_found(self):
        def change(document):
            document["prices"][0]["instance_type"] = "g5.xlrge"

        only(change, ("prices", 0, "instance_type"), "did you mean g5.xlarge")

    def test_a_pool_of_a_type_of_ones_own_makes_it_known(self):
        def change(document):
            document["models"][1]["profiles"][0]["instance_types"] = ["house-brand"]
            document["pools"][2]["instance_type"] = "house-brand"

        assert findings(change) == {}

    def test_so_do_a_profile_and_a_price_together(self):
        def change(document):
            document["models"][0]["profiles"][0]["instance_types"].append("house-brand")
            document["prices"].append({"instance_type": "house-brand", "price": "$1/h"})

        assert findings(change) == {}


class TestTraffic:
    def test_shares_of_a_stream_add_up(self):
        def change(document):
            document["classes"][1]["share"] = 0.2

        only(change, ("arrivals", 0), "add up to 90%, not 100%: home-page 70% + search 20%")

    def test_thirds_add_up(self):
        def change(document):
            document["classes"][0]["share"], document["classes"][1]["share"] = 0.6666667, "33.33333%"

        assert findings(change) == {}

    def test_a_trace_may_say_the_class_of_each_row(self):
        def change(document):
            document["arrivals"][0] = {"name": "web", "trace": {"file": "x.csv"}}
            for kind in document["classes"][:2]:
                del kind["share"]

        assert findings(change) == {}

    def test_a_hit_comes_before_the_timeout(self):
        def change(document):
            document["routes"][0]["cache"]["hit_latency"] = "300ms"

        only(
            change, ("routes", 0, "cache", "hit_latency"), "not below the timeout of class home-page, 300 ms"
        )

    def test_a_cache_and_coalescing_need_some_class_with_keys(self):
        found = findings(lambda document: document["classes"][0].pop("keys"))
        assert list(found) == [("routes", 0, "cache"), ("routes", 0, "coalesce")]
        assert "(home-page, search, desk)" in found["routes", 0, "cache"]

    def test_a_given_hit_ratio_needs_no_keys(self):
        def change(document):
            del document["classes"][0]["keys"]
            document["routes"][0] |= {"cache": {"kind": "given", "hit_ratio": "30%"}, "coalesce": False}

        assert findings(change) == {}

    @pytest.mark.parametrize(
        ("items", "said"),
        [
            (8, None),
            (9, "a size of 9 items is above max_batch_size of service reco, 8"),
            ({"uniform": [1, 9]}, None),
            ({"uniform": [1, 10]}, "a largest size of 9 items"),
            ({"lognormal": {"mu": 2.0, "sigma": 3.0}}, None),
            ({"lognormal": {"mu": 2.5, "sigma": 0.1}}, "a median of 12 items"),
            ({"lognormal": {"mu": 50, "sigma": 20}}, "a median of 5.18471e+21 items"),
            (
                {"mixture": [{"constant": 1, "weight": 9}, {"constant": 20, "weight": 1}]},
                "a size of 20 items",
            ),
        ],
    )
    def test_the_largest_request_fits_into_a_batch(self, items, said):
        def change(document):
            document["classes"][0]["items"] = items

        if said is None:
            assert findings(change) == {}
        else:
            only(change, ("classes", 0, "items"), said)

    def test_the_smallest_service_of_a_route_decides(self):
        def change(document):
            document["services"][1]["batching"]["max_batch_size"] = 1

        only(change, ("classes", 2, "items"), "max_batch_size of service small, 1")

    @pytest.mark.parametrize(
        "time", ["0s", 0, {"exponential": "0s"}, {"uniform": ["0s", "0s"]}, {"empirical": [0, 0]}]
    )
    def test_users_think(self, time):
        def change(document):
            document["arrivals"][2]["users"]["think_time"] = time

        only(change, ("arrivals", 2, "users", "think_time"), "more than 0")


class TestTimes:
    @pytest.mark.parametrize(
        ("run", "location", "said"),
        [
            ({"duration": "11h", "warmup": "11h"}, "warmup", "11 h leaves nothing of a run of 11 h"),
            ({"interval": "3d"}, "interval", "longer than the run"),
            ({"interval": "1ms"}, "interval", "expected at most 1,000,000"),
            ({"duration": "3653d"}, "duration", "expected at most 10 years"),
        ],
    )
    def test_of_the_run(self, run, location, said):
        def change(document):
            document["slos"] = []
            document["run"] |= run

        assert said in findings(change)["run", location]

    @pytest.mark.parametrize(
        ("slo", "location", "said"),
        [
            ({"window": "3d"}, "window", "3 d is longer than the run, 2 d"),
            ({"window": "20m"}, "window", "20 min is not a whole number of run.interval, 15 min"),
            ({"window": None}, "window_fraction", "no meaning without a window"),
        ],
    )
    def test_of_an_slo(self, slo, location, said):
        only(lambda document: document["slos"][0].update(slo), ("slos", 0, location), said)

    def test_a_run_has_a_bounded_number_of_steps(self):
        def change(document):
            document["arrivals"][0]["shape_step"] = "1us"
            document["arrivals"][0]["process"]["mmpp"] = [{"times": 1, "mean_duration": "1ns"}] * 2
            document["pools"][1]["schedule"] = {"steps": [{"at": 0, "size": 1}], "every": "1us"}

        assert list(findings(change)) == [
            ("arrivals", 0, "shape_step"),
            ("arrivals", 0, "process", "mmpp"),
            ("pools", 1, "schedule", "every"),
        ]


class TestUnsupported:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (
                {"prices": [{"service": "s3.standard.storage", "unit_price": "$0.021/GB-month"}]},
                r"prices\[0\]: s3.standard.storage: this version's bill has lines for instances alone",
            ),
            ({"commitments": [{"name": "a", "kind": "reserved-instance"}]}, "commitments: "),
            ({"incidents": [{"name": "a", "at": "1h", "kind": "zone"}]}, "incidents: "),
            (
                {"rollouts": [{"name": "a", "at": "1h", "service": "reco", "strategy": "rolling"}]},
                "rollouts: ",
            ),
        ],
    )
    def test_sections(self, change, said):
        document = full_document() | change
        with pytest.raises(Unsupported, match=said):
            refuse_unsupported(Scenario.model_validate(document))

    def test_everything_is_said_at_once(self):
        document = full_document()
        document["models"][0]["batching"] = "continuous"
        document["classes"][0]["prompt_tokens"] = 100
        document["services"][1]["pools"] = ["cpu", "gpu"]
        found = unsupported_features(Scenario.model_validate(document))
        assert [line.split(":")[0] for line in found] == [
            "models[big].batching",
            "classes[home-page]",
            "pools[gpu]",
        ]
        assert "a pool serves one service in this version, and reco and small name it" in found[2]

    def test_the_full_document_can_be_run(self):
        refuse_unsupported(Scenario.model_validate(full_document()))


class TestWithoutEffect:
    def found(self, change):
        document = full_document()
        change(document)
        return without_effect(Scenario.model_validate(document))

    def test_the_full_document_states_nothing_for_nothing(self):
        assert self.found(lambda document: None) == []

    def test_a_price_that_no_pool_buys_at(self):
        said = self.found(lambda document: document["prices"][1].pop("capacity_type"))
        assert said == ["prices[1]: no pool buys g4dn.xlarge on-demand, so that this price has no effect"]

    def test_a_discount_that_no_pool_gets(self):
        said = self.found(lambda document: document["discounts"][0].update(capacity_type="reserved"))
        assert said == ["discounts[edp]: no pool is reserved, so that this discount has no effect"]

    @pytest.mark.parametrize(
        ("stated", "unused"), [(["on-demand"], 0), (["reserved"], 0), (["reserved", "on-demand"], 1)]
    )
    def test_a_reservation_is_paid_at_its_own_price_or_else_on_demand(self, stated, unused):
        def change(document):
            document["pools"][0]["capacity_type"] = "reserved"
            document["prices"] = [
                {"instance_type": "g5.xlarge", "capacity_type": each, "price": "$1/h"} for each in stated
            ]

        assert len(self.found(change)) == unused

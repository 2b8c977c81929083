"""The scenario library: every file runs, and shows what it says it shows."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from scenarios.catalogue import load_catalogue
from scenarios.load import load_scenario
from scenarios.traces import read_trace
from scenarios.unsupported import unsupported_features
from simulator.money.bill import bill
from simulator.money.prices import list_prices
from simulator.results.run_document import run_document
from simulator.run import simulate

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "scenarios/library"
FILES = sorted(path.relative_to(LIBRARY).as_posix() for path in LIBRARY.rglob("*.yaml"))
MINUTE_NS = 60 * 10**9
EVENING = "run.start=2024-01-06T19:45:00Z"  # the peak of the week in the recommendation engine's pairs


@pytest.fixture(params=FILES)
def name(request, monkeypatch):
    """Each file of the library, with the real data at hand where it needs them."""
    if "${BASELOAD_DATA}" in (LIBRARY / request.param).read_text():
        monkeypatch.setenv("BASELOAD_DATA", str(request.getfixturevalue("data_dir")))
    return request.param


def run(name, *overrides):
    """The run document of a scenario, with these overrides."""
    loaded = load_scenario(LIBRARY / f"{name.removesuffix('.yaml')}.yaml", overrides)
    record = simulate(loaded)
    lines = bill(loaded.scenario, [record], list_prices(loaded.scenario, load_catalogue()))
    return run_document(
        scenario=loaded.scenario, digest=loaded.digest, document={}, records=[record], lines=lines,
        engine="kernel", versions={},
    )  # fmt: skip


@cache
def quarter_of_an_hour(name, *overrides):
    return run(name, "run.duration=15m", *overrides)


def kept(document):
    return {slo["kept"] for slo in document["slos"].values()}


def test_every_file_is_valid_says_what_it_is_and_runs(name):
    loaded = load_scenario(LIBRARY / name, ["run.duration=5m"])
    assert unsupported_features(loaded.scenario) == []
    assert loaded.scenario.metadata.description
    record = simulate(loaded)
    assert record.class_counters[-1].sum() > 0


def test_names_are_their_own_and_the_guide_lists_every_file():
    guide = (ROOT / "docs/library.md").read_text()
    assert [name for name in FILES if f"library/{name})" not in guide] == []
    lines = [line for name in FILES for line in (LIBRARY / name).read_text().splitlines()]
    names = [line.split(":")[1].strip() for line in lines if line.startswith("  name: ")]
    assert len(names) == len(set(names)) == len(FILES)


def test_files_are_short_and_begin_with_what_they_show():
    for name in FILES:
        lines = (LIBRARY / name).read_text().splitlines()
        assert lines[0].startswith("# "), name
        assert len(lines) < 120, name
        assert max(map(len, lines)) <= 120, name


@pytest.mark.parametrize("name", [name for name in FILES if name != "ribbon-candle.yaml"])
def test_no_hit_ratio_is_given(name):
    """A claim's output is never written into an input."""
    routes = load_scenario(LIBRARY / name).scenario.routes
    assert all(route.cache is None or route.cache.hit_ratio is None for route in routes)


def test_with_the_cache_the_gpus_do_less():
    off, on = quarter_of_an_hour("cache/off", EVENING), quarter_of_an_hour("cache/on", EVENING)
    assert on["totals"]["overall"]["sent"] == off["totals"]["overall"]["sent"]
    assert off["totals"]["overall"]["hit_ratio"] is None
    assert on["totals"]["overall"]["hit_ratio"] > 0
    before, after = (each["totals"]["services"]["ranker"] for each in (off, on))
    assert after["batches"] < 0.9 * before["batches"]
    assert after["utilisation"] < before["utilisation"] - 0.03
    assert kept(off) == kept(on) == {True}


def test_with_batching_a_gpu_bears_a_load_that_it_does_not_bear_without():
    assert kept(quarter_of_an_hour("batching/off")) == {True}
    assert kept(quarter_of_an_hour("batching/off", "arrivals.shoppers.rate=75/s")) == {False}
    assert kept(quarter_of_an_hour("batching/on", "arrivals.shoppers.rate=120/s")) == {True}


def test_with_batching_the_gpu_is_less_busy_at_equal_load():
    off, on = quarter_of_an_hour("batching/off"), quarter_of_an_hour("batching/on")
    assert off["totals"]["services"]["ranker"]["batch_items_mean"] == 1
    assert on["totals"]["services"]["ranker"]["batch_items_mean"] > 1.2
    busy = [each["totals"]["services"]["ranker"]["utilisation"] for each in (off, on)]
    assert busy[1] < busy[0] - 0.05


def test_two_tiers_cost_less_and_keep_the_promise_at_the_peak():
    one, two = quarter_of_an_hour("hybrid/gpu-only", EVENING), quarter_of_an_hour("hybrid/cpu-gpu", EVENING)
    assert kept(one) == kept(two) == {True}
    assert two["totals"]["costs"]["billed_usd"] < one["totals"]["costs"]["billed_usd"]
    served = {name: each["batches"] for name, each in two["totals"]["services"].items()}
    assert served["ranker-small"] / sum(served.values()) == pytest.approx(0.6, abs=0.01)


def test_month_3_costs_less_an_hour_than_month_1_and_keeps_the_promise():
    first = quarter_of_an_hour("recommendation/month-1-as-found")
    third = quarter_of_an_hour("recommendation/month-3-optimised")
    assert kept(first) == kept(third) == {True}
    assert third["totals"]["costs"]["billed_usd"] < first["totals"]["costs"]["billed_usd"]


def test_eight_instances_are_mostly_idle_outside_their_four_hours():
    idle = quarter_of_an_hour("recommendation/idle")["totals"]
    assert idle["pools"]["gpu"]["instances_mean"] == 8
    assert idle["costs"]["idle_usd"] > 0.5 * idle["costs"]["billed_usd"]


def good_share_by_minute(record):
    """Share of requests within the SLO's latency, over all SLOs, in each minute of a run."""
    marks = np.searchsorted(record.edges_ns, np.arange(0, record.edges_ns[-1] + 1, MINUTE_NS))
    good, total = (np.diff(counts[marks].sum(axis=1)) for counts in (record.slo_good, record.slo_total))
    return good / total


def ready_at_minutes(record):
    return [event.time_ns / MINUTE_NS for event in record.events if event.kind == "instance-ready"]


def test_the_peak_finds_two_instances_until_two_more_are_ready():
    record = simulate(load_scenario(LIBRARY / "recommendation/lag.yaml", ["run.duration=40m"]))
    share = good_share_by_minute(record)
    ready = ready_at_minutes(record)
    assert len(ready) == 2
    assert 30 <= min(ready) <= max(ready) <= 34  # 8 to 12 minutes after minute 22
    assert share[:20].min() > 0.999
    assert share[26:30].max() < 0.5


def test_work_for_clients_who_left_is_what_keeps_the_lag_going():
    thrifty = ["run.duration=40m", "services.ranker.batching.drop_expired=true"]
    record = simulate(load_scenario(LIBRARY / "recommendation/lag.yaml", thrifty))
    share = good_share_by_minute(record)
    assert share[26:30].max() < 0.5
    assert share[36:].min() > 0.99
    as_found = simulate(load_scenario(LIBRARY / "recommendation/lag.yaml", ["run.duration=40m"]))
    assert good_share_by_minute(as_found)[36:].max() < 0.5


def test_the_flash_crowd_is_the_file():
    trace = read_trace(LIBRARY / "flash-crowd.csv")
    calm, crowd = trace.count[:60].mean(), trace.count.max()
    assert crowd / calm == pytest.approx(10, rel=0.1)
    record = simulate(load_scenario(LIBRARY / "flash-crowd.yaml"))
    assert record.class_counters[-1, :, 0].sum() == trace.count.sum()
    share = good_share_by_minute(record)
    assert share[:60].min() > 0.999
    assert share[64:67].min() < 0.9
    assert share[max(map(int, ready_at_minutes(record))) + 2 :].min() > 0.99

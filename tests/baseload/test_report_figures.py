"""What the figures draw, where a first look at them would mislead."""

import copy

import numpy as np
import pytest

from baseload.report.data import Series
from baseload.report.facets import TimeFacets
from baseload.report.figures import batches, costs, heat, latency, queues, spending
from simulator.results.run_directory import Run
from tests.baseload.test_report import written


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return written(tmp_path_factory.mktemp("figures") / "run", days=2, rate=0.02, interval_s=60)


@pytest.fixture(scope="module")
def series(run):
    return Series(run, "run")


def test_a_band_is_broken_where_a_class_was_silent(series):
    facets = TimeFacets([series], [100])
    low = np.array([1, 2, np.nan, 3, 4, np.nan])
    facets.band((0, 0), np.arange(6) * 3600.0, low, low + 1, "#000000")
    (trace,) = facets.figure()["data"]
    assert trace["fill"] == "toself"
    assert trace["x"] == [0, 1, 1, 0, None, 3, 4, 4, 3, None]
    assert trace["y"] == [2, 3, 2, 1, None, 4, 5, 4, 3, None]


def test_no_figure_of_latencies_fills_across_gaps(series):
    figure = latency.draw([series]).figure
    assert {trace.get("fill") for trace in figure["data"]} == {None, "toself"}


def test_a_lone_point_of_a_percentile_is_seen(series):
    quiet = Series(series.run, "run")
    counts = {name: np.zeros_like(each) for name, each in quiet.latencies.counts.items()}
    for each in counts.values():
        each[[3, 5, 6], 700] = 10
    object.__setattr__(quiet.latencies, "counts", counts)
    drawn = [each for each in latency.draw([quiet]).figure["data"] if each.get("name") == "p99"]
    assert all(each["mode"] == "lines+markers" for each in drawn)
    sizes = drawn[0]["marker"]["size"]
    assert [index for index, size in enumerate(sizes) if size] == [3]


def test_promises_are_told_above_the_heat_map_once_each(run):
    document = copy.deepcopy(run.document)
    first, second = document["slos"].values()
    second["latency_s"] = first["latency_s"] = 0.3
    drawn = heat.draw([Series(Run(run.directory, document), "run")])
    assert len([shape for shape in drawn.figure["layout"]["shapes"] if shape["type"] == "line"]) == 1
    (said,) = drawn.takeaways
    assert said.endswith(
        "; what climbs above a dashed line is late (promised: home-page, product-page 300 ms)."
    )
    document["slos"] = {}
    (said,) = heat.draw([Series(Run(run.directory, document), "run")]).takeaways
    assert said.endswith("where there is a cache.")


def test_the_heat_map_begins_where_there_is_something_to_see(series):
    figure = heat.draw([series]).figure
    (drawn,) = [trace for trace in figure["data"] if trace["type"] == "heatmap"]
    assert any(value is not None for value in drawn["z"][0])
    assert figure["layout"]["yaxis"]["range"][0] == pytest.approx(np.log10(drawn["y"][0]), abs=1e-3)


def test_all_pools_come_first_whatever_the_runs_have(run):
    document = copy.deepcopy(run.document)
    for place in (document["totals"]["pools"], document["totals"]["costs"]["pools"]):
        del place["cpu-spot"]
    figure = costs.draw([Series(Run(run.directory, document), "one pool"), Series(run, "two pools")]).figure
    assert figure["layout"]["yaxis"]["categoryarray"] == ["all pools", "gpu", "cpu-spot"]
    assert figure["data"][0]["y"] == ["all pools", "gpu"]


def test_queues_of_a_long_run_are_drawn_by_mean_and_maximum(series):
    figure = queues.draw([series]).figure
    lower = [trace for trace in figure["data"] if trace["yaxis"] == "y2" and trace.get("name") == "ranker"]
    largest, mean = (np.array(trace["y"]) for trace in lower)
    assert len(mean) <= 250
    assert (mean <= largest + 1e-9).all()
    assert largest.max() == series.timeline.raw("service", "ranker", "queued").max()


def test_bars_of_several_services_stand_side_by_side_within_the_axis(run):
    document = copy.deepcopy(run.document)
    services = document["totals"]["services"]
    services["ranker"]["batch_sizes"] = {"1": 90, "2": 10}
    services["small"] = services["ranker"] | {"batch_sizes": {"1": 100}}
    figure = batches.draw([Series(Run(run.directory, document), "run")]).figure
    left, right = figure["layout"]["xaxis"]["range"]
    edges = [
        (x + bars["offset"], x + bars["offset"] + bars["width"]) for bars in figure["data"] for x in bars["x"]
    ]
    assert all(left < begin < end < right for begin, end in edges)
    at_one, _, other_at_one = edges
    assert at_one[1] == pytest.approx(other_at_one[0])
    assert (at_one[0] + other_at_one[1]) / 2 == pytest.approx(1)


def test_cost_over_time_is_the_bill(run, series):
    figure = spending.draw([series]).figure
    billed = run.document["totals"]["costs"]["billed_usd"]
    bars = [trace for trace in figure["data"] if trace["type"] == "bar"]
    assert {bar["name"] for bar in bars} == {"on-demand instances", "spot instances"}
    assert sum(sum(bar["y"]) for bar in bars) == pytest.approx(billed, rel=1e-4)
    assert all(len(bar["x"]) == 2 for bar in bars), "two days"
    hourly = sum(
        (spending.usd_per_h(series, pool) * np.diff(series.timeline.edges_s)).sum() / 3600
        for pool in series.pools
    )
    assert hourly == pytest.approx(billed, rel=0.02), "but for what is not on interval edges"

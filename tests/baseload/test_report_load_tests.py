"""The report of a load test: what was not measured is said, and is no empty figure."""

import copy

import pytest

from baseload.report.data import Series
from baseload.report.facets import time_unit
from baseload.report.figures import batches, queues
from baseload.report.page import facts, render
from simulator.results.run_directory import Run
from tests.baseload.test_report import figures, without_plotly, written

CONDUCT = {
    "valid": True, "invalid_because": [], "incomplete_because": [], "target": "http://127.0.0.1:8080",
    "fleet": "as the scenario says", "prediction": "0123456789abcdef" * 4,
    "schedule_lag_s": {"p50": 5e-05, "p95": 1e-4, "p99": 2e-4, "max": 1.2e-3},
    "cpu": {"machine": 0.384, "busiest": 0.5, "processes": {"generator": 0.131, "gateway": 0.5}},
}  # fmt: skip


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return written(tmp_path_factory.mktemp("runs") / "simulated", rate=0.02)


@pytest.fixture(scope="module")
def measured(simulated):
    """As a load test that did not look into its services leaves it."""
    document = copy.deepcopy(simulated.document) | {"source": "load-test", "load_test": CONDUCT}
    document["totals"]["services"] = {}
    return Run(simulated.directory, document)


@pytest.mark.parametrize("draw", [queues.draw, batches.draw])
def test_services_that_nobody_looked_into_have_words_and_no_figure(simulated, measured, draw):
    alone = draw([Series(measured, "measured")])
    assert alone.takeaways == ("Not measured: nobody read the services' metrics.",)
    assert alone.figure is None
    both = draw([Series(simulated, "simulated"), Series(measured, "measured")])
    assert both.takeaways[1] == "measured: not measured, as nobody read the services' metrics."
    assert both.figure["data"]


def test_its_page_has_no_table_without_rows(measured):
    page = without_plotly(render([measured]))
    assert "<caption>Services</caption>" not in page
    assert figures(render([measured])).keys() >= {"demand", "latency"}
    assert "<tbody>\n\n</tbody>" not in page


def test_how_it_went_is_among_the_facts(measured):
    found = dict(facts(Series(measured, "measured")))
    assert found["Source"] == "load test of http://127.0.0.1:8080"
    assert found["Fleet, and what it cost"] == "as the scenario says"
    assert found["Prediction"] == "0123456789ab"
    assert found["Schedule lag"] == "p50 50.0 µs, p99 200 µs, at most 1.20 ms"
    assert found["CPU use"] == "38.4 % of the machine; generator 0.131, gateway 0.5 cores"
    short = copy.deepcopy(measured.document)
    short["load_test"]["cpu"] = None
    assert "CPU use" not in dict(facts(Series(Run(measured.directory, short), "measured")))


@pytest.mark.parametrize(
    ("length_s", "unit"),
    [(20, "seconds"), (299, "seconds"), (300, "minutes"), (7200, "hours"), (6e5, "days")],
)
def test_a_time_axis_counts_in_units_that_fit_its_length(length_s, unit):
    assert time_unit(length_s)[0] == unit

"""What services say of themselves becomes the services' part of a run."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

from scenarios.errors import EnvironmentProblem
from serving_ref.loadtest import service_metrics
from serving_ref.loadtest.service_metrics import ServiceWatch
from simulator.results.recorded import SERVICE_COUNTERS, SERVICE_GAUGES
from tests.serving_ref.loadtest.servers import Answer, Server
from tests.serving_ref.servers import wait_until
from tests.simulator.small import document, load

SECOND = 1_000_000_000
TEXT = """\
# TYPE baseload_model_server_requests_total counter
baseload_model_server_requests_total{{service="ranker",outcome="model"}} 1000
baseload_model_server_requests_total{{service="ranker",outcome="timeout"}} {expired}
# TYPE baseload_model_server_queue_wait_seconds histogram
baseload_model_server_queue_wait_seconds_bucket{{service="ranker",le="+Inf"}} {requests}
baseload_model_server_queue_wait_seconds_sum{{service="ranker"}} {waited}
baseload_model_server_queue_wait_seconds_count{{service="ranker"}} {requests}
# TYPE baseload_model_server_batch_items histogram
baseload_model_server_batch_items_bucket{{service="ranker",le="1.0"}} {single}
baseload_model_server_batch_items_bucket{{service="ranker",le="4.0"}} {batches}
baseload_model_server_batch_items_bucket{{service="ranker",le="+Inf"}} {batches}
baseload_model_server_batch_items_sum{{service="ranker"}} {items}
baseload_model_server_batch_items_count{{service="ranker"}} {batches}
# TYPE baseload_model_server_batch_requests_total counter
baseload_model_server_batch_requests_total{{service="ranker"}} {requests}
# TYPE baseload_model_server_busy_seconds_total counter
baseload_model_server_busy_seconds_total{{service="ranker"}} {busy}
# TYPE baseload_model_server_queue_depth gauge
baseload_model_server_queue_depth{{service="ranker"}} {queued}
# TYPE baseload_model_server_in_service gauge
baseload_model_server_in_service{{service="ranker"}} 2
# TYPE baseload_model_server_ready gauge
baseload_model_server_ready{{service="ranker"}} 1
# TYPE baseload_model_server_instances gauge
baseload_model_server_instances{{service="ranker"}} 3
"""
GROWTH = {"expired": 2, "requests": 90, "waited": 1.5, "single": 10, "batches": 40, "items": 130, "busy": 0.7}
"""A second."""


def metrics(seconds: float) -> Answer:
    return Answer(
        body=TEXT.format(**{name: 5 + each * seconds for name, each in GROWTH.items()}, queued=4).encode()
    )


def counters(figures, name):
    return figures.service_counters[:, 0, SERVICE_COUNTERS.index(name)]


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(service_metrics, "EVERY_S", 0.02)


def watched(server, begin_ns, edges_s, *, urls=None, scenario=None):
    """Figures at edges after `begin_ns`, once these are past."""
    with ServiceWatch(urls or [server.url]) as watch:
        time.sleep(max(edges_s[-1] - (time.monotonic_ns() - begin_ns) / SECOND, 0) + 0.05)
    scenario = scenario or load().scenario
    return watch.figures(scenario, begin_ns, (np.array(edges_s) * SECOND).astype(np.int64), 0)


def test_counters_grow_from_the_beginning_of_the_run(often):
    begin_ns = time.monotonic_ns() + SECOND // 10
    with Server(get=lambda seen: metrics((seen.at_ns - begin_ns) / SECOND + 1)) as server:
        figures = watched(server, begin_ns, [0, 0.2, 0.5])
    for name, ours, times in (
        ("batches", "batches", 1), ("items", "batch_items", 1), ("requests", "batch_requests", 1),
        ("busy", "busy_ns", SECOND), ("waited", "queue_wait_ns", SECOND), ("expired", "expired", 1),
    ):  # fmt: skip
        # Read at other times than they were written: off by what happens between the two, and by rounding.
        expected = np.array([0, 0.2, 0.5]) * GROWTH[name] * times
        assert counters(figures, ours) == pytest.approx(expected, abs=GROWTH[name] * times * 0.05 + 1), name
        assert counters(figures, ours)[0] == 0
    sizes = figures.batch_sizes[0]
    assert sizes[1] == pytest.approx(5, abs=2)
    assert sizes[4] == pytest.approx(15, abs=3)
    assert sizes.sum() == sizes[1] + sizes[4]


def test_gauges_are_those_of_all_replicas(often):
    begin_ns = time.monotonic_ns()
    with Server(get=lambda _: metrics(1)) as one, Server(get=lambda _: metrics(1)) as other:
        figures = watched(one, begin_ns, [0, 0.1, 0.3], urls=[one.url, other.url])
    gauges = dict(zip(SERVICE_GAUGES, figures.service_gauges[-1, 0].tolist(), strict=True))
    assert gauges == {"queued": 8, "in_service": 4, "ready_replicas": 2, "batch_slots": 6}
    assert figures.slot_ns[:, 0].tolist() == pytest.approx([0, 0.6 * SECOND, 1.8 * SECOND])


def test_a_restarted_server_goes_on_from_nothing(often):
    begin_ns = time.monotonic_ns()
    seconds = iter([100, 100, 0])
    with Server(get=lambda _: metrics(next(seconds, 1))) as server:
        figures = watched(server, begin_ns, [0, 0.3])
    # It had 5 + 40 · 1 batches at the end, all of them new; what it had before its end was there at the beginning.
    assert counters(figures, "batches")[-1] == 45


def test_services_without_metrics_are_unseen(often):
    changed = document()
    changed["services"].append({"name": "other", "model": "m", "pools": ["extra"]})
    begin_ns = time.monotonic_ns()
    with Server(get=lambda _: metrics(1)) as server:
        figures = watched(server, begin_ns, [0, 0.1], scenario=load(changed).scenario)
    assert figures.unseen_services == {1}
    nothing = ServiceWatch([])
    with nothing:
        pass
    assert nothing.figures(load().scenario, 0, np.array([0, SECOND]), 0).unseen_services == {0}


def test_a_server_that_goes_away_keeps_what_it_has_done(often):
    """It had 40 batches more at the second reading than at the first, and none since."""
    begin_ns = time.monotonic_ns()
    seconds = iter([1])
    with (
        Server(get=lambda _: metrics(next(seconds, 2))) as server,
        ServiceWatch([server.url]) as watch,
    ):
        wait_until(lambda: len(server.seen) >= 3, "the third reading")
        server.__exit__()
        readings = len(watch.seen)
        wait_until(lambda: len(watch.seen) >= readings + 3, "readings without it")
        end_ns = time.monotonic_ns() - begin_ns
    figures = watch.figures(load().scenario, begin_ns, np.array([0, end_ns]), 0)
    assert counters(figures, "batches").tolist() == [0, 40]
    ready = figures.service_gauges[:, 0, SERVICE_GAUGES.index("ready_replicas")]
    assert ready.tolist() == [1, 0]
    (gap,) = watch.gaps()
    assert gap.endswith("(the last: [Errno 111] Connection refused)")


BROKEN = {
    "a pod that died in mid-answer": Answer(body=b"cut", how="truncated"),
    "no HTTP": Answer(how="garbled"),
    "a reset": Answer(how="reset"),
    "a status": Answer(500),
    "no metrics": Answer(body=b"<html>no metrics</html> 1 2 3"),
    "no text": Answer(body=b"\xff"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_readings_that_fail_are_told_and_those_after_them_count(often, broken):
    begin_ns = time.monotonic_ns()
    with (
        Server(get=lambda _: broken if 2 < len(server.seen) < 6 else metrics(len(server.seen))) as server,
        ServiceWatch([server.url]) as watch,
    ):
        while len(server.seen) < 12:
            time.sleep(0.05)
    figures = watch.figures(load().scenario, begin_ns, np.array([0, 10 * SECOND]), 0)
    assert counters(figures, "batches")[-1] >= 10 * GROWTH["batches"]
    assert {each.gauges["ranker", "ready_replicas"] for each in watch.seen} == {1}, "it is there all the time"
    assert_told(watch, server.url, 3)


def assert_told(watch, url, failures):
    (gap,) = watch.gaps()
    assert re.fullmatch(rf"--metrics {url}: {failures} of \d+ readings failed \(the last: .+\)", gap)


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_so_are_last_readings_that_fail(broken):
    with (
        Server(get=lambda _: broken if len(server.seen) > 1 else metrics(1)) as server,
        ServiceWatch([server.url]) as watch,
    ):
        pass
    figures = watch.figures(load().scenario, 0, np.array([0, SECOND]), 0)
    assert counters(figures, "batches").tolist() == [0, 0]
    assert figures.unseen_services == set()
    assert_told(watch, server.url, 1)


@pytest.mark.parametrize(
    "line",
    [
        b'baseload_model_server_busy_seconds_total{service="ranker"} NaN',
        b'baseload_model_server_queue_depth{service="ranker"} NaN',
        b'baseload_model_server_ready{service="ranker"} +Inf',
        b'baseload_model_server_batch_items_bucket{service="ranker"} 3',
        b'baseload_model_server_batch_items_bucket{service="ranker",le="NaN"} 3',
        b'baseload_model_server_batch_items_bucket{service="ranker",le="-1"} 3',
    ],
)
def test_what_is_no_figure_is_none_and_takes_no_other_along(often, line):
    begin_ns = time.monotonic_ns()
    with Server(get=lambda _: Answer(body=metrics(len(server.seen)).body + line + b"\n")) as server:
        figures = watched(server, begin_ns, [0, 0.3])
    assert counters(figures, "batches")[-1] > 0
    assert figures.batch_sizes[0].min() == 0
    assert figures.service_gauges.max() <= 9


@pytest.mark.parametrize("answer", [Answer(404), *BROKEN.values()], ids=["404", *BROKEN])
def test_an_address_without_metrics_is_told_before_the_run(answer):
    with (
        Server(get=lambda _: answer) as server,
        pytest.raises(EnvironmentProblem, match=f"--metrics {server.url}: "),
        ServiceWatch([server.url]),
    ):
        pass

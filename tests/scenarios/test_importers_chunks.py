"""Prometheus answers without a server: chunks, saved JSON, several series, refusals."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from urllib3.util.retry import Retry

from scenarios.errors import EnvironmentProblem, InvalidInput
from scenarios.importers.interval_counts import CountOptions
from scenarios.importers.prometheus import SeriesOptions, import_json, import_matrices
from scenarios.importers.prometheus_server import RangeQuery, Server, ask, public_url, range_query

T0 = 1_714_521_600  # 2024-05-01T00:00:00Z


def series(points, **labels):
    return {"metric": labels, "values": [[T0 + at, str(value)] for at, value in points]}


def saved(tmp_path, result, **body):
    path = tmp_path / "answer.json"
    answer = {"status": "success", "data": {"resultType": "matrix", "result": result}, **body}
    path.write_text(json.dumps(answer))
    return path


@given(st.integers(0, 10**12), st.integers(1, 10**6), st.integers(1, 5000), st.integers(1, 700))
def test_chunks_cover_every_point_once_and_none_is_too_long(start_ms, step_ms, steps, max_points):
    query = RangeQuery("up", start_ms, start_ms + steps * step_ms, step_ms)
    asked = []
    for first, last in query.chunks(max_points):
        points = list(range(first, last + 1, step_ms))  # as the server evaluates: both ends included
        assert points[-1] == last
        assert len(points) <= max_points
        asked += points
    assert asked == [start_ms + k * step_ms for k in range(1, steps + 1)]


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000) | st.none(), min_size=2, max_size=40), st.integers(1, 9))
def test_chunks_stitch_to_what_one_answer_gives(rates, max_points):
    query = RangeQuery("up", T0 * 1000, (T0 + len(rates) * 15) * 1000, 15_000)
    points = [(15 * k, rate) for k, rate in enumerate(rates, 1) if rate is not None]
    if not points:
        return
    chunks = [
        [series([point for point in points if first <= (T0 + point[0]) * 1000 <= last], job="a")]
        for first, last in query.chunks(max_points)
    ]
    options = SeriesOptions(counts=CountOptions(value="rate", stamp="end", gap="zero"))
    trace, report = import_matrices(chunks, options, "test", query)
    whole, _ = import_matrices([[series(points, job="a")]], options, "test", query)
    expected = [15 * (rate or 0) for rate in rates]
    assert trace.count.tolist() == whole.count.tolist() == expected
    assert report.start == "2024-05-01T00:00:00Z"
    filled = [repair.count for repair in report.repairs if repair.what == "gaps_filled"]
    assert sum(filled) == sum(rate is None for rate in rates)


def test_a_saved_answer_is_requests_per_second_in_the_step_before_each_point(tmp_path):
    path = saved(tmp_path, [series([(60, 2), (120, 0.5), (180, 1)])])
    trace, report = import_json(path, SeriesOptions())
    assert trace.count.tolist() == [120, 30, 60]
    assert report.start == "2024-05-01T00:00:00Z"
    assert [repair.what for repair in report.repairs] == ["stamp_assumed"]
    assert trace.source == "answer.json"


def test_points_that_are_missing_or_nan_follow_the_gap_policy(tmp_path):
    path = saved(tmp_path, [series([(60, 2), (120, "NaN"), (240, 4), (300, 4), (360, 4)])])
    with pytest.raises(InvalidInput, match=r"answer\.json: 2 of 6 intervals of 1 min have no value"):
        import_json(path, SeriesOptions())
    hold = CountOptions(value="rate", stamp="end", gap="hold")
    trace, report = import_json(path, SeriesOptions(counts=hold))
    assert trace.count.tolist() == [120, 120, 120, 240, 240, 240]
    assert {"not_a_number", "gaps_filled"} <= {repair.what for repair in report.repairs}


def test_several_series_are_refused_by_name_unless_they_may_be_added_up(tmp_path):
    result = [
        series([(60, 1), (120, 1), (180, 1)], instance="a", job="web"),
        series([(60, 2), (120, "NaN"), (180, 2)], instance="b", job="web"),
        series([(180, 4)], instance="c", job="web"),
    ]
    path = saved(tmp_path, result)
    with pytest.raises(InvalidInput) as caught:
        import_json(path, SeriesOptions())
    assert '3 series, expected one: wrap it in sum(…), or add them up with --sum\n  {instance="a"' in str(
        caught.value
    )
    trace, report = import_json(path, SeriesOptions(sum_series=True))
    assert trace.count.tolist() == [180, 60, 420]
    repairs = {repair.what: repair for repair in report.repairs}
    assert repairs["series_summed"].count == 3
    assert repairs["series_missing"].detail.startswith("at 2 of 3 points")


def test_a_long_list_of_series_is_cut():
    many = [series([(60, 1)], instance=str(n)) for n in range(25)]
    with pytest.raises(InvalidInput, match="… and 15 more"):
        import_matrices([many], SeriesOptions(), "test")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "not JSON"),
        ("[]", "got resultType None, expected the body of an answer"),
        ('{"status": "error", "error": "parse error"}', "is an error of the server: parse error"),
        ('{"data": {"resultType": "vector", "result": []}}', "got resultType 'vector'"),
        ('{"data": {"resultType": "matrix", "result": {}}}', "got a result of type dict"),
        ('{"data": {"resultType": "matrix", "result": []}}', "gave no series"),
        ('{"data": {"resultType": "matrix", "result": [{"metric": {}}]}}', "cannot read the series"),
        (
            '{"data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "x"]]}]}}',
            "cannot read the series",
        ),
        (
            '{"data": {"resultType": "matrix", "result": [{"metric": {"a": "b"}, "histograms": []}]}}',
            '{a="b"} is a native histogram',
        ),
    ],
)
def test_a_file_that_is_no_saved_answer_is_refused(tmp_path, text, message):
    path = tmp_path / "answer.json"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        import_json(path, SeriesOptions())
    assert message in str(caught.value)
    assert "answer.json" in str(caught.value)


def test_a_saved_answer_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidInput, match="no such file"):
        import_json(tmp_path / "answer.json", SeriesOptions())


@pytest.mark.parametrize(
    ("start_s", "end_s", "step_s", "message"),
    [
        (0, 60, 0.0005, "--step: got 0.0005 s, expected whole milliseconds"),
        (60, 60, 1, "--end: expected a time after --start"),
        (0, 100, 15, "it is 10 s past the last"),
    ],
)
def test_a_range_must_be_whole_steps(start_s, end_s, step_s, message):
    with pytest.raises(InvalidInput, match=message):
        range_query("up", start_s * 10**9, end_s * 10**9, step_s)


def test_a_password_in_the_address_goes_into_no_report():
    assert public_url("http://me:secret@host:9090/prom?x=1") == "http://host:9090/prom"


def test_an_address_that_is_none_is_refused():
    with pytest.raises(InvalidInput, match="--url: got 'prometheus:9090', expected an address"):
        Server("prometheus:9090")


def test_a_server_that_is_not_there_is_an_environment_problem(monkeypatch):
    monkeypatch.setattr(Retry, "sleep", lambda *_: None)
    query = RangeQuery("up", 0, 60_000, 15_000)
    with pytest.raises(EnvironmentProblem, match=r"http://127\.0\.0\.1:9: no answer"):
        list(ask(Server("http://127.0.0.1:9", timeout_s=2), query))


def test_requests_per_step_come_out_whole_whatever_the_rates():
    points = [(15 * k, rate) for k, rate in enumerate(np.random.default_rng(1).uniform(0, 3, 1000), 1)]
    trace, _ = import_matrices([[series(points)]], SeriesOptions(), "test")
    assert abs(trace.total - 15 * sum(rate for _, rate in points)) <= 0.5

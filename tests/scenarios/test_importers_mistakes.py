"""Whatever stands in a file, an import ends with a trace that can be read back, or with words."""

import json

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from scenarios.errors import BaseloadError
from scenarios.importers import CountOptions, RequestOptions, import_counts, import_requests
from scenarios.importers.grid import GAP_POLICIES
from scenarios.importers.prometheus import SeriesOptions, import_json
from scenarios.importers.times import TIME_UNITS
from scenarios.traces import read_trace
from scenarios.traces.write import write_trace

CELLS = st.sampled_from(
    ["0", "1", "60", "-1", "1.5", "1e3", "1e308", "inf", "NaN", "", " ", "x", "é", '"', "'", "0x1f", "#"]
) | st.sampled_from(
    [
        "1700000000",
        "1700000000123456789",
        "9223372036854775808",
        "2024-05-01",
        "2024-05-01T00:01Z",
        "1700-01-01",
    ]
)
TEXTS = st.one_of(
    st.lists(st.lists(CELLS, min_size=1, max_size=4).map(",".join), max_size=8).map("\n".join),
    st.lists(st.tuples(CELLS, CELLS).map(",".join), max_size=8).map(lambda rows: "\n".join(["t_s,n", *rows])),
    st.text(max_size=80),
)
# The files of one test are small; a new folder for each would cost more than the test.
FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(tmp_path, importer):
    """Run `importer`; what it makes must be a trace, and what it raises must be ours and short."""
    message = ""
    try:
        trace, report = importer()
        str(report)
        json.dumps(report.as_json())
        write_trace(trace, tmp_path / "out.parquet", overwrite=True)
        back = read_trace(tmp_path / "out.parquet")
        assert back.total == trace.total
        assert back.repairs == trace.repairs
    except BaseloadError as error:
        message = str(error)
    assert_on_one_screen(message)


def assert_on_one_screen(message):
    assert len(message) < 2000
    assert message.count("\n") < 25


@FUZZ
@given(TEXTS, st.sampled_from(TIME_UNITS), st.sampled_from(GAP_POLICIES), st.sampled_from(["count", "rate"]))
@example("t_s,n\n1,-inf\n2,1", "auto", "zero", "count")
def test_counts(tmp_path, text, unit, gap, value):
    path = tmp_path / "in.csv"
    path.write_text(text)
    options = CountOptions(time_unit=unit, gap=gap, value=value)
    check(tmp_path, lambda: import_counts(path, options))


@FUZZ
@given(TEXTS, st.sampled_from(TIME_UNITS), st.sampled_from([None, "n"]), st.sampled_from([1.0, 0.5, 2.5]))
def test_request_rows(tmp_path, text, unit, column, scale):
    path = tmp_path / "in.csv"
    path.write_text(text)
    options = RequestOptions(
        time_unit=unit, items_column=column, key_column=column, class_column=column, scale=scale
    )
    check(tmp_path, lambda: import_requests(path, options))


@FUZZ
@given(st.one_of(TEXTS, st.binary(max_size=60).map(lambda data: "# baseload: " + data.decode("latin-1"))))
def test_traces(tmp_path, text):
    path = tmp_path / "in.csv"
    path.write_text(text)
    message = ""
    try:
        read_trace(path)
    except BaseloadError as error:
        message = str(error)
    assert_on_one_screen(message)


JSON = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["metric", "values", "status", "data"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@FUZZ
@given(JSON)
def test_saved_answers(tmp_path, result):
    path = tmp_path / "answer.json"
    for body in (result, {"data": {"resultType": "matrix", "result": result}}):
        path.write_text(json.dumps(body))
        check(tmp_path, lambda: import_json(path, SeriesOptions()))

"""Time columns: every way that people write times, read exactly or refused in words."""

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.errors import InvalidInput
from scenarios.importers.times import read_times
from scenarios.traces.columns import open_columns

MOMENT = 1_700_158_546_680_590_000  # 2023-11-16T18:15:46.680590Z


def times_of(tmp_path, values, name="time", unit="auto"):
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([f"{name},x", *(f"{value},1" for value in values)]) + "\n")
    return read_times(open_columns(path), name, unit)


@pytest.mark.parametrize(
    "text",
    [
        "2023-11-16 18:15:46.6805900",
        "2023-11-16T18:15:46.680590000",
        "2023-11-16T18:15:46.68059Z",
        "2023-11-16T19:15:46.68059+01:00",
        "2023-11-16 18:15:46.68059 UTC",
        "2023-11-16 13:15:46.68059 -0500",
        " 2023-11-16 18:15:46.68059 ",
    ],
)
def test_iso_times_are_read_to_the_nanosecond(tmp_path, text):
    times = times_of(tmp_path, [text])
    assert times.time_ns.tolist() == [MOMENT]
    assert times.absolute


def test_a_missing_zone_is_taken_as_utc_and_told(tmp_path):
    assert [repair.what for repair in times_of(tmp_path, ["2023-11-16"]).repairs] == ["time_zone_assumed"]
    assert times_of(tmp_path, ["2023-11-16T00:00Z"]).repairs == ()


@pytest.mark.parametrize(
    ("name", "value", "time_ns", "absolute", "words"),
    [
        ("time", "1700158546", 1_700_158_546 * 10**9, True, "s since 1970"),
        ("time", "1700158546680", 1_700_158_546_680 * 10**6, True, "ms since 1970"),
        ("time", "1700158546680590", 1_700_158_546_680_590 * 10**3, True, "us since 1970"),
        ("time", "1700158546680590001", 1_700_158_546_680_590_001, True, "ns since 1970"),
        ("time", "90", 90 * 10**9, False, "s from the start"),
        ("t_s", "0.5", 5 * 10**8, False, "s from the start"),
        ("minute", "3", 180 * 10**9, False, "min from the start"),
        ("latestMs", "250", 25 * 10**7, False, "ms from the start"),
        ("time_ns", "250", 250, False, "ns from the start"),
        ("time_ms", "1700158546680", 1_700_158_546_680 * 10**6, True, "ms since 1970"),
    ],
)
def test_the_unit_of_numbers_is_guessed_from_name_and_size_and_told(
    tmp_path, name, value, time_ns, absolute, words
):
    times = times_of(tmp_path, [value], name)
    assert (times.time_ns.tolist(), times.absolute) == ([time_ns], absolute)
    (repair,) = times.repairs
    assert repair.what == "time_unit_guessed"
    assert f"taken as {words}" in repair.detail


def test_a_unit_that_is_given_is_not_guessed(tmp_path):
    times = times_of(tmp_path, ["2", "1.5"], unit="h")
    assert (times.time_ns.tolist(), times.repairs) == ([7200 * 10**9, 5400 * 10**9], ())
    assert times_of(tmp_path, ["2"], unit="epoch-ms").absolute


@settings(deadline=None)
@given(st.lists(st.integers(10**17, 4 * 10**18), min_size=1, max_size=5))
def test_integer_nanoseconds_are_kept_exactly(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("times")
    assert times_of(folder, values, unit="epoch-ns").time_ns.tolist() == values


def test_fractional_epoch_seconds_lose_no_more_than_their_float_did(tmp_path):
    values = [1_700_158_546.25, 1_700_158_547.5, 1_700_158_546.125]
    times = times_of(tmp_path, values)
    assert times.time_ns.tolist() == [round(value * 1000) * 10**6 for value in values]


def test_rows_without_a_time_are_known_and_told(tmp_path):
    times = times_of(tmp_path, ["1", "", "NaN", "4"], unit="s")
    assert times.known.tolist() == [True, False, False, True]
    assert times.repairs[0].detail == "2 rows without a time left out (first: row 2)"
    assert times_of(tmp_path, ["2024-01-01", "", "2024-01-02"]).known.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("column", "absolute"),
    [
        (pa.array([datetime.datetime(2023, 11, 16, 18, 15, 46, 680590)]), True),
        (pa.array([MOMENT], pa.timestamp("ns", "Europe/Berlin")), True),
        (pa.array([MOMENT]), True),
        (pa.array(["2023-11-16T18:15:46.680590Z"], pa.large_string()), True),
        (pa.array(["2023-11-16T18:15:46.680590Z"]).dictionary_encode(), True),
    ],
)
def test_parquet_times_of_any_type_are_read(tmp_path, column, absolute):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"time": column}), path)
    times = read_times(open_columns(path), "time")
    assert (times.time_ns.tolist(), times.absolute) == ([MOMENT], absolute)


@pytest.mark.parametrize(
    ("values", "unit", "message"),
    [
        (["2024-01-01", "soon"], "auto", "row 2, column 'time': got 'soon', expected an ISO time"),
        (["2024-01-01", "2024-01-01Z"], "auto", "row 2, column 'time': got '2024-01-01Z'"),
        (["2024-01-01T00:00Z", "2024-01-01T00:01"], "auto", "with a zone, as in the rows before"),
        (["1", "x"], "auto", "row 2, column 'time': got 'x', expected a number"),
        (["2024-01-01"], "s", "row 1, column 'time': got '2024-01-01', expected a number"),
        (["1"], "iso", "row 1, column 'time': got '1', expected an ISO time"),
        (["", ""], "auto", "column 'time' holds no times"),
        (["1e300"], "s", "too large for a time in s"),
        (["1e10"], "h", "too large for a time in h"),
        (["3000-01-01"], "auto", "got '3000-01-01', expected an ISO time"),
    ],
)
def test_what_is_no_time_is_refused(tmp_path, values, unit, message):
    with pytest.raises(InvalidInput) as caught:
        times_of(tmp_path, values, unit=unit)
    assert message in str(caught.value)


def test_only_text_can_be_iso_times(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"time": np.arange(3)}), path)
    with pytest.raises(InvalidInput, match="got int64 values, expected ISO times"):
        read_times(open_columns(path), "time", "iso")

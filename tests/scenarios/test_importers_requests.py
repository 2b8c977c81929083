"""Request rows: sizes, keys and classes come along; what was missing or odd is told."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.errors import InvalidInput
from scenarios.importers import RequestOptions, import_requests
from scenarios.traces import CountTrace, RequestTrace
from scenarios.traces.columns import hash_key


def imported(tmp_path, text, **options):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    options.setdefault("time_column", "t_s")
    options.setdefault("time_unit", "s")
    return import_requests(path, RequestOptions(**options))


def test_rows_keep_their_size_key_and_class_through_sorting(tmp_path):
    text = "t_s,size,page,who\n3,30,c,app\n1,10,a,web\n2,20,b,app\n2,21,b,web\n"
    trace, report = imported(tmp_path, text, items_column="size", key_column="page", class_column="who")
    assert isinstance(trace, RequestTrace)
    assert trace.time_ns.tolist() == [10**9, 2 * 10**9, 2 * 10**9, 3 * 10**9]
    assert trace.items.tolist() == [10, 20, 21, 30]
    assert trace.key.tolist() == [hash_key(text) for text in "abbc"]
    assert [trace.class_names[index] for index in trace.class_index] == ["web", "app", "web", "app"]
    assert [repair.what for repair in report.repairs] == ["sorted"]
    assert (report.kind, report.start, report.total_requests, report.span_s) == ("requests", None, 4, 3.0)
    assert (report.peak_rate_per_s, report.peak_window_s) == (2.0, 1.0)


def test_calendar_times_start_with_the_first_request(tmp_path):
    text = "when\n2023-11-16 18:15:50.9951690\n2023-11-16 18:15:46.6805900\n"
    trace, report = imported(tmp_path, text, time_column="when", time_unit="auto")
    assert trace.time_ns.tolist() == [0, 4_314_579_000]
    assert report.start == "2023-11-16T18:15:46.68059Z"


def test_relative_times_keep_their_zero(tmp_path):
    trace, _ = imported(tmp_path, "t_s\n5\n6\n")
    assert trace.time_ns.tolist() == [5 * 10**9, 6 * 10**9]
    with pytest.raises(InvalidInput, match="row 2, column 't_s': got -1000000000, expected"):
        imported(tmp_path, "t_s\n5\n-1\n")


def test_integer_keys_stay_as_they_are(tmp_path):
    assert imported(tmp_path, "t_s,k\n0,7\n1,-3\n", key_column="k")[0].key.tolist() == [7, -3]
    mixed, _ = imported(tmp_path, "t_s,k\n0,7\n1,seven\n", key_column="k")
    assert mixed.key.tolist() == [hash_key("7"), hash_key("seven")]


def test_rows_without_a_key_cannot_hit_each_others_cache_entry(tmp_path):
    trace, report = imported(tmp_path, "t_s,k\n0,a\n1,\n2,\n3,a\n", key_column="k")
    assert len(set(trace.key.tolist())) == 3
    assert report.repairs[0].detail.startswith("2 rows have no key")


def test_odd_sizes_are_mended_and_told(tmp_path):
    trace, report = imported(tmp_path, "t_s,n\n0,0\n1,\n2,2.6\n3,-4\n4,7\n", items_column="n")
    assert trace.items.tolist() == [1, 1, 3, 1, 7]
    assert trace.items.dtype == np.int32
    assert {repair.what: repair.count for repair in report.repairs} == {
        "items_missing": 1,
        "items_small": 2,
        "items_rounded": 1,
    }
    with pytest.raises(InvalidInput, match=r"row 2, column 'n': got 3000000000\.0, expected a size below"):
        imported(tmp_path, "t_s,n\n0,1\n1,3e9\n", items_column="n")


def test_rows_without_a_class_are_unclassified(tmp_path):
    trace, report = imported(tmp_path, "t_s,c\n0,web\n1,\n", class_column="c")
    assert [trace.class_names[index] for index in trace.class_index] == ["web", "unclassified"]
    assert "1 rows name no class" in report.repairs[0].detail


def test_rows_without_a_time_are_left_out(tmp_path):
    trace, report = imported(tmp_path, "t_s,n\n0,1\n,2\n4,3\n", items_column="n")
    assert trace.items.tolist() == [1, 3]
    assert [repair.what for repair in report.repairs] == ["times_missing"]
    assert report.rows_read == 3


def test_a_window_moves_the_start_to_its_own(tmp_path):
    text = "t_s,n\n1,1\n5,2\n9,3\n12,4\n"
    trace, report = imported(tmp_path, text, items_column="n", window_from="4", window_to="10s")
    assert (trace.time_ns.tolist(), trace.items.tolist()) == ([10**9, 5 * 10**9], [2, 3])
    assert report.repairs[0].detail == "2 rows outside --from/--to left out"
    with pytest.raises(InvalidInput, match="no rows in the window; the data run from 1 s to 12 s"):
        imported(tmp_path, text, window_from="1h")
    for far in ("9" * 400, "99999d"):
        with pytest.raises(InvalidInput, match=r"--from: got .* expected"):
            imported(tmp_path, text, window_from=far)


def test_rows_are_counted_where_a_step_is_asked_for(tmp_path):
    trace, report = imported(tmp_path, "t_s\n1\n5\n9\n31\n", step_s=10.0)
    assert isinstance(trace, CountTrace)
    assert (trace.count.tolist(), trace.step_s) == ([3, 0, 0, 1], 10.0)
    assert "those without a row hold 0" in report.repairs[0].detail
    with pytest.raises(InvalidInput, match="--key-column: a trace of counts"):
        imported(tmp_path, "t_s,k\n1,a\n", step_s=10.0, key_column="k")
    with pytest.raises(InvalidInput, match="expected at most 50,000,000"):
        imported(tmp_path, "t_s\n1000\n", step_s=1e-6)
    with pytest.raises(InvalidInput, match="--step: got 0 s"):
        imported(tmp_path, "t_s\n1000\n", step_s=0.0)


@settings(deadline=None)
@given(st.floats(0.3, 4), st.integers(0, 1000))
def test_scaling_multiplies_the_requests_within_the_same_span(tmp_path_factory, factor, seed):
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    times = np.sort(np.random.default_rng(seed).uniform(0, 100, 400))
    path.write_text("t_s,n\n" + "".join(f"{time!r},{row}\n" for row, time in enumerate(times.tolist(), 1)))
    options = {"time_column": "t_s", "items_column": "n"}
    plain, _ = import_requests(path, RequestOptions(**options))
    trace, report = import_requests(path, RequestOptions(**options, scale=factor))
    assert abs(trace.total - 400 * factor) <= 5 * np.sqrt(400)
    assert (np.diff(trace.time_ns) >= 0).all()
    assert trace.time_ns[0] >= plain.time_ns[0]
    assert trace.time_ns[-1] <= plain.time_ns[-1]
    # A copy stands between its row and the next one, so that it is at most one row late.
    row_then = np.searchsorted(plain.time_ns, trace.time_ns, side="right")
    assert (np.abs(row_then - trace.items) <= 1).all()
    assert factor == 1 or report.repairs[-1].what == "scaled"


def test_scaling_is_the_same_each_time(tmp_path):
    text = "t_s\n" + "".join(f"{row}\n" for row in range(100))
    first, second = (imported(tmp_path, text, scale=0.5)[0] for _ in range(2))
    assert first.time_ns.tolist() == second.time_ns.tolist()
    with pytest.raises(InvalidInput, match="--scale: got -1"):
        imported(tmp_path, text, scale=-1.0)
    with pytest.raises(InvalidInput, match="none of 100 rows is left"):
        imported(tmp_path, text, scale=1e-9)
    with pytest.raises(InvalidInput, match=r"--scale 1e\+300: gives 1e\+302 rows"):
        imported(tmp_path, text, scale=1e300)


def test_the_peak_of_a_long_trace_is_that_of_a_minute(tmp_path):
    text = "t_s\n" + "0\n" * 30 + "30\n" * 30 + "1200\n"
    _, report = imported(tmp_path, text)
    assert (report.peak_rate_per_s, report.peak_window_s) == (1.0, 60.0)
    assert report.mean_rate_per_s == 61 / 1200


def test_a_first_column_that_is_assumed_is_told(tmp_path):
    _, report = imported(tmp_path, "t_s,x\n1,2\n", time_column=None)
    assert report.repairs[0].what == "columns_assumed"


def test_compressed_csv_is_read(tmp_path):
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"t_s\n0\n1\n"))
    assert import_requests(path, RequestOptions())[0].total == 2


@pytest.mark.parametrize("option", ["time_column", "items_column", "key_column", "class_column"])
def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path, option):
    with pytest.raises(InvalidInput, match="no column 'nope'; the columns are t_s, x"):
        imported(tmp_path, "t_s,x\n0,1\n", **{option: "nope"})

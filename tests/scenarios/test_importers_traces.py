"""The trace format: what is written is what is read, and what is not a trace is refused in words."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.errors import EnvironmentProblem, InvalidInput, Unsupported
from scenarios.traces import CountTrace, Repair, RequestTrace, read_trace
from scenarios.traces.columns import hash_key
from scenarios.traces.model import iso_time
from scenarios.traces.write import write_trace

START = 1_700_158_546_680_590_000  # 2023-11-16T18:15:46.68059Z


def class_of_each(trace):
    return [trace.class_names[index] for index in trace.class_index]


@st.composite
def request_traces(draw):
    gaps = draw(st.lists(st.integers(0, 10**12), min_size=1, max_size=30))
    size = len(gaps)

    def maybe(strategy, dtype):
        values = draw(st.none() | st.lists(strategy, min_size=size, max_size=size))
        return None if values is None else np.array(values, dtype)

    names = ("interactive", "batch", 'naïve, "quoted"')
    class_index = maybe(st.integers(0, 2), np.int32)
    return RequestTrace(
        time_ns=np.cumsum(np.array(gaps, np.int64)),
        items=maybe(st.integers(1, 2**31 - 1), np.int32),
        key=maybe(st.integers(-(2**63), 2**63 - 1), np.int64),
        class_index=class_index,
        class_names=() if class_index is None else names,
        start_unix_ns=draw(st.none() | st.integers(0, 4 * 10**18)),
        source=draw(st.text(max_size=20)),
        repairs=(Repair("sorted", 3, "rows sorted"),) if draw(st.booleans()) else (),
    )


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@settings(deadline=None)
@given(trace=request_traces())
def test_request_rows_come_back_as_they_were_written(tmp_path_factory, suffix, trace):
    path = tmp_path_factory.mktemp("traces") / f"trace.{suffix}"
    write_trace(trace, path)
    back = read_trace(path)
    assert isinstance(back, RequestTrace)
    for name in ("time_ns", "items", "key"):
        written, read = getattr(trace, name), getattr(back, name)
        assert (written is None) == (read is None)
        if written is not None:
            assert read.dtype == written.dtype
            assert read.tolist() == written.tolist()
    if trace.class_index is not None:
        assert class_of_each(back) == class_of_each(trace)
    assert (back.start_unix_ns, back.source, back.repairs) == (
        trace.start_unix_ns,
        trace.source,
        trace.repairs,
    )


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@settings(deadline=None)
@given(
    counts=st.lists(st.integers(0, 2**53), min_size=1, max_size=30),
    step_ns=st.integers(1, 10**14),
)
def test_counts_come_back_as_they_were_written(tmp_path_factory, suffix, counts, step_ns):
    path = tmp_path_factory.mktemp("traces") / f"trace.{suffix}"
    write_trace(CountTrace(np.array(counts), step_ns, START), path)
    back = read_trace(path)
    assert isinstance(back, CountTrace)
    assert back.count.tolist() == counts
    assert (back.step_ns, back.start_unix_ns, back.total) == (step_ns, START, sum(counts))


def test_the_parquet_file_describes_itself(tmp_path):
    path = tmp_path / "trace.parquet"
    write_trace(
        CountTrace(np.array([1, 2]), 60 * 10**9, START, "web.csv", (Repair("window", 4, "cut"),)), path
    )
    assert json.loads(pq.read_schema(path).metadata[b"baseload"]) == {
        "kind": "counts",
        "version": 1,
        "start": "2023-11-16T18:15:46.68059Z",
        "step_s": 60.0,
        "source": "web.csv",
        "repairs": [{"what": "window", "count": 4, "detail": "cut"}],
    }
    write_trace(
        RequestTrace(np.array([0, 5]), class_index=np.array([0, 0], np.int32), class_names=("web",)),
        tmp_path / "rows.parquet",
    )
    schema = pq.read_schema(tmp_path / "rows.parquet")
    assert schema.field("time_ns").type == pa.int64()
    assert pa.types.is_dictionary(schema.field("class").type)


def test_the_same_trace_gives_the_same_bytes(tmp_path):
    trace = RequestTrace(np.arange(1000) ** 2, items=np.ones(1000, np.int32), source="x")
    for name in ("a", "b"):
        write_trace(trace, tmp_path / f"{name}.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_plain_csv_with_seconds_and_texts_is_a_trace(tmp_path):
    path = tmp_path / "flash.csv"
    path.write_text("# a flash crowd\ntime_s,items,key,class\n0.5,1,home,web\n0.5,3,cart,app\n2,1,home,web\n")
    trace = read_trace(path)
    assert isinstance(trace, RequestTrace)
    assert trace.time_ns.tolist() == [500_000_000, 500_000_000, 2_000_000_000]
    assert trace.items.tolist() == [1, 3, 1]
    assert trace.key.tolist() == [hash_key("home"), hash_key("cart"), hash_key("home")]
    assert class_of_each(trace) == ["web", "app", "web"]
    assert (trace.source, trace.start_unix_ns, trace.span_s, trace.total) == ("flash.csv", None, 2.0, 3)


def test_a_plain_csv_of_counts_tells_its_step_by_its_times(tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text("time_s,count\n0,4\n0.1,5\n0.2,0\n0.3,7.0\n")
    trace = read_trace(path)
    assert isinstance(trace, CountTrace)
    assert (trace.count.tolist(), trace.step_ns) == ([4, 5, 0, 7], 100_000_000)


def test_a_parquet_file_of_another_program_needs_no_metadata(tmp_path):
    path = tmp_path / "made.parquet"
    pq.write_table(pa.table({"time_ns": [0, 10, 10], "items": pa.array([1, 2, 3], pa.int8())}), path)
    assert read_trace(path).items.tolist() == [1, 2, 3]


def test_keys_hash_to_63_bits_the_same_on_every_machine():
    assert hash_key("item-42") == 0xEA17FCF7348A350D >> 1  # printf item-42 | b2sum -l 64
    assert 0 <= hash_key("") < 2**63


def test_arrays_of_a_trace_cannot_be_changed(tmp_path):
    trace = CountTrace(np.array([1, 2]), 1)
    with pytest.raises(ValueError, match="read-only"):
        trace.count[0] = 5


def test_reading_loads_no_pandas(tmp_path):
    path = tmp_path / "flash.csv"
    path.write_text("time_s,key,class\n0,home,web\n")
    program = (
        "import sys, pathlib; from scenarios.traces import read_trace\n"
        "assert 'pyarrow' not in sys.modules\n"
        f"read_trace(pathlib.Path({str(path)!r})); assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time_s,items\n0,1\n5,x\n", "row 2, column 'items': got 'x', expected a number"),
        ("time_s,items\n0,1\n5,0\n", "row 2, column 'items': got 0, expected from 1"),
        ("time_s,items\n0,1\n5,1.5\n", "row 2, column 'items': got 1.5, expected a whole number"),
        ("time_s,items\n0,1\n5,\n", "row 2, column 'items': got None, expected a whole number"),
        ("time_s\n0\n5\n4\n", "row 3, column 'time_s': got '4', expected a time not before that of row 2"),
        ("time_s\n-1\n", "row 1, column 'time_s': got '-1', expected a time at or after the trace's start"),
        (f"time_ns\n0\n{2**63 - 1}\n{-(2**63)}\n", "row 3, column 'time_ns': got '-9223372036854775808'"),
        ("time_s\nNaN\n", "row 1, column 'time_s': got nan, expected seconds"),
        ("time_s\n1e30\n", "row 1, column 'time_s': got 1e+30, expected seconds"),
        ("time_s,class\n0,web\n1,\n", "row 2, column 'class': got None, expected a class name"),
        ("time_s,key\n0,a\n1,\n", "row 2, column 'key': got None, expected a key"),
        (
            "time_s,size\n0,1\n",
            "unknown column 'size' in a trace of requests; expected time_ns, time_s, items",
        ),
        ("items\n1\n", "expected exactly one of the columns time_ns and time_s"),
        ("time_s,time_ns\n0,0\n", "expected exactly one of the columns time_ns and time_s"),
        ("time_s,items,items\n0,1,1\n", "more than one column 'items'"),
        ("time_s,count\n0,1\n60,-1\n", "row 2, column 'count': got -1, expected 0 or more"),
        ("time_s,count\n0,1\n60,2\n180,1\n", "row 3, column 'time_s': got '180', expected 120 s"),
        ("time_s,count\n60,1\n120,2\n", "row 1, column 'time_s': got '60', expected 0 s"),
        ("time_s,count\n0,1\n0,2\n", "row 2, column 'time_s': got '0', expected a time after that of row 1"),
        ("time_s,count\n0,1\n", "one row does not tell the step"),
        ("count\n1\n", "the step of the counts is unknown"),
        ("time_s\n", "no rows"),
        ("", "Empty CSV"),
        ("#time_s,count\n0,1\n60,2\n", "the first line reads '0,1', expected column names (lines on top"),
        ("2024-05-01 00:00,1\n2024-05-01 00:01,2\n", "expected column names"),
        ("time_s,items\n0,1\n2\n", "Expected 2 columns, got 1"),
        ("# baseload: {oops\ntime_s\n0\n", "the `baseload` metadata is not JSON"),
        ("# baseload: []\ntime_s\n0\n", "expected a JSON object"),
        ('# baseload: {"steps": 1}\ntime_s\n0\n', "metadata key 'steps'; expected kind"),
        ('# baseload: {"kind": "rates"}\ntime_s\n0\n', "metadata kind 'rates'; expected"),
        ('# baseload: {"step_s": 0}\ncount\n1\n', "metadata step_s 0; expected seconds"),
        ('# baseload: {"start": "noon"}\ntime_s\n0\n', "metadata start 'noon'; expected a UTC time"),
        ('# baseload: {"repairs": [1]}\ntime_s\n0\n', "metadata repairs [1]; expected a list"),
    ],
)
def test_what_is_no_trace_is_refused_by_file_row_column_and_value(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        read_trace(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_file_of_a_later_version_is_refused(tmp_path):
    path = tmp_path / "later.csv"
    path.write_text('# baseload: {"version": 2}\ntime_s\n0\n')
    with pytest.raises(Unsupported, match="version 2; this Baseload reads up to 1"):
        read_trace(path)


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(InvalidInput, match="no such file"):
        read_trace(tmp_path / "nowhere.parquet")
    broken = tmp_path / "broken.parquet"
    write_trace(CountTrace(np.arange(1000), 1), broken)
    broken.write_bytes(broken.read_bytes()[:-20])
    with pytest.raises(InvalidInput, match=r"broken\.parquet"):
        read_trace(broken)


def test_an_output_is_overwritten_only_when_asked_and_is_whole_or_absent(tmp_path, monkeypatch):
    path = tmp_path / "trace.parquet"
    first, second = CountTrace(np.array([1]), 10), CountTrace(np.array([2]), 10)
    write_trace(first, path)
    with pytest.raises(EnvironmentProblem, match="exists already"):
        write_trace(second, path)
    write_trace(second, path, overwrite=True)
    assert read_trace(path).count.tolist() == [2]

    def fill_disk(table, where, **options):
        where.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(pq, "write_table", fill_disk)
    with pytest.raises(EnvironmentProblem, match="no space left"):
        write_trace(first, path, overwrite=True)
    assert [file.name for file in tmp_path.iterdir()] == ["trace.parquet"]
    assert read_trace(path).count.tolist() == [2]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("trace.txt", "ends with .parquet or .csv"),
        ("no/where.csv", "no folder"),
        ("folder.csv", "is a folder"),
    ],
)
def test_an_impossible_output_is_refused(tmp_path, name, message):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises((InvalidInput, EnvironmentProblem), match=message):
        write_trace(CountTrace(np.array([1]), 10), tmp_path / name)


@given(st.integers(0, 9 * 10**18))
def test_times_are_written_to_the_nanosecond(unix_ns):
    assert np.datetime64(iso_time(unix_ns).removesuffix("Z"), "ns").astype(np.int64) == unix_ns

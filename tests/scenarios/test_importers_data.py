"""Every real traffic file, imported and checked against a plain computation with the csv module."""

import csv
from datetime import UTC, datetime, timedelta

import pytest

from scenarios.importers import CountOptions, RequestOptions, import_counts, import_requests
from scenarios.traces import read_trace
from scenarios.traces.write import write_trace

pytestmark = pytest.mark.data

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def unix_ns(text):
    """Nanoseconds by integer arithmetic; datetime alone would drop the seventh decimal."""
    whole, _, decimals = text.partition(".")
    seconds = (datetime.fromisoformat(whole).replace(tzinfo=UTC) - EPOCH) // timedelta(seconds=1)
    return seconds * 10**9 + int(decimals.ljust(9, "0") or 0)


def repairs_of(report):
    return {repair.what: repair.count for repair in report.repairs}


def test_no_file_is_left_out(data_dir):
    assert sorted(path.name for path in (data_dir / "requests").iterdir()) == [
        "azure_functions_2019_days1-9.csv",
        "azure_llm_2023_conv.csv",
        "nab_elb_request_count_5min.csv",
        "servegen_language_m-small_10min.csv",
        "servegen_multimodal_mm-image_10min.csv",
        "worldcup98_1998-05.csv",
    ]


def test_azure_llm_requests_keep_their_seventh_decimal(data_dir, tmp_path):
    path = data_dir / "requests" / "azure_llm_2023_conv.csv"
    rows = rows_of(path)
    trace, report = import_requests(path, RequestOptions(items_column="ContextTokens"))
    times = [unix_ns(row["TIMESTAMP"]) for row in rows]
    assert [trace.start_unix_ns + time for time in trace.time_ns.tolist()] == times
    assert trace.items.tolist() == [int(row["ContextTokens"]) for row in rows]
    assert report.total_requests == len(rows) == 19_366
    assert repairs_of(report) == {"columns_assumed": 0, "time_zone_assumed": 0}
    write_trace(trace, tmp_path / "llm.parquet")
    assert read_trace(tmp_path / "llm.parquet").time_ns.tolist() == trace.time_ns.tolist()


@pytest.mark.parametrize("function", ["bd33ce4b", "9c61f960", "38589360", "e369a477"])
def test_azure_functions_are_minutes_without_a_calendar(data_dir, function):
    path = data_dir / "requests" / "azure_functions_2019_days1-9.csv"
    trace, report = import_counts(path, CountOptions(value_column=function))
    assert trace.count.tolist() == [int(row[function]) for row in rows_of(path)]
    assert (trace.step_s, trace.start_unix_ns) == (60.0, None)
    assert repairs_of(report) == {"columns_assumed": 0, "time_unit_guessed": 0}


def test_world_cup_minutes_that_are_missing_are_zero(data_dir):
    path = data_dir / "requests" / "worldcup98_1998-05.csv"
    by_minute = {unix_ns(row["period"]) // (60 * 10**9): int(row["count"]) for row in rows_of(path)}
    first, last = min(by_minute), max(by_minute)
    trace, report = import_counts(path, CountOptions(gap="zero"))
    assert trace.count.tolist() == [by_minute.get(minute, 0) for minute in range(first, last + 1)]
    assert repairs_of(report)["gaps_filled"] == last - first + 1 - len(by_minute) == 10
    assert report.total_requests == sum(by_minute.values())
    hourly, _ = import_counts(path, CountOptions(gap="zero", step_s=3600.0))
    assert hourly.total == report.total_requests


def test_load_balancer_counts_have_eight_gaps(data_dir):
    path = data_dir / "requests" / "nab_elb_request_count_5min.csv"
    values = [float(row["value"]) for row in rows_of(path)]
    zero, report = import_counts(path, CountOptions(gap="zero"))
    assert zero.total == sum(values)
    assert repairs_of(report)["gaps_filled"] == 8
    assert zero.step_s == 300.0
    assert len(zero.count) == len(values) + 8
    held, _ = import_counts(path, CountOptions(gap="hold"))
    gaps = [at for at in range(1, len(zero.count)) if zero.count[at] != held.count[at]]
    assert all(held.count[at] == held.count[at - 1] for at in gaps)
    straight, _ = import_counts(path, CountOptions(gap="interpolate"))
    neighbours = sum(
        (zero.count[at - 1] + zero.count[at + 1]) / 2 for at in gaps
    )  # every gap is one interval
    assert abs(straight.total - zero.total - neighbours) <= 0.5


@pytest.mark.parametrize(
    ("name", "intervals"),
    [("servegen_language_m-small_10min.csv", 2016), ("servegen_multimodal_mm-image_10min.csv", 144)],
)
def test_servegen_rates_become_requests(data_dir, name, intervals):
    path = data_dir / "requests" / name
    rates = [float(row["rate_rps"]) for row in rows_of(path)]
    trace, report = import_counts(path, CountOptions(value_column="rate_rps", value="rate"))
    assert len(trace.count) == len(rates) == intervals
    assert abs(trace.total - 600 * sum(rates)) <= 0.5
    assert max(abs(count - 600 * rate) for count, rate in zip(trace.count.tolist(), rates, strict=True)) <= 1
    assert report.peak_rate_per_s == pytest.approx(max(rates), rel=1e-3)
    assert set(repairs_of(report)) == {"columns_assumed", "time_unit_guessed", "rounded"}

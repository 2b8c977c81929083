"""Counts and rates per interval: steps found, gaps filled as asked, totals kept, and every repair told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.errors import InvalidInput
from scenarios.importers import CountOptions, import_counts
from scenarios.importers.grid import fill_gaps, find_step, place, resample

SECOND = 10**9
MINUTE = 60 * SECOND


def imported(tmp_path, text, **options):
    path = tmp_path / "counts.csv"
    path.write_text(text)
    return import_counts(path, CountOptions(**options))


def whats(report):
    """The repairs, less the assumptions that nearly every small file has."""
    usual = {"columns_assumed", "time_unit_guessed", "time_zone_assumed"}
    return {repair.what: repair for repair in report.repairs if repair.what not in usual}


def test_clean_counts_are_taken_as_they_are(tmp_path):
    text = "minute,requests\n2024-05-01T00:00Z,5\n2024-05-01T00:01Z,0\n2024-05-01T00:02Z,7\n"
    trace, report = imported(tmp_path, text, time_column="minute", value_column="requests")
    assert trace.count.tolist() == [5, 0, 7]
    assert trace.step_ns == MINUTE
    assert report.repairs == ()
    assert (report.start, report.total_requests, report.rows_read) == ("2024-05-01T00:00:00Z", 12, 3)
    assert (report.mean_rate_per_s, report.peak_rate_per_s) == (12 / 180, 7 / 60)


def test_what_the_report_leaves_to_assumption_is_said(tmp_path):
    _, report = imported(tmp_path, "t,n\n2024-05-01 00:00,5\n2024-05-01 00:01,2\n")
    assert [repair.what for repair in report.repairs] == ["columns_assumed", "time_zone_assumed"]
    assert "columns: 't' is the time, 'n' the count" in str(report)
    assert "taken as UTC" in str(report)


GAPPY = "t_s,n\n0,6\n60,12\n240,3\n300,9\n"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("zero", [6, 12, 0, 0, 3, 9]),
        ("hold", [6, 12, 12, 12, 3, 9]),
        ("interpolate", [6, 12, 9, 6, 3, 9]),
    ],
)
def test_gaps_are_filled_as_asked_and_told(tmp_path, policy, expected):
    trace, report = imported(tmp_path, GAPPY, gap=policy)
    assert trace.count.tolist() == expected
    repair = whats(report)["gaps_filled"]
    assert repair.count == 2
    assert "first 120 s, last 180 s, longest 2 min" in repair.detail
    assert trace.repairs == report.repairs


def test_gaps_stop_the_import_unless_their_meaning_is_given(tmp_path):
    with pytest.raises(InvalidInput, match=r"2 of 6 intervals .* in 1 gaps .*--gap zero"):
        imported(tmp_path, GAPPY)


@settings(deadline=None)
@given(
    st.lists(st.none() | st.floats(0, 1e9), min_size=1, max_size=50).filter(
        lambda values: any(value is not None for value in values)
    ),
    st.sampled_from(["zero", "hold", "interpolate"]),
)
def test_filling_changes_nothing_but_the_gaps(values, policy):
    given_values = np.array([np.nan if value is None else value for value in values])
    filled, repairs = fill_gaps(given_values, policy, 0, SECOND, absolute=False)
    present = ~np.isnan(given_values)
    assert (filled[present] == given_values[present]).all()
    assert np.isfinite(filled).all()
    assert sum(repair.count for repair in repairs) == (~present).sum()
    if policy == "zero":
        assert filled.sum() == pytest.approx(given_values[present].sum())
    assert filled.min() >= 0
    assert filled.max() <= given_values[present].max()


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=50),
    st.integers(1, 1000),
    st.integers(1, 1000),
)
def test_a_change_of_step_keeps_every_prefix_to_half_a_request(values, step_ns, new_step_ns):
    count, _ = resample(np.array(values), step_ns, new_step_ns)
    assert (count >= 0).all()
    assert len(count) == -(-len(values) * step_ns // new_step_ns)
    running = np.concatenate([[0], np.cumsum(values)])
    edges = np.minimum(np.arange(len(count) + 1) * new_step_ns, len(values) * step_ns)
    exact = np.interp(edges, np.arange(len(values) + 1) * step_ns, running)
    assert np.abs(np.concatenate([[0], np.cumsum(count)]) - exact).max() <= 0.5 + 1e-6


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=50), st.integers(1, 20))
def test_splitting_and_joining_intervals_gives_the_counts_back(values, times):
    fine, _ = resample(np.array(values, float), 20 * SECOND, SECOND)
    back, _ = resample(fine.astype(float), SECOND, 20 * SECOND)
    assert back.tolist() == values
    joined, _ = resample(np.array(values, float), SECOND, times * SECOND)
    assert joined.sum() == sum(values)


def test_a_half_request_in_one_interval_leaves_the_others_alone():
    count, _ = resample(np.array([1.5, 1, 1, 1, 1]), SECOND, SECOND)
    assert count.tolist() == [2, 1, 1, 1, 1]


def test_counts_are_split_and_joined_to_the_step_asked_for(tmp_path):
    trace, report = imported(tmp_path, "t_s,n\n0,6\n60,12\n120,3\n", step_s=40.0)
    assert trace.count.tolist() == [4, 6, 8, 2, 1]  # running total 4, 10, 18, 20, 21
    assert trace.total == 21
    assert "covered by data for 50% of its length" in whats(report)["last_interval_partial"].detail
    assert "5 intervals of 40 s" in whats(report)["resampled"].detail


def test_rates_become_requests_by_the_length_of_the_interval(tmp_path):
    trace, report = imported(tmp_path, "t_s,rate_rps\n0,0.25\n10,0.3\n20,0.15\n", value="rate")
    assert trace.count.tolist() == [3, 3, 1]  # 2.5, 5.5, 7.0 in all
    assert "the total is kept" in whats(report)["rounded"].detail


def test_a_scale_multiplies_the_total(tmp_path):
    trace, report = imported(tmp_path, "t_s,n\n0,5\n60,5\n120,5\n", scale=1.5)
    assert trace.count.tolist() == [8, 7, 8]
    assert "multiplied by 1.5" in whats(report)["scaled"].detail


def test_rows_are_sorted_and_doubled_times_settled(tmp_path):
    text = "t_s,n\n60,2\n0,1\n60,9\n120,3\n"
    trace, report = imported(tmp_path, text)
    assert trace.count.tolist() == [1, 9, 3]
    assert whats(report)["sorted"].count == 1
    assert (
        "1 rows repeat the time of another (first 60 s): the last one kept"
        in whats(report)["duplicates"].detail
    )
    assert imported(tmp_path, text, duplicates="sum")[0].count.tolist() == [1, 11, 3]
    with pytest.raises(InvalidInput, match="1 rows repeat the time"):
        imported(tmp_path, text, duplicates="error")


def test_values_that_cannot_be_traffic_are_missing_values(tmp_path):
    text = "t_s,n\n0,1\n60,NaN\n120,\n180,-4\n240,inf\n300,5\n"
    trace, report = imported(tmp_path, text, gap="zero")
    assert trace.count.tolist() == [1, 0, 0, 0, 0, 5]
    assert whats(report)["not_a_number"].count == 3
    assert "1 negative values taken as missing (first 180 s" in whats(report)["negative"].detail
    assert whats(report)["gaps_filled"].count == 4
    with pytest.raises(InvalidInput, match="no interval has a value"):
        imported(tmp_path, "t_s,n\n0,NaN\n60,NaN\n", gap="zero")


def test_times_off_the_grid_move_onto_it_and_are_told(tmp_path):
    text = "t_s,n\n0,1\n61,2\n120,3\n179,4\n240,5\n"
    trace, report = imported(tmp_path, text, gap="error")
    assert trace.count.tolist() == [1, 2, 3, 4, 5]
    assert trace.step_ns == 60 * SECOND
    assert whats(report)["step_rounded"].detail.endswith("the step is taken as 1 min")
    assert (
        "2 times off the grid moved onto it (first 61 s, furthest by 1 s)" in whats(report)["off_grid"].detail
    )


def test_a_first_row_off_the_grid_does_not_shift_the_others(tmp_path):
    text = "time,n\n" + "".join(f"2024-05-01T00:{m:02d}:{17 if m == 0 else 0:02d}Z,1\n" for m in range(10))
    trace, report = imported(tmp_path, text)
    assert whats(report)["off_grid"].count == 1
    assert report.start == "2024-05-01T00:00:00Z"
    assert trace.count.tolist() == [1] * 10


@pytest.mark.parametrize(
    ("value", "expected"), [("count", [1, 5, 1, 1, 0, 0]), ("rate", [60, 150, 60, 60, 0, 0])]
)
def test_samples_that_share_an_interval_are_added_up_or_averaged(tmp_path, value, expected):
    text = "t_s,n\n0,1\n60,2\n70,3\n120,1\n180,1\n240,0\n300,0\n"
    trace, report = imported(tmp_path, text, value=value)
    assert trace.step_ns == MINUTE
    assert trace.count.tolist() == expected
    assert whats(report)["merged"].count == 1


@settings(deadline=None)
@given(st.integers(10, 400), st.integers(0, 2**32 - 1))
def test_jittered_times_find_the_usual_step_behind_them(size, seed):
    times = np.arange(size) * 60.0 + np.random.default_rng(seed).uniform(-0.25, 0.25, size)
    time_ns = np.rint((times - times.min()) * 1e9).astype(np.int64)
    assert find_step(time_ns)[0] == MINUTE
    _, placed, _ = place(time_ns, np.ones(size), MINUTE, average=False, absolute=False)
    assert placed.tolist() == [1.0] * size


def test_an_exact_odd_step_is_not_rounded():
    time_ns = np.arange(1000) * 1_005_000_000
    assert find_step(time_ns) == (1_005_000_000, ())


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 500), st.integers(0, 100)),
        min_size=2,
        max_size=60,
        unique_by=lambda row: row[0],
    )
)
def test_whatever_the_times_no_request_is_lost(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("counts") / "counts.csv"
    path.write_text("t_s,n\n" + "".join(f"{t},{n}\n" for t, n in rows))
    trace, report = import_counts(path, CountOptions(gap="zero"))
    assert trace.total == sum(n for _, n in rows)
    assert report.total_requests == trace.total


def test_a_window_keeps_its_intervals_and_says_what_it_left_out(tmp_path):
    text = "time,n\n" + "".join(f"2024-05-01T{hour:02d}:00Z,{hour}\n" for hour in range(24))
    window = {"window_from": "2024-05-01T06:00", "window_to": "2024-05-01T10:00+01:00"}
    trace, report = imported(tmp_path, text, **window)
    assert trace.count.tolist() == [6, 7, 8]
    assert report.start == "2024-05-01T06:00:00Z"
    assert whats(report)["window"].count == 21
    with pytest.raises(InvalidInput, match="no rows in the window; the data run from 2024-05-01T00:00:00Z"):
        imported(tmp_path, text, window_from="2025-01-01")
    with pytest.raises(InvalidInput, match="--from: got 'noon', expected a time"):
        imported(tmp_path, text, window_from="noon")


def test_a_window_of_relative_times_is_in_seconds_or_durations(tmp_path):
    trace, report = imported(tmp_path, "t_s,n\n0,1\n60,2\n120,3\n180,4\n", window_from="60", window_to="3m")
    assert trace.count.tolist() == [2, 3]
    assert trace.start_unix_ns is None
    assert "60 s into the input" in whats(report)["shifted"].detail
    with pytest.raises(InvalidInput, match="--to: got '3 parsecs'"):
        imported(tmp_path, "t_s,n\n0,1\n60,2\n", window_to="3 parsecs")


def test_times_may_stand_for_the_end_of_their_interval(tmp_path):
    text = "time,n\n2024-05-01T00:05Z,1\n2024-05-01T00:10Z,2\n"
    _, report = imported(tmp_path, text, stamp="end")
    assert report.start == "2024-05-01T00:00:00Z"


def test_one_row_needs_a_step(tmp_path):
    with pytest.raises(InvalidInput, match="one row does not tell the step: give it with --step"):
        imported(tmp_path, "t_s,n\n0,1\n")
    assert imported(tmp_path, "t_s,n\n0,1\n", step_s=60.0)[0].count.tolist() == [1]


def test_an_absurd_number_of_intervals_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="are the times and their unit"):
        imported(tmp_path, "t_s,n\n0,1\n0.001,1\n0.002,1\n90000000,1\n", gap="zero")
    with pytest.raises(InvalidInput, match="expected at most 50,000,000"):
        imported(tmp_path, "t_s,n\n0,1\n3600,1\n", step_s=1e-6)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "t,a,b\n0,1,2\n",
            {},
            "say with --value-column which column holds the values; the columns are t, a, b",
        ),
        ("t,a\n0,1\n", {"value_column": "n"}, "no column 'n'; the columns are t, a"),
        ("t,a\n0,1\n1,many\n", {}, "row 2, column 'a': got 'many', expected a number"),
        ("t,a\n", {}, "column 't' holds no times"),
        ("t,a\n0,1\n1,1\n", {"scale": 0.0}, "--scale: got 0, expected more than 0"),
        ("t,a\n0,1\n1,1\n", {"step_s": 0.0}, "--step: got 0 s, expected from 1ns to 366d"),
        ("t,a\n0,1e300\n1,1\n", {}, "1e+300 requests in all"),
        ("t,a\n0,1\n1,1\n", {"step_s": 1e300}, "--step: got 1e+300 s"),
        ("t,a\n1700-01-01,1\n2200-01-01,1\n", {}, "within 146 years"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, text, options, message):
    with pytest.raises(InvalidInput) as caught:
        imported(tmp_path, text, **options)
    assert message in str(caught.value)
    assert "counts.csv" in str(caught.value)

"""`baseload import`: what a person types, reads and gets back."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from baseload.cli.import_traffic import command
from scenarios.errors import EnvironmentProblem, ExitStatus, InvalidInput
from scenarios.traces import CountTrace, RequestTrace, read_trace

COUNTS = "time,requests\n2024-05-01T00:00Z,60\n2024-05-01T00:01Z,0\n2024-05-01T00:03Z,120\n"


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def baseload(*arguments, **options):
    program = [sys.executable, "-c", "from baseload.cli import main; main()", "import", *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, check=False, **options)


@pytest.fixture
def counts_csv(tmp_path):
    path = tmp_path / "counts.csv"
    path.write_text(COUNTS)
    return path


def test_counts_become_a_trace_and_a_report_for_people(counts_csv, tmp_path):
    out = tmp_path / "out.parquet"
    result = run("counts", counts_csv, "--gap", "interpolate", "-o", out)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout == (
        "read      3 rows of counts.csv\n"
        "trace     counts, step 1 min, span 4 min, from 2024-05-01T00:00:00Z\n"
        "requests  240 in all, mean 1/s, peak 2/s (over 1 min)\n"
        "repaired or assumed:\n"
        "  - columns: 'time' is the time, 'requests' the count\n"
        "  - 1 of 4 intervals of 1 min have no value, in 1 gaps (first 2024-05-01T00:02:00Z, "
        "last 2024-05-01T00:02:00Z, longest 1 min): interpolated\n"
        f"wrote     {out}\n"
    )
    trace = read_trace(out)
    assert isinstance(trace, CountTrace)
    assert trace.count.tolist() == [60, 0, 60, 120]


def test_the_report_is_there_for_programs_too(counts_csv, tmp_path):
    out = tmp_path / "out.csv"
    report = json.loads(run("counts", counts_csv, "--gap", "zero", "--json", "-o", out).stdout)
    assert report["total_requests"] == 180
    assert report["output"] == str(out)
    assert [repair["what"] for repair in report["repairs"]] == ["columns_assumed", "gaps_filled"]
    assert read_trace(out).repairs[1].detail == report["repairs"][1]["detail"]


def test_requests_take_their_columns_by_name(tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("at,what,n,who\n1700000000,a,2,web\n1700000060,b,3,app\n")
    out = tmp_path / "out.parquet"
    result = run(
        *("requests", rows, "-o", out, "--time-column", "at", "--time-unit", "epoch-s"),
        *("--items-column", "n", "--key-column", "what", "--class-column", "who"),
    )
    assert "repaired or assumed: nothing" in result.stdout
    trace = read_trace(out)
    assert isinstance(trace, RequestTrace)
    assert trace.items.tolist() == [2, 3]
    run("requests", rows, "-o", out, "--force", "--time-column", "at", "--step", "1m")
    assert read_trace(out).count.tolist() == [1, 1]


def test_a_saved_prometheus_answer_needs_no_server(tmp_path):
    answer = tmp_path / "answer.json"
    values = [[1_714_521_600 + 60 * step, str(step)] for step in range(1, 5)]
    result = {"resultType": "matrix", "result": [{"metric": {}, "values": values}]}
    answer.write_text(json.dumps({"status": "success", "data": result}))
    out = tmp_path / "out.parquet"
    assert run("prometheus", "--json-file", answer, "-o", out).exit_code == 0
    assert read_trace(out).count.tolist() == [60, 120, 180, 240]
    run(
        "prometheus",
        "--json-file",
        answer,
        "--step",
        "2m",
        "--value",
        "count",
        "--scale",
        "10",
        "-o",
        out,
        "--force",
    )
    assert read_trace(out).count.tolist() == [30, 70]


def test_an_output_that_exists_is_kept_unless_forced(counts_csv, tmp_path):
    out = tmp_path / "out.parquet"
    out.write_bytes(b"mine")
    with pytest.raises(EnvironmentProblem, match=r"exists already.*--force"):
        run("counts", counts_csv, "--gap", "zero", "-o", out)
    assert out.read_bytes() == b"mine"
    assert run("counts", counts_csv, "--gap", "zero", "-o", out, "--force").exit_code == 0


def test_a_failed_import_leaves_nothing_behind(counts_csv, tmp_path):
    with pytest.raises(InvalidInput, match="--gap zero"):
        run("counts", counts_csv, "-o", tmp_path / "out.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["counts.csv"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (
            ["counts", "nowhere.csv", "-o", "o.parquet"],
            ExitStatus.INVALID_INPUT,
            "error: nowhere.csv: no such file",
        ),
        (["counts", "counts.csv", "-o", "o.txt"], ExitStatus.INVALID_INPUT, "error: o.txt: expected a name"),
        (
            ["counts", "counts.csv", "-o", "no/o.csv"],
            ExitStatus.ENVIRONMENT,
            "error: no/o.csv: there is no folder",
        ),
        (["counts", "counts.csv"], ExitStatus.USAGE, "Missing option '-o'"),
        (
            ["counts", "counts.csv", "-o", "o.csv", "--step", "5"],
            ExitStatus.USAGE,
            "expected a duration such as",
        ),
        (
            ["counts", "counts.csv", "-o", "o.csv", "--gap", "guess"],
            ExitStatus.USAGE,
            "'guess' is not one of",
        ),
        (
            ["prometheus", "-o", "o.csv", "--url", "http://h"],
            ExitStatus.USAGE,
            "missing --query, --start, --end",
        ),
        (
            ["prometheus", "-o", "o.csv", "--json-file", "x", "--query", "up"],
            ExitStatus.USAGE,
            "--json-file does not go with --query",
        ),
    ],
)
def test_mistakes_end_with_one_message_and_the_published_status(counts_csv, arguments, status, message):
    result = baseload(*arguments, cwd=counts_csv.parent)
    assert result.returncode == status
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


LIVE = ("prometheus", "--query", "up", "--step", "15s", "--start", "2024-05-01", "-o", "o.csv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--url", "prometheus:9090", "--end", "2024-05-02"), "--url: got 'prometheus:9090'"),
        (("--url", "http://h", "--end", "later"), "--end: got 'later', expected a time"),
        (("--url", "http://h", "--end", "2024-05-01"), "--end: expected a time after --start"),
        (("--url", "http://h", "--end", "2024-05-02", "--token-file", "empty"), "expected one token"),
    ],
)
def test_a_live_query_is_checked_before_it_is_asked(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(InvalidInput, match=message):
        run(*LIVE, *arguments)


def test_a_token_file_that_is_not_there_is_an_environment_problem():
    with pytest.raises(EnvironmentProblem, match="--token-file nowhere"):
        run(*LIVE, "--url", "http://h", "--end", "2024-05-02", "--token-file", "nowhere")


@pytest.mark.parametrize("name", ["requests", "counts", "prometheus"])
def test_help_shows_an_example_that_can_be_typed(name):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"baseload import {name}" in result.stdout

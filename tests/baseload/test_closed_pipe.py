"""A reader who has seen enough (`baseload … | head -1`) changes nothing about a command: it ends in silence, with the
status that it would have had."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios.errors import ExitStatus
from tests.serving_ref.loadtest.servers import Server

ROOT = Path(__file__).parents[2]
QUICKSTART = "scenarios/library/quickstart.yaml"
MISSED = ("--set", "slos.fast.latency=1ns", "--detailed-exitcode")


def baseload(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE):
    command = [sys.executable, "-c", "from baseload.cli import main; main()", *arguments]
    return subprocess.run(command, stdout=stdout, stderr=stderr, text=True, cwd=ROOT, check=False)


@pytest.fixture
def gone():
    """The writing end of a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    names = [str(folder / "two"), str(folder / "one")]
    assert baseload("simulate", QUICKSTART, "-q", "-o", names[0]).returncode == 0
    assert baseload("simulate", QUICKSTART, "-q", "-o", names[1], "--set", "pools.gpu.size=1").returncode == 0
    return names


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--help"], ExitStatus.OK),
        (["--version"], ExitStatus.OK),
        (["simulate", "--help"], ExitStatus.OK),
        (["simulate", QUICKSTART, "-q"], ExitStatus.OK),
        (["simulate", QUICKSTART, "-q", "--json"], ExitStatus.OK),
        (["simulate", QUICKSTART, "-q", *MISSED], ExitStatus.NEGATIVE),
        (["simulate", QUICKSTART, "-q", "--json", *MISSED], ExitStatus.NEGATIVE),
        (["validate", QUICKSTART], ExitStatus.OK),
        (["validate", "--schema"], ExitStatus.OK),
        (["validate", "--json", QUICKSTART, "nowhere.yaml"], ExitStatus.INVALID_INPUT),
        (["catalogue"], ExitStatus.OK),
        (["catalogue", "--json"], ExitStatus.OK),
        (["cluster", "node-pools", QUICKSTART], ExitStatus.OK),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_nobody_reads_the_results(gone, arguments, status):
    done = baseload(*arguments, stdout=gone)
    assert (done.returncode, done.stderr) == (status, "")


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_nobody_reads_a_comparison(gone, runs, form):
    done = baseload("compare", *runs, *form, stdout=gone)
    assert (done.returncode, done.stderr) == (ExitStatus.OK, "")


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_nobody_reads_the_report_of_an_import(gone, tmp_path, form):
    trace = tmp_path / "traffic.csv"
    done = baseload(
        "import", "counts", "scenarios/library/flash-crowd.csv", "-o", str(trace), *form, stdout=gone
    )
    assert (done.returncode, done.stderr) == (ExitStatus.OK, "")
    assert trace.is_file()


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_nobody_reads_a_load_test_nor_its_verification(gone, tmp_path, form):
    short = ("--set", "run.duration=2s", "--set", "run.warmup=0s")
    run = str(tmp_path / "measured")
    with Server() as server:
        target = ("--target", server.url, "--max-lag", "10s", "--max-cpu", "100%", "-q", "-o", run)
        done = baseload("loadtest", QUICKSTART, *short, *target, *form, stdout=gone)
    assert (done.returncode, done.stderr) == (ExitStatus.OK, "")
    assert (tmp_path / "measured/COMPLETE").is_file()
    done = baseload("verify", QUICKSTART, *short, "--against", run, *form, stdout=gone)
    assert (done.returncode, done.stderr) == (ExitStatus.OK, "")


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_nobody_reads_where_manifests_were_written(gone, tmp_path, form):
    done = baseload("stack", "render", QUICKSTART, "-o", str(tmp_path / "out"), *form, stdout=gone)
    assert (done.returncode, done.stderr) == (ExitStatus.OK, "")
    assert any((tmp_path / "out").iterdir())


def test_what_was_to_be_kept_is_kept(gone, tmp_path):
    assert (
        baseload("simulate", QUICKSTART, "-o", str(tmp_path / "run"), stdout=gone, stderr=gone).returncode
        == 0
    )
    assert (tmp_path / "run/COMPLETE").is_file()


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["report", "nowhere", "-o", "nowhere.html"], ExitStatus.INVALID_INPUT),
        (["validate", "nowhere.yaml"], ExitStatus.INVALID_INPUT),
        (["simulate"], ExitStatus.USAGE),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_nobody_reads_the_error(gone, arguments, status):
    assert baseload(*arguments, stderr=gone).returncode == status


def test_the_first_line_is_there_for_those_who_want_no_more():
    program = "from baseload.cli import main; main()"
    line = subprocess.run(
        f"set -o pipefail; {sys.executable} -c '{program}' catalogue --json | head -n 1",
        shell=True, executable="/bin/bash", capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    assert (line.stdout, line.stderr) == ("{\n", "")

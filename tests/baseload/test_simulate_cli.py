"""`baseload simulate` as a person and as a program use it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from baseload.cli import cli, progress
from scenarios.errors import EnvironmentProblem, ExitStatus, InvalidInput, Unsupported
from simulator.results.run_directory import read_run
from tests.simulator.small import document

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    changed = document()
    changed["run"] |= {"duration": "20s", "warmup": "5s"}
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(changed))
    return path


def simulate(*arguments, catch=False):
    return CliRunner().invoke(cli, ["simulate", *map(str, arguments)], catch_exceptions=catch)


def test_without_a_directory_it_prints_the_summary_and_keeps_nothing(path):
    result = simulate(path)
    assert result.exit_code == ExitStatus.OK
    assert result.stdout.startswith("small  15 s, seed 7, kernel")
    assert "per 1,000 predictions" in result.stdout
    assert "SLO fast" in result.stdout
    assert "nothing was kept: give -o DIR" in result.stderr
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_with_a_directory_it_writes_the_run_and_says_no_more_than_needed(path, tmp_path):
    result = simulate(path, "-o", tmp_path / "out" / "run", "--seed", 3, "--runs", 2)
    assert result.exit_code == ExitStatus.OK
    assert "nothing was kept" not in result.stderr
    run = read_run(tmp_path / "out" / "run")
    assert run.document["seeds"] == [3, 4]
    assert run.document["engine"]["name"] == "kernel"
    assert run.document["versions"].keys() == {"baseload", "numba", "numpy", "simpy"}
    assert run.meta["wall_s"] > 0
    assert "2 seeds: mean of the replications" in result.stdout


def test_without_a_cache_there_is_no_hit_ratio(path):
    result = simulate(path, "--set", "routes.main.cache=null")
    columns = next(line for line in result.stdout.splitlines() if line.startswith("class "))
    line = next(line for line in result.stdout.splitlines() if line.startswith("home-page"))
    end = columns.index("hit ratio") + len("hit ratio")
    assert line[:end].split()[-1] == "–"
    found = json.loads(simulate(path, "--set", "routes.main.cache=null", "--json").stdout)["totals"]
    assert found["overall"]["hit_ratio"] is None


def test_json_is_the_run_document(path, tmp_path):
    result = simulate(path, "-o", tmp_path / "run", "--json")
    assert result.stdout == (tmp_path / "run/run.json").read_text()
    alone = simulate(path, "--json")
    assert json.loads(alone.stdout) == json.loads(result.stdout)


def test_threads_and_engines_give_the_same_numbers(path):
    one = json.loads(simulate(path, "--json", "--runs", 3, "--threads", 1).stdout)
    assert json.loads(simulate(path, "--json", "--runs", 3, "--threads", 2).stdout) == one
    reference = json.loads(simulate(path, "--json", "--runs", 3, "--engine", "reference").stdout)
    assert reference["totals"] == one["totals"]
    assert reference["engine"]["name"] == "reference"


def test_detailed_exitcode_says_whether_the_slos_were_kept(path):
    hopeless = ["--set", "slos.fast.latency=1ms", "--set", "routes.main.cache=null"]
    assert simulate(path, *hopeless).exit_code == ExitStatus.OK
    assert simulate(path, *hopeless, "--detailed-exitcode").exit_code == ExitStatus.NEGATIVE
    easy = ["--set", "slos.fast.objective=1%", "--set", "slos.found.objective=1%"]
    assert simulate(path, *easy, "--detailed-exitcode").exit_code == ExitStatus.OK


def test_quiet_leaves_stderr_empty(path):
    assert simulate(path, "--quiet").stderr == ""


def test_what_has_no_effect_is_a_warning(path):
    price = 'prices=[{instance_type: g5.xlarge, capacity_type: spot, price: "$0.5/h"}]'
    result = simulate(path, "--set", price, "-q")
    assert result.exit_code == ExitStatus.OK
    assert result.stderr == (
        "warning: prices[0]: no pool buys g5.xlarge spot, so that this price has no effect\n"
    )


def test_the_request_log_has_a_row_a_request(path, tmp_path):
    result = simulate(path, "--json", "--runs", 2, "--request-log", tmp_path / "logs/requests.parquet")
    totals = json.loads(simulate(path, "--json", "--runs", 2, "--set", "run.warmup=0s").stdout)
    rows = pq.read_table(tmp_path / "logs/requests.parquet").to_pylist()
    assert result.exit_code == ExitStatus.OK
    ended = sum(
        each["totals"]["overall"]["answered"] + each["totals"]["overall"]["failed"]
        for each in totals["replications"]
    )
    assert len(rows) == ended
    assert {row["seed"] for row in rows} == {7, 8}
    assert {row["class"] for row in rows} == {"home-page", "search"}
    assert {row["stream"] for row in rows} == {"web"}
    assert {"ok_model", "ok_cache"} <= {row["outcome"] for row in rows}
    assert all(row["end_ns"] >= row["first_send_ns"] and row["attempts"] >= 1 for row in rows)
    assert [(row["seed"], row["id"]) for row in rows] == sorted((row["seed"], row["id"]) for row in rows)


@pytest.mark.parametrize("name", ["log.txt", "log.csv", "log", "log.parquet.gz"])
def test_a_request_log_of_another_ending_is_refused_before_anything_runs(path, tmp_path, monkeypatch, name):
    monkeypatch.setattr("simulator.run.simulate", None)
    with pytest.raises(
        InvalidInput, match=rf"--request-log .*{name}: expected a name that ends with \.parquet"
    ):
        simulate(path, "--request-log", tmp_path / name, "-o", tmp_path / "run")
    assert sorted(each.name for each in tmp_path.iterdir()) == [path.name]


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (["--set", "run.durtion=1h"], InvalidInput, "duration"),
        (["--set", "pools.gpu.instance_type=g5.xlrge"], InvalidInput, "g5.xlarge"),
        (["--set", "pools.extra.instance_type=p5.48xlarge"], InvalidInput, "spot-reference price"),
        (["--set", "models.m.batching=continuous"], Unsupported, "continuous batching"),
    ],
)
def test_mistakes_are_named_before_anything_runs(path, tmp_path, monkeypatch, arguments, kind, words):
    monkeypatch.setattr("simulator.run.simulate", None)
    with pytest.raises(kind, match=words):
        simulate(path, *arguments, "-o", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_targets_that_cannot_be_written_are_refused_before_anything_runs(path, tmp_path, monkeypatch):
    monkeypatch.setattr("simulator.run.simulate", None)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    (precious / "log.parquet").write_text("of another run")
    folder = tmp_path / "folder.parquet"
    folder.mkdir()
    for arguments, words in [
        (["-o", precious], "give --force"),
        (["-o", precious, "--force"], "not a run directory"),
        (["-o", path / "run"], "small.yaml is no folder that one may write into"),
        (["--request-log", precious / "log.parquet"], "exists"),
        (["--request-log", folder, "--force"], "is a folder"),
    ]:
        with pytest.raises(EnvironmentProblem, match=words):
            simulate(path, *arguments)
    assert (precious / "thesis.txt").read_text() == "years of work"


def test_force_replaces_a_run(path, tmp_path):
    simulate(path, "-o", tmp_path / "run")
    simulate(path, "-o", tmp_path / "run", "--force", "--seed", 11)
    assert read_run(tmp_path / "run").document["seeds"] == [11]


@pytest.mark.parametrize(
    "arguments",
    [["--engine", "rust"], ["--runs", "0"], ["--seed", str(2**63 - 1), "--runs", "2"], ["--seed", "-1"]],
)
def test_wrong_options_are_usage_errors(path, arguments):
    assert simulate(path, *arguments, catch=True).exit_code == ExitStatus.USAGE


def test_a_cold_cache_is_announced(path, monkeypatch, tmp_path):
    monkeypatch.setattr(progress, "kernel_is_compiled", lambda path: False)
    assert progress.COMPILING in simulate(path).stderr
    assert progress.COMPILING not in simulate(path, "--engine", "reference").stderr


@pytest.mark.parametrize(
    ("kernel", "changes"),
    [
        ("event-ordered", ()),
        ("block-wise", ("--set", "routes[0].feature_fetch=null", "--set", "classes[1].items=1")),
    ],
)
def test_the_compiled_kernel_is_found(path, kernel, changes):
    simulate(path, *changes)
    assert progress.kernel_is_compiled(kernel)
    assert progress.COMPILING not in simulate(path, *changes).stderr


def test_a_kernel_that_another_scenario_needs_is_not_taken_for_this_ones(monkeypatch, tmp_path):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    (tmp_path / "dataplane").mkdir()
    (tmp_path / "dataplane" / "kernel.advance-101.py311.nbi").touch()
    assert progress.kernel_is_compiled("event-ordered")
    assert not progress.kernel_is_compiled("block-wise")


IMPATIENT = """
import signal, sys
from baseload.cli import main, progress
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
progress.SHORT_S = progress.LINE_EVERY_S = 0.0
sys.argv = ["baseload", "simulate", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("more", [[], ["--runs", "2", "--threads", "2"]])
def test_ctrl_c_leaves_nothing_that_looks_whole(path, tmp_path, more):
    command = [
        sys.executable, "-c", IMPATIENT, str(path), "--engine", "reference", "-o", str(tmp_path / "run"),
        "--request-log", str(tmp_path / "requests.parquet"), "--set", "run.duration=30d", *more,
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        status = process.wait(timeout=60)
    assert re.match(r"[\d.]+ \w+ of (30|60) d simulated, [\d,]+ requests/s", first), first + rest
    assert rest.splitlines()[-1] == "interrupted: nothing half-written was kept"
    assert "Traceback" not in rest
    assert status == ExitStatus.INTERRUPTED
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


STUCK = """
import signal, sys, threading
import simulator.run
from baseload.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)

def compiles_for_ever(*_, **__):
    print("compiling", file=sys.stderr, flush=True)
    threading.Event().wait()

simulator.run.simulate = compiles_for_ever
sys.argv = ["baseload", "simulate", *sys.argv[1:]]
main()
"""


def test_ctrl_c_does_not_wait_for_threads_that_compile(path, tmp_path):
    command = [
        sys.executable,
        "-c",
        STUCK,
        str(path),
        "-o",
        str(tmp_path / "run"),
        "--runs",
        "4",
        "--threads",
        "4",
    ]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "compiling\n"
        process.send_signal(signal.SIGINT)
        status = process.wait(timeout=60)
        rest = process.stderr.read()
    assert rest.replace("compiling\n", "").strip() == "interrupted: nothing half-written was kept"
    assert status == ExitStatus.INTERRUPTED
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_an_interrupted_run_leaves_the_one_before(path, tmp_path, monkeypatch):
    simulate(path, "-o", tmp_path / "run")
    before = (tmp_path / "run/run.json").read_bytes()

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("simulator.run.simulate", interrupt)
    result = simulate(path, "-o", tmp_path / "run", "--force", "--seed", 5, catch=True)
    assert result.exit_code != ExitStatus.OK
    assert (tmp_path / "run/run.json").read_bytes() == before


def run_into(output, path, *arguments):
    program = "from baseload.cli import main; main()"
    command = [sys.executable, "-c", program, "simulate", str(path), "-q", *arguments]
    return subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_a_full_disk_is_one_message(path, form):
    with Path("/dev/full").open("w") as full:
        done = run_into(full, path, *form)
    assert done.returncode == ExitStatus.ENVIRONMENT
    assert done.stderr == "error: cannot be written: No space left on device\n"


def test_the_published_exit_statuses_are_those_of_the_code():
    table = (ROOT / "docs/exit-statuses.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", table, re.MULTILINE)
    assert [(int(number), name) for number, name in rows] == [(each.value, each.name) for each in ExitStatus]

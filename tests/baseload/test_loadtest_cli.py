"""`baseload loadtest` as a person and as a program use it: against real servers, into real run directories."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from baseload.cli import cli
from scenarios.errors import EnvironmentProblem, ExitStatus, InvalidInput, Unsupported
from scenarios.load import load_scenario
from simulator.demand import draw
from simulator.results.run_directory import read_run
from tests.baseload.cluster_objects import node
from tests.baseload.test_init_cli import kubeconfig
from tests.serving_ref.loadtest.servers import WELL, Answer, Server
from tests.serving_ref.loadtest.test_service_metrics import metrics
from tests.simulator.small import document

ROOT = Path(__file__).parents[2]
FORGIVING = ("--max-lag", "10s", "--max-cpu", "100%")
"""The machine that tests run on may be as busy as it likes."""


@pytest.fixture
def path(tmp_path):
    changed = document()
    changed["run"] |= {"duration": "3s", "warmup": "1s"}
    changed["arrivals"][0]["rate"] = "100/s"
    for slo in changed["slos"]:
        slo.pop("window", None)
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(changed))
    return path


def baseload(*arguments, catch=False):
    return CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=catch)


def loadtest(path, server, *more, catch=False):
    return baseload("loadtest", path, "--target", server.url, *FORGIVING, *more, catch=catch)


@pytest.fixture
def measured(path, tmp_path):
    """A run against a server that answers well, and that server."""
    with Server() as server:
        result = loadtest(path, server, "-o", tmp_path / "measured")
    assert result.exit_code == ExitStatus.OK, result.output
    return read_run(tmp_path / "measured"), server, result


def test_the_server_gets_exactly_the_requests_of_the_simulation(path, measured):
    _, server, _ = measured
    drawn = draw(load_scenario(path))
    firsts = [each for each in server.inferred if each.id.endswith("-0")]
    assert sorted(each.id for each in firsts) == sorted(f"web-{number}-0" for number in drawn.number.tolist())
    by_id = {each.id: each for each in firsts}
    classes = ["home-page", "search"]
    for number, place, key, items in zip(
        drawn.number.tolist(),
        drawn.class_index.tolist(),
        drawn.key.tolist(),
        drawn.items.tolist(),
        strict=True,
    ):
        seen = by_id[f"web-{number}-0"]
        assert seen.headers["baseload-class"] == classes[place]
        assert seen.path == "/v2/models/main/infer"
        assert seen.headers.get("baseload-key", "--1").rpartition("-")[2] == str(abs(key))
        assert json.loads(seen.body)["inputs"][0]["shape"][0] == items


def test_its_run_directory_is_one_like_a_simulations(path, measured, tmp_path):
    run, _, _ = measured
    assert run.document["source"] == "load-test"
    assert baseload("simulate", path, "-q", "-o", tmp_path / "predicted").exit_code == ExitStatus.OK
    predicted = read_run(tmp_path / "predicted")
    assert run.document.keys() - predicted.document.keys() == {"load_test"}
    for table in ("timeline", "latency", "events", "costs"):
        assert run.table(table).schema.equals(predicted.table(table).schema), table
    totals, expected = (each.document["totals"]["overall"] for each in (run, predicted))
    assert totals["sent"] == expected["sent"]
    assert totals.keys() == expected.keys()
    compared = baseload("compare", tmp_path / "predicted", tmp_path / "measured")
    assert compared.exit_code == ExitStatus.OK
    assert "sent" in compared.stdout
    assert "measured is a load test, predicted a simulation" in compared.stderr
    reported = baseload("report", tmp_path / "predicted", tmp_path / "measured", "-o", tmp_path / "both.html")
    assert reported.exit_code == ExitStatus.OK
    assert "was not measured" in (tmp_path / "both.html").read_text()
    subprocess.run(["sha256sum", "-c", "--quiet", "COMPLETE"], cwd=tmp_path / "measured", check=True)


def test_what_nobody_looked_into_has_no_figures(measured):
    run, _, _ = measured
    totals = run.document["totals"]
    assert totals["services"] == {}
    assert totals["costs"]["idle_usd"] is None
    assert totals["costs"]["billed_usd"] > 0
    assert totals["costs"]["classes"]["search"] == {"usd": None, "per_1000_usd": None}
    assert set(run.timeline().column("kind").to_pylist()) == {"class", "pool"}


def test_the_fleet_can_be_that_of_a_cluster(path, tmp_path):
    """Three nodes of the pool `gpu`, whatever the scenario says of its size."""
    nodes = [node(name, zone="us-east-1a", pool=None) for name in "abc"]
    body = json.dumps({"metadata": {}, "items": nodes}).encode()
    with (
        Server(get=lambda _: Answer(headers={"Content-Type": "application/json"}, body=body)) as api,
        Server() as server,
    ):
        runner = CliRunner(env=kubeconfig(tmp_path, api.url))
        arguments = [
            "loadtest",
            str(path),
            "--target",
            server.url,
            *FORGIVING,
            "--fleet-from",
            "here",
            "--json",
        ]
        result = runner.invoke(cli, arguments, catch_exceptions=False)
    found = json.loads(result.stdout)
    assert found["load_test"]["fleet"] == "nodes of here"
    assert found["totals"]["pools"]["gpu"]["instances_mean"] == 3
    assert found["totals"]["pools"]["extra"]["instances_max"] == 0
    assert found["totals"]["costs"]["billed_usd"] == pytest.approx(3 * 2 * 1.006 / 3600, rel=1e-6)


def test_a_hit_ratio_is_known_only_where_the_target_tells_hits(path, measured):
    run, _, _ = measured
    assert run.document["totals"]["overall"]["hit_ratio"] == 0.0
    with Server(lambda _: Answer()) as server:
        result = loadtest(path, server, "--json")
    assert json.loads(result.stdout)["totals"]["overall"]["hit_ratio"] is None


def test_the_prediction_is_kept_with_its_digest(path, measured, tmp_path):
    run, _, _ = measured
    kept = (run.directory / "prediction.json").read_bytes()
    assert run.document["load_test"]["prediction"] == hashlib.sha256(kept).hexdigest()
    simulated = baseload("simulate", path, "--json", "-q")
    assert simulated.stdout.encode() == kept


def test_the_prediction_is_on_disk_before_anything_is_sent(path, tmp_path):
    found = []

    def look(seen):
        if seen.id != "probe":
            found.extend(each.exists() for each in tmp_path.glob(".measured.working-*/prediction.json"))
        return WELL

    with Server(look) as server:
        assert loadtest(path, server, "-o", tmp_path / "measured").exit_code == ExitStatus.OK
    assert found
    assert all(found)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["measured", "small.yaml"]


def test_every_request_has_a_row(path, measured):
    run, _, _ = measured
    rows = pq.read_table(run.directory / "requests.parquet")
    drawn = draw(load_scenario(path))
    assert rows.column("first_send_ns").to_pylist() == drawn.due_ns.tolist()
    assert rows.column("key").null_count > 0
    assert set(rows.column("outcome").to_pylist()) <= {"ok_model", "unfinished"}
    assert min(rows.column("lag_ns").to_pylist()) >= 0
    log = {"seed", "stream", "id", "class", "first_send_ns", "end_ns", "outcome", "attempts"}
    assert log <= set(rows.column_names)


def test_progress_is_on_stderr_and_results_on_stdout(path):
    with Server() as server:
        result = loadtest(path, server)
    assert result.stdout.startswith("small  2 s, seed 7, load generator, open loop")
    assert "prediction" in result.stderr
    assert "nothing was kept: give -o DIR" in result.stderr
    with Server() as server:
        quiet = loadtest(path, server, "-q", "--json", "--seed", 3)
    assert quiet.stderr == ""
    assert json.loads(quiet.stdout)["seeds"] == [3]


def test_the_duration_is_the_one_given(path):
    with Server() as server:
        result = loadtest(path, server, "--duration", "2s", "--json")
    assert json.loads(result.stdout)["duration_s"] == 2.0


def test_a_run_that_skipped_is_kept_says_so_and_ends_with_a_status_of_its_own(path, tmp_path):
    with Server(lambda _: Answer(after_s=0.2)) as server:
        result = loadtest(path, server, "--max-in-flight", 2, "-o", tmp_path / "measured")
    assert result.exit_code == ExitStatus.INVALID_RUN
    assert "✗ this measurement does not count: " in result.stdout
    assert "requests were never sent" in result.stdout
    run = read_run(tmp_path / "measured")
    assert run.document["load_test"]["valid"] is False
    assert "skipped" in pq.read_table(run.directory / "requests.parquet").column("outcome").to_pylist()
    compared = baseload("compare", tmp_path / "measured", tmp_path / "measured")
    assert "does not count as a measurement" in compared.stderr


def test_a_run_is_kept_whatever_its_watchers_come_upon_and_says_what_they_missed(path, tmp_path):
    """A pod that dies in the middle of saying how it is."""
    with (
        Server() as server,
        Server(get=lambda _: metrics(1) if len(pod.seen) == 1 else Answer(how="truncated")) as pod,
    ):
        result = loadtest(path, server, "--metrics", pod.url, "-o", tmp_path / "measured")
    assert result.exit_code == ExitStatus.OK
    run = read_run(tmp_path / "measured")
    (gap,) = run.document["load_test"]["incomplete_because"]
    assert re.fullmatch(rf"--metrics {pod.url}: \d of \d readings failed \(the last: IncompleteRead.*\)", gap)

    def words(text):
        return " ".join(text.split())

    assert f"! this measurement is incomplete: {gap}" in words(result.stdout)
    verified = baseload("verify", path, "--against", tmp_path / "measured")
    assert f"! the measurement is incomplete: {gap}" in words(verified.stdout)
    verified = baseload("verify", path, "--against", tmp_path / "measured", "--json")
    assert json.loads(verified.stdout)["incomplete_because"] == [gap]
    compared = baseload("compare", tmp_path / "measured", tmp_path / "measured")
    assert f"measured is an incomplete measurement: {gap}" in compared.stderr
    assert baseload("report", tmp_path / "measured", "-o", tmp_path / "one.html").exit_code == ExitStatus.OK
    assert "This measurement is incomplete: --metrics" in (tmp_path / "one.html").read_text()


def test_detailed_exitcode_tells_a_missed_slo(path):
    with Server(lambda _: Answer(503)) as server:
        assert loadtest(path, server, "--detailed-exitcode").exit_code == ExitStatus.NEGATIVE


def test_failures_are_counted_by_cause(path):
    outcomes = {"home-page": Answer(503, {"baseload-outcome": "queue_full"}), "search": Answer(429)}
    with Server(lambda seen: outcomes[seen.headers["baseload-class"]]) as server:
        totals = json.loads(loadtest(path, server, "--json").stdout)["totals"]
    home, search = totals["classes"]["home-page"], totals["classes"]["search"]
    assert home["failed"] == home["failed_by"]["queue_full"] > 0
    assert search["failed"] == search["failed_by"]["rate_limited"] > 0
    assert home["attempts"] > 2 * home["sent"]
    assert search["attempts"] == search["sent"]


def test_what_cannot_be_sent_is_refused_before_anything_is_written(path, tmp_path):
    users = yaml.safe_load(path.read_text())
    users["arrivals"] = [{"name": "web", "users": {"count": 3, "think_time": "1s"}}]
    (tmp_path / "users.yaml").write_text(yaml.safe_dump(users))
    with Server() as server:
        with pytest.raises(Unsupported, match="closed-loop users"):
            loadtest(tmp_path / "users.yaml", server)
        with pytest.raises(InvalidInput, match="nothing is sent in this run"):
            loadtest(path, server, "--set", "arrivals.web.rate=0.001/s", "-o", tmp_path / "measured")
        with pytest.raises(EnvironmentProblem, match=r"small\.yaml exists"):
            loadtest(path, server, "-o", path)
        assert server.inferred == []
    with Server(get=lambda _: Answer(503, body=b"still starting")) as server:
        with pytest.raises(EnvironmentProblem, match="got 503 still starting"):
            loadtest(path, server, "-o", tmp_path / "measured")
        assert [each.method for each in server.seen] == ["GET"]
    with pytest.raises(EnvironmentProblem, match="cannot be reached"):
        loadtest(path, server, "-o", tmp_path / "measured")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["small.yaml", "users.yaml"]


@pytest.mark.parametrize(
    "options",
    [
        ("--watch", "4711"),
        ("--watch", "generator=1"),
        ("--cpu", "4095"),
        ("--max-lag", "soon"),
        ("--duration", "5x"),
        ("--duration", "0s"),
        ("--duration", "0"),
        ("--duration", "-5s"),
    ],
)
def test_options_that_make_no_sense_are_refused(path, options):
    result = baseload("loadtest", path, "--target", "http://127.0.0.1:1", *options, catch=True)
    assert result.exit_code == ExitStatus.USAGE
    assert options[0] in result.stderr


def test_the_generator_can_be_pinned_and_others_watched(path):
    core = min(os.sched_getaffinity(0))
    with Server() as server:
        result = loadtest(path, server, "--cpu", core, "--watch", f"me={os.getpid()}", "--json")
    assert json.loads(result.stdout)["load_test"]["cpu"]["processes"].keys() == {"generator", "me"}


INTERRUPTIBLE = """
import signal, sys
from baseload.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
sys.argv = ["baseload", *sys.argv[1:]]
main()
"""


def test_ctrl_c_ends_it_cleanly(path, tmp_path):
    command = (
        INTERRUPTIBLE, "loadtest", str(path), "--duration", "10m", "-o", str(tmp_path / "measured"),
    )  # fmt: skip
    with Server() as server:
        process = subprocess.Popen(
            [sys.executable, "-c", *command, "--target", server.url],
            cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        while not server.inferred:
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == ExitStatus.INTERRUPTED
    assert "interrupted: nothing half-written was kept" in errors
    assert out == ""
    assert sorted(each.name for each in tmp_path.iterdir()) == ["small.yaml"]

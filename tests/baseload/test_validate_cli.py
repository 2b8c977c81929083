"""`baseload validate` as a person and as a program use it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from baseload.cli import cli
from scenarios.errors import ExitStatus
from scenarios.json_schema import json_schema

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

SCENARIO = """\
apiVersion: baseload/v1
metadata: {name: shop}
run: {duration: 1d, interval: 15m}
arrivals:
  - name: web
    rate: 100/s
    shape: [{hourly: [2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]}]
  - {name: staff, users: {count: 12, think_time: 10s}}
  - {name: replay, trace: {file: counts.csv}}
  - name: jumpy
    rate: 10/s
    process: {mmpp: [{times: 1, mean_duration: 2h}, {times: 4, mean_duration: 1h}]}
  - {name: odd, process: {poisson_ms: 20}}
classes:
  - {name: home-page, arrivals: web, route: main, timeout: 300ms, retries: {max: 2, backoff: 50ms}}
  - {name: desk, arrivals: staff, route: main}
  - {name: old, arrivals: replay, route: main}
  - {name: burst, arrivals: jumpy, route: main}
  - {name: other, arrivals: odd, route: main}
routes: [{name: main, targets: [{service: reco}]}]
services: [{name: reco, model: m, pools: [gpu], batching: {max_batch_size: 8, max_queue_delay: 2ms}}]
models: [{name: m, profiles: [{instance_types: ["*"], latency: {per_item: 1ms}}]}]
pools: [{name: gpu, instance_type: g5.xlarge, size: 4}]
slos: [{name: fast, class: home-page, latency: 200ms, objective: 99.9%, window: 1h}]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "counts.csv").write_text("time_s,count\n0,10\n60,20\n120,30\n")
    path = tmp_path / "shop.yaml"
    path.write_text(SCENARIO)
    return path


def validate(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["validate", *map(str, arguments)])


def test_a_valid_scenario_is_said_in_a_few_lines(path):
    result = validate(path)
    assert result.exit_code == 0
    assert result.stderr == ""
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0].startswith(f"{path}: valid; shop, digest ")
    assert lines[1:] == [
        "run 1 d from 2024-01-01 00:00 UTC, a row every 15 min; seed 1",
        "arrivals web 150/s on average, 1.3e+07 requests; poisson arrivals, shaped by hourly",
        "staff 12 closed-loop users",
        "replay replay of counts.csv: 60 requests in 3 min",
        "jumpy 20/s on average, 1.73e+06 requests; mmpp arrivals",
        "odd 50/s on average, 4.32e+06 requests; poisson_ms arrivals",
        "classes home-page 100% of web by route main; timeout 300 ms, up to 2 retries, no keys",
        "desk 100% of staff by route main; no timeout, no retries, no keys",
        "old 100% of replay by route main; no timeout, no retries, no keys",
        "burst 100% of jumpy by route main; no timeout, no retries, no keys",
        "other 100% of odd by route main; no timeout, no retries, no keys",
        "routes main no cache; to reco",
        "services reco model m on gpu; batches of up to 8 items, waiting up to 2 ms; per-replica queue",
        "pools gpu 4 × g5.xlarge on-demand",
        "slos fast 99.9% of home-page within 200 ms, in all windows of 1 h",
    ]


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ("{steps: [{at: 0s, size: 6}]}", "6 × g5.xlarge on-demand, by a schedule of 1 step"),
        (
            "{every: 1d, steps: [{at: 0s, size: 6}, {at: 8h, size: 9}]}",
            "6 × g5.xlarge on-demand, by a schedule of 2 steps, repeated every 1 d",
        ),
        ("{steps: [{at: 8h, size: 9}]}", "4 × g5.xlarge on-demand, by a schedule of 1 step"),
    ],
)
def test_a_pool_is_said_with_the_size_that_it_starts_with(path, schedule, said):
    result = validate(path, "--set", f"pools.gpu.schedule={schedule}")
    assert said in result.stdout


def test_what_this_version_cannot_simulate_is_a_note(path):
    result = validate(path, "--set", "models[m].batching=continuous")
    assert result.exit_code == 0
    assert "note: this version cannot simulate models[m].batching: continuous batching" in result.stdout


def test_problems_go_to_stderr_and_the_status_is_published(path):
    result = validate(path, "--set", "run.durtion=1h")
    assert result.exit_code == ExitStatus.INVALID_INPUT
    assert result.stdout == ""
    assert result.stderr == "error: --set run.durtion=1h: unknown key run.durtion; did you mean duration?\n"


def test_every_file_is_checked_and_one_bad_one_decides_the_status(path, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: 1")
    result = validate(bad, path, tmp_path / "nowhere.yaml")
    assert result.exit_code == ExitStatus.INVALID_INPUT
    assert f"{path}: valid" in result.stdout
    assert "bad.yaml:1: a: unknown key" in result.stderr
    assert "nowhere.yaml: no such file" in result.stderr


def test_a_trace_that_cannot_be_read_is_a_problem(path, tmp_path):
    (tmp_path / "counts.csv").write_text("time_s,count\n0,ten\n")
    result = validate(path)
    assert result.exit_code == ExitStatus.INVALID_INPUT
    assert "counts.csv" in result.stderr


def test_a_trace_that_does_not_fit_its_stream_is_a_problem(path, tmp_path):
    (tmp_path / "counts.csv").write_text("time_s,class\n0,old\n1,new\n")
    result = validate(path)
    assert result.exit_code == ExitStatus.INVALID_INPUT
    assert f"{path}: arrivals[replay].trace.file: counts.csv has requests of class new" in result.stderr


def test_what_a_run_would_refuse_at_its_start_is_a_problem(path):
    profile = '{instance_types: ["*"], latency: {per_item: 1ms, noise: {gamma_cv: 0.1}}}'
    other = "{instance_types: [g5.xlarge], latency: {per_item: 1ms}}"
    more = "pools=[{name: gpu, instance_type: g5.xlarge, size: 4}, {name: b, instance_type: g4dn.xlarge, size: 1}]"
    changes = (f"models[m].profiles=[{profile}, {other}]", more, "services[reco].pools=[gpu, b]")
    result = validate(path, *(word for change in changes for word in ("--set", change)))
    assert result.exit_code == ExitStatus.INVALID_INPUT
    assert (
        f"{path}: services[reco].pools: the profiles of its instance types must have the same noise"
        in result.stderr
    )


def test_a_pool_without_a_known_price_is_a_problem(path):
    result = validate(path, "--set", "pools.gpu.instance_type=g5.xlrge")
    assert result.exit_code == ExitStatus.INVALID_INPUT
    assert f"{path}: pools[gpu]: unknown instance type 'g5.xlrge'" in result.stderr


def test_json_for_programs(path, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text(SCENARIO.replace("300ms", "300"))
    result = validate("--json", path, bad)
    assert result.exit_code == ExitStatus.INVALID_INPUT
    good, wrong = json.loads(result.stdout)
    assert (good["valid"], good["name"], len(good["digest"])) == (True, "shop", 64)
    assert good["summary"]["arrivals"]["staff"] == "12 closed-loop users"
    assert good["unsupported"] == []
    assert wrong["valid"] is False
    (problem,) = wrong["problems"]
    assert (problem["line"], problem["path"]) == (15, "classes[home-page].timeout")


def test_the_schema_for_editors():
    result = validate("--schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json_schema()


def test_a_file_is_needed():
    result = validate()
    assert result.exit_code == ExitStatus.USAGE
    assert "Missing argument" in result.stderr


def test_help_shows_an_example():
    result = validate("--help")
    assert "baseload validate scenarios/library/recommendation.yaml" in result.stdout


def test_measured_latencies_are_checked_like_the_scenario_itself(path, tmp_path):
    (tmp_path / "measured.csv").write_text("batch,latencies_ms\n8,9 9.5\n16,fast\n")
    measured = 'models[m].profiles=[{instance_types: ["*"], latency: {samples: {file: measured.csv}}}]'
    result = validate(path, "--set", measured, "--json")
    assert result.exit_code == ExitStatus.INVALID_INPUT
    ((problem,),) = (each["problems"] for each in json.loads(result.stdout))
    assert (problem["source"], problem["line"]) == (str(tmp_path / "measured.csv"), 3)
    assert 'got "fast": expected latencies above 0' in problem["message"]


def test_a_price_that_has_no_effect_is_a_note(path):
    price = 'prices=[{instance_type: g5.xlarge, capacity_type: spot, price: "$0.5/h"}]'
    result = validate(path, "--set", price)
    assert result.exit_code == 0
    said = "prices[0]: no pool buys g5.xlarge spot, so that this price has no effect"
    assert f"note: {said}" in result.stdout
    assert json.loads(validate(path, "--set", price, "--json").stdout)[0]["without_effect"] == [said]

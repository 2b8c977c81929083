"""At a constant rate our percentiles are those of k6, whose constant-arrival-rate executor is an open loop too.

k6 is built from its Go module into the cache folder, once a machine.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import os
import subprocess
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from serving_ref.cluster.folders import cache_folder
from serving_ref.loadtest.results import MODEL
from tests.serving_ref.loadtest.sending import SECOND, regular, schedule, sent, settings
from tests.serving_ref.loadtest.servers import Answer, Server

pytestmark = [pytest.mark.k6, pytest.mark.slow]
MODULE = Path(__file__).parents[2] / "oracles" / "k6"
RATE_PER_S, DURATION_S, WARMUP_S = 100, 20, 4
SCRIPT = """\
import http from 'k6/http';
export const options = {
  discardResponseBodies: true,
  scenarios: {constant: {executor: 'constant-arrival-rate', rate: %d, timeUnit: '1s', duration: '%ds',
                         preAllocatedVUs: 60, maxVUs: 60}},
};
const body = JSON.stringify({id: 'k6', inputs: []});
export default function () { http.post('%s/v2/models/main/infer', body); }
"""


@pytest.fixture(scope="module")
def k6():
    """The program, built if it is not there yet."""
    recipe = hashlib.sha256((MODULE / "go.mod").read_bytes() + (MODULE / "go.sum").read_bytes())
    folder = cache_folder().parent / "oracles" / f"k6-{recipe.hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "k6"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            gentle = {"GOFLAGS": "-p=1", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
            built = str(folder / "k6.new")
            command = ["nice", "-n", "15", "go", "build", "-trimpath", "-o", built, "go.k6.io/k6"]
            subprocess.run(command, cwd=MODULE, env=os.environ | gentle, check=True)
            Path(built).replace(program)
    return program


def slow_server():
    """Answers after 100 to 298 ms, each length as often as any other: its percentiles are no matter of luck."""
    number = count()
    return Server(lambda _: Answer(after_s=0.1 + (next(number) * 37 % 100) * 0.002))


def percentiles(latency_ms):
    return dict(zip(("p50", "p95", "p99"), np.percentile(latency_ms, [50, 95, 99]).tolist(), strict=True))


def by_k6(program, folder, url):
    """Percentiles in ms after the warm-up, as k6 measured them."""
    (folder / "script.js").write_text(SCRIPT % (RATE_PER_S, DURATION_S, url))
    command = [
        program,
        "run",
        "--quiet",
        "--out",
        "csv=samples.csv",
        "--summary-export=summary.json",
        "script.js",
    ]
    quiet = {"K6_NO_USAGE_REPORT": "true", "K6_CSV_TIME_FORMAT": "unix_micro"}
    subprocess.run(command, cwd=folder, env=os.environ | quiet, check=True, capture_output=True)
    metrics = json.loads((folder / "summary.json").read_text())["metrics"]
    assert "dropped_iterations" not in metrics
    with (folder / "samples.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["metric_name"] == "http_req_duration"]
    assert {row["status"] for row in rows} == {"200"}
    ended_us = np.array([int(row["timestamp"]) for row in rows])
    latency_ms = np.array([float(row["metric_value"]) for row in rows])
    return percentiles(latency_ms[ended_us - ended_us.min() >= WARMUP_S * 1_000_000])


def by_us(folder, port):
    given = settings(port, duration_ns=DURATION_S * SECOND, connections=60)
    result = sent(folder, schedule(regular(RATE_PER_S, DURATION_S)), given)
    recorded = result.recorded
    assert (recorded.result == MODEL).all()
    latency_ms = (recorded.end_ns - recorded.due_ns) / 1e6
    return percentiles(latency_ms[recorded.due_ns >= WARMUP_S * SECOND])


def test_percentiles_agree_with_k6(k6, tmp_path):
    with slow_server() as server:
        theirs = by_k6(k6, tmp_path, server.url)
    with slow_server() as server:
        ours = by_us(tmp_path, server.port)
    for name, expected in theirs.items():
        assert ours[name] == pytest.approx(expected, rel=0.05, abs=1.0), (name, ours, theirs)

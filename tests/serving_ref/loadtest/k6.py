"""k6, built from its Go module into the cache folder once a machine, and what it measures at a constant rate."""

from __future__ import annotations

import csv
import fcntl
import hashlib
import json
import os
import subprocess
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from serving_ref.cluster.folders import cache_folder
from serving_ref.loadtest.results import MODEL
from tests.serving_ref.loadtest.sending import SECOND, regular, schedule, sent, settings
from tests.serving_ref.loadtest.servers import Answer, Server

MODULE = Path(__file__).parents[2] / "oracles" / "k6"
WARMUP_S = 4
"""Left out of both: connections are opened then."""
SCRIPT = """\
import http from 'k6/http';
export const options = {
  discardResponseBodies: true,
  scenarios: {constant: {executor: 'constant-arrival-rate', rate: %d, timeUnit: '1s', duration: '%ds',
                         preAllocatedVUs: %d, maxVUs: %d}},
};
const body = JSON.stringify({id: 'k6', inputs: []});
export default function () { http.post('http://127.0.0.1:%d/v2/models/main/infer', body); }
"""


def built() -> Path:
    """The program, built if it is not there yet."""
    recipe = hashlib.sha256((MODULE / "go.mod").read_bytes() + (MODULE / "go.sum").read_bytes())
    folder = cache_folder().parent / "oracles" / f"k6-{recipe.hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "k6"
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            gentle = {"GOFLAGS": "-p=1", "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
            new = str(folder / "k6.new")
            command = ["nice", "-n", "15", "go", "build", "-trimpath", "-o", new, "go.k6.io/k6"]
            subprocess.run(command, cwd=MODULE, env=os.environ | gentle, check=True)
            Path(new).replace(program)
    return program


@dataclass(frozen=True)
class Question:
    """What both are asked to send."""

    rate_per_s: int
    duration_s: int
    connections: int
    """As many as can be open at once, and more: k6 drops what finds none free."""


def slow_server() -> Server:
    """Answers after 100 to 298 ms, each length as often as any other: its percentiles are no matter of luck."""
    number = count()
    return Server(lambda _: Answer(after_s=0.1 + (next(number) * 37 % 100) * 0.002))


def agree(ours: dict[str, float], theirs: dict[str, float]) -> bool:
    """Within 5 % or 1 ms."""
    return all(ours[name] == pytest.approx(theirs[name], rel=0.05, abs=1.0) for name in theirs)


def percentiles(latency_ms: np.ndarray) -> dict[str, float]:
    return dict(zip(("p50", "p95", "p99"), np.percentile(latency_ms, [50, 95, 99]).tolist(), strict=True))


def by_k6(folder: Path, port: int, asked: Question) -> dict[str, float]:
    """Percentiles in ms after the warm-up, as k6 measured them."""
    script = SCRIPT % (asked.rate_per_s, asked.duration_s, asked.connections, asked.connections, port)
    (folder / "script.js").write_text(script)
    command = [str(built()), "run", "--quiet", "--out", "csv=samples.csv"]
    command += ["--summary-export=summary.json", "script.js"]
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


def by_us(folder: Path, port: int, asked: Question) -> dict[str, float]:
    """The same by the load generator, from the intended send times."""
    given = settings(port, duration_ns=asked.duration_s * SECOND, connections=asked.connections)
    recorded = sent(folder, schedule(regular(asked.rate_per_s, asked.duration_s)), given).recorded
    assert (recorded.result == MODEL).all()
    latency_ms = (recorded.end_ns - recorded.due_ns) / 1e6
    return percentiles(latency_ms[recorded.due_ns >= WARMUP_S * SECOND])

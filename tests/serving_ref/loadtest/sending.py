"""Schedules made by hand, and the generator's process that sends them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import psutil

from scenarios.demand import Demand
from serving_ref.loadtest.cpu import CpuWatch
from serving_ref.loadtest.launch import Sent, send
from serving_ref.loadtest.schedule import SentClass, Settings, Tensor

SECOND = 1_000_000_000


def schedule(due_ns, *, class_index=None, waits=(), key=None) -> Demand:
    n = len(due_ns)
    return Demand(
        stream=np.zeros(n, np.int64),
        number=np.arange(n, dtype=np.int64),
        class_index=np.zeros(n, np.int64) if class_index is None else np.asarray(class_index, np.int64),
        due_ns=np.asarray(due_ns, np.int64),
        key=np.full(n, -1, np.int64) if key is None else np.asarray(key, np.int64),
        items=np.ones(n, np.int64),
        difficulty=np.zeros(n),
        retry_wait_ns=np.tile(np.asarray(waits, np.int64), (n, 1)),
    )


def regular(rate_per_s: int, duration_s: float) -> np.ndarray:
    return np.arange(0, int(duration_s * SECOND), SECOND // rate_per_s)


def sent_class(name="web", **changed) -> SentClass:
    plain = {
        "path": "/v2/models/main/infer", "timeout_ns": None, "max_retries": 0, "budget_ratio": -1, "budget_cap": 0,
        "request_bytes": 0, "inputs": (Tensor("x", "FP32", (-1, 4)),),
    }  # fmt: skip
    return SentClass(name=name, **plain | changed)


def settings(port: int, *classes: SentClass, **changed) -> Settings:
    plain = {
        "host": "127.0.0.1", "port": port, "tls": False, "streams": ("web",), "services": ("ranker", "small"),
        "duration_ns": 2 * SECOND, "drain_ns": 5 * SECOND, "max_in_flight": 1000, "connections": 4,
        "key_prefix": "run", "cpu": None,
    }  # fmt: skip
    return Settings(classes=classes or (sent_class(),), **plain | changed)


def sent(folder: Path, given: Demand, how: Settings, on_progress=lambda _: None) -> Sent:
    with CpuWatch({}) as watch:
        return send(folder, given, how, watch, on_progress)


def generator_process() -> psutil.Process:
    """The generator that this process has started."""
    for _ in range(1000):
        for child in psutil.Process().children():
            if "serving_ref.loadtest" in " ".join(child.cmdline()):
                return child
        time.sleep(0.01)
    raise AssertionError("no generator was started")


def request_number(body: bytes) -> int:
    return int(json.loads(body)["id"].split("-")[1])

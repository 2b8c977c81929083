"""Two scenarios to change one thing in: one uses every section and every kind of value, one is small."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from scenarios.errors import InvalidInput
from scenarios.load import LoadedScenario, load_scenario

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_FULL: dict[str, Any] = {
    "apiVersion": "baseload/v1",
    "kind": "Scenario",
    "metadata": {"name": "shop", "description": "all of it", "labels": {"team": "search"}},
    "region": "eu-west-1",
    "run": {"duration": "2d", "warmup": "1h", "start": "2024-03-01T00:00:00Z", "interval": "15m", "seed": 7},
    "arrivals": [
        {
            "name": "web",
            "rate": "400/s",
            "shape": [
                {"diurnal": {"peak_to_trough": 3, "peak_at": "20h"}},
                {"weekly": [1, 1, 1, 1, 1.2, 0.8, 0.7]},
                {"spike": {"at": "6h", "times": 10, "rise": "1m", "hold": "10m", "every": "1d"}},
            ],
            "shape_step": "5m",
            "process": {"mmpp": [{"times": 1, "mean_duration": "1h"}, {"times": 2, "mean_duration": "5m"}]},
        },
        {"name": "app", "rate": "20/s", "process": "regular"},
        {"name": "staff", "users": {"count": 12, "think_time": {"exponential": "10s"}}},
    ],
    "classes": [
        {
            "name": "home-page",
            "arrivals": "web",
            "share": "70%",
            "route": "main",
            "timeout": "300ms",
            "retries": {"max": 2, "backoff": "50ms", "jitter": "equal", "budget": {"ratio": "10%"}},
            "keys": {"count": 1000, "zipf": 0.9, "drift": {"every": "1d", "by": 10}},
            "request_size": "2kB",
        },
        {"name": "search", "arrivals": "web", "share": 0.3, "route": "main", "items": {"uniform": [1, 8]}},
        {
            "name": "feed",
            "arrivals": "app",
            "route": "tiers",
            "items": {
                "mixture": [{"constant": 2, "weight": 1}, {"lognormal": {"mu": 1, "sigma": 0.5}, "weight": 2}]
            },
            "difficulty": {"alpha": 2, "beta": 5},
            "priority": 3,
        },
        {"name": "desk", "arrivals": "staff", "route": "main"},
    ],
    "routes": [
        {
            "name": "main",
            "rate_limit": {"rate": "1000/s", "burst": 100},
            "validation": "1ms",
            "cache": {"kind": "lru", "capacity": 500, "ttl": "10m"},
            "coalesce": True,
            "feature_fetch": {"lognormal": {"mean": "5ms", "cv": "50%"}},
            "shedding": [{"max_outstanding": 1000, "below_priority": 2}],
            "targets": [{"service": "reco"}],
        },
        {
            "name": "tiers",
            "split": "cascade",
            "targets": [{"service": "small", "difficulty_below": 0.6}, {"service": "reco"}],
        },
    ],
    "services": [
        {
            "name": "reco",
            "model": "big",
            "pools": ["gpu", "gpu-spot"],
            "batching": {"max_batch_size": 8, "max_queue_delay": "2ms", "preferred_batch_sizes": [4, 8]},
            "queue": "shared",
            "breaker": {"error_rate": "50%", "slow_latency": "1s"},
        },
        {
            "name": "small",
            "model": "tiny",
            "pools": ["cpu"],
            "batching": {"max_batch_size": 8},
            "replicas_per_instance": 2,
        },
    ],
    "models": [
        {
            "name": "big",
            "accuracy": "91%",
            "memory": "6Gi",
            "load": "30s",
            "warm_up": {"uniform": ["1s", "5s"]},
            "profiles": [
                {"instance_types": ["g5.xlarge"], "latency": {"table": [[1, "4ms"], [8, "9ms"]]}},
                {
                    "instance_types": ["*"],
                    "latency": {"fixed": "2ms", "per_item": "1ms", "noise": {"gamma_cv": 0.1}},
                },
            ],
        },
        {
            "name": "tiny",
            "profiles": [
                {
                    "instance_types": ["c6i.xlarge"],
                    "latency": {
                        "samples": {"file": "samples.csv", "where": {"model": "tiny"}},
                        "between": "ceil",
                    },
                }
            ],
        },
    ],
    "pools": [
        {"name": "gpu", "instance_type": "g5.xlarge", "size": 4, "startup": {"grant": "40s", "boot": "60s"}},
        {
            "name": "gpu-spot",
            "instance_type": "g4dn.xlarge",
            "capacity_type": "spot",
            "schedule": {"steps": [{"at": "0s", "size": 2}, {"at": "8h", "size": 6}], "every": "1d"},
        },
        {"name": "cpu", "instance_type": "c6i.xlarge", "zone": "eu-west-1a", "size": 3},
    ],
    "slos": [
        {
            "name": "fast",
            "class": "home-page",
            "latency": "200ms",
            "objective": "99.9%",
            "window": "1h",
            "window_fraction": "95%",
        }
    ],
    "prices": [
        {"instance_type": "g5.xlarge", "price": "$1.20/h"},
        {"instance_type": "g4dn.xlarge", "capacity_type": "spot", "price": "$0.19/h"},
    ],
    "discounts": [{"name": "edp", "percent": "9%", "capacity_type": "on-demand"}],
    "budgets": [{"name": "month", "amount": "$9000", "per": "30d"}],
}


SMALL = """\
apiVersion: baseload/v1
metadata: {name: small}
run: {duration: 1h}
arrivals:
  - name: web
    rate: 10/s
classes:
  - name: home-page
    arrivals: web
    route: main
    timeout: 300ms
routes:
  - name: main
    targets: [{service: reco}]
services:
  - {name: reco, model: m, pools: [gpu]}
models:
  - name: m
    profiles:
      - instance_types: [g5.xlarge]
        latency: {per_item: 5ms}
pools:
  - {name: gpu, instance_type: g5.xlarge, size: 2}
"""


def full_document() -> dict[str, Any]:
    """A fresh copy of the document that uses everything this version can run."""
    return copy.deepcopy(_FULL)


def write(folder: Path, document: object, name: str = "shop.yaml") -> Path:
    """Write a document as JSON, which is YAML, with the measured latencies that it names beside it."""
    (folder / "samples.csv").write_text("model,batch,latencies_ms\ntiny,1,1 2 3\ntiny,8,4 5 6\n")
    path = folder / name
    path.write_text(json.dumps(document, indent=1))
    return path


def load_small(folder: Path, old: str = "", new: str = "", *more: str) -> LoadedScenario:
    """Load the small scenario with some text replaced, and some added."""
    path = folder / "small.yaml"
    assert old in SMALL
    path.write_text(SMALL.replace(old, new, 1) + "".join(more))
    return load_scenario(path)


def message(load: Callable[..., LoadedScenario], *change: str) -> str:
    """Return what loading says of a change that it has to refuse."""
    with pytest.raises(InvalidInput) as caught:
        load(*change)
    return str(caught.value)

"""Small scenarios to run for real: a cached, batched service on pools that grow and shrink with start-up
delays."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

from scenarios.digest import digest
from scenarios.load import LoadedScenario
from scenarios.schema import Scenario
from simulator.results.recorded import SeedRecord, SparseHistogram

SECOND = 1_000_000_000
_DOCUMENT: dict[str, Any] = {
    "apiVersion": "baseload/v1",
    "metadata": {"name": "small"},
    "run": {"duration": "60s", "warmup": "10s", "seed": 7},
    "arrivals": [{"name": "web", "rate": "60/s"}],
    "classes": [
        {"name": "home-page", "arrivals": "web", "share": "75%", "route": "main", "timeout": "400ms",
         "retries": {"max": 2, "backoff": "50ms"}, "keys": {"count": 500, "zipf": 0.8}},
        {"name": "search", "arrivals": "web", "share": "25%", "route": "main", "timeout": "1s",
         "items": {"uniform": [1, 5]}},
    ],
    "routes": [
        {"name": "main", "cache": {"ttl": "20s"}, "coalesce": True, "targets": [{"service": "ranker"}],
         "feature_fetch": {"lognormal": {"mean": "5ms", "cv": "50%"}}},
    ],
    "services": [
        {"name": "ranker", "model": "m", "pools": ["gpu", "extra"],
         "batching": {"max_batch_size": 8, "max_queue_delay": "4ms"}},
    ],
    "models": [
        {"name": "m", "load": {"uniform": ["1s", "3s"]}, "warm_up": "500ms",
         "profiles": [{"instance_types": ["*"], "latency": {"table": [[1, "40ms"], [8, "120ms"]],
                                                            "noise": {"lognormal_cv": 0.2}}}]},
    ],
    "pools": [
        {"name": "gpu", "instance_type": "g5.xlarge", "size": 1,
         "schedule": {"every": "25s", "steps": [{"at": "0s", "size": 2}, {"at": "5s", "size": 4},
                                                {"at": "16s", "size": 1}]},
         "startup": {"grant": {"exponential": "2s"}, "boot": {"lognormal": {"mean": "6s", "cv": "40%"}}}},
        {"name": "extra", "instance_type": "g4dn.xlarge", "capacity_type": "spot", "size": 1,
         "schedule": {"steps": [{"at": "16s", "size": 3}, {"at": "30s", "size": 0},
                                {"at": "40s", "size": 2}]}},
    ],
    "slos": [
        {"name": "fast", "class": "home-page", "latency": "200ms", "objective": "95%", "window": "10s"},
        {"name": "found", "class": "search", "latency": "300ms", "objective": "95%"},
    ],
}  # fmt: skip


def document() -> dict[str, Any]:
    """The scenario as its author would write it: a fresh copy to change."""
    return copy.deepcopy(_DOCUMENT)


def load(changed: dict[str, Any] | None = None) -> LoadedScenario:
    """A document as if it had been read from a file."""
    given = changed or document()
    return LoadedScenario(Scenario.model_validate(given), Path("small.yaml"), digest(given, {}), {}, given)


def differences(one: SeedRecord, other: SeedRecord) -> list[str]:
    """Names of the fields in which two records differ, the code path and its reason left out."""
    names = []
    for name in SeedRecord.__slots__:
        if name in ("path", "path_reason"):
            continue
        a, b = getattr(one, name), getattr(other, name)
        if isinstance(a, SparseHistogram):
            equal = all(np.array_equal(getattr(a, part), getattr(b, part)) for part in a.__slots__)
        elif isinstance(a, np.ndarray):
            equal = a.dtype == b.dtype and np.array_equal(a, b)
        else:
            equal = a == b
        if not equal:
            names.append(name)
    return names

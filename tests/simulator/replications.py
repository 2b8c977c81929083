"""Independent replications of a scenario, and what theory has to say to them.

A replication is one whole run with one seed, its warm-up left out: replications are independent, so
Student's t interval holds whatever the correlation within a run (A. M. Law, Simulation Modeling and
Analysis, 5th ed., 9.4).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from scenarios.load import load_scenario
from scenarios.units import nanoseconds
from simulator.results.recorded import CLASS_COUNTERS, SERVICE_COUNTERS
from simulator.run import simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from scenarios.load import LoadedScenario
    from simulator.results.recorded import SeedRecord

CONFIDENCE = 0.99
PRECISION = 0.005
"""The half-width of the interval must not exceed this share of the theoretical value."""
NS = 1e-9


def one_service(
    rate: str = "70/s", latency: Mapping[str, Any] | None = None, size: int = 1, **service: Any
) -> dict[str, Any]:
    """A scenario of one stream, one class, one route and one service of `size` replicas: to be changed."""
    return {
        "apiVersion": "baseload/v1",
        "metadata": {"name": "theory"},
        "run": {"duration": "5000s", "warmup": "50s"},
        "arrivals": [{"name": "stream", "rate": rate}],
        "classes": [{"name": "query", "arrivals": "stream", "route": "route"}],
        "routes": [{"name": "route", "targets": [{"service": "service"}]}],
        "services": [{"name": "service", "model": "model", "pools": ["pool"], **service}],
        "models": [
            {
                "name": "model",
                "profiles": [
                    {
                        "instance_types": ["*"],
                        "latency": latency or {"per_item": "10ms", "noise": {"exponential": True}},
                    }
                ],
            }
        ],
        "pools": [{"name": "pool", "instance_type": "c5.large", "size": size}],
    }


def load(document: Mapping[str, Any], folder: Path, overrides: Sequence[str] = ()) -> LoadedScenario:
    """The document as a scenario file, loaded as the command line loads it (JSON is YAML)."""
    path = folder / "scenario.yaml"
    path.write_text(json.dumps(document))
    return load_scenario(path, overrides)


@dataclass(frozen=True)
class Counted:
    """What one replication counted after its warm-up."""

    seconds: float
    classes: dict[str, dict[str, int]]
    services: dict[str, dict[str, int]]
    good: dict[str, float]
    """Share of good requests, by SLO."""

    @property
    def query(self) -> dict[str, int]:
        """Counters of the only class."""
        (counters,) = self.classes.values()
        return counters

    @property
    def service(self) -> dict[str, int]:
        """Counters of the only service."""
        (counters,) = self.services.values()
        return counters


def counted(loaded: LoadedScenario, record: SeedRecord) -> Counted:
    """The difference of the counters between the end of the warm-up and the end of the run."""
    scenario = loaded.scenario
    begin = int(np.flatnonzero(record.edges_ns == nanoseconds(scenario.run.warmup))[0])

    def difference(counters: Any) -> Any:
        return (counters[-1] - counters[begin]).tolist()

    def named(entries: Any, names: tuple[str, ...], counters: Any) -> dict[str, dict[str, int]]:
        rows = difference(counters)
        return {
            each.name: dict(zip(names, row, strict=True)) for each, row in zip(entries, rows, strict=True)
        }

    totals = zip(scenario.slos, difference(record.slo_good), difference(record.slo_total), strict=True)
    return Counted(
        seconds=float(record.edges_ns[-1] - record.edges_ns[begin]) * NS,
        classes=named(scenario.classes, CLASS_COUNTERS, record.class_counters),
        services=named(scenario.services, SERVICE_COUNTERS, record.service_counters),
        good={slo.name: good / total for slo, good, total in totals},
    )


def replicate(loaded: LoadedScenario, seeds: Sequence[int]) -> list[Counted]:
    """Run once a seed. One window a run: windows change nothing."""
    window_s = loaded.scenario.run.duration
    return [counted(loaded, simulate(loaded, seed, window_s=window_s)) for seed in seeds]


@dataclass(frozen=True)
class Comparison:
    """Theory beside the mean of the replications and the half-width of its interval."""

    quantity: str
    theory: float
    mean: float
    half_width: float
    replications: int

    @property
    def relative_half_width(self) -> float:
        """Half-width as a share of the theoretical value."""
        return self.half_width / self.theory

    @property
    def pull(self) -> float:
        """Deviation in half-widths: theory is inside the interval up to 1."""
        return (self.mean - self.theory) / self.half_width

    def __str__(self) -> str:
        return (
            f"{self.quantity}: theory {self.theory:.6g}, simulated {self.mean:.6g} ± "
            f"{self.relative_half_width:.2%}, {self.pull:+.2f} half-widths off"
        )


def compare(
    quantity: str, theory: float, values: Sequence[float], confidence: float = CONFIDENCE
) -> Comparison:
    """Compare a theoretical value with one value a replication."""
    error = np.std(values, ddof=1) / np.sqrt(len(values))
    half_width = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * error)
    return Comparison(quantity, theory, float(np.mean(values)), half_width, len(values))


def response_s(each: Counted) -> float:
    """Mean response time of the answered requests, first send to answer."""
    query = each.query
    answered = query["ok_model"] + query["ok_cache"] + query["ok_coalesced"]
    return query["latency_ns"] * NS / answered


def wait_s(each: Counted) -> float:
    """Mean time in the queue of those that were served."""
    return each.service["queue_wait_ns"] * NS / each.service["batch_requests"]


def batch_size(each: Counted) -> float:
    """Mean requests a batch."""
    return each.service["batch_requests"] / each.service["batches"]


def utilisation(each: Counted) -> float:
    """Mean number of busy instances."""
    return each.service["busy_ns"] * NS / each.seconds


def share(counter: str) -> Callable[[Counted], float]:
    """Share of the attempted requests that a counter counts."""

    def measure(each: Counted) -> float:
        return each.query[counter] / each.query["attempts"]

    return measure


def throughput_per_s(each: Counted) -> float:
    """Answered requests a second."""
    return each.query["ok_model"] / each.seconds

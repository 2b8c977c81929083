"""Does a load test count? What it says about itself, and the reasons why it must not be believed."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scenarios.units import NANOSECONDS_PER_SECOND, nanoseconds
from serving_ref.loadtest.launch import GENERATOR
from serving_ref.loadtest.recording import SKIPPED
from serving_ref.loadtest.results import STATUS_NAMES, is_refusal

if TYPE_CHECKING:
    from scenarios.demand import Demand
    from scenarios.schema import Scenario
    from serving_ref.loadtest.cpu import CpuUse
    from serving_ref.loadtest.launch import Sent

_PERCENTILES = {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}


@dataclass(frozen=True, slots=True)
class Limits:
    """Beyond these a run does not count."""

    lag_p99_s: float = 0.005
    """Schedule lag: from when a request was due to when the generator sent it."""
    cpu: float = 0.7
    """Mean use of the machine's cores, and of the generator's core."""
    refused: float = 0.01
    """Attempts that the target called invalid: they are no load."""


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a load test went, apart from what it measured."""

    lag_s: dict[str, float]
    """Percentiles over every attempt after the warm-up."""
    skipped: dict[str, int]
    """Requests that were never sent, because too many were in flight, by class."""
    answers: dict[str, int]
    """Attempts by HTTP status, or by what there was instead."""
    refused: float
    """Share of the attempts."""
    cpu: CpuUse | None
    """None: the run was too short to tell."""

    def objections(self, limits: Limits) -> list[str]:
        """Why the run does not count; empty if it does."""
        found = []
        if self.lag_s["p99"] > limits.lag_p99_s:
            found.append(
                f"the generator sent late: p99 of the schedule lag is {self.lag_s['p99'] * 1000:.1f} ms, "
                f"at most {limits.lag_p99_s * 1000:g} ms count"
            )
        if sum(self.skipped.values()):
            found.append(
                f"{sum(self.skipped.values()):,} requests were never sent, because too many were in flight "
                "(--max-in-flight)"
            )
        if self.refused > limits.refused:
            found.append(f"the target called {self.refused:.1%} of the attempts invalid")
        if self.cpu is not None:
            uses = {
                "the machine": self.cpu.machine,
                "the generator's core": self.cpu.processes.get(GENERATOR, 0.0),
            }
            found += [
                f"{name} was {use:.0%} busy, at most {limits.cpu:.0%} count"
                for name, use in uses.items()
                if use > limits.cpu
            ]
        return found

    def document(self, limits: Limits) -> dict[str, Any]:
        """As it stands in `run.json`."""
        objections = self.objections(limits)
        return {
            "valid": not objections,
            "invalid_because": objections,
            "limits": asdict(limits),
            "schedule_lag_s": self.lag_s,
            "skipped": self.skipped,
            "attempts_by_answer": self.answers,
            "cpu": None if self.cpu is None else asdict(self.cpu),
        }


def conduct(scenario: Scenario, schedule: Demand, sent: Sent, cpu: CpuUse | None) -> Conduct:
    """Look at how a schedule was sent."""
    recorded = sent.recorded
    counted = recorded.due_ns >= nanoseconds(scenario.run.warmup)
    lag_s = (recorded.sent_ns - recorded.due_ns)[counted] / NANOSECONDS_PER_SECOND
    skipped = np.bincount(schedule.class_index[recorded.state == SKIPPED], minlength=len(scenario.classes))
    answers = Counter(recorded.status.tolist())
    refused = sum(count for status, count in answers.items() if is_refusal(status))
    return Conduct(
        lag_s={
            name: float(np.percentile(lag_s, level)) if len(lag_s) else 0.0
            for name, level in _PERCENTILES.items()
        },
        skipped={each.name: int(count) for each, count in zip(scenario.classes, skipped, strict=True)},
        answers={STATUS_NAMES.get(status, str(status)): count for status, count in sorted(answers.items())},
        refused=refused / max(len(recorded.status), 1),
        cpu=cpu,
    )

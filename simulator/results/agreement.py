"""How far a prediction is from a measurement, figure by figure, and whether that is near enough.

Both are `run.json` documents. A figure that one of them does not have (a load test that did not look into its services
knows no batches) is left out, and said to be. Latencies are those of answered requests. Where requests failed and none
was answered there are none, and so, as failed requests are infinitely late, their percentiles are infinite: near each
other, and far from every finite one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from simulator.results.compare import Unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from simulator.results.trees import Tree


class Verdict(StrEnum):
    """What is found of one figure."""

    WITHIN = "within"
    BEYOND = "beyond"
    UNKNOWN = "unknown"
    """One of the two does not have it."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a measurement may be from its prediction: so much, or such a share of the prediction, whichever is
    more."""

    absolute: float
    relative: float


TOLERANCES: dict[str, Tolerance] = {
    "attainment": Tolerance(0.01, 0.0),
    "throughput": Tolerance(0.0, 0.02),
    "failed": Tolerance(0.01, 0.0),
    "p50": Tolerance(0.002, 0.1),
    "p95": Tolerance(0.003, 0.15),
    "p99": Tolerance(0.005, 0.2),
    "hit-ratio": Tolerance(0.02, 0.0),
    "items-a-batch": Tolerance(0.0, 0.1),
    "utilisation": Tolerance(0.05, 0.0),
    "cost": Tolerance(0.0, 0.02),
}
"""By kind of figure. Shares are in shares of 1, latencies in seconds. The absolute part of a latency is what a network
and a clock of milliseconds add where the prediction is of a few milliseconds."""
_PERCENTILES = ("p50", "p95", "p99")


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure of both."""

    section: str
    """A class, a service, an SLO, or the whole."""
    kind: str
    """A key of `TOLERANCES`."""
    unit: Unit
    predicted: float | None
    measured: float | None
    """Both infinite (`math.inf`) for percentiles where nothing was answered."""
    allowed: float
    """How far apart they may be."""
    verdict: Verdict

    @property
    def error(self) -> float | None:
        """Measured less predicted, 0 where both are infinite; None where one is missing."""
        if self.predicted is None or self.measured is None:
            return None
        return 0.0 if self.measured == self.predicted else self.measured - self.predicted


@dataclass(frozen=True, slots=True)
class Agreement:
    """What `baseload verify` finds."""

    findings: tuple[Finding, ...]
    slos: dict[str, tuple[bool, bool]]
    """By SLO: kept as predicted, kept as measured."""
    objections: tuple[str, ...]
    """Why the measurement does not count."""

    @property
    def holds(self) -> bool:
        """Whether the measurement counts, and every figure that both have is within its tolerance."""
        return (
            not self.objections and not self.beyond and all(one == other for one, other in self.slos.values())
        )

    @property
    def beyond(self) -> list[Finding]:
        """Figures outside their tolerance."""
        return [each for each in self.findings if each.verdict is Verdict.BEYOND]


def agreement(predicted: Tree, measured: Tree, tolerances: Mapping[str, Tolerance] = TOLERANCES) -> Agreement:
    """Hold a measurement against its prediction: two `run.json` documents of one scenario."""
    findings = []
    for section, kind, unit, path in _figures(predicted["totals"]):
        before, after = (_at(document["totals"], path) for document in (predicted, measured))
        allowed = _allowed(tolerances[kind], before)
        findings.append(Finding(section, kind, unit, before, after, allowed, _judge(before, after, allowed)))
    return Agreement(
        findings=tuple(findings),
        slos={
            name: (slo["kept"], measured["slos"][name]["kept"])
            for name, slo in predicted["slos"].items()
            if name in measured["slos"]
        },
        objections=tuple(measured.get("load_test", {}).get("invalid_because", [])),
    )


def _allowed(tolerance: Tolerance, predicted: float | None) -> float:
    """Finite for an infinite prediction too: no finite measurement is near it."""
    if predicted is None or math.isinf(predicted):
        return tolerance.absolute
    return max(tolerance.absolute, tolerance.relative * abs(predicted))


def _judge(predicted: float | None, measured: float | None, allowed: float) -> Verdict:
    if predicted is None or measured is None:
        return Verdict.UNKNOWN
    is_near = measured == predicted or abs(measured - predicted) <= allowed
    return Verdict.WITHIN if is_near else Verdict.BEYOND


def _figures(totals: Tree) -> Iterator[tuple[str, str, Unit, tuple[str, ...]]]:
    """Section, kind, unit and path of every figure."""
    for name in totals["slos"]:
        yield f"SLO {name}", "attainment", Unit.SHARE, ("slos", name, "attainment")
    for name in totals["classes"]:
        where = ("classes", name)
        yield name, "throughput", Unit.RATE, (*where, "answered_per_s")
        yield name, "failed", Unit.SHARE, (*where, "failed_ratio")
        for level in _PERCENTILES:
            yield name, level, Unit.SECONDS, (*where, level)
        yield name, "hit-ratio", Unit.SHARE, (*where, "hit_ratio")
    for name in totals["services"]:
        yield f"service {name}", "items-a-batch", Unit.NUMBER, ("services", name, "batch_items_mean")
        yield f"service {name}", "utilisation", Unit.SHARE, ("services", name, "utilisation")
    yield "cost", "cost", Unit.USD, ("costs", "billed_usd")


def _at(totals: Tree, path: tuple[str, ...]) -> float | None:
    """The figure at a path; those that `run.json` does not hold are made from those that it does."""
    *parents, leaf = path
    node: Any = totals
    for key in parents:
        node = node.get(key)
        if node is None:
            return None
    if leaf == "answered_per_s":
        return float(node["answered"]) / float(totals["measured_s"])
    if leaf == "failed_ratio":
        return None if node["answered_ratio"] is None else 1.0 - float(node["answered_ratio"])
    if leaf in _PERCENTILES:
        seconds = node["latency_s"][leaf]
        # Without a percentile nothing was answered; with a ratio something was sent and failed.
        return math.inf if seconds is None and node["answered_ratio"] is not None else seconds
    value = node.get(leaf)
    return None if value is None else float(value)

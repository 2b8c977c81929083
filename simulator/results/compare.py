"""Two or more runs side by side: every headline figure, and its change against the first run.

Where runs share seeds they met the same traffic (common random numbers), so that the change is taken seed by
seed and gets Student's t interval: much narrower than the difference of two means.

Every figure is a rate, a share, or a figure a request, an hour or a budget, and so can be held against a run of any
length; the few that are totals can not, and their change is left out where lengths differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from simulator.results.intervals import MeanInterval, mean_interval
from simulator.results.trees import Tree, flatten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulator.results.run_directory import Run


class Unit(StrEnum):
    """What a figure is, and so how it is shown."""

    RATE = "per_s"
    SHARE = "share"
    SECONDS = "seconds"
    USD = "usd"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Change:
    """How far a run's figure is from the first run's; `paired` where they share at least two seeds."""

    absolute: float
    relative: float | None
    paired: MeanInterval | None


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of every run; None where a run does not have it."""

    section: str
    metric: str
    path: str
    unit: Unit
    values: tuple[float | None, ...]
    changes: tuple[Change | None, ...]
    """Against the first run; the first one's is None, and those of totals over another length of time."""
    other_length: tuple[bool, ...]
    """Of each run: whether this is a total, over another length of time than the first run's."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `baseload compare` shows."""

    runs: tuple[str, ...]
    rows: tuple[Row, ...]
    verdicts: tuple[tuple[str, tuple[bool | None, ...]], ...]
    """The section of each SLO and budget, and whether each run kept it; None where it has no such promise."""
    warnings: tuple[str, ...]


_REQUESTS: tuple[tuple[str, str, Unit], ...] = (
    ("sent", "sent_per_s", Unit.RATE),
    ("answered", "answered_ratio", Unit.SHARE),
    ("hit ratio", "hit_ratio", Unit.SHARE),
    ("mean", "latency_s/mean", Unit.SECONDS),
    ("p50", "latency_s/p50", Unit.SECONDS),
    ("p95", "latency_s/p95", Unit.SECONDS),
    ("p99", "latency_s/p99", Unit.SECONDS),
    ("p99.9", "latency_s/p999", Unit.SECONDS),
    ("attempts a request", "attempts_per_request", Unit.NUMBER),
)
_SERVICE: tuple[tuple[str, str, Unit], ...] = (
    ("items a batch", "batch_items_mean", Unit.NUMBER),
    ("utilisation", "utilisation", Unit.SHARE),
    ("queue wait", "queue_wait_mean_s", Unit.SECONDS),
    ("ready replicas", "ready_replicas_mean", Unit.NUMBER),
)
_COSTS: tuple[tuple[str, str, Unit], ...] = (
    ("total", "billed_usd", Unit.USD),
    ("per hour", "per_hour_usd", Unit.USD),
    ("per 1,000 predictions", "per_1000_usd", Unit.USD),
    ("idle", "idle_usd", Unit.USD),
    ("idle share", "idle_share", Unit.SHARE),
)
_SLO: tuple[tuple[str, str, Unit], ...] = (
    ("attainment", "attainment", Unit.SHARE),
    ("error budget left", "error_budget_left", Unit.SHARE),
    ("windows kept", "windows_kept_share", Unit.SHARE),
)
_TOTALS = frozenset({"costs/billed_usd", "costs/idle_usd"})
"""Figures that grow with the length of a run."""
_KINDS = {"simulation": "a simulation", "load-test": "a load test", "incident": "an incident"}
"""What to call a run, by its source."""
_DEMAND_OF_CLASS = ("arrivals", "share", "keys", "items", "difficulty", "prompt_tokens", "output_tokens")


def compare(runs: Sequence[Run]) -> Comparison:
    """Compare runs with the first of them. At least two; any source (simulation, load test, incident)."""
    flat = [_figures_of(run.document, run.document["totals"]) for run in runs]
    by_seed = [
        {each["seed"]: _figures_of(run.document, each["totals"]) for each in run.document["replications"]}
        for run in runs
    ]
    rows = []
    for section, metric, path, unit in _figures([run.document for run in runs]):
        values = tuple(_number(leaves.get(path)) for leaves in flat)
        if all(value is None for value in values):
            continue
        other_length = tuple(path in _TOTALS and _measured_s(run) != _measured_s(runs[0]) for run in runs)
        changes = (
            None,
            *(
                None if other_length[n] else _change(path, values[0], values[n], by_seed[0], by_seed[n])
                for n in range(1, len(runs))
            ),
        )
        rows.append(Row(section, metric, path, unit, values, changes, other_length))
    return Comparison(
        runs=tuple(labels(runs)),
        rows=tuple(rows),
        verdicts=_verdicts([run.document for run in runs]),
        warnings=tuple(_warnings(runs, labels(runs))),
    )


def labels(runs: Sequence[Run]) -> list[str]:
    """What to call each run: the name of its directory, or its whole path where two would be called alike."""
    names = [run.name for run in runs]
    return [
        name if names.count(name) == 1 else str(run.directory) for name, run in zip(names, runs, strict=True)
    ]


def demand(document: Tree) -> Tree | None:
    """The part of a run's scenario that says who asks for what, when; None where it has none (a load
    test)."""
    scenario = document["scenario"].get("document")
    if not scenario or "arrivals" not in scenario:
        return None
    classes = {
        each["name"]: {key: each.get(key) for key in _DEMAND_OF_CLASS} for each in scenario.get("classes", [])
    }
    return {"arrivals": scenario["arrivals"], "classes": classes}


def _figures(documents: Sequence[Tree]) -> Iterator[tuple[str, str, str, Unit]]:
    """Section, metric, path and unit of every row, over all names that any run has."""

    def names(part: str) -> list[str]:
        return list(dict.fromkeys(name for each in documents for name in each["totals"][part]))

    for name in names("classes"):
        yield from ((name, metric, f"classes/{name}/{path}", unit) for metric, path, unit in _REQUESTS)
    if len(names("classes")) > 1:
        yield from (("all classes", metric, f"overall/{path}", unit) for metric, path, unit in _REQUESTS)
    for name in names("services"):
        yield from (
            (f"service {name}", metric, f"services/{name}/{path}", unit) for metric, path, unit in _SERVICE
        )
    yield from (("cost", metric, f"costs/{path}", unit) for metric, path, unit in _COSTS)
    for name in names("classes"):
        yield "cost", f"{name} per 1,000", f"costs/classes/{name}/per_1000_usd", Unit.USD
    for name in names("slos"):
        yield from ((f"SLO {name}", metric, f"slos/{name}/{path}", unit) for metric, path, unit in _SLO)
    for name in dict.fromkeys(name for each in documents for name in each["budgets"]):
        yield f"budget {name}", "spent", f"budgets/{name}/spent_share", Unit.SHARE


def _figures_of(document: Tree, totals: Tree) -> Tree:
    """A run's totals or one seed's by their path, with what is compared and `run.json` leaves to be divided."""
    costs, hours = totals["costs"], totals["measured_s"] / 3600
    slos = {
        name: {"windows_kept_share": each["windows_kept"] / each["windows"]}
        for name, each in totals["slos"].items()
        if each["windows"] > 1
    }
    budgets = {
        name: {"spent_share": costs["billed_usd"] / each["allowed_usd"] if each["allowed_usd"] else None}
        for name, each in document["budgets"].items()
    }
    made = {"costs": {"per_hour_usd": costs["billed_usd"] / hours}, "slos": slos, "budgets": budgets}
    return flatten(totals) | flatten(made)


def _measured_s(run: Run) -> float:
    return float(run.document["totals"]["measured_s"])


def _change(
    path: str, first: float | None, value: float | None, of_first: dict[int, Tree], of_run: dict[int, Tree]
) -> Change | None:
    if first is None or value is None:
        return None
    shared = [seed for seed in of_first if seed in of_run]
    pairs = [(_number(of_first[seed].get(path)), _number(of_run[seed].get(path))) for seed in shared]
    differences = [after - before for before, after in pairs if before is not None and after is not None]
    paired = mean_interval(differences) if len(differences) >= 2 else None
    return Change(value - first, value / first - 1 if first else None, paired)


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) else None


def _verdicts(documents: Sequence[Tree]) -> tuple[tuple[str, tuple[bool | None, ...]], ...]:
    found = []
    for kind, key in (("SLO", "slos"), ("budget", "budgets")):
        for name in dict.fromkeys(name for each in documents for name in each[key]):
            kept = tuple(each[key].get(name, {}).get("kept") for each in documents)
            found.append((f"{kind} {name}", kept))
    return tuple(found)


def _warnings(runs: Sequence[Run], names: Sequence[str]) -> Iterator[str]:
    first, base = runs[0].document, names[0]
    for run, name in zip(runs, names, strict=True):
        load_test = run.document.get("load_test", {})
        for reason in load_test.get("invalid_because", []):
            yield f"{name} does not count as a measurement: {reason}"
        for reason in load_test.get("incomplete_because", []):
            yield f"{name} is an incomplete measurement: {reason}"
    for run, name in zip(runs[1:], names[1:], strict=True):
        other = run.document
        if None not in (demand(first), demand(other)) and demand(first) != demand(other):
            yield f"{name} has other demand than {base}: changes are not the fleet's alone"
        if _measured_s(run) != _measured_s(runs[0]):
            yield f"{name} measures another length of time than {base}: its totals are not comparable, rates are"
        if other["source"] != first["source"]:
            yield f"{name} is {_KINDS[other['source']]}, {base} {_KINDS[first['source']]}"
        elif not set(other["seeds"]) & set(first["seeds"]):
            yield f"{name} shares no seed with {base}: changes include the luck of the draw"
        elif set(other["seeds"]) != set(first["seeds"]):
            yield f"{name} and {base} share some seeds only: intervals are over the shared ones"

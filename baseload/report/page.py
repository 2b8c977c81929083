"""One self-contained page about one or more runs: nothing on it comes over a network, and its CSP says so."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from importlib.resources import files
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from baseload.report import tables, wording
from baseload.report.data import Series
from baseload.report.figures import FIGURES
from scenarios.errors import EnvironmentProblem
from scenarios.units import format_duration
from simulator.results.compare import compare, labels

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from simulator.results.run_directory import Run
    from simulator.results.trees import Tree

_UNIT = re.compile(r"(\d) (%|ms|µs|s|min|h|d)(?!\w)")
_HOURS_PER_MONTH = 730
"""As AWS counts."""


@dataclass(frozen=True, slots=True)
class Card:
    """A key figure: what a director reads first."""

    figure: str
    label: str
    note: str = ""
    state: str = ""
    """`kept` or `missed`, if it is about a promise."""


def write_report(runs: Sequence[Run], output: Path) -> None:
    """Write the page; `EnvironmentProblem` where the file or the page's own needs (jinja2, plotly) are
    refused."""
    page = render(runs)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(page, encoding="utf-8")
    except OSError as error:
        raise EnvironmentProblem(f"{output}: cannot be written: {error.strerror or error}") from error


def render(runs: Sequence[Run]) -> str:
    """The page as HTML: a function of the runs alone."""
    try:
        from jinja2 import Environment, StrictUndefined  # an extra
        from plotly.offline import get_plotlyjs  # an extra
    except ImportError as error:
        raise EnvironmentProblem(f"{error.name} is missing: install baseload[report]") from None
    names = labels(runs)
    series = [Series(run, name) for run, name in zip(runs, names, strict=True)]
    here = files("baseload.report")
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_glued
    )
    return template.from_string((here / "page.html").read_text(encoding="utf-8")).render(
        title=" · ".join(dict.fromkeys(run.document["scenario"]["name"] for run in runs)),
        series=series,
        several=len(runs) > 1,
        cards=cards(series[0]) if len(series) == 1 else [],
        comparison=compare(runs) if len(runs) > 1 else None,
        drawn=[draw(series) for draw in FIGURES],
        tables=tables,
        verdict=wording.verdict,
        badge=badge,
        facts=facts,
        command=command,
        css=(here / "page.css").read_text(encoding="utf-8"),
        js=(here / "page.js").read_text(encoding="utf-8"),
        plotly=get_plotlyjs(),
    )


def _glued(value: Any) -> Any:
    """Keep a number and its unit on one line."""
    return _UNIT.sub("\\1\u00a0\\2", value) if type(value) is str else value


def badge(document: Tree) -> tuple[str, str]:
    """State and words of the mark beside a run's name."""
    if wording.objections(document):
        return "missed", "invalid measurement"
    slos, budgets = document["slos"].values(), document["budgets"].values()
    missed, overspent = (sum(not each["kept"] for each in promises) for promises in (slos, budgets))
    if not slos:
        words = "no SLO promised"
    elif not missed:
        words = "SLO kept" if len(slos) == 1 else "all SLOs kept"
    else:
        words = "SLO missed" if len(slos) == 1 else f"{missed} of {len(slos)} SLOs missed"
    if overspent:
        words += ", budget missed" if len(budgets) == 1 else f", {overspent} of {len(budgets)} budgets missed"
    return "missed" if missed or overspent else "kept" if slos else "", words


def cards(series: Series) -> list[Card]:
    """Key figures of one run."""
    document, totals = series.document, series.totals
    costs = totals["costs"]
    found = []
    for name, slo in document["slos"].items():
        label = f"of {slo['class']} requests within {format_duration(slo['latency_s'])}"
        state = "kept" if slo["kept"] else "missed"
        note = f"{wording.exact_percent(slo['objective'])} promised{wording.in_windows(slo)}: {state}"
        margin = _half_width(document, f"slos/{name}/attainment", 100, " points")
        found.append(Card(wording.percent(totals["slos"][name]["attainment"]), label, note + margin, state))
    tail = totals["overall"]["latency_s"]
    overall = _half_width(document, "overall/latency_s/p99", 1000, " ms")
    found.append(Card(wording.latency(tail["p99"]), "p99 latency, all classes", _p999(tail) + overall))
    a_month = costs["billed_usd"] / totals["measured_s"] * 3600 * _HOURS_PER_MONTH
    spent = f"for {wording.span(totals['measured_s'])}"
    overspent = [name for name, each in document["budgets"].items() if not each["kept"]]
    note = "".join(f"budget {name} missed; " for name in overspent)
    note += f"{wording.usd(a_month)} a month at this rate"
    found.append(Card(wording.usd(costs["billed_usd"]), spent, note, "missed" if overspent else ""))
    found.append(Card(
        wording.usd(costs["per_1000_usd"]), "per 1,000 predictions",
        "how much of it is idle was not measured" if costs["idle_usd"] is None
        else f"{wording.percent(costs['idle_share'])} of the cost is idle",
    ))  # fmt: skip
    found.append(Card(
        wording.large_count(totals["overall"]["sent"]), "requests",
        f"{wording.percent(totals['overall']['answered_ratio'])} answered" + _cached(totals["overall"]),
    ))  # fmt: skip
    return found


def _cached(overall: Tree) -> str:
    share = overall["hit_ratio"]
    return f", {wording.percent(share)} of these by the cache" if share else ""


def _p999(latency: Tree) -> str:
    return f"p99.9 {wording.latency(latency['p999'])}"


def _half_width(document: Tree, path: str, scale: float, unit: str) -> str:
    interval = document["intervals"].get(path)
    if interval is None or interval["low"] == interval["high"]:
        return ""
    return f" (±{(interval['high'] - interval['low']) / 2 * scale:.2g}{unit})"


def facts(series: Series) -> list[tuple[str, str]]:
    """What a reader needs to judge a run, and to repeat it: names and values."""
    document = series.document
    scenario = document["scenario"]
    found = [
        ("Scenario", f"{scenario['name']} ({scenario['digest']})"),
        ("Labels", ", ".join(f"{key}: {value}" for key, value in sorted(scenario["labels"].items()))),
        ("Source", _source(document)),
        (
            "Simulated time" if document["source"] == "simulation" else "Measured time",
            f"{format_duration(document['duration_s'])} from {series.moment(0)}",
        ),
        ("Warm-up, left out of totals and costs", format_duration(document["warmup_s"])),
        ("Seeds", ", ".join(map(str, document["seeds"]))),
        ("Engine", wording.engine(document["engine"])),
        *_conduct(document),
        ("Versions", ", ".join(f"{name} {text}" for name, text in sorted(document["versions"].items()))),
        ("Latency buckets", document["histogram"]["scheme"]),
        ("Discounts", "; ".join(
            f"{each['name']}: {each['percent']} off {each.get('capacity_type') or 'all'} list prices"
            for each in scenario.get("document", {}).get("discounts", [])
        )),
        ("In the cost", "instances, per second, 60 s at least; no transfer, storage, load balancer or logs"),
    ]  # fmt: skip
    return [(name, value) for name, value in found if value]


def _source(document: Tree) -> str:
    target = document.get("load_test", {}).get("target")
    return str(document["source"]).replace("-", " ") + (f" of {target}" if target else "")


def _conduct(document: Tree) -> list[tuple[str, str]]:
    """How a load test went, apart from what it measured; empty for other runs."""
    load_test = document.get("load_test")
    if load_test is None:
        return []
    lag_s, cpu = load_test["schedule_lag_s"], load_test["cpu"]
    p50, p99, largest = (wording.latency(lag_s[each]) for each in ("p50", "p99", "max"))
    found = [
        ("Prediction", load_test["prediction"][:12]),
        ("Fleet, and what it cost", load_test["fleet"]),
        ("Schedule lag", f"p50 {p50}, p99 {p99}, at most {largest}"),
    ]
    if cpu is not None:
        processes = ", ".join(f"{name} {wording.number(cores)}" for name, cores in cpu["processes"].items())
        found.append(("CPU use", f"{wording.percent(cpu['machine'])} of the machine; {processes} cores"))
    return found


def command(series: Series) -> str:
    """The command that repeats a run: as it was given, or as it would be."""
    given = series.run.meta.get("command")
    if isinstance(given, list) and given:
        program, *arguments = map(str, given)
        return shlex.join([PurePath(program).name, *arguments])  # where it was installed is nobody's business
    if isinstance(given, str):
        return given
    seeds = series.document["seeds"]
    many = f" --runs {len(seeds)}" if len(seeds) > 1 else ""
    return f"baseload simulate {series.document['scenario']['name']}.yaml --seed {seeds[0]}{many}"

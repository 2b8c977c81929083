"""Numbers and verdicts as people read them, the same in the terminal and on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios.units import format_duration

if TYPE_CHECKING:
    from simulator.results.trees import Tree

NOTHING = "–"
"""A figure that has no meaning here, such as the percentile of no requests."""
_WINDOW_NAMES = {60.0: "minutes", 3600.0: "hours", 86_400.0: "days", 604_800.0: "weeks"}


def count(value: float | None) -> str:
    """1,234,567; means of counts keep at most one decimal."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if float(value).is_integer() or value >= 100 else f"{value:,.1f}"


def large_count(value: float) -> str:
    """1,234,567, but 263 million and 1.04 billion: where there is little room."""
    for size, name in ((1e9, "billion"), (1e7, "million")):
        if value >= 0.9995 * size:
            scaled = value / (1e9 if name == "billion" else 1e6)
            return f"{scaled:.3g} {name}" if scaled < 1000 else f"{scaled:,.0f} {name}"
    return count(value)


def percent(share: float | None) -> str:
    """99.2 %: three or more digits, and never 100 % or 0 % for what is not quite that."""
    if share is None:
        return NOTHING
    if share < 0:  # an error budget that is overspent
        return f"−{percent(-share)}"
    for decimals in range(1, 7):
        shown = round(share * 100, decimals)
        if shown not in (0.0, 100.0) or share in (0, 1):
            return f"{shown:.0f} %" if share in (0, 1) else f"{shown:.{decimals}f} %"
    return f"{share * 100:.3g} %"


def exact_percent(share: float) -> str:
    """A percentage as a person wrote it: 99 %, 99.95 %."""
    return f"{share * 100:.9g} %"


def latency(seconds: float | None, *, infinite: bool = False) -> str:
    """245 ms or 27.0 ms, always three digits; ∞ where too many requests failed for the percentile to
    exist."""
    if seconds is None:
        return "∞" if infinite else NOTHING
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if 0.9995 * size <= seconds < 999.5 * size:
            return f"{seconds / size:#.3g}".removesuffix(".") + f" {unit}"
    return format_duration(seconds)


def usd(amount: float | None) -> str:
    """$1,234, $25.43 or $0.00460: at least three digits that count."""
    if amount is None:
        return NOTHING
    sign, size = ("−" if amount < 0 else ""), abs(amount)
    if size >= 1000:
        return f"{sign}${size:,.0f}"
    if size >= 1 or size == 0:
        return f"{sign}${size:,.2f}"
    return f"{sign}${size:#.3g}" if size >= 1e-4 else f"{sign}${size:.2e}"


def number(value: float | None, digits: int = 3) -> str:
    """A plain number with so many significant digits."""
    return NOTHING if value is None else f"{value:,.{digits}g}" if abs(value) < 1000 else f"{value:,.0f}"


def windows(window_s: float | None, many: int) -> str:
    """What an SLO's windows are called: days, hours, "windows of 5 min"."""
    if window_s is None:
        return "the whole run"
    name = _WINDOW_NAMES.get(window_s)
    if name is None:
        return f"window{'s' if many != 1 else ''} of {format_duration(window_s)}"
    return name if many != 1 else name.removesuffix("s")


def span(seconds: float) -> str:
    """30 days, 1 day, 6 hours; anything uneven as `format_duration` has it."""
    for name, size in (("day", 86_400.0), ("hour", 3600.0), ("minute", 60.0)):
        many = seconds / size
        if many >= 1 and many.is_integer():
            return f"{many:,.0f} {name}{'s' if many > 1 else ''}"
    return format_duration(seconds)


def engine(document: Tree) -> str:
    """Which way through the engine ran, and why no faster one: "kernel, event-ordered (service reco: a shared
    queue)"."""
    name, path, reason = document["name"], document["path"], document.get("reason")
    if path == name:
        return str(name)
    return f"{name}, {path}" + (f" ({reason})" if reason else "")


def slo_promise(slo: Tree) -> str:
    """What was promised: "99 % of home-page requests within 300 ms, in each day"."""
    limit = format_duration(slo["latency_s"])
    return (
        f"{exact_percent(slo['objective'])} of {slo['class']} requests within {limit}{in_windows(slo, ',')}"
    )


def in_windows(slo: Tree, comma: str = "") -> str:
    """In which of an SLO's windows the objective was promised: " in 99 % of the hours"; empty for the whole run."""
    if slo["window_s"] is None:
        return ""
    if slo["window_fraction"] == 1:
        return f"{comma} in each {windows(slo['window_s'], 1)}"
    return f"{comma} in {exact_percent(slo['window_fraction'])} of the {windows(slo['window_s'], 2)}"


def slo_outcome(slo: Tree, totals: Tree) -> str:
    """What came of it, and by how much: in requests where every one of them counts, in windows where some may fail.

    "99.2 % within 300 ms; 0.200 points above the objective", or "…; objective met in 2,900 of 2,976 windows of
    5 min (97.4 %), 2,947 needed: 47 too few".
    """
    answered = f"{percent(totals['attainment'])} within {format_duration(slo['latency_s'])}"
    if totals["windows"] <= 1:
        return f"{answered}; {_above(totals['margin'])}"
    met = f"objective met in {_windows_met(slo, totals)}"
    if totals["windows_needed"] == totals["windows"]:
        return f"{answered}; {met}, all needed; the worst {_above(totals['margin'])}"
    spare = totals["windows_kept"] - totals["windows_needed"]
    left = "none to spare" if spare == 0 else f"{count(abs(spare))} {'to spare' if spare > 0 else 'too few'}"
    if totals["windows_kept"] < totals["windows"]:
        met += f" ({percent(totals['windows_kept'] / totals['windows'])})"
    return f"{answered}; {met}, {count(totals['windows_needed'])} needed: {left}"


def _above(margin: float) -> str:
    """0.200 points above the objective: what a margin says, as a share of requests."""
    size = f"{abs(margin) * 100:#.3g}".removesuffix(".")
    return (
        "just at the objective"
        if margin == 0
        else (f"{size} points {'above' if margin > 0 else 'below'} the objective")
    )


def _windows_met(slo: Tree, totals: Tree) -> str:
    """29 of 30 days, all 30 days."""
    total = totals["windows"]
    if totals["windows_kept"] == total:
        return f"all {count(total)} {windows(slo['window_s'], round(total))}"
    return f"{count(totals['windows_kept'])} of {count(total)} {windows(slo['window_s'], round(total))}"


def slo_evidence(slo: Tree) -> str:
    """How sure several replications make us; empty for a single one."""
    found = slo["evidence"]
    seeds, kept = found["seeds"], found["seeds_kept"]
    if seeds < 2:
        return ""
    sure = exact_percent(found["confidence"])
    if found["clean_bound"] is not None:
        return (
            f"kept in all {seeds} seeds, which supports P(kept) ≥ {found['clean_bound']:.3f} at {sure} "
            "and no more (about 1 − 3/n)"
        )
    return (
        f"kept in {kept} of {seeds} seeds: P(kept) from {found['low']:.3f} to {found['high']:.3f} at {sure}"
    )


def objections(document: Tree) -> list[str]:
    """Why a load test does not count as a measurement; empty where it does, and for simulations."""
    reasons: list[str] = document.get("load_test", {}).get("invalid_because", [])
    return reasons


def gaps(document: Tree) -> list[str]:
    """What a load test did not see all the time; empty where it saw everything, and for simulations."""
    reasons: list[str] = document.get("load_test", {}).get("incomplete_because", [])
    return reasons


def verdict(document: Tree) -> str:
    """The run in two sentences: was the promise kept, and what did it cost. Before them, why it does not count, and
    what was not seen of it."""
    totals = document["totals"]
    sentences = [f"This measurement does not count: {reason}." for reason in objections(document)]
    sentences += [f"This measurement is incomplete: {reason}." for reason in gaps(document)]
    for name, slo in document["slos"].items():
        found = totals["slos"][name]
        limit = format_duration(slo["latency_s"])
        text = f"{percent(found['attainment'])} of {slo['class']} requests within {limit}: SLO "
        text += "kept" if slo["kept"] else "missed"
        seeds, seeds_kept = slo["evidence"]["seeds"], slo["evidence"]["seeds_kept"]
        if seeds > 1:
            text += f" in all {seeds} seeds" if slo["kept"] else f" (kept in {seeds_kept} of {seeds} seeds)"
        elif found["windows"] > 1:
            text += f", objective met in {_windows_met(slo, found)}"
            if found["windows_kept"] < found["windows"] and found["windows_needed"] < found["windows"]:
                text += f" ({count(found['windows_needed'])} needed)"
        sentences.append(text + ".")
    return " ".join([*sentences, cost_sentence(document), *_missed_budgets(document)])


def _missed_budgets(document: Tree) -> list[str]:
    """A sentence for each budget that was missed."""
    return [
        f"Budget {name} missed: {budget_outcome(budget)}."
        for name, budget in document["budgets"].items()
        if not budget["kept"]
    ]


def budget_outcome(budget: Tree) -> str:
    """$620.00 spent of $600.00, 3.3 % over."""
    text = f"{usd(budget['spent_usd'])} spent of {usd(budget['allowed_usd'])}"
    if budget["kept"] or not budget["allowed_usd"]:
        return text
    return f"{text}, {percent(budget['spent_usd'] / budget['allowed_usd'] - 1)} over"


def cost_sentence(document: Tree) -> str:
    """$1,234 for 30 d, $0.12 per 1,000 predictions; 38 % of it idle."""
    costs = document["totals"]["costs"]
    text = f"{usd(costs['billed_usd'])} for {span(document['totals']['measured_s'])}"
    if costs["per_1000_usd"] is not None:
        text += f", {usd(costs['per_1000_usd'])} per 1,000 predictions"
    if costs["idle_share"] is not None:
        text += f"; {percent(costs['idle_share'])} of it idle"
    return text + "."

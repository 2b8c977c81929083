"""What `run.json` says: everything about a run that depends on nothing but its scenario and its seeds.

docs/run-directory.md describes every key. One replication has a tree of totals; `totals` is their mean, leaf
by leaf, and `intervals` says how sure the headline figures are when there are several.
"""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from scenarios.units import NANOSECONDS_PER_SECOND, nanoseconds
from simulator.money.allocation import allocate
from simulator.money.bill import NANO_USD_PER_USD, NANOSECONDS_PER_HOUR
from simulator.results.capacity import replica_throughput
from simulator.results.histogram import BUCKETS, SCHEME
from simulator.results.intervals import mean_interval
from simulator.results.slo import evidence, judge
from simulator.results.totals import class_totals, measured_s, pool_totals, service_totals
from simulator.results.trees import Tree, flatten, mean_tree, rounded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scenarios.schema import Scenario
    from simulator.money.bill import LineItem
    from simulator.results.recorded import SeedRecord

SCHEMA_VERSION = 1
HEADLINES = frozenset({
    "mean", "p50", "p95", "p99", "p999", "answered_ratio", "hit_ratio", "utilisation", "attainment",
    "billed_usd", "idle_usd", "per_1000_usd", "usd",
})  # fmt: skip
"""Leaves that get an interval over replications."""


def run_document(
    *,
    scenario: Scenario,
    digest: str,
    document: Mapping[str, Any],
    records: Sequence[SeedRecord],
    lines: Sequence[LineItem],
    engine: str,
    versions: Tree,
    source: str = "simulation",
    load_test: Tree | None = None,
) -> Tree:
    """Build the whole of `run.json`. `document` is the resolved scenario, `lines` its bill over all seeds; `load_test`
    is what only a load test knows."""
    records = sorted(records, key=lambda record: record.seed)
    by_seed = {seed: list(items) for seed, items in groupby(lines, key=lambda line: line.seed)}
    replications = [replication(scenario, record, by_seed.get(record.seed, [])) for record in records]
    run = scenario.run
    results = {
        "schema_version": SCHEMA_VERSION,
        "source": source,
        "engine": {
            "name": engine,
            "path": ", ".join(sorted({record.path for record in records})),
            "reason": records[0].path_reason,
        },
        "seeds": [record.seed for record in records],
        "start": run.start.isoformat(),
        "duration_s": run.duration,
        "warmup_s": run.warmup,
        "interval_s": float(np.diff(records[0].edges_ns).max()) / NANOSECONDS_PER_SECOND,
        "histogram": {"scheme": SCHEME, "buckets": BUCKETS},
        "versions": versions,
        "replica_items_per_s": replica_throughput(scenario),
        "totals": mean_tree([each["totals"] for each in replications]),
        "intervals": intervals([each["totals"] for each in replications]),
        "slos": slo_summaries(scenario, replications),
        "budgets": budget_verdicts(scenario, replications),
        "prices": price_notes(lines),
        "replications": replications,
    } | ({} if load_test is None else {"load_test": load_test})
    identity = {
        "name": scenario.metadata.name,
        "description": scenario.metadata.description,
        "labels": scenario.metadata.labels,
        "digest": digest,
        "document": dict(document),
    }
    return {**rounded(results), "scenario": identity}


def replication(scenario: Scenario, record: SeedRecord, lines: Sequence[LineItem]) -> Tree:
    """Totals and SLO verdicts of one seed."""
    warmup_ns = nanoseconds(scenario.run.warmup)
    classes, overall = class_totals(record, scenario, warmup_ns)
    services = service_totals(record, scenario, warmup_ns)
    pools = pool_totals(record, [each.name for each in scenario.pools], warmup_ns)
    verdicts = [
        judge(
            slo,
            record.edges_ns,
            record.slo_good[:, index],
            record.slo_total[:, index],
            warmup_ns=warmup_ns,
            unfinished_late=int(record.unfinished_late[index]),
        )
        for index, slo in enumerate(scenario.slos)
    ]
    return {
        "seed": record.seed,
        "path": record.path,
        "totals": {
            "measured_s": measured_s(record, warmup_ns),
            "overall": overall,
            "classes": classes,
            "services": services,
            "pools": pools,
            "costs": _costs(scenario, record, lines, classes, services),
            "slos": {
                each.name: {
                    **{key: value for key, value in asdict(each).items() if key not in ("name", "kept")},
                    "attainment": each.attainment,
                }
                for each in verdicts
            },
        },
        "slos_kept": {each.name: each.kept for each in verdicts},
    }


def _costs(
    scenario: Scenario, record: SeedRecord, lines: Sequence[LineItem], classes: Tree, services: Tree
) -> Tree:
    billed = {pool.name: 0 for pool in scenario.pools}
    listed, hours = dict(billed), dict(billed)
    for line in lines:
        billed[line.pool] += line.billed_nano_usd
        listed[line.pool] += line.list_nano_usd
        hours[line.pool] += line.billed_ns
    utilisation = {each.name: services.get(each.name, {}).get("utilisation") for each in scenario.services}
    shares = allocate(scenario, billed, utilisation, record.served_items)
    total, answered = sum(billed.values()), sum(each["answered"] for each in classes.values())
    unseen = {pool for index in record.unseen_services for pool in scenario.services[index].pools}
    return {
        "billed_usd": total / NANO_USD_PER_USD,
        "list_usd": sum(listed.values()) / NANO_USD_PER_USD,
        "idle_usd": None if unseen else shares.idle / NANO_USD_PER_USD,
        "idle_share": None if unseen or not total else shares.idle / total,
        "per_1000_usd": _per_1000(total, answered),
        "classes": {
            name: {
                "usd": None if unseen else nano / NANO_USD_PER_USD,
                "per_1000_usd": None if unseen else _per_1000(nano, classes[name]["answered"]),
            }
            for name, nano in shares.by_class.items()
        },
        "pools": {
            name: {
                "usd": nano / NANO_USD_PER_USD,
                "list_usd": listed[name] / NANO_USD_PER_USD,
                "idle_usd": None if name in unseen else shares.idle_by_pool[name] / NANO_USD_PER_USD,
                "classes": {
                    each: part / NANO_USD_PER_USD
                    for each, part in shares.used[name].items()
                    if name not in unseen
                },
                "instance_hours": hours[name] / NANOSECONDS_PER_HOUR,
            }
            for name, nano in billed.items()
        },
    }


def _per_1000(nano_usd: int, answered: int) -> float | None:
    return nano_usd / NANO_USD_PER_USD / answered * 1000 if answered else None


def intervals(totals: Sequence[Tree]) -> Tree:
    """Mean and t interval over replications of every headline figure, by its path; empty for one
    replication."""
    if len(totals) < 2:
        return {}
    flat = [flatten(each) for each in totals]
    headlines = [path for path in flat[0] if path.rpartition("/")[2] in HEADLINES]
    found = {path: [each[path] for each in flat if each.get(path) is not None] for path in headlines}
    return {
        path: asdict(mean_interval(values)) for path, values in found.items() if len(values) == len(totals)
    }


def slo_summaries(scenario: Scenario, replications: Sequence[Tree]) -> Tree:
    """Each SLO with its terms, whether every replication kept it, and what that is worth as evidence."""
    return {
        slo.name: {
            "class": slo.request_class,
            "latency_s": slo.latency,
            "objective": slo.objective,
            "window_s": slo.window,
            "window_fraction": slo.window_fraction,
            "kept": all(each["slos_kept"][slo.name] for each in replications),
            "evidence": asdict(evidence([each["slos_kept"][slo.name] for each in replications])),
        }
        for slo in scenario.slos
    }


def budget_verdicts(scenario: Scenario, replications: Sequence[Tree]) -> Tree:
    """Each budget pro rata of the measured time: kept if the mean bill is within it."""
    spent = [each["totals"]["costs"]["billed_usd"] for each in replications]
    share_s = replications[0]["totals"]["measured_s"]
    verdicts = {}
    for budget in scenario.budgets:
        allowed = float(budget.amount) * share_s / budget.per
        verdicts[budget.name] = {
            "amount_usd": float(budget.amount),
            "per_s": budget.per,
            "allowed_usd": allowed,
            "spent_usd": sum(spent) / len(spent),
            "kept": sum(spent) / len(spent) <= allowed,
            "seeds": len(spent),
            "seeds_kept": sum(each <= allowed for each in spent),
        }
    return verdicts


def price_notes(lines: Sequence[LineItem]) -> Tree:
    """Price of each pool that was billed, with its source and date; amounts as decimal text."""
    return {
        line.pool: {
            "list_usd_per_h": _text(line.list_price.usd_per_h),
            "contracted_usd_per_h": _text(line.contracted_usd_per_h),
            "source": line.list_price.source,
            "as_of": line.list_price.as_of,
        }
        for line in lines
    }


def _text(amount: object) -> str:
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

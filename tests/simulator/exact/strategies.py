"""Random scenarios: every feature of the data plane on and off, in sizes that make them meet each other.

All times are counted in units of some milliseconds. On the grid every time of a scenario is a whole number of units
(regular or replayed arrivals, constant delays, no jitter), so that simultaneous events are the rule; off the grid times
are drawn to the nanosecond and every distribution is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.simulator.exact.case import Case, Move
from tests.simulator.exact.fleets import fleet_steps
from tests.simulator.exact.traffic import arrival_stream

if TYPE_CHECKING:
    from collections.abc import Callable

MS = 1_000_000


@dataclass
class Dice:
    """Draws of one example, in the scenario's own unit of time."""

    draw: Callable[[Any], Any]
    grid: bool
    unit_ms: int
    length: int
    """Length of the run in units."""
    plain: bool = False
    """Only what the block-wise kernel can run (eligible.py): leaves the other features out."""
    largest: dict[str, int] = field(default_factory=dict)
    """Most items that a request of a class may have."""

    def number(self, low: int, high: int) -> int:
        """low … high, both included."""
        return int(self.draw(st.integers(low, high)))

    def chance(self, tenths: int) -> bool:
        """True in about so many of ten cases."""
        return self.number(1, 10) > 10 - tenths

    def extra(self, tenths: int) -> bool:
        """The same for a feature that plain scenarios have not."""
        return not self.plain and self.chance(tenths)

    def pick(self, *options: Any) -> Any:
        """One of the options."""
        return self.draw(st.sampled_from(options))

    def time_ns(self, low: float, high: float) -> int:
        """Between low and high units: a whole number of units on the grid."""
        if self.grid:
            return self.number(int(low), int(high)) * self.unit_ms * MS
        # In two draws: hypothesis likes the small ones among large numbers too much.
        coarse = low + (high - low) * self.number(0, 100) / 100
        return int(coarse * self.unit_ms * MS) + self.number(0, 9_999)

    def time(self, low: float, high: float) -> str:
        """The same as a document writes it."""
        return f"{self.time_ns(low, high)}ns"

    def ms(self, low: float, high: float) -> float:
        """The same in milliseconds."""
        return self.time_ns(low, high) / MS

    def delay(self, low: float, high: float) -> Any:
        """A delay, random where times are not on the grid."""
        kind = (
            "constant"
            if self.grid
            else self.pick("constant", "uniform", "exponential", "empirical", "moments")
        )
        if kind == "uniform":
            return {
                "uniform": sorted((self.time(low, high), self.time(low, high)), key=lambda t: int(t[:-2]))
            }
        if kind == "exponential":
            return {"exponential": self.time(low + 0.01, high)}
        if kind == "empirical":
            return {"empirical": [self.time(low, high) for _ in range(self.number(1, 4))]}
        if kind == "moments":
            moments = {"mean": self.time(low + 0.01, high), "cv": self.pick(0.3, 1, 2.5)}
            # Quantiles of a gamma take a numerical integration: seldom is enough.
            return {"gamma" if self.number(0, 19) == 7 else "lognormal": moments}
        return self.time(low, high)


@st.composite
def cases(
    draw: Callable[[Any], Any],
    *,
    grid: bool,
    plain: bool = False,
    unit_ms: int = 0,
    length: tuple[int, int] = (150, 400),
) -> Case:
    """A scenario, its files and its fleet; `length` in units."""
    dice = Dice(
        draw, grid, unit_ms or draw(st.sampled_from((1, 2, 5, 10))), draw(st.integers(*length)), plain
    )
    unit_ms = dice.unit_ms
    files: dict[str, str] = {}
    services, models, pools = _fleet(dice, files)
    n_classes = dice.number(1, 4)
    routes = [_route(dice, f"r{i}", services) for i in range(dice.number(1, min(3, n_classes)))]
    taken = [*routes, *(dice.pick(*routes) for _ in range(n_classes - len(routes)))]
    classes = [_request_class(dice, f"c{i}", route, services) for i, route in enumerate(taken)]
    arrivals = _arrivals(dice, classes, files)
    used = {target["service"] for route in routes for target in route["targets"]}
    services = [service for service in services if service["name"] in used]
    used_pools = [pool for service in services for pool in service["pools"]]
    document = {
        "apiVersion": "baseload/v1",
        "metadata": {"name": "random"},
        "run": {"duration": f"{dice.length * unit_ms}ms"},
        "arrivals": arrivals,
        "classes": classes,
        "routes": routes,
        "services": services,
        "models": [model for model in models if model["name"] in {service["model"] for service in services}],
        "pools": [pool for pool in pools if pool["name"] in used_pools],
        "slos": [_slo(dice, i, classes) for i in range(dice.number(0, 2))],
    }
    steps: tuple[tuple[int, tuple[Move, ...]], ...] = fleet_steps(dice, services)
    # Half of the runs go on after the last arrival, until (nearly) everything is over.
    end_ns = dice.length * unit_ms * MS * dice.pick(1, 2)
    return Case(document, files, dice.number(0, 1000), steps, max(end_ns, steps[-1][0] + 1))


def _slo(dice: Dice, number: int, classes: list[dict[str, Any]]) -> dict[str, Any]:
    name = classes[dice.number(0, len(classes) - 1)]["name"]
    return {"name": f"slo{number}", "class": name, "latency": dice.time(1, 20), "objective": 0.9}


# What serves.


def _fleet(dice: Dice, files: dict[str, str]) -> tuple[list[Any], list[Any], list[Any]]:
    services, models, pools = [], [], []
    for i in range(dice.number(1, 3)):
        names = [f"p{i}-{j}" for j in range(dice.pick(1, 1, 2))]
        largest = dice.number(1, 8)
        noise = (
            {}
            if dice.grid
            else dice.pick({}, {"lognormal_cv": 0.4}, {"exponential": True}, {"gamma_cv": 0.7})
        )
        profiles = [
            {
                "instance_types": [f"type{j}"],
                "latency": _latency(dice, largest, noise, f"samples{i}-{j}.csv", files),
            }
            for j in range(len(names))
        ]
        models.append({"name": f"m{i}", "profiles": profiles})
        pools += [{"name": name, "instance_type": f"type{j}"} for j, name in enumerate(names)]
        services.append(_service(dice, i, names, largest))
    return services, models, pools


def _latency(
    dice: Dice, largest: int, noise: dict[str, Any], file: str, files: dict[str, str]
) -> dict[str, Any]:
    kind = dice.pick("table", "per_item", "samples")
    latency: dict[str, Any] = {"between": dice.pick("interpolate", "ceil")}
    sizes = sorted({1, largest, dice.number(1, largest)})
    if dice.grid and kind != "per_item":
        latency["between"] = "ceil"  # between two rows a straight line leaves the grid
    if kind == "table":
        latency |= {"table": [[size, dice.time(1, 8)] for size in sizes], "noise": noise}
    elif kind == "per_item":
        latency |= {"fixed": dice.time(0, 4), "per_item": dice.time(1, 2), "noise": noise}
    else:
        rows = [" ".join(f"{dice.ms(1, 8):.6f}" for _ in range(dice.number(1, 4))) for _ in sizes]
        files[file] = "batch,latencies_ms\n" + "".join(
            f"{n},{row}\n" for n, row in zip(sizes, rows, strict=True)
        )
        # Noise on top of measured spread is possible too, and must be the same for all pools of a service.
        latency |= {"samples": {"file": file}, "noise": noise}
    return latency


def _service(dice: Dice, i: int, pools: list[str], largest: int) -> dict[str, Any]:
    batching: dict[str, Any] = {"max_batch_size": largest}
    if dice.chance(5):
        batching["max_queue_delay"] = dice.time(0, 5)
    if dice.extra(3):
        batching["preferred_batch_sizes"] = sorted(
            {dice.number(1, largest) for _ in range(dice.number(1, 2))}
        )
    if dice.chance(3):
        batching["max_batch_requests"] = dice.number(1, largest)
    if dice.extra(3):
        batching["max_queue_size"] = dice.number(1, 8)
    batching["drop_expired"] = dice.extra(4)
    service: dict[str, Any] = {
        "name": f"s{i}",
        "model": f"m{i}",
        "pools": pools,
        "instances_per_replica": dice.pick(2, 3) if dice.extra(5) else 1,
        "batching": batching,
        "queue": "shared" if dice.extra(3) else "per-replica",
        "balancing": dice.pick(
            *("round-robin", "random", "power-of-two", "least-outstanding")[: 4 - dice.plain]
        ),
    }
    if dice.extra(4):
        service["breaker"] = _breaker(dice)
    return service


def _breaker(dice: Dice) -> dict[str, Any]:
    breaker: dict[str, Any] = {
        "window": dice.number(1, 6),
        "open_for": dice.time(0, 12),
        "half_open_probes": dice.number(1, 3),
        "slow_consecutive": dice.number(1, 4),
    }
    rules = dice.pick("both", "error_rate", "slow_latency")
    if rules != "slow_latency":
        breaker["error_rate"] = dice.pick(0.5, 0.0, 0.34, 0.2, 0.8)
    if rules != "error_rate":
        breaker["slow_latency"] = dice.time(1, 12)
    return breaker


# What stands between.


def _route(dice: Dice, name: str, services: list[dict[str, Any]]) -> dict[str, Any]:
    route: dict[str, Any] = {"name": name, "coalesce": dice.chance(4), "redispatch": dice.chance(6)}
    if dice.extra(3):
        # A token every one to three units: on the grid, exactly so.
        route["rate_limit"] = {"rate": f"{1000 / dice.ms(1, 3)!r}/s", "burst": dice.number(1, 4)}
    if dice.extra(4):
        route["validation"] = dice.delay(0, 3)
    if dice.extra(4):
        route["feature_fetch"] = dice.delay(0, 3)
    if dice.chance(5):
        route["cache"] = _cache(dice)
        route["coalesce"] = route["coalesce"] or dice.plain
    if dice.extra(4):
        route["shedding"] = [
            {"max_outstanding": dice.number(1, 12), "below_priority": dice.number(1, 8)}
            for _ in range(dice.number(1, 2))
        ]
    chosen = [dice.pick(*(service["name"] for service in services)) for _ in range(dice.number(1, 3))]
    route["split"] = dice.pick("weighted", "difficulty", "cascade") if dice.extra(7) else "weighted"
    targets: list[dict[str, Any]] = [{"service": service} for service in chosen]
    if route["split"] == "weighted":
        for target in targets:
            target["weight"] = float(dice.number(1, 3))
    else:
        limits = sorted(dice.number(1, 9) / 10 for _ in targets[:-1])
        for target, limit in zip(targets, limits, strict=False):
            target["difficulty_below"] = limit
    return route | {"targets": targets}


def _cache(dice: Dice) -> dict[str, Any]:
    kind = "ttl" if dice.plain else dice.pick("ttl", "lru", "given")
    cache: dict[str, Any] = {"kind": kind, "hit_latency": dice.time(0, 1)}
    if kind == "given":
        cache["hit_ratio"] = dice.pick(0.0, 0.3, 0.8)
    if kind == "lru":
        cache["capacity"] = dice.number(1, 6)
    if kind == "ttl" or (kind == "lru" and dice.chance(5)):
        cache["ttl"] = dice.time(1, 20)
    return cache


# Who asks.


def _request_class(
    dice: Dice, name: str, route: dict[str, Any], services: list[dict[str, Any]]
) -> dict[str, Any]:
    targets = {target["service"] for target in route["targets"]}
    largest = min(each["batching"]["max_batch_size"] for each in services if each["name"] in targets)
    dice.largest[name] = largest
    kind: dict[str, Any] = {
        "name": name,
        "route": route["name"],
        "priority": dice.pick(1, 7) if dice.extra(5) else 0,
    }
    if dice.chance(7):
        # Few different values, so that classes share time-outs; never so short that a cache hit is too late.
        delays = [
            each["batching"].get("max_queue_delay", "0ns") for each in services if each["name"] in targets
        ]
        due = max(delays, key=lambda delay: int(delay[:-2]))
        # Or just the delay of a queue, so that batches begin when clients give up.
        choices = [f"{8 * dice.unit_ms}ms", dice.time(2, 30), f"{20 * dice.unit_ms}ms"]
        kind["timeout"] = dice.pick(*choices, due if int(due[:-2]) > 2 * dice.unit_ms * MS else choices[0])
    if dice.chance(6):
        kind["retries"] = _retries(dice)
    looks_up = route["coalesce"] or route.get("cache", {"kind": "given"})["kind"] != "given"
    if looks_up or dice.chance(3):
        kind["keys"] = {"count": dice.number(1, 12), "zipf": dice.pick(0.0, 1.0, 2.0)}
        if dice.chance(3):
            kind["keys"]["drift"] = {"every": dice.time(5, 40), "by": dice.number(1, 5)}
    kind["items"] = _items(dice, largest)
    if dice.number(0, 11) == 7:
        kind["difficulty"] = {"alpha": dice.pick(0.5, 2.0), "beta": dice.pick(1.0, 3.0)}
    return kind


def _items(dice: Dice, largest: int) -> Any:
    kind = dice.pick("constant", "one", "uniform", "mixture", "lognormal") if dice.extra(8) else "one"
    if kind == "uniform":
        return {"uniform": [1, largest + 1]}
    if kind == "mixture":
        parts = [{"constant": 1, "weight": 2.0}, {"uniform": [1, largest + 1], "weight": 1.0}]
        return {"mixture": parts}
    if kind == "lognormal":
        return {"lognormal": {"mu": 0.0, "sigma": 0.8}}
    return 1 if kind == "one" else dice.number(1, largest)


def _retries(dice: Dice) -> dict[str, Any]:
    retries: dict[str, Any] = {
        "max": dice.number(0, 3),
        "backoff": dice.time(0, 5),
        "multiplier": dice.pick(2.0, 1.0) if dice.grid else dice.pick(2.0, 1.5, 1.0),
        "jitter": "none" if dice.grid else dice.pick("none", "equal", "full"),
    }
    if dice.chance(5):
        retries["max_backoff"] = dice.time(1, 12)
    if dice.extra(4):
        retries["budget"] = {"ratio": dice.pick(0.1, 0.0, 0.5), "burst": dice.number(1, 5)}
    return retries


def _arrivals(dice: Dice, classes: list[dict[str, Any]], files: dict[str, str]) -> list[dict[str, Any]]:
    n = dice.number(1, len(classes))
    members: list[list[dict[str, Any]]] = [[] for _ in range(n)]
    for i, kind in enumerate(classes):
        kind["arrivals"] = f"a{i if i < n else dice.number(0, n - 1)}"
        members[int(kind["arrivals"][1:])].append(kind)
    for each in members:
        weights = [dice.number(1, 3) for _ in each]
        for kind, weight in zip(each, weights, strict=True):
            kind["share"] = weight / sum(weights)
    return [arrival_stream(dice, f"a{i}", members[i], files) for i in range(n)]

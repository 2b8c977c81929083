"""Scenarios whose answers queueing theory knows, and those answers.

All have a service time with mean 10 ms and are loaded to ρ = 0.7: there a queue is busy enough that a
wrong rule shows (the mean wait of M/M/1 is 2.3 service times), and the run is still short: the requests
needed for a given precision grow like 1 / (1 - ρ)² (W. Whitt, Planning queueing simulations, Management
Science 35(11), 1989), so that ρ = 0.95 would need 36 times as many. A warm-up of 50 s is 130 times the
relaxation time s / (1 - √ρ)² of M/M/1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.oracles import queueing
from tests.simulator.replications import (
    batch_size,
    one_service,
    response_s,
    share,
    throughput_per_s,
    utilisation,
    wait_s,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from tests.simulator.replications import Counted

    Theory: TypeAlias = dict[str, tuple[float, Callable[[Counted], float]]]

S = 0.01
RHO = 0.7
REPLICATIONS = 40
WARM_UP_S = 50
CONSTANT = {"per_item": "10ms"}

TOGETHER = {"size": 4, "queue": "shared", "instances_per_replica": 64}
CACHED_RATE, KEYS, EXPONENT, TTL = 1000, 5000, 0.9, 3.0


@dataclass(frozen=True)
class Case:
    """A scenario, and by quantity its theoretical value and how a replication measures it."""

    name: str
    document: dict[str, Any]
    theory: Theory
    requests: float
    """Requests in all replications together: enough for a half-width of about 0.4 %."""
    rate: float
    """Requests a second."""
    replications: int = field(default=REPLICATIONS)

    def scenario(self) -> dict[str, Any]:
        """The document, as long as it takes."""
        seconds = self.requests / self.replications / self.rate
        duration = f"{WARM_UP_S + seconds:.0f}s"
        return self.document | {
            "run": {"duration": duration, "warmup": f"{WARM_UP_S}s", "interval": duration}
        }


def _rate(servers: float = 1) -> float:
    return RHO * servers / S


def _noisy(**noise: Any) -> dict[str, Any]:
    return {"per_item": "10ms", "noise": noise}


def _mmc(name: str, servers: int, requests: float, **service: Any) -> Case:
    rate = _rate(servers)
    document = one_service(f"{rate}/s", **service)
    response = queueing.mmc_wait(rate, S, servers) + S
    within = 0.75 * response
    document["slos"] = [{"name": "soon", "class": "query", "latency": f"{within}s", "objective": "50%"}]
    theory = {
        "wait, s": (queueing.mmc_wait(rate, S, servers), wait_s),
        "response, s": (response, response_s),
        f"P(response ≤ {within * 1000:.1f} ms)": (
            queueing.mmc_response_cdf(rate, S, servers, round(within, 9)),
            lambda each: each.good["soon"],
        ),
        "busy servers": (RHO * servers, utilisation),
    }
    return Case(name, document, theory, requests, rate)


def _mg1(name: str, cv: float, requests: float, **noise: Any) -> Case:
    wait = queueing.mg1_wait(_rate(), S, cv)
    return Case(
        name,
        one_service(f"{_rate()}/s", latency=_noisy(**noise) if noise else CONSTANT),
        {"wait, s": (wait, wait_s), "response, s": (wait + S, response_s)},
        requests,
        _rate(),
    )


def _mdc(servers: int, requests: float) -> Case:
    rate = _rate(servers)
    document = one_service(f"{rate}/s", latency=CONSTANT, size=servers, queue="shared")
    return Case(
        f"M/D/{servers}", document, {"wait, s": (queueing.mdc_wait(rate, S, servers), wait_s)}, requests, rate
    )


def _split(servers: int, balancing: str, cv: float, requests: float, name: str) -> Case:
    """Queues of their own: gaps between the arrivals of one are gamma-distributed with this cv."""
    rate = _rate(servers)
    wait = queueing.gim1_wait(queueing.gamma_transform(_rate(), cv), S)
    document = one_service(f"{rate}/s", size=servers, balancing=balancing)
    return Case(name, document, {"response, s": (wait + S, response_s)}, requests, rate)


def _gim1(name: str, process: Any, cv: float, requests: float) -> Case:
    document = one_service(f"{_rate()}/s")
    document["arrivals"][0]["process"] = process
    wait = queueing.gim1_wait(queueing.gamma_transform(_rate(), cv), S)
    return Case(name, document, {"response, s": (wait + S, response_s)}, requests, _rate())


def _loss(servers: int, places: int, requests: float) -> Case:
    rate = 1.1 * servers / S
    loss, wait = queueing.mmck(rate, S, servers, places)
    document = one_service(
        f"{rate}/s", size=servers, queue="shared", batching={"max_queue_size": places - servers}
    )
    theory = {"loss": (loss, share("failed_queue_full")), "wait, s": (wait, wait_s)}
    return Case(f"M/M/{servers}/{places}, offered load 1.1", document, theory, requests, rate)


def _bulk_markov(largest: int, requests: float) -> Case:
    rate = RHO * largest / S
    latency = {"fixed": "10ms", "per_item": "0s", "noise": {"exponential": True}}
    document = one_service(f"{rate}/s", latency=latency, batching={"max_batch_size": largest})
    theory = {"wait, s": (queueing.bulk_markov_wait(rate, S, largest), wait_s)}
    return Case(f"M/M[1,{largest}]/1", document, theory, requests, rate)


def _bulk_growing(largest: int, requests: float) -> Case:
    fixed, per_item = 0.006, 0.001
    rate = RHO * largest / (fixed + per_item * largest)
    latency = {"fixed": f"{fixed}s", "per_item": f"{per_item}s"}
    document = one_service(f"{rate}/s", latency=latency, batching={"max_batch_size": largest})
    wait, batch = queueing.bulk_wait(rate, lambda n: fixed + per_item * n, largest)
    theory = {"wait, s": (wait, wait_s), "requests a batch": (batch, batch_size)}
    return Case(f"M/D(n)[1,{largest}]/1, D(n) = 6 ms + n · 1 ms", document, theory, requests, rate)


def _priorities(requests: float) -> Case:
    document = one_service(f"{_rate()}/s")
    (kind,) = document["classes"]
    document["classes"] = [
        kind | {"name": "urgent", "share": "40%", "priority": 7},
        kind | {"name": "patient", "share": "60%", "priority": 0},
    ]
    waits = queueing.priority_waits([0.4 * _rate(), 0.6 * _rate()], S, 1.0)

    def response(name: str) -> Callable[[Counted], float]:
        return lambda each: each.classes[name]["latency_ns"] * 1e-9 / each.classes[name]["ok_model"]

    theory = {
        f"response of {name}, s": (wait + S, response(name))
        for name, wait in zip(("urgent", "patient"), waits, strict=True)
    }
    return Case("M/M/1, two priorities", document, theory, requests, _rate())


def _users(users: int, servers: int, think: float, requests: float) -> Case:
    document = one_service(size=servers, queue="shared")
    document["arrivals"] = [
        {"name": "stream", "users": {"count": users, "think_time": {"exponential": f"{think}s"}}}
    ]
    throughput, response = queueing.machine_repair(users, think, S, servers)
    theory = {"throughput, 1/s": (throughput, throughput_per_s), "response, s": (response, response_s)}
    return Case(f"{users} users, M/M/{servers}//{users}", document, theory, requests, throughput)


def _cached(
    name: str, cache: dict[str, Any], service: str, theory: Theory, requests: float, **fleet: Any
) -> Case:
    """Zipf-popular keys in front of a service that never queues: 256 instances, 100 of them busy at most."""
    document = one_service(f"{CACHED_RATE}/s", latency={"per_item": service}, **fleet)
    document["classes"][0]["keys"] = {"count": KEYS, "zipf": EXPONENT}
    document["routes"][0] |= {"cache": cache, "coalesce": True}
    return Case(name, document, theory, requests, CACHED_RATE)


def _ttl(service: float, requests: float, **fleet: Any) -> Case:
    hits, joined = queueing.ttl_shares(queueing.zipf(KEYS, EXPONENT), CACHED_RATE, TTL, service)
    theory: Theory = {"hit ratio": (hits, share("ok_cache"))}
    if service > 1e-3:
        theory["coalesced"] = (joined, share("ok_coalesced"))
    name = f"TTL cache of {TTL:g} s, filled after {service * 1000:g} ms"
    return _cached(name, {"ttl": f"{TTL}s"}, f"{service}s", theory, requests, **fleet)


def lru(capacity: int, requests: float) -> Case:
    """An LRU cache; its theory is Che's approximation, good to a fraction of a point for this many keys."""
    hits = queueing.lru_hit_ratio(queueing.zipf(KEYS, EXPONENT), capacity)
    cache = {"kind": "lru", "capacity": capacity}
    name = f"LRU cache of {capacity} of {KEYS} keys"
    theory: Theory = {"hit ratio": (hits, share("ok_cache"))}
    return _cached(name, cache, "0.000001s", theory, requests, **TOGETHER)


CASES = (
    _mmc("M/M/1", 1, 26e6),
    _mmc("M/M/3, shared queue", 3, 42e6, size=3, queue="shared"),
    _split(4, "random", 1.0, 12e6, "4 × M/M/1, random"),
    _split(2, "round-robin", 0.5**0.5, 9e6, "2 × E₂/M/1, round robin"),
    _gim1("D/M/1", "regular", 0.0, 6e6),
    _gim1("Γ/M/1, cv 1.5", {"gamma_cv": 1.5}, 1.5, 18e6),
    _mg1("M/D/1", 0.0, 14e6),
    _mdc(3, 14e6),
    _mg1("M/G/1, lognormal, cv 0.8", 0.8, 24e6, lognormal_cv=0.8),
    _mg1("M/G/1, gamma, cv 0.5", 0.5, 18e6, gamma_cv=0.5),
    _mg1("M/G/1, gamma, cv 1.5", 1.5, 36e6, gamma_cv=1.5),
    _loss(3, 8, 8e6),
    _bulk_markov(4, 22e6),
    _bulk_growing(8, 2e6),
    _priorities(20e6),
    _users(30, 1, 0.4, 6e6),
    _users(60, 4, 0.15, 8e6),
    _ttl(0.3, 6e6, size=256, balancing="round-robin"),
    _ttl(0.000001, 4e6, **TOGETHER),
)
LRU_CASES = (lru(50, 2e6), lru(500, 2e6), lru(2000, 2e6))

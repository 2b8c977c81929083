"""Queues, caches and arrivals with known answers, each formula with its source.

Rates are per second, times in seconds, `wait` is the time in the queue without the service. The formulas are
checked against independent second computations in `test_queueing.py`; nothing here knows about the simulator.

Sources, by short name:

- Kleinrock: L. Kleinrock, Queueing Systems, volume 1: Theory. Wiley, 1975.
- Gross & Harris: D. Gross, J. Shortle, J. Thompson, C. Harris, Fundamentals of Queueing Theory. 4th ed.,
  Wiley, 2008.
- Bailey: N. T. J. Bailey, On queueing processes with bulk service. J. R. Statist. Soc. B 16(1), 1954, 80-87.
- Crommelin: C. D. Crommelin, Delay probability formulae when the holding times are constant. P.O. Elect.
  Eng. J. 25, 1932; as in H. C. Tijms, A First Course in Stochastic Models, Wiley, 2003, section 9.6.1.
- Cobham: A. Cobham, Priority assignment in waiting line problems. Operations Research 2(1), 1954, 70-76.
- Che: H. Che, Y. Tung, Z. Wang, Hierarchical Web caching systems. IEEE JSAC 20(7), 2002, 1305-1314.
- Heffes & Lucantoni: A Markov modulated characterization of packetized voice and data traffic. IEEE JSAC
  4(6), 1986.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, stats

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


def erlang_b(servers: int, offered: float) -> float:
    """Blocking probability of M/M/c/c, by B(n) = aB(n-1) / (n + aB(n-1)) (Gross & Harris, 2.6)."""
    blocking = 1.0
    for n in range(1, servers + 1):
        blocking = offered * blocking / (n + offered * blocking)
    return blocking


def erlang_c(servers: int, offered: float) -> float:
    """Probability that an arrival to M/M/c waits: cB / (c - a(1 - B)) (Gross & Harris, 2.3)."""
    blocking = erlang_b(servers, offered)
    return servers * blocking / (servers - offered * (1 - blocking))


def mmc_wait(rate: float, service: float, servers: int) -> float:
    """Mean wait of M/M/c: C · s / (c - a) (Gross & Harris, 2.3)."""
    offered = rate * service
    return erlang_c(servers, offered) * service / (servers - offered)


def mmc_response_cdf(rate: float, service: float, servers: int, within: float) -> float:
    """P(response <= within) of M/M/c in order of arrival (Gross & Harris, 2.3).

    A wait, if there is one, is exponential with rate θ = (c - a)/s; the service with rate μ = 1/s is added.
    """
    waits, mu = erlang_c(servers, rate * service), 1 / service
    theta = (servers - rate * service) / service
    if math.isclose(theta, mu):
        late_after_wait = (1 + mu * within) * math.exp(-mu * within)
    else:
        late_after_wait = (theta * math.exp(-mu * within) - mu * math.exp(-theta * within)) / (theta - mu)
    return 1 - (1 - waits) * math.exp(-mu * within) - waits * late_after_wait


def mg1_wait(rate: float, service: float, cv: float) -> float:
    """Mean wait of M/G/1 by Pollaczek and Khinchine: λ E[S²] / (2(1 - ρ)) (Kleinrock, 5.6)."""
    return rate * service**2 * (1 + cv**2) / (2 * (1 - rate * service))


def mdc_wait(rate: float, service: float, servers: int) -> float:
    """Mean wait of M/D/c, by Crommelin's series."""
    offered = rate * service
    total, term, i = 0.0, 1.0, 0
    while term > 1e-16 * max(total, 1e-300) or i < 10:
        i += 1
        poisson = stats.poisson(i * offered)
        term = float(poisson.sf(i * servers - 1) - servers / offered * poisson.sf(i * servers))
        total += term
    return total * service


def mmck(rate: float, service: float, servers: int, places: int) -> tuple[float, float]:
    """Loss and mean wait of M/M/c with room for `places`, in service and queue (Gross & Harris, 2.5)."""
    offered = rate * service
    weights = [1.0]
    for n in range(1, places + 1):
        weights.append(weights[-1] * offered / min(n, servers))
    shares = np.array(weights) / sum(weights)
    queue = sum(share * max(n - servers, 0) for n, share in enumerate(shares))
    return float(shares[-1]), float(queue / (rate * (1 - shares[-1])))


def gim1_wait(gap_transform: Callable[[float], float], service: float) -> float:
    """Mean wait of GI/M/1: σs / (1 - σ) with σ = A*(μ(1 - σ)) in (0, 1) (Kleinrock, 6.4).

    `gap_transform` is the Laplace-Stieltjes transform A* of the gaps between arrivals.
    """

    def excess(x: float) -> float:
        return gap_transform((1 - x) / service) - x

    sigma = float(optimize.brentq(excess, 1e-12, 1 - 1e-9, xtol=1e-15))
    return sigma * service / (1 - sigma)


def gamma_transform(rate: float, cv: float) -> Callable[[float], float]:
    """Laplace-Stieltjes transform of gamma gaps with this rate; cv 0: gaps that are all alike."""
    if cv == 0:
        return lambda s: math.exp(-s / rate)
    return lambda s: (1 + s * cv**2 / rate) ** (-1 / cv**2)


def priority_waits(rates: Sequence[float], service: float, cv: float) -> list[float]:
    """Mean waits of the classes of a non-preemptive priority M/G/1, highest class first (Cobham)."""
    residual = sum(rates) * service**2 * (1 + cv**2) / 2
    waits, above = [], 0.0
    for rate in rates:
        here = above + rate * service
        waits.append(residual / ((1 - above) * (1 - here)))
        above = here
    return waits


def bulk_markov_wait(rate: float, service: float, largest: int) -> float:
    """Mean wait of M/M[1, b]/1: a free server takes up to b that wait, for an exponential time (Bailey).

    While a batch is served n wait with P(n) = P(0) rⁿ, where r in (0, 1) solves μ r^(b+1) - (λ + μ) r + λ
    = 0.
    """
    mu = 1 / service

    def characteristic(r: float) -> float:
        return mu * r ** (largest + 1) - (rate + mu) * r + rate

    root = float(optimize.brentq(characteristic, 1e-12, 1 - 1e-9, xtol=1e-15))
    empty = 1 / (mu / rate + 1 / (1 - root))
    return empty * root / (1 - root) ** 2 / rate


def bulk_wait(
    rate: float, batch_time: Callable[[int], float], largest: int, cv: float = 0.0, states: int = 400
) -> tuple[float, float]:
    """Mean wait and mean batch where a free server takes all that wait, up to `largest`.

    The queue left at the ends of services is a Markov chain, solved numerically (Bailey's embedded
    chain). Little's law gives the wait from the mean queue: in a cycle from one end of service to the
    next, those left behind wait through the whole service, arrivals through half of it, nobody while
    idle. cv: 0 (constant) or 1 (exponential).
    """
    counts = np.arange(states)
    arrivals = {}
    for size in range(1, largest + 1):
        mean = rate * batch_time(size)
        distribution = stats.poisson(mean) if cv == 0 else stats.geom(1 / (1 + mean), loc=-1)
        arrivals[size] = distribution.pmf(counts)
    transitions = np.zeros((states, states))
    queue_time, length, batch = np.zeros(states), np.zeros(states), np.zeros(states)
    for left in range(states):
        batch[left] = size = min(max(left, 1), largest)
        behind = max(left - size, 0)
        transitions[left, behind:] = arrivals[size][: states - behind]
        transitions[left, -1] += 1 - transitions[left].sum()
        time = batch_time(size)
        queue_time[left] = behind * time + rate * time**2 * (1 + cv**2) / 2
        length[left] = time + (1 / rate if left == 0 else 0.0)
    shares = stationary(transitions - np.eye(states))
    wait = float(shares @ queue_time / (shares @ length) / rate)
    return wait, float(shares @ batch)


def machine_repair(users: int, think: float, service: float, servers: int = 1) -> tuple[float, float]:
    """Throughput and mean response of `users` who think, then queue at c servers (Kleinrock, 3.8)."""
    weights = [1.0]
    for n in range(1, users + 1):
        weights.append(weights[-1] * (users - n + 1) / think * service / min(n, servers))
    shares = np.array(weights) / sum(weights)
    throughput = sum(share * min(n, servers) / service for n, share in enumerate(shares))
    return float(throughput), float(users / throughput - think)


def stationary(generator: NDArray[np.float64]) -> NDArray[np.float64]:
    """Stationary distribution of a Markov chain from its generator (or transition matrix minus identity)."""
    system = generator.T.copy()
    system[-1] = 1.0  # one balance equation follows from the others; the shares add up to 1
    return np.linalg.solve(system, np.eye(len(generator))[-1])


def zipf(count: int, exponent: float) -> NDArray[np.float64]:
    """Probabilities of the ranks 1..count."""
    weights = np.arange(1, count + 1, dtype=np.float64) ** -exponent
    return weights / weights.sum()


def ttl_shares(popularity: NDArray[np.float64], rate: float, ttl: float, fetch: float) -> tuple[float, float]:
    """Shares of hits and coalesced requests in a TTL cache whose entries are filled `fetch` after the miss.

    A key's cycle is a miss, the flight (requests join it), the entry's life (requests hit) and an
    exponential rest, so by the renewal-reward theorem λT / (1 + λ(T + f)) hit and λf / (1 + λ(T + f))
    join: λT / (1 + λT) for f = 0.
    """
    rates = rate * popularity
    cycle = 1 + rates * (ttl + fetch)
    return float(popularity @ (rates * ttl / cycle)), float(popularity @ (rates * fetch / cycle))


def lru_hit_ratio(popularity: NDArray[np.float64], capacity: int) -> float:
    """Hit ratio of LRU by Che's approximation: Σ p(1 - e^(-pt)), where t solves Σ(1 - e^(-pt)) = capacity."""

    def kept(log_time: float) -> float:
        return float(-np.expm1(-popularity * math.exp(log_time)).sum()) - capacity

    time = math.exp(optimize.brentq(kept, -20, 60, xtol=1e-12))
    return float(popularity @ -np.expm1(-popularity * time))


def mmpp2_dispersion(rates: tuple[float, float], leaves: tuple[float, float], span: float) -> float:
    """Var N / E N over `span` of a two-state MMPP in equilibrium (Heffes & Lucantoni, equation 13)."""
    (first, second), (out_first, out_second) = rates, leaves
    change = out_first + out_second
    mean = (first * out_second + second * out_first) / change
    excess = 2 * out_first * out_second * (first - second) ** 2 / (change**3 * mean)
    return 1 + excess * (1 - (1 - math.exp(-change * span)) / (change * span))

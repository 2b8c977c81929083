"""Every formula of `queueing.py` against a second computation that shares nothing with it.

A Markov chain solved by linear algebra, an integral, or a few lines of brute force.
"""

import math
from collections import OrderedDict

import numpy as np
import pytest
from scipy import integrate, stats

from tests.oracles import queueing


def birth_death(births, deaths):
    """Stationary distribution of a birth-death chain, by linear algebra instead of the product form."""
    size = len(births) + 1
    generator = np.zeros((size, size))
    for n, (up, down) in enumerate(zip(births, deaths, strict=True)):
        generator[n, n + 1], generator[n + 1, n] = up, down
    return queueing.stationary(generator - np.diag(generator.sum(axis=1)))


def queue_chain(rate, service, servers, places):
    return birth_death([rate] * places, [min(n, servers) / service for n in range(1, places + 1)])


@pytest.mark.parametrize(("servers", "offered"), [(1, 0.5), (3, 2.1), (8, 6.0), (20, 25.0)])
def test_erlang_b_is_the_full_state_of_the_chain(servers, offered):
    chain = queue_chain(offered, 1.0, servers, servers)
    assert queueing.erlang_b(servers, offered) == pytest.approx(chain[-1], rel=1e-9)


def test_erlang_b_is_the_truncated_poisson_distribution():
    poisson = stats.poisson(6.0)
    assert queueing.erlang_b(8, 6.0) == pytest.approx(poisson.pmf(8) / poisson.cdf(8), rel=1e-12)


@pytest.mark.parametrize(("servers", "utilisation"), [(1, 0.7), (2, 0.5), (4, 0.7), (8, 0.8)])
def test_mmc_is_a_long_birth_death_chain(servers, utilisation):
    rate, service = servers * utilisation / 0.02, 0.02
    chain = queue_chain(rate, service, servers, 400)
    numbers = np.arange(401)
    assert queueing.erlang_c(servers, rate * service) == pytest.approx(chain[servers:].sum(), rel=1e-8)
    queue = chain @ np.maximum(numbers - servers, 0)
    assert queueing.mmc_wait(rate, service, servers) == pytest.approx(queue / rate, rel=1e-8)


@pytest.mark.parametrize(("servers", "rate"), [(1, 0.7), (3, 2.1), (3, 2.0)])
def test_response_times_of_mmc_add_up_to_their_mean_and_match_the_states(servers, rate):
    def late(within):
        return 1 - queueing.mmc_response_cdf(rate, 1.0, servers, within)

    mean = integrate.quad(late, 0, np.inf)[0]
    assert mean == pytest.approx(queueing.mmc_wait(rate, 1.0, servers) + 1, rel=1e-8)
    # Who finds n >= c in the system waits for n - c + 1 departures at rate c, then is served.
    chain = queue_chain(rate, 1.0, servers, 300)
    grid = np.linspace(0, 1.5, 20_001)
    found = chain[:servers].sum() * (1 - math.exp(-1.5))
    for n in range(servers, 120):
        wait = stats.gamma(n - servers + 1, scale=1 / servers)
        found += chain[n] * integrate.simpson(wait.pdf(grid) * -np.expm1(-(1.5 - grid)), x=grid)
    assert queueing.mmc_response_cdf(rate, 1.0, servers, 1.5) == pytest.approx(found, rel=1e-5)


def test_pollaczek_khinchine_is_mm1_for_exponential_and_half_of_it_for_constant_service():
    exponential = queueing.mmc_wait(70.0, 0.01, 1)
    assert queueing.mg1_wait(70.0, 0.01, 1.0) == pytest.approx(exponential, rel=1e-12)
    assert queueing.mg1_wait(70.0, 0.01, 0.0) == pytest.approx(exponential / 2, rel=1e-12)


def test_pollaczek_khinchine_is_the_chain_of_an_erlang_service():
    # M/E4/1: each service is 4 exponential phases; the state is the number of phases still to be done.
    rate, service, phases, size = 0.7, 1.0, 4, 800
    generator = np.zeros((size, size))
    for state in range(size):
        if state + phases < size:
            generator[state, state + phases] = rate
        if state:
            generator[state, state - 1] = phases / service
    chain = queueing.stationary(generator - np.diag(generator.sum(axis=1)))
    work = chain @ np.arange(size) * service / phases  # work in the system = wait of the next arrival
    assert queueing.mg1_wait(rate, service, 1 / math.sqrt(phases)) == pytest.approx(work, rel=1e-6)


@pytest.mark.parametrize(("servers", "utilisation"), [(1, 0.7), (3, 0.7), (4, 0.8), (8, 0.6)])
def test_mdc_is_the_chain_of_the_number_in_system_a_service_time_apart(servers, utilisation):
    # Who was in service at t is gone at t + D, who began after t is not: N' = max(N - c, 0) + Poisson(λD).
    offered, size = servers * utilisation, 160
    transitions = np.zeros((size, size))
    for n in range(size):
        left = max(n - servers, 0)
        transitions[n, left:] = stats.poisson.pmf(np.arange(size - left), offered)
        transitions[n, -1] += 1 - transitions[n].sum()
    chain = queueing.stationary(transitions - np.eye(size))
    queue = chain @ np.maximum(np.arange(size) - servers, 0)
    assert queueing.mdc_wait(offered, 1.0, servers) == pytest.approx(queue / offered, rel=1e-7)


def test_mdc_with_one_server_is_pollaczek_khinchine():
    assert queueing.mdc_wait(0.7, 1.0, 1) == pytest.approx(queueing.mg1_wait(0.7, 1.0, 0.0), rel=1e-9)


@pytest.mark.parametrize(("servers", "places", "rate"), [(1, 5, 0.9), (3, 8, 3.5), (2, 2, 1.0)])
def test_loss_and_wait_of_a_bounded_queue_are_those_of_its_chain(servers, places, rate):
    chain = queue_chain(rate, 1.0, servers, places)
    queue = chain @ np.maximum(np.arange(places + 1) - servers, 0)
    loss, wait = queueing.mmck(rate, 1.0, servers, places)
    assert loss == pytest.approx(chain[-1], rel=1e-9)
    assert wait == pytest.approx(queue / rate / (1 - chain[-1]), rel=1e-9)


def test_gim1_is_mm1_for_exponential_gaps():
    found = queueing.gim1_wait(queueing.gamma_transform(0.7, 1.0), 1.0)
    assert found == pytest.approx(queueing.mmc_wait(0.7, 1.0, 1), rel=1e-9)


def test_gim1_is_the_embedded_chain_of_what_arrivals_find():
    # Between two arrivals Poisson(μ · gap) could be served; D/M/1 at ρ = 0.7, so a gap is 1/0.7 services.
    size = 200
    served = stats.poisson(1 / 0.7)
    transitions = np.zeros((size, size))
    for found in range(size):
        most = min(found + 1, size - 1)
        for after in range(1, most + 1):
            transitions[found, after] = served.pmf(most - after)
        transitions[found, 0] = served.sf(most - 1)
    chain = queueing.stationary(transitions - np.eye(size))
    expected = chain @ np.arange(size)
    assert queueing.gim1_wait(queueing.gamma_transform(0.7, 0.0), 1.0) == pytest.approx(expected, rel=1e-6)


def test_gamma_transform_is_the_integral_over_the_gaps():
    gaps = stats.gamma(1 / 2.0**2, scale=2.0**2 / 5.0)
    integral = integrate.quad(lambda u: math.exp(-3.0 * gaps.ppf(u)), 0, 1)[0]
    assert queueing.gamma_transform(5.0, 2.0)(3.0) == pytest.approx(integral, rel=1e-6)


def test_priorities_shift_waits_and_keep_the_work():
    # M/M/1 with two classes, state (first in queue, second in queue, class in service: 0 idle, 1, 2).
    rates, most = (0.3, 0.4), 36
    states = {(0, 0, 0): 0}
    for first in range(most):
        for second in range(most):
            for serving in (1, 2):
                states[first, second, serving] = len(states)
    generator = np.zeros((len(states), len(states)))
    for (first, second, serving), here in states.items():
        moves = [((first + 1, second, serving), rates[0]), ((first, second + 1, serving), rates[1])]
        if serving == 0:
            moves = [((0, 0, 1), rates[0]), ((0, 0, 2), rates[1])]
        elif first:
            moves.append(((first - 1, second, 1), 1.0))
        elif second:
            moves.append(((0, second - 1, 2), 1.0))
        else:
            moves.append(((0, 0, 0), 1.0))
        for there, rate in moves:
            if there in states:
                generator[here, states[there]] += rate
    chain = queueing.stationary(generator - np.diag(generator.sum(axis=1)))
    places = np.array(list(states))
    expected = [chain @ places[:, 0] / rates[0], chain @ places[:, 1] / rates[1]]
    assert queueing.priority_waits(rates, 1.0, 1.0) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("largest", [1, 4, 8])
def test_bulk_service_in_closed_form_is_the_embedded_chain(largest):
    rate, service = 0.7 * largest, 1.0
    embedded, _ = queueing.bulk_wait(rate, lambda _: service, largest, cv=1.0)
    assert queueing.bulk_markov_wait(rate, service, largest) == pytest.approx(embedded, rel=1e-6)


def test_bulk_service_of_one_is_mm1_and_md1():
    assert queueing.bulk_markov_wait(0.7, 1.0, 1) == pytest.approx(queueing.mmc_wait(0.7, 1.0, 1), rel=1e-9)
    wait, batch = queueing.bulk_wait(0.7, lambda _: 1.0, 1)
    assert wait == pytest.approx(queueing.mg1_wait(0.7, 1.0, 0.0), rel=1e-6)
    assert batch == pytest.approx(1.0)


def test_batches_that_grow_with_the_queue_match_brute_force():
    rate, largest = 4.0, 8

    def batch_time(size):
        return 0.3 + 0.15 * size

    def brute_force(seed, requests=100_000):
        sends = np.cumsum(np.random.default_rng(seed).exponential(1 / rate, requests)).tolist()
        free, at, waited, batches = 0.0, 0, 0.0, 0
        while at < requests:
            start, first = max(free, sends[at]), at
            while at < min(first + largest, requests) and sends[at] <= start:
                waited += start - sends[at]
                at += 1
            free, batches = start + batch_time(at - first), batches + 1
        return waited / requests, requests / batches

    found = np.array([brute_force(seed) for seed in range(1, 13)])
    error = found.std(axis=0, ddof=1) / math.sqrt(len(found))
    exact = np.array(queueing.bulk_wait(rate, batch_time, largest))
    assert np.all(np.abs(found.mean(axis=0) - exact) < 4 * error)
    assert np.all(error < 0.005 * exact)


@pytest.mark.parametrize(("users", "servers"), [(1, 1), (20, 1), (30, 4)])
def test_machine_repair_is_its_chain(users, servers):
    chain = birth_death(
        [(users - n) / 2.0 for n in range(users)], [min(n, servers) / 0.1 for n in range(1, users + 1)]
    )
    throughput, response = queueing.machine_repair(users, 2.0, 0.1, servers)
    assert throughput == pytest.approx(chain @ np.minimum(np.arange(users + 1), servers) / 0.1, rel=1e-9)
    assert response == pytest.approx(chain @ np.arange(users + 1) / throughput, rel=1e-9)


def test_zipf_is_scipys():
    assert queueing.zipf(50, 0.9) == pytest.approx(stats.zipfian(0.9, 50).pmf(np.arange(1, 51)), rel=1e-12)


def test_ttl_shares_match_brute_force():
    popularity, rate, ttl, fetch = queueing.zipf(20, 0.8), 10.0, 3.0, 0.5
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.exponential(1 / rate, 300_000))
    keys = rng.choice(20, len(times), p=popularity)
    filled = np.full(20, -np.inf)
    hits = joined = 0
    for time, key in zip(times, keys, strict=True):
        if time < filled[key]:
            joined += 1
        elif time < filled[key] + ttl:
            hits += 1
        else:
            filled[key] = time + fetch
    expected = queueing.ttl_shares(popularity, rate, ttl, fetch)
    assert (hits / len(times), joined / len(times)) == pytest.approx(expected, abs=0.003)


def test_lru_by_che_is_near_the_exact_ratio_of_small_caches():
    # King (1971): an order of recency i1, i2, … has probability Π p(ij) / (1 - p(i1) - … - p(ij-1)).
    popularity = queueing.zipf(7, 0.8)

    def exact(capacity):
        total, orders = 0.0, [((), 1.0)]
        for _ in range(capacity):
            orders = [
                ((*order, key), share * popularity[key] / (1 - sum(popularity[each] for each in order)))
                for order, share in orders
                for key in range(7)
                if key not in order
            ]
        for order, share in orders:
            total += share * sum(popularity[key] for key in order)
        return total

    for capacity in (1, 2, 3, 5):
        assert queueing.lru_hit_ratio(popularity, capacity) == pytest.approx(exact(capacity), abs=0.02)


def test_lru_by_che_matches_brute_force_on_many_keys():
    popularity, capacity = queueing.zipf(2000, 0.9), 200
    keys = np.random.default_rng(1).choice(2000, 400_000, p=popularity)
    kept, hits = OrderedDict(), 0
    for place, key in enumerate(keys.tolist()):
        if key in kept:
            kept.move_to_end(key)
            hits += place >= 50_000
        else:
            kept[key] = None
            if len(kept) > capacity:
                kept.popitem(last=False)
    assert queueing.lru_hit_ratio(popularity, capacity) == pytest.approx(hits / 350_000, abs=0.003)


def test_dispersion_of_an_mmpp_is_the_integral_of_its_rates_covariance():
    rates, leaves, span = (30.0, 300.0), (0.5, 2.0), 1.7
    shares = np.array([leaves[1], leaves[0]]) / sum(leaves)
    mean = shares @ rates

    def covariance(lag):
        # Of the rates at two times: variance of the rate, fading with the sum of the leaving rates.
        return shares[0] * shares[1] * (rates[0] - rates[1]) ** 2 * math.exp(-sum(leaves) * lag)

    variance = mean * span + 2 * integrate.quad(lambda lag: (span - lag) * covariance(lag), 0, span)[0]
    assert queueing.mmpp2_dispersion(rates, leaves, span) == pytest.approx(variance / (mean * span), rel=1e-9)

"""Random numbers against their distributions: every test is exact in its law, and its seed is 1.

A test of a distribution fails by chance once in 10,000 for a correct generator (LEVEL).
"""

import itertools
import math

import numba
import numpy as np
import pytest
from scipy import stats

from scenarios.schema.base import CountDistribution, DurationDistribution
from scenarios.schema.traffic import Difficulty
from simulator.dataplane import draws, python_draws
from simulator.dataplane.distributions import count_weights, difficulty_quantiles, duration_quantiles_ns

LEVEL = 1e-4
N = 1_000_000
SEED = draws.named_seed(1, "tests/draws")


def vector_of(draw):
    """`draw(hash, parameter)` for ids 0 to n - 1, compiled."""
    draw = numba.njit(draw)

    @numba.njit
    def vector(seed, n, attempt, parameter):
        out = np.empty(n)
        for i in range(n):
            out[i] = draw(draws.hashed(seed, i, attempt), parameter)
        return out

    return lambda n=N, parameter=0.0, seed=SEED, attempt=0: vector(seed, n, attempt, parameter)


units = vector_of(lambda h, _: draws.unit(h))
lower_units = vector_of(lambda h, _: draws.unit(h << numba.uint64(32)))
units_again = vector_of(lambda h, _: draws.unit(draws.again(h)))
exponentials = vector_of(lambda h, _: draws.exponential(h))
normals = vector_of(lambda h, _: draws.normal(h))
gammas = vector_of(lambda h, shape: draws.noise(draws.NOISE_GAMMA, shape, h))
exps = vector_of(lambda h, largest: draws.exp(largest * (2 * draws.unit(h) - 1)))


def fits(values, distribution):
    """Kolmogorov-Smirnov."""
    return stats.kstest(values, distribution.cdf).pvalue > LEVEL


def independent(x, y, cells=32):
    """Chi-square test of the 32 × 32 table of two uniform numbers, of its margins too."""
    table = np.bincount((x * cells).astype(int) * cells + (y * cells).astype(int), minlength=cells**2)
    return stats.chisquare(table).pvalue > LEVEL


def test_units_are_uniform():
    assert fits(units(), stats.uniform())
    assert 0 <= units().min() < units().max() < 1


@pytest.mark.parametrize("lag", [1, 2, 255, 256, 257])
def test_neighbouring_ids_are_independent(lag):
    values = units(N + lag)
    assert independent(values[:-lag], values[lag:])


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations((0, 1, 2, 255), 2)))
def test_attempts_of_an_id_are_independent(one, other):
    assert independent(units(attempt=one), units(attempt=other))


def test_streams_and_seeds_are_independent():
    names = [(1, "classes/a/keys"), (1, "classes/a/items"), (1, "classes/b/keys"), (2, "classes/a/keys")]
    columns = [units(seed=draws.named_seed(*name)) for name in names]
    assert all(independent(x, y) for x, y in itertools.combinations(columns, 2))
    batches = draws.named_seed(1, "services/s/batches")
    mixed = [units(seed=batches ^ draws.named_seed(1, f"arrivals/{name}/batches")) for name in "ab"]
    assert independent(*mixed)


def test_both_halves_and_the_next_bits_of_a_hash_are_independent():
    assert independent(units(), lower_units())
    assert independent(units(), units_again())


def test_no_two_ids_share_a_hash():
    """64 random bits of a million ids collide once in 37 million seeds."""

    @numba.njit
    def hashes(n):
        out = np.empty(n, np.uint64)
        for i in range(n):
            out[i] = draws.hashed(SEED, i // 4, i % 4)
        return out

    assert len(np.unique(hashes(N))) == N
    assert len({draws.named_seed(seed, name) for seed in range(300) for name in ("a", "b", "ab")}) == 900


def test_exponential():
    values = exponentials(4 * N)
    assert fits(values, stats.expon())
    tail = values[values > draws._EXP_RIGHT]
    assert len(tail) > 1000
    assert fits(tail - draws._EXP_RIGHT, stats.expon())
    assert stats.binomtest(len(tail), 4 * N, math.exp(-draws._EXP_RIGHT)).pvalue > LEVEL


def test_normal():
    values = normals(4 * N)
    assert fits(values, stats.norm())
    tail = np.abs(values)[np.abs(values) > draws._NORMAL_RIGHT]
    assert len(tail) > 500
    beyond = stats.truncnorm(draws._NORMAL_RIGHT, np.inf)
    assert fits(tail, beyond)
    assert stats.binomtest(len(tail), 4 * N, 2 * stats.norm.sf(draws._NORMAL_RIGHT)).pvalue > LEVEL
    assert stats.binomtest(int((values > 0).sum()), 4 * N, 0.5).pvalue > LEVEL


@pytest.mark.parametrize("shape", [0.05, 0.44, 1.0, 1.7, 4.0, 100.0])
def test_gamma(shape):
    assert fits(gammas(parameter=shape), stats.gamma(shape, scale=1 / shape))


@pytest.mark.parametrize("largest", [1.0, 700.0])
def test_exp_to_the_last_bits(largest):
    arguments = largest * (2 * units() - 1)
    assert np.max(np.abs(exps(parameter=largest) / np.exp(arguments) - 1)) < 5e-16


def test_noises_have_mean_one_and_the_cv_that_was_asked_for():
    @numba.njit
    def noises(kind, parameter, n):
        out = np.empty(n)
        for i in range(n):
            out[i] = draws.noise(kind, parameter, draws.hashed(SEED, i, 0))
        return out

    sigma = math.sqrt(math.log1p(0.5**2))
    for kind, parameter, law in (
        (draws.NOISE_LOGNORMAL, sigma, stats.lognorm(sigma, scale=math.exp(-(sigma**2) / 2))),
        (draws.NOISE_EXPONENTIAL, 0.0, stats.expon()),
        (draws.NOISE_GAMMA, 1 / 0.5**2, stats.gamma(4, scale=1 / 4)),
    ):
        assert law.mean() == pytest.approx(1, rel=1e-12)
        assert fits(noises(kind, parameter, N), law)
    assert np.all(noises(draws.NOISE_NONE, 0.0, 10) == 1)


@pytest.mark.parametrize("weights", [np.ones(7), np.arange(1, 1001) ** -1.1, np.array([5.0, 0.0, 1e-7, 2.0])])
def test_alias_table(weights):
    table = draws.alias_table(weights)
    kept = (table & np.uint64(0xFFFFFFFF)) / 2.0**31
    alias = (table >> np.uint64(32)).astype(int)
    stands_for = kept + np.bincount(alias, 1 - kept, minlength=len(weights))
    expected = weights / weights.sum()
    assert stands_for / len(weights) == pytest.approx(expected, abs=2.0**-31)

    @numba.njit
    def choices(n):
        out = np.empty(n, np.int64)
        for i in range(n):
            out[i] = draws.aliased(table, 0, len(table), draws.hashed(SEED, i, 0))
        return out

    counts = np.bincount(choices(N), minlength=len(weights))
    assert np.all(counts[weights == 0] == 0)
    frequent = expected * N > 5
    assert (
        stats.chisquare(
            counts[frequent], expected[frequent] / expected[frequent].sum() * counts[frequent].sum()
        ).pvalue
        > LEVEL
    )


def test_jitter():
    waits = {
        kind: np.array([python_draws.draw_wait_ns(kind, 1_000_000, SEED, i, 0) for i in range(50_000)])
        for kind in (draws.JITTER_NONE, draws.JITTER_EQUAL, draws.JITTER_FULL)
    }
    assert np.all(waits[draws.JITTER_NONE] == 1_000_000)
    assert fits(waits[draws.JITTER_EQUAL], stats.uniform(500_000, 500_000))
    assert fits(waits[draws.JITTER_FULL], stats.uniform(0, 1_000_000))
    assert python_draws.draw_wait_ns(draws.JITTER_FULL, 0, SEED, 1, 0) == 0


def delays_s(distribution, n=200_000):
    table = duration_quantiles_ns(distribution)

    @numba.njit
    def all_of_them():
        out = np.empty(n)
        for i in range(n):
            out[i] = draws.delay_ns(table, 0, len(table), SEED, i, 0)
        return out

    return all_of_them() / 1e9


SIGMA = math.sqrt(math.log1p(0.8**2))
DURATIONS = {
    "uniform": (DurationDistribution(uniform=("1s", "3s")), stats.uniform(1, 2)),
    "exponential": (DurationDistribution(exponential="2s"), stats.expon(scale=2)),
    "lognormal": (
        DurationDistribution(lognormal={"mean": "2s", "cv": 0.8}),
        stats.lognorm(SIGMA, scale=2 * math.exp(-(SIGMA**2) / 2)),
    ),
    "gamma": (
        DurationDistribution(gamma={"mean": "2s", "cv": 1.4}),
        stats.gamma(1 / 1.4**2, scale=2 * 1.4**2),
    ),
}


@pytest.mark.parametrize("name", DURATIONS)
def test_delays(name):
    distribution, law = DURATIONS[name]
    values = delays_s(distribution)
    assert fits(values, law)
    table = duration_quantiles_ns(distribution) / 1e9
    assert np.mean((table[1:] + table[:-1]) / 2) == pytest.approx(law.mean(), rel=1e-9)


def test_constant_delays_and_no_spread():
    assert np.all(delays_s(DurationDistribution(constant="250ms"), 10) == 0.25)
    assert np.all(delays_s(DurationDistribution(gamma={"mean": "3s", "cv": 0.0}), 10) == 3.0)
    assert delays_s(DurationDistribution(lognormal={"mean": "3s", "cv": 0.0}), 10) == pytest.approx(3.0)


def test_empirical_delays_are_the_measured_values_alike():
    values = delays_s(DurationDistribution(empirical=["1s", "2s", "2s", "7s"]))
    counts = [np.isclose(values, each).mean() for each in (1.0, 2.0, 7.0)]
    assert counts == pytest.approx([0.25, 0.5, 0.25], abs=0.005)


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (2.0, 5.0), (0.5, 0.5), (40.0, 3.0)])
def test_difficulty(alpha, beta):
    table = difficulty_quantiles(Difficulty(alpha=alpha, beta=beta))
    values = np.interp(units(200_000), np.linspace(0, 1, len(table)), table)
    assert fits(values, stats.beta(alpha, beta))


def test_counts_are_rounded_to_the_nearest_and_cut_at_the_largest():
    weights = count_weights(CountDistribution(lognormal={"mu": 1.0, "sigma": 0.9}), 12)
    law = stats.lognorm(0.9, scale=math.e)
    expected = [law.cdf(1.5)] + [law.cdf(n + 0.5) - law.cdf(n - 0.5) for n in range(2, 12)] + [law.sf(11.5)]
    assert weights == pytest.approx(expected, rel=1e-9)
    assert weights.sum() == pytest.approx(1, rel=1e-12)


def test_counts_of_a_mixture_are_whole_numbers_up_to_but_not_including_high():
    parts = [{"uniform": [1, 4], "weight": 3.0}, {"constant": 9, "weight": 1.0}]
    weights = count_weights(CountDistribution(mixture=parts), 8)
    assert weights == pytest.approx([0.25, 0.25, 0.25, 0, 0, 0, 0, 0.25])


@pytest.mark.parametrize(
    ("distribution", "cv", "lost"),
    [
        ({"exponential": "1s"}, 1.0, 0.004),
        ({"lognormal": {"mean": "1s", "cv": 0.8}}, 0.8, 0.02),
        ({"gamma": {"mean": "1s", "cv": 1.4}}, 1.4, 0.01),
    ],
)
def test_what_4097_quantiles_cost_in_spread(distribution, cv, lost):
    """The tables end at the level 1 - 1/8192: their mean is exact, their spread is a little small."""
    table = duration_quantiles_ns(DurationDistribution(**distribution)) / 1e9
    low, high = table[:-1], table[1:]
    spread = math.sqrt(np.mean((low**2 + low * high + high**2) / 3) - np.mean((low + high) / 2) ** 2)
    assert cv * (1 - lost) < spread <= cv

"""Student's t and Clopper–Pearson, against scipy."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import betainc

from simulator.results.intervals import (
    clean_run_bound,
    clopper_pearson,
    incomplete_beta,
    mean_interval,
    student_t_quantile,
)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 29, 99, 999, 10_000])
@pytest.mark.parametrize("probability", [0.025, 0.5, 0.9, 0.975, 0.9995])
def test_t_quantile_is_scipys(degrees, probability):
    expected = stats.t.ppf(probability, degrees)
    assert student_t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 5), (5, 5), (1, 1), (0, 1), (3, 30), (299, 300), (500, 1000)]
)
def test_clopper_pearson_is_scipys(successes, trials):
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert clopper_pearson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_incomplete_beta_is_scipys():
    random = np.random.default_rng(3)
    for a, b, x in zip(
        random.uniform(0.1, 200, 300), random.uniform(0.1, 200, 300), random.random(300), strict=True
    ):
        assert incomplete_beta(a, b, x) == pytest.approx(betainc(a, b, x), abs=1e-12)


def test_mean_interval_is_scipys():
    values = [3.1, 2.7, 3.4, 2.9, 3.3]
    found = mean_interval(values)
    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-9)
    assert found.mean == pytest.approx(np.mean(values))


def test_an_interval_of_one_replication_is_refused():
    with pytest.raises(ValueError, match="two replications"):
        mean_interval([1.0])


@pytest.mark.parametrize("runs", [10, 30, 100, 1000])
def test_clean_runs_support_about_one_minus_three_over_n(runs):
    bound = clean_run_bound(runs)
    assert bound**runs == pytest.approx(0.05)  # with this probability, so many clean runs happen 1 time in 20
    assert bound == pytest.approx(1 - 3 / runs, abs=5 / runs**2 + 0.005 / runs)  # ln 20 is 2.996

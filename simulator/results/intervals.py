"""How sure a few replications make us: exact intervals, without scipy (which costs half a second to import).

A replication is one whole run with one seed. Means get Student's t interval, "kept in k of n runs" the
interval of Clopper and Pearson (1934). Both rest on the regularised incomplete beta function, computed by
its continued fraction (Abramowitz and Stegun, 26.5.8) with Lentz's method; the tests compare all of it with
scipy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CONFIDENCE = 0.95
"""Of every interval that Baseload shows."""
_BISECTIONS = 200
_FRACTION_TERMS = 1000
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class MeanInterval:
    """A mean over replications with its two-sided confidence interval."""

    mean: float
    low: float
    high: float
    replications: int


def mean_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> MeanInterval:
    """Mean of at least two replications with Student's t interval (all values alike: an interval of length
    0)."""
    count = len(values)
    if count < 2:
        raise ValueError("an interval needs at least two replications")
    mean = math.fsum(values) / count
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = student_t_quantile((1 + confidence) / 2, count - 1) * math.sqrt(variance / count)
    return MeanInterval(mean, mean - half, mean + half, count)


def student_t_quantile(probability: float, degrees: int) -> float:
    """The value that Student's t with these degrees of freedom stays below with this probability (0 < p <
    1)."""
    if probability < 0.5:
        return -student_t_quantile(1 - probability, degrees)

    def upper_tail(value: float) -> float:
        return 0.5 * incomplete_beta(degrees / 2, 0.5, degrees / (degrees + value * value))

    top = 1.0
    while upper_tail(top) > 1 - probability:
        top *= 2
    return _solve(lambda value: -upper_tail(value), -(1 - probability), 0.0, top)


def clopper_pearson(successes: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Two-sided interval of a probability of which `successes` of `trials` independent tries were seen."""
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else _beta_quantile(tail, successes, trials - successes + 1)
    high = 1.0 if successes == trials else _beta_quantile(1 - tail, successes + 1, trials - successes)
    return low, high


def clean_run_bound(trials: int, confidence: float = CONFIDENCE) -> float:
    """The least probability that `trials` successes out of `trials` support, one-sided: about 1 − 3/n at 95
    %."""
    return float((1 - confidence) ** (1 / trials))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function I_x(a, b), for a, b > 0 and 0 <= x <= 1."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1) / (a + b + 2):  # where the fraction converges fast; the mirror image elsewhere
        return math.exp(log_front) * _beta_fraction(a, b, x) / a
    return 1 - math.exp(log_front) * _beta_fraction(b, a, 1 - x) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    numerator, denominator = 1.0, 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    value = denominator
    for m in range(1, _FRACTION_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        step = 1.0
        for term in (even, odd):
            denominator = 1 / _away_from_zero(1 + term * denominator)
            numerator = _away_from_zero(1 + term / numerator)
            step = numerator * denominator
            value *= step
        if abs(step - 1) < 1e-15:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _beta_quantile(probability: float, a: float, b: float) -> float:
    return _solve(lambda x: incomplete_beta(a, b, x), probability, 0.0, 1.0)


def _solve(increasing: Callable[[float], float], target: float, low: float, high: float) -> float:
    """Bisection: slow and sure, to the last bit."""
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if increasing(middle) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2

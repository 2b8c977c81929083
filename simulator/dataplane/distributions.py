"""Distributions of a scenario as tables that the compiled draws read.

Times become piecewise linear quantile functions of `POINTS` points, scaled so that their mean is the distribution's
own; whole numbers become alias tables. Both are made once a run.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from scenarios.units import NANOSECONDS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scenarios.schema.base import CountDistribution, DurationDistribution
    from scenarios.schema.traffic import Difficulty

POINTS = 4097


def duration_quantiles_ns(distribution: DurationDistribution) -> NDArray[np.float64]:
    """Quantile function of a distribution of times, in nanoseconds: 1 point if constant, 2 if uniform, else POINTS."""
    if distribution.constant is not None:
        seconds = np.array([distribution.constant])
    elif distribution.uniform is not None:
        seconds = np.array(distribution.uniform)
    elif distribution.exponential is not None:
        seconds = _with_mean(-np.log1p(-_levels()), distribution.exponential)
    elif distribution.empirical is not None:
        values = np.sort(np.array(distribution.empirical))
        # Steps, not slopes: each measured value is drawn with the same probability.
        seconds = values[np.minimum((np.linspace(0, 1, POINTS) * len(values)).astype(int), len(values) - 1)]
    elif distribution.lognormal is not None:
        sigma = math.sqrt(math.log1p(distribution.lognormal.cv**2))
        seconds = _with_mean(np.exp(sigma * _normal_quantiles()), distribution.lognormal.mean)
    else:
        assert distribution.gamma is not None  # the schema allows nothing else
        seconds = _gamma_quantiles(distribution.gamma.mean, distribution.gamma.cv)
    return seconds * float(NANOSECONDS_PER_SECOND)


def difficulty_quantiles(difficulty: Difficulty) -> NDArray[np.float64]:
    """Quantile function of a Beta distribution: 2 points if uniform, else POINTS."""
    if difficulty.alpha == difficulty.beta == 1:
        return np.array([0.0, 1.0])

    def log_density(logit: NDArray[np.float64]) -> NDArray[np.float64]:
        # Density of the logit of a Beta variate, up to a constant.
        return -difficulty.alpha * np.logaddexp(0, -logit) - difficulty.beta * np.logaddexp(0, logit)

    logits = _quantiles_by_integration(
        log_density, -60.0 / min(difficulty.alpha, 1.0), 60.0 / min(difficulty.beta, 1.0)
    )
    quantiles: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-logits))
    return quantiles


def count_weights(distribution: CountDistribution, largest: int) -> NDArray[np.float64]:
    """Probabilities of 1..largest (place i is i + 1 items); what lies above `largest` counts as `largest`."""
    weights = np.zeros(largest)
    if distribution.constant is not None:
        weights[min(distribution.constant, largest) - 1] = 1.0
    elif distribution.uniform is not None:
        low, high = distribution.uniform
        for items in range(low, high):
            weights[min(items, largest) - 1] += 1.0 / (high - low)
    elif distribution.lognormal is not None:
        log_normal = NormalDist(distribution.lognormal.mu, distribution.lognormal.sigma)
        edges = np.array(
            [0.0] + [log_normal.cdf(math.log(items + 0.5)) for items in range(1, largest)] + [1.0]
        )
        weights = np.diff(edges)
    else:
        assert distribution.mixture is not None  # the schema allows nothing else
        total = sum(part.weight for part in distribution.mixture)
        for part in distribution.mixture:
            weights = weights + part.weight / total * count_weights(part, largest)
    return weights


def _levels() -> NDArray[np.float64]:
    """Levels of the quantile points: 0, 1/4096, …; the last is half a step short of 1, which would be infinite."""
    levels = np.linspace(0.0, 1.0, POINTS)
    levels[-1] = 1.0 - 0.5 / (POINTS - 1)
    return levels


def _normal_quantiles() -> NDArray[np.float64]:
    levels = _levels()
    levels[0] = 0.5 / (POINTS - 1)
    standard = NormalDist()
    return np.array([standard.inv_cdf(level) for level in levels])


def _gamma_quantiles(mean: float, cv: float) -> NDArray[np.float64]:
    if cv == 0:
        return np.array([mean])
    shape = 1.0 / cv**2

    def log_density(log_x: NDArray[np.float64]) -> NDArray[np.float64]:
        density: NDArray[np.float64] = shape * log_x - np.exp(log_x)
        return density

    high = math.log(shape + 40.0 * math.sqrt(shape) + 60.0)
    return _with_mean(np.exp(_quantiles_by_integration(log_density, -60.0 / min(shape, 1.0), high)), mean)


def _quantiles_by_integration(
    log_density: Callable[[NDArray[np.float64]], NDArray[np.float64]], low: float, high: float
) -> NDArray[np.float64]:
    """Quantiles at the POINTS levels of a density known up to a constant, by trapezoids between low and high."""
    x = np.linspace(low, high, 400_001)
    logs = log_density(x)
    density = np.exp(logs - logs.max())
    cumulative = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2)))
    levels = _levels()
    levels[0] = 0.5 / (POINTS - 1)
    return np.interp(levels, cumulative / cumulative[-1], x)


def _with_mean(values: NDArray[np.float64], mean: float) -> NDArray[np.float64]:
    """Scale a quantile function so that the distribution it stands for has this mean."""
    current = float(np.mean((values[1:] + values[:-1]) / 2))
    return values * (mean / current) if current > 0 else values

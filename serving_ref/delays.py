"""Values drawn from a scenario's distributions of times, for what the stack waits instead of doing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from scenarios.schema import Noise
    from scenarios.schema.base import DurationDistribution


def delay_s(delay: DurationDistribution, dice: random.Random) -> float:
    """Draw a time in seconds."""
    if delay.constant is not None:
        return delay.constant
    if delay.uniform is not None:
        return dice.uniform(*delay.uniform)
    if delay.exponential is not None:
        return dice.expovariate(1.0) * delay.exponential
    if delay.empirical is not None:
        return dice.choice(delay.empirical)
    if delay.lognormal is not None:
        return delay.lognormal.mean * _lognormal(delay.lognormal.cv, dice)
    assert delay.gamma is not None
    return delay.gamma.mean * _gamma(delay.gamma.cv, dice)


def noise_factor(noise: Noise, dice: random.Random) -> float:
    """Draw the factor, with mean 1, on a batch's service time."""
    if noise.lognormal_cv is not None:
        return _lognormal(noise.lognormal_cv, dice)
    if noise.gamma_cv is not None:
        return _gamma(noise.gamma_cv, dice)
    return dice.expovariate(1.0) if noise.exponential else 1.0


def _lognormal(cv: float, dice: random.Random) -> float:
    variance = math.log1p(cv * cv)
    return dice.lognormvariate(-variance / 2, math.sqrt(variance))


def _gamma(cv: float, dice: random.Random) -> float:
    if cv == 0:
        return 1.0
    return dice.gammavariate(1 / cv**2, cv**2)

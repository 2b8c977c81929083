"""Every random number of a run, as a pure function of (seed, id, attempt).

A counter is hashed (SplitMix64's finaliser: Steele, Lea & Flood, OOPSLA 2014, variant 13 of D. Stafford's), and the
hash is turned into what is wanted: a uniform number, an exponential or normal one (ziggurat: Marsaglia & Tsang,
J. Stat. Software 5(8), 2000), a gamma one (Marsaglia & Tsang, ACM TOMS 26(3), 2000), an entry of an alias table
(Walker 1977, Vose 1991) or a point of a quantile table. Both engines call these same functions, so they can differ in
nothing but their rules. Where a draw needs further uniforms they are hashed from the first hash.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import int64, types, uint64
from numba.extending import intrinsic

from simulator.dataplane.compiled import allocating, inlined, outlined

if TYPE_CHECKING:
    from numpy.typing import NDArray

GOLDEN = uint64(0x9E3779B97F4A7C15)
TWO_TO_MINUS_53 = 1.0 / 9007199254740992.0
ATTEMPTS = 256
"""Attempts (and other repetitions) that an id has room for."""

JITTER_NONE, JITTER_EQUAL, JITTER_FULL = range(3)
NOISE_NONE, NOISE_LOGNORMAL, NOISE_EXPONENTIAL, NOISE_GAMMA = range(4)


def named_seed(seed: int, name: str) -> np.uint64:
    """Seed of a stream from the run's seed and the stream's name: independent of any order in the document."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


@intrinsic  # type: ignore[untyped-decorator]  # numba ships no types
def _bits_of(typing_context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.uint64(types.float64), generate


@intrinsic  # type: ignore[untyped-decorator]  # numba ships no types
def _double_of(typing_context: Any, x: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.uint64), generate


def _ziggurat(right: float, area: float, inverse: Any, density: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Edges x[0..256] (x[256] is the base strip's width) and densities of a 256-step ziggurat."""
    x = np.zeros(257)
    x[256], x[255] = area / density(right), right
    for step in range(254, 0, -1):
        x[step] = inverse(density(x[step + 1]) + area / x[step + 1])
    return x, np.array([density(edge) for edge in x])


_EXP_RIGHT = 7.69711747013104972
EXP_X, EXP_F = _ziggurat(_EXP_RIGHT, 3.9496598225815571993e-3, lambda y: -math.log(y), lambda x: math.exp(-x))
_NORMAL_RIGHT = 3.6541528853610088
NORMAL_X, NORMAL_F = _ziggurat(
    _NORMAL_RIGHT, 0.00492867323399, lambda y: math.sqrt(-2 * math.log(y)), lambda x: math.exp(-0.5 * x * x)
)


@inlined
def mix(h: Any) -> Any:
    """Finaliser of SplitMix64."""
    h = (h ^ (h >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> uint64(27))) * uint64(0x94D049BB133111EB)
    return h ^ (h >> uint64(31))


@inlined
def counted(seed: Any, ident: Any, attempt: Any) -> Any:
    """What is hashed for (seed, id, attempt): uint64, id < 2**56, attempt < 256."""
    return seed + (uint64(ident) * uint64(ATTEMPTS) + uint64(attempt)) * GOLDEN


@inlined
def hashed(seed: Any, ident: Any, attempt: Any) -> Any:
    """64 random bits for (seed, id, attempt)."""
    return mix(counted(seed, ident, attempt))


@inlined
def fold(members: Any, stream: Any, ident: Any, attempt: Any) -> Any:
    """Fold a request into the fingerprint of its batch: the same members in another order give another one."""
    return hashed(members, (int64(stream) << 40) + ident, attempt)


@inlined
def again(h: Any) -> Any:
    """Further random bits after `h`."""
    return mix(h + GOLDEN)


@inlined
def unit(h: Any) -> Any:
    """Uniform in [0, 1), from the upper 53 bits."""
    return np.float64(h >> uint64(11)) * TWO_TO_MINUS_53


@inlined
def below(h: Any, n: Any) -> Any:
    """Uniform in 0..n-1 from the upper 32 bits (n < 2**31: bias below n / 2**32)."""
    return int64(((h >> uint64(32)) * uint64(n)) >> uint64(32))


@inlined
def exponential_try(h: Any) -> Any:
    """First try of the ziggurat: the value, and whether it may stand (it does in 98.9 % of cases)."""
    step = h & uint64(255)
    x = unit(h) * EXP_X[step + uint64(1)]
    return x, x < EXP_X[step]


@outlined
def exponential_retry(h: Any) -> Any:
    """The ziggurat's edges and tail, for the hash whose first try did not stand."""
    tail = 0.0
    while True:
        step = h & uint64(255)
        x = unit(h) * EXP_X[step + uint64(1)]
        if x < EXP_X[step]:
            return tail + x
        h = again(h)
        if step == uint64(255):
            tail += _EXP_RIGHT  # the tail of an exponential is the same exponential, further right
        elif EXP_F[step] + unit(h) * (EXP_F[step + uint64(1)] - EXP_F[step]) < math.exp(-x):
            return tail + x
        h = again(h)


@inlined
def exponential(h: Any) -> Any:
    """Exponential with mean 1."""
    x, stands = exponential_try(h)
    return x if stands else exponential_retry(h)


@inlined
def normal_try(h: Any) -> Any:
    """First try of the ziggurat: the signed value, and whether it may stand."""
    step = h & uint64(255)
    x = unit(h) * NORMAL_X[step + uint64(1)]
    minus = (~h & uint64(256)) << uint64(55)
    return _double_of(_bits_of(x) ^ minus), x < NORMAL_X[step]


@outlined
def normal_retry(h: Any) -> Any:
    """The ziggurat's edges and tail, for the hash whose first try did not stand."""
    while True:
        step = h & uint64(255)
        x = unit(h) * NORMAL_X[step + uint64(1)]
        sign = 1.0 if (h >> uint64(8)) & uint64(1) else -1.0
        if x < NORMAL_X[step]:
            return sign * x
        h = again(h)
        if step == uint64(255):
            while True:
                x = -math.log(1.0 - unit(h)) / _NORMAL_RIGHT
                h = again(h)
                y = -math.log(1.0 - unit(h))
                h = again(h)
                if y + y > x * x:
                    return sign * (_NORMAL_RIGHT + x)
        elif NORMAL_F[step] + unit(h) * (NORMAL_F[step + uint64(1)] - NORMAL_F[step]) < math.exp(
            -0.5 * x * x
        ):
            return sign * x
        h = again(h)


@inlined
def normal(h: Any) -> Any:
    """Standard normal."""
    x, stands = normal_try(h)
    return x if stands else normal_retry(h)


@inlined
def exp(x: Any) -> Any:
    """e**x for |x| < 700, within 2e-16: a polynomial, so that loops of it become vector instructions."""
    n = (x * 1.4426950408889634 + 6755399441055744.0) - 6755399441055744.0
    r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10
    # The Taylor series to the 13th term, in pairs (Estrin): half the time of Horner's chain for one number.
    r2 = r * r
    r4 = r2 * r2
    low = (1.0 + r) + (0.5 + 1.6666666666666666e-01 * r) * r2
    middle = (4.1666666666666664e-02 + 8.3333333333333332e-03 * r) + (
        1.3888888888888889e-03 + 1.9841269841269841e-04 * r
    ) * r2
    high = (2.4801587301587302e-05 + 2.7557319223985888e-06 * r) + (
        2.7557319223985893e-07 + 2.5052108385441720e-08 * r
    ) * r2
    top = 2.0876756987868099e-09 + 1.6059043836821613e-10 * r
    p = low + (middle + (high + top * r4) * r4) * r4
    return p * _double_of((_bits_of(n + 6755399441055744.0) + uint64(1023)) << uint64(52))


@outlined
def gamma(h: Any, shape: Any) -> Any:
    """Gamma with this shape and mean 1."""
    boost = 1.0
    k = shape
    if k < 1.0:
        boost = (1.0 - unit(h)) ** (1.0 / k)
        k += 1.0
        h = again(h)
    d = k - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        z = normal(h)
        h = mix(h ^ uint64(0xD1B54A32D192ED03))  # not the chain that normal() may have used up
        v = (1.0 + c * z) ** 3
        if v > 0.0 and math.log(1.0 - unit(h)) < 0.5 * z * z + d - d * v + d * math.log(v):
            return boost * d * v / shape
        h = again(h)


@inlined
def lognormal(sigma: Any, z: Any) -> Any:
    """The lognormal factor with mean 1 that belongs to a standard normal number."""
    return exp(sigma * z - 0.5 * sigma * sigma)


@inlined
def noise(kind: Any, parameter: Any, h: Any) -> Any:
    """A factor with mean 1. `parameter`: sigma of the logarithm (lognormal), shape (gamma)."""
    if kind == NOISE_LOGNORMAL:
        return lognormal(parameter, normal(h))
    if kind == NOISE_EXPONENTIAL:
        return exponential(h)
    if kind == NOISE_GAMMA:
        return gamma(h, parameter)
    return 1.0


@inlined
def alias_slot(h: Any, n: Any) -> Any:
    """The slot of an n-entry alias table that `h` falls into."""
    return uint64(((h >> uint64(32)) * uint64(n)) >> uint64(32))


@inlined
def alias_choice(entry_bits: Any, slot: Any, h: Any) -> Any:
    """The outcome: the slot itself below its threshold (lower 31 bits of the entry), else its alias (upper 32)."""
    keep = (h & uint64(0x7FFFFFFF)) < (entry_bits & uint64(0xFFFFFFFF))
    return slot if keep else entry_bits >> uint64(32)


@inlined
def aliased(table: Any, offset: Any, n: Any, h: Any) -> Any:
    """One of 0..n-1 from the alias table at table[offset : offset + n]."""
    slot = alias_slot(h, n)
    return int64(alias_choice(table[uint64(offset) + slot], slot, h))


@inlined
def quantile(table: Any, offset: Any, n: Any, u: Any) -> Any:
    """The u-quantile of the piecewise linear quantile function at table[offset : offset + n] (n = 1: constant)."""
    if n == 1:
        return table[uint64(offset)]
    position = u * np.float64(n - 1)
    step = int64(position)
    low = table[uint64(offset + step)]
    return low + (position - np.float64(step)) * (table[uint64(offset + step + 1)] - low)


@inlined
def delay_ns(table: Any, offset: Any, n: Any, seed: Any, ident: Any, attempt: Any) -> Any:
    """A delay from the quantile function at table[offset : offset + n], in whole nanoseconds."""
    if n == 1:
        return int64(table[uint64(offset)] + 0.5)
    return int64(quantile(table, offset, n, unit(hashed(seed, ident, attempt))) + 0.5)


@inlined
def sample_ns(
    offsets: Any,
    offsets_at: Any,
    samples: Any,
    samples_at: Any,
    items: Any,
    seed: Any,
    ident: Any,
    index: Any,
) -> Any:
    """One of the service times that were measured for batches of `items`."""
    begin = offsets[offsets_at + items]
    choices = offsets[offsets_at + items + 1] - begin
    if choices > 1:
        begin += below(again(hashed(seed, ident, index)), choices)
    return samples[samples_at + begin]


@inlined
def stretched_ns(time_ns: Any, factor: Any) -> Any:
    """A service time times its noise; at least 1."""
    return max(int64(np.float64(time_ns) * factor + 0.5), 1)


@inlined
def service_time_ns(
    offsets: Any,
    offsets_at: Any,
    samples: Any,
    samples_at: Any,
    items: Any,
    kind: Any,
    parameter: Any,
    seed: Any,
    ident: Any,
    index: Any,
) -> Any:
    """Service time of a batch of `items`: one of the values measured for that size, times the noise."""
    time_ns = sample_ns(offsets, offsets_at, samples, samples_at, items, seed, ident, index)
    if kind == NOISE_NONE:
        return time_ns
    return stretched_ns(time_ns, noise(kind, parameter, hashed(seed, ident, index)))


@inlined
def jittered(kind: Any, longest_ns: Any, h: Any) -> Any:
    """Wait before a retry: none - the longest wait; equal - half of it and up; full - anything up to it."""
    if kind == JITTER_NONE:
        return longest_ns
    if kind == JITTER_EQUAL:
        return int64(0.5 * np.float64(longest_ns) * (1.0 + unit(h)) + 0.5)
    return int64(np.float64(longest_ns) * unit(h) + 0.5)


@allocating
def alias_table(weights: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Walker's alias table of `weights` (any sum), one uint64 an entry: alias << 32 | threshold of 31 bits.

    Vose's method, O(n). The probabilities are kept to 2**-31 of a slot.
    """
    n = weights.shape[0]
    scaled = weights * (n / weights.sum())
    threshold, alias = np.ones(n), np.arange(n)
    small, large = np.empty(n, np.int64), np.empty(n, np.int64)
    n_small, n_large = 0, 0
    for i in range(n):
        if scaled[i] < 1.0:
            small[n_small] = i
            n_small += 1
        else:
            large[n_large] = i
            n_large += 1
    while n_small > 0 and n_large > 0:
        n_small -= 1
        poor, rich = small[n_small], large[n_large - 1]
        threshold[poor], alias[poor] = scaled[poor], rich
        scaled[rich] -= 1.0 - scaled[poor]
        if scaled[rich] < 1.0:
            n_large -= 1
            small[n_small] = rich
            n_small += 1
    table = np.empty(n, np.uint64)
    for i in range(n):
        kept = uint64(min(max(threshold[i], 0.0), 1.0) * 2147483648.0)
        table[i] = (uint64(alias[i]) << uint64(32)) | kept
    return table

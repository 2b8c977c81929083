"""Draws of a block's misses, made together: loops of vector instructions instead of one long chain at each turn.

A miss will probably found a flight on its first attempt, and each flight may become the first of a batch. So which
replicas it looks at, and by what factor its batch would take longer, is drawn for all misses of a block at once. A
factor that could not be foreseen is not a number: the batch draws its own (a retry, a flight that was sent on, a
service chosen by weight, a noise other than lognormal).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import uint64

from simulator.dataplane import draws
from simulator.dataplane.arrivals import block_of
from simulator.dataplane.compiled import outlined
from simulator.dataplane.memory import array_at
from simulator.dataplane.records import BLOCK

WHO_SHIFT = 48
"""A first send is known by its stream (upper bits) and number (lower bits)."""
WHO_MASK = (1 << WHO_SHIFT) - 1


@outlined
def foresee(p: Any) -> None:
    """Draw what the present block's misses will need: `miss_hash` for the choice of a replica, `miss_factor`."""
    misses = array_at(p.misses, BLOCK + 1, np.int64)
    class_numbers = array_at(block_of(p.block_class, p.half), BLOCK, np.int64)
    who = array_at(block_of(p.block_who, p.half), BLOCK, np.int64)
    # What is looked up by number comes first, by itself: loops over neighbours only become vector instructions.
    hashes = array_at(p.miss_hash, BLOCK, np.uint64)
    balance_seeds = array_at(p.class_balance_seed, p.classes_n, np.uint64)
    for y in range(p.misses_n):
        i = uint64(misses[y])
        hashes[y] = draws.counted(balance_seeds[uint64(class_numbers[i])], who[i] & WHO_MASK, 0)
    for y in range(p.misses_n):
        hashes[y] = draws.mix(hashes[y])
    if p.foresees_noise == 0:
        return
    bits = array_at(p.noise_hash, BLOCK, np.uint64)
    factors = array_at(p.miss_factor, BLOCK, np.float64)
    noise_seeds = array_at(p.class_noise_seed, p.classes_n * p.streams_n, np.uint64)
    sigmas = array_at(p.class_sigma, p.classes_n, np.float64)
    streams_n = uint64(p.streams_n)
    for y in range(p.misses_n):
        i = uint64(misses[y])
        c = uint64(class_numbers[i])
        seed = noise_seeds[c * streams_n + (uint64(who[i]) >> uint64(WHO_SHIFT))]
        bits[y] = draws.counted(seed, who[i] & WHO_MASK, 0)
        factors[y] = sigmas[c]
    z = array_at(p.gaps, BLOCK, np.float64)  # lent: gaps are only wanted while times are drawn
    doubtful = array_at(p.doubtful, BLOCK, np.int64)
    doubts = 0
    for y in range(p.misses_n):
        bits[y] = draws.mix(bits[y])
    for y in range(p.misses_n):
        z[y], stands = draws.normal_try(bits[y])
        if not stands:
            doubtful[uint64(doubts)] = y
            doubts += 1
    for at in range(doubts):
        y = uint64(doubtful[at])
        z[y] = draws.normal_retry(bits[y])
    for y in range(p.misses_n):
        factors[y] = draws.lognormal(factors[y], z[y])

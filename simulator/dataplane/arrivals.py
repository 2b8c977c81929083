"""First sends of open-loop streams, a block at a time: times, then the class and key of each.

A stream's times depend only on its specification and seed, never on where the data plane's windows end: blocks are
drawn ahead and kept. Both engines call `refill`; closed-loop users are events of the engines instead.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import int64, uint64

from simulator.dataplane import draws
from simulator.dataplane import specification as spec
from simulator.dataplane.compiled import entry, inlined, outlined
from simulator.dataplane.memory import ALL, array_at, classes, floats, ints, prefetch, record_at, streams
from simulator.dataplane.records import BLOCK, INT, WORD

NEVER = spec.NEVER


@inlined
def _gap(stream: Any, ident: Any) -> Any:
    """Gap before request `ident` in units of the mean gap."""
    h = draws.hashed(stream.gap_seed, ident, 0)
    if stream.gap_kind == spec.GAP_POISSON:
        return draws.exponential(h)
    if stream.gap_kind == spec.GAP_GAMMA:
        return draws.gamma(h, stream.gap_parameter)
    return 1.0


@inlined
def _poisson_gaps(p: Any, seed: Any, first: Any, n: Any) -> None:
    """Exponential gaps of requests first … first + n - 1: a loop of vector instructions, then the rare retries."""
    gaps = array_at(p.gaps, BLOCK, np.float64)
    doubtful = array_at(p.doubtful, BLOCK, np.int64)
    doubts = 0
    bits = array_at(p.noise_hash, BLOCK, np.uint64)  # lent: nothing is kept there from one block to the next
    for i in range(n):
        bits[i] = draws.hashed(seed, first + i, 0)
    for i in range(n):
        gaps[i], stands = draws.exponential_try(bits[i])
        if not stands:
            doubtful[uint64(doubts)] = i
            doubts += 1
    for y in range(doubts):
        i = uint64(doubtful[y])
        gaps[i] = draws.exponential_retry(bits[i])


@outlined
def _from_rate(p: Any, stream: Any, to: Any) -> None:
    """Renewal process in operational time: gaps are divided by the rate of the piece that they fall into."""
    gaps = array_at(p.gaps, BLOCK, np.float64)
    done = 0
    while done < BLOCK:
        if stream.piece >= stream.pieces:
            for i in range(done, BLOCK):
                record_at(to, i, INT).value = NEVER
            return
        end_ns = ints(p, stream.ends_at + stream.piece)
        rate = floats(p, stream.rates_at + stream.piece)
        if rate <= 0.0:
            stream.now_ns, stream.piece = end_ns, stream.piece + 1
            continue
        # No more than will probably fit into the piece: what does not is drawn again. A gap counts up to what is left
        # of the piece; no more of them than can be added up.
        left_ns = end_ns - stream.now_ns
        longest_ns = float(left_ns + 1024)
        expected = float(left_ns) * rate
        n = int64(min(float(BLOCK - done), expected + 4.0 * math.sqrt(expected) + 8.0))
        n = min(n, max(NEVER // (left_ns + 1), 1))
        first = stream.next_id
        if stream.gap_kind == spec.GAP_POISSON:
            _poisson_gaps(p, stream.gap_seed, first, n)
        else:
            for i in range(n):
                gaps[i] = _gap(stream, first + i)
        mean_ns = 1.0 / rate
        # First all of them, as if the piece did not end: a loop without a way out is twice as fast.
        out = array_at(to + 8 * done, n, np.int64)
        for i in range(n):
            out[i] = int64(min(gaps[i] * mean_ns + 0.5, longest_ns))
        now = stream.now_ns
        for i in range(n):
            now += out[i]
            out[i] = now
        i = n
        while i > 0 and out[i - 1] >= end_ns:
            i -= 1
        if i > 0:
            stream.now_ns = out[i - 1]
        stream.next_id = first + i
        done += i
        if i < n:
            record_at(to, done, INT).value = _across_pieces(p, stream, gaps[i])
            stream.next_id += 1
            done += 1


@outlined
def _across_pieces(p: Any, stream: Any, units: Any) -> Any:
    """Time of a request whose gap of `units` leaves the present piece; NEVER where the pieces end first."""
    while stream.piece < stream.pieces:
        end_ns = ints(p, stream.ends_at + stream.piece)
        rate = floats(p, stream.rates_at + stream.piece)
        if rate > 0.0:
            needed_ns = units / rate
            if needed_ns < 9e18:
                then = stream.now_ns + int64(needed_ns + 0.5)
                if then < end_ns:
                    stream.now_ns = then
                    return then
            units = max(0.0, units - float(end_ns - stream.now_ns) * rate)
        stream.now_ns = end_ns
        stream.piece += 1
    return NEVER


@outlined
def _from_times(p: Any, stream: Any, out: Any) -> None:
    """Replay of the times as they are."""
    n = min(BLOCK, stream.values_n - stream.next_id)
    for i in range(n):
        out[i] = ints(p, stream.values_at + stream.next_id + i)
    for i in range(n, BLOCK):
        out[i] = NEVER
    stream.next_id += n


@outlined
def _from_counts(p: Any, stream: Any, out: Any) -> None:
    """Exactly the count of each step, as order statistics of uniform times within it.

    The next of m uniform points in what is left of a step lies at the fraction 1 - (1 - u)**(1/m) of it; with
    u = 1 - exp(-E) that is 1 - exp(-E/m).
    """
    for i in range(BLOCK):
        while stream.left == 0:
            stream.piece += 1
            if stream.piece >= stream.values_n:
                for rest in range(i, BLOCK):
                    out[rest] = NEVER
                stream.piece = stream.values_n - 1
                return
            stream.left = ints(p, stream.values_at + stream.piece)
            stream.now_ns = stream.piece * stream.step_ns
        end_ns = (stream.piece + 1) * stream.step_ns
        e = draws.exponential(draws.hashed(stream.gap_seed, stream.next_id, 0))
        ahead = -math.expm1(-e / float(stream.left)) * float(end_ns - stream.now_ns)
        stream.now_ns = min(stream.now_ns + int64(ahead), end_ns - 1)
        out[i] = stream.now_ns
        stream.left -= 1
        stream.next_id += 1


@outlined
def _from_gaps(p: Any, stream: Any, out: Any) -> None:
    """Gaps from a table, in whole units."""
    for i in range(BLOCK):
        h = draws.hashed(stream.gap_seed, stream.next_id, 0)
        stream.now_ns += (
            draws.aliased(array_at(p.words, ALL, np.uint64), stream.table_at, stream.table_n, h)
            * stream.step_ns
        )
        out[i] = stream.now_ns
        stream.next_id += 1


@outlined
def fill_times(p: Any, s: Any, to: Any) -> None:
    """Draw the next block of a stream's send times to an address; the i-th is that of request `first_id + i`.

    NEVER: there are no more.
    """
    stream = streams(p, s)
    out = array_at(to, BLOCK, np.int64)
    stream.first_id = stream.next_id
    stream.position = 0
    if stream.source == spec.FROM_RATE:
        _from_rate(p, stream, to)
    elif stream.source == spec.FROM_TIMES:
        _from_times(p, stream, out)
    elif stream.source == spec.FROM_COUNTS:
        _from_counts(p, stream, out)
    elif stream.source == spec.FROM_GAPS:
        _from_gaps(p, stream, out)
    else:
        for i in range(BLOCK):
            out[i] = NEVER


@inlined
def drawn_class(p: Any, stream: Any, ident: Any) -> Any:
    """Class of a request: from the trace's row, or drawn by share."""
    if stream.row_class_at >= 0:
        return ints(p, stream.row_class_at + ident)
    if stream.classes_n == 1:
        return ints(p, stream.classes_at)
    h = draws.hashed(stream.class_seed, ident, 0)
    return ints(
        p,
        stream.classes_at
        + draws.aliased(array_at(p.words, ALL, np.uint64), stream.class_table_at, stream.classes_n, h),
    )


@inlined
def drawn_key(p: Any, stream: Any, cls: Any, ident: Any, sent_ns: Any) -> Any:
    """Key of a request among the keys of all classes; -1: nobody looks at keys."""
    return key_of_hash(p, stream, cls, ident, sent_ns, draws.hashed(cls.seed_keys, ident, 0))


@inlined
def key_of_hash(p: Any, stream: Any, cls: Any, ident: Any, sent_ns: Any, h: Any) -> Any:
    """`drawn_key`, given the hash that it is drawn from."""
    if cls.keyed == 0:
        return int64(-1)
    if stream.row_key_at >= 0:
        return cls.key_offset + ints(p, stream.row_key_at + ident)
    if cls.key_table < 0:
        rank = draws.below(h, cls.keys)
    else:
        rank = draws.aliased(array_at(p.words, ALL, np.uint64), cls.key_table, cls.keys, h)
    if cls.drift_every_ns > 0:
        rank = (rank + (sent_ns // cls.drift_every_ns) * cls.drift_by) % cls.keys
    return cls.key_offset + rank


@inlined
def drawn_items(p: Any, stream: Any, cls: Any, ident: Any) -> Any:
    """Items of a request: from the trace's row, the class's constant, or drawn."""
    if stream.row_items_at >= 0:
        return ints(p, stream.row_items_at + ident)
    if cls.items > 0:
        return int64(cls.items)
    return (
        draws.aliased(
            array_at(p.words, ALL, np.uint64),
            cls.items_table,
            cls.items_n,
            draws.hashed(cls.seed_items, ident, 0),
        )
        + 1
    )


@inlined
def drawn_difficulty(p: Any, cls: Any, ident: Any) -> Any:
    """Difficulty of a request; 0 where nobody looks at it."""
    if cls.needs_difficulty == 0:
        return 0.0
    u = draws.unit(draws.hashed(cls.seed_difficulty, ident, 0))
    return draws.quantile(array_at(p.floats, ALL, np.float64), cls.difficulty_at, cls.difficulty_n, u)


@inlined
def think_ns(p: Any, stream: Any, ident: Any) -> Any:
    """Think time of a closed-loop user before request `ident`."""
    u = draws.unit(draws.hashed(stream.gap_seed, ident, 0))
    return int64(
        draws.quantile(array_at(p.floats, ALL, np.float64), stream.think_at, stream.think_n, u) + 0.5
    )


@inlined
def block_of(address: Any, s: Any) -> Any:
    """Address of a stream's block (or of one half of the common one)."""
    return address + 8 * BLOCK * s


@outlined
def _look_ahead(p: Any, s: Any, first: Any) -> None:
    """Draw the classes and the keys' hashes of the block that begins with request `first`.

    The entries of the popularity table that they will need are asked for by `ask_for_popularity`, one after the other
    in the meantime; here already where classes are drawn, which takes time enough.
    """
    stream = streams(p, s)
    class_numbers = array_at(block_of(p.ahead_class, s), BLOCK, np.int64)
    hashes = array_at(block_of(p.ahead_hash, s), BLOCK, np.uint64)
    stream.looked_ahead = first
    if stream.classes_n == 1 and stream.row_class_at < 0:
        c = ints(p, stream.classes_at)
        seed = classes(p, c).seed_keys
        for i in range(BLOCK):
            class_numbers[i] = c
            hashes[i] = draws.hashed(seed, first + i, 0)
        return
    n = BLOCK if stream.row_class_at < 0 else min(int64(BLOCK), stream.values_n - first)
    for i in range(n):
        class_numbers[i] = drawn_class(p, stream, first + i)
        cls = classes(p, class_numbers[i])
        hashes[i] = draws.hashed(cls.seed_keys, first + i, 0)
        if cls.key_table >= 0:
            prefetch(p.words + 8 * (cls.key_table + int64(draws.alias_slot(hashes[i], cls.keys))))


@outlined
def refill(p: Any, s: Any, times_to: Any, classes_to: Any, keys_to: Any) -> Any:
    """Draw the next block of a stream to three addresses: times, classes, keys. Returns how many there are."""
    fill_times(p, s, times_to)
    stream = streams(p, s)
    first = int64(stream.first_id)
    if stream.looked_ahead != first:
        _look_ahead(p, s, first)
    times = array_at(times_to, BLOCK, np.int64)
    class_numbers = array_at(classes_to, BLOCK, np.int64)
    keys = array_at(keys_to, BLOCK, np.int64)
    ahead_class = array_at(block_of(p.ahead_class, s), BLOCK, np.int64)
    hashes = array_at(block_of(p.ahead_hash, s), BLOCK, np.uint64)
    n = int64(BLOCK)
    while n > 0 and times[n - 1] >= NEVER:
        n -= 1
    for i in range(n):
        class_numbers[i] = ahead_class[i]
    cls = classes(p, ahead_class[0])
    if stream.classes_n == 1 and cls.keyed == 0:
        for i in range(n):
            keys[i] = -1
    elif stream.classes_n == 1 and cls.key_table >= 0 and cls.drift_every_ns == 0 and stream.row_key_at < 0:
        table = array_at(p.words + 8 * cls.key_table, cls.keys, np.uint64)
        n_keys, offset = cls.keys, cls.key_offset
        for i in range(n):
            slot = draws.alias_slot(hashes[i], n_keys)
            keys[i] = offset + int64(draws.alias_choice(table[slot], slot, hashes[i]))
    else:
        for i in range(n):
            keys[i] = key_of_hash(p, stream, classes(p, ahead_class[i]), first + i, times[i], hashes[i])
    if n == BLOCK:
        _look_ahead(p, s, first + BLOCK)
    return n


@inlined
def ask_for_popularity(p: Any, s: Any, first: Any, before: Any) -> None:
    """Ask memory for what some requests of the block that was looked ahead to will need of the popularity table.

    A table of a million keys is in no cache. A few at a time, between other work: a core drops most of what is asked
    for in a burst.
    """
    stream = streams(p, s)
    if stream.ask_table >= 0:
        table, n_keys = p.words + 8 * stream.ask_table, stream.ask_keys
        hashes = block_of(p.ahead_hash, s)
        for i in range(first, before):
            prefetch(table + 8 * int64(draws.alias_slot(record_at(hashes, i, WORD).value, n_keys)))


@inlined
def ask_for_rows(p: Any, keys: Any, first: Any, before: Any) -> None:
    """Ask memory for the rows of some requests' keys, which will be looked up soon. (No key: it does no harm.)"""
    table = p.rows
    for i in range(first, before):
        prefetch(table + 8 * record_at(keys, i, INT).value)


@inlined
def refill_own(p: Any, s: Any) -> Any:
    """Draw the next block of a stream to its own place."""
    return refill(p, s, block_of(p.arrival_ns, s), block_of(p.arrival_class, s), block_of(p.arrival_key, s))


@entry
def first_sends(memory: Any, s: int) -> Any:
    """`fill_times` for Python: the times are in the table `arrival_ns`; returns the number of the first request."""
    p = memory[0]
    fill_times(p, s, block_of(p.arrival_ns, s))
    return int64(streams(p, s).first_id)


@entry
def attributes(memory: Any, s: int, ident: int, sent_ns: int) -> tuple[int, int, int, float]:
    """Class, key (-1: none), items and difficulty of a request, for Python."""
    p = memory[0]
    stream = streams(p, s)
    c = drawn_class(p, stream, ident)
    cls = classes(p, c)
    key = drawn_key(p, stream, cls, ident, sent_ns)
    return c, key, drawn_items(p, stream, cls, ident), drawn_difficulty(p, cls, ident)


@entry
def user_think_ns(memory: Any, s: int, ident: int) -> Any:
    """`think_ns` for Python."""
    p = memory[0]
    return think_ns(p, streams(p, s), ident)

"""First sends of open-loop streams, a block at a time: times, then the class and key of each.

A stream's times depend only on its specification and seed, never on where the data plane's windows end: blocks are
drawn ahead and kept. Both engines call `refill`; closed-loop users are events of the engines instead.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import int64

from simulator.dataplane import draws
from simulator.dataplane import specification as spec
from simulator.dataplane.compiled import entry, inlined, outlined

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simulator.dataplane.packing import Pool

BLOCK = 256
NEVER = spec.NEVER

STREAM = np.dtype(
    [
        ("gap_seed", "u8"), ("class_seed", "u8"), ("gap_parameter", "f8"), ("now_ns", "i8"), ("next_id", "i8"),
        ("piece", "i8"), ("pieces", "i8"), ("ends_at", "i8"), ("rates_at", "i8"), ("values_at", "i8"), ("values_n", "i8"),
        ("step_ns", "i8"), ("left", "i8"), ("table_at", "i8"), ("table_n", "i8"), ("users", "i8"), ("think_at", "i8"),
        ("think_n", "i8"), ("classes_at", "i8"), ("classes_n", "i8"), ("class_table_at", "i8"), ("row_class_at", "i8"),
        ("row_key_at", "i8"), ("row_items_at", "i8"), ("first_id", "i8"), ("position", "i8"),
        ("source", "i4"), ("gap_kind", "i4"),
    ]
)  # fmt: skip


def pack_streams(streams: tuple[spec.Stream, ...], pool: Pool) -> NDArray[Any]:
    """Pack the streams; `position` stands at the end of an empty block, so the first use refills it."""
    packed = np.zeros(len(streams), STREAM).view(np.recarray)
    for stream in streams:
        record = packed[stream.index]
        record.source, record.gap_kind, record.gap_parameter = stream.source, stream.gap_kind, stream.gap_parameter
        record.gap_seed, record.class_seed = stream.gap_seed, stream.class_seed
        record.pieces = len(stream.piece_end_ns)
        record.ends_at, record.rates_at = pool.add_ints(stream.piece_end_ns), pool.add_floats(stream.piece_rate_per_ns)
        record.values_at, record.values_n = pool.add_ints(stream.values), len(stream.values)
        record.step_ns, record.piece = stream.step_ns, -1 if stream.source == spec.FROM_COUNTS else 0
        record.table_at, record.table_n = pool.add_words(stream.gap_table), len(stream.gap_table)
        record.users, record.think_at, record.think_n = stream.users, pool.add_floats(stream.think_ns), len(stream.think_ns)
        record.classes_at, record.classes_n = pool.add_ints(stream.classes), len(stream.classes)
        record.class_table_at = pool.add_words(stream.class_table)
        record.row_class_at = pool.add_ints(stream.row_class) if len(stream.row_class) else -1
        record.row_key_at = pool.add_ints(stream.row_key) if len(stream.row_key) else -1
        record.row_items_at = pool.add_ints(stream.row_items) if len(stream.row_items) else -1
        record.position = BLOCK
    return packed


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
def _poisson_gaps(seed: Any, first: Any, n: Any, gaps: Any, doubtful: Any) -> None:
    """Exponential gaps of requests first … first + n - 1: a loop of vector instructions, then the rare retries."""
    for i in range(n):
        x, stands = draws.exponential_try(draws.hashed(seed, first + i, 0))
        gaps[i] = x
        doubtful[i] = not stands
    for i in range(n):
        if doubtful[i]:
            gaps[i] = draws.exponential_retry(draws.hashed(seed, first + i, 0))


@outlined
def _from_rate(stream: Any, ints: Any, floats: Any, gaps: Any, doubtful: Any, out: Any) -> None:
    """Renewal process in operational time: gaps are divided by the rate of the piece that they fall into."""
    done = 0
    while done < BLOCK:
        if stream.piece >= stream.pieces:
            for i in range(done, BLOCK):
                out[i] = NEVER
            return
        end_ns = ints[stream.ends_at + stream.piece]
        rate = floats[stream.rates_at + stream.piece]
        if rate <= 0.0:
            stream.now_ns, stream.piece = end_ns, stream.piece + 1
            continue
        # No more than will probably fit into the piece: what does not is drawn again.
        expected = float(end_ns - stream.now_ns) * rate
        n = int64(min(float(BLOCK - done), expected + 4.0 * math.sqrt(expected) + 8.0))
        first = stream.next_id
        if stream.gap_kind == spec.GAP_POISSON:
            _poisson_gaps(stream.gap_seed, first, n, gaps, doubtful)
        else:
            for i in range(n):
                gaps[i] = _gap(stream, first + i)
        mean_ns = 1.0 / rate
        now = stream.now_ns
        i = 0
        while i < n:
            then = now + int64(gaps[i] * mean_ns + 0.5)
            if then >= end_ns:
                break
            out[done + i] = then
            now = then
            i += 1
        stream.now_ns, stream.next_id = now, first + i
        done += i
        if i < n:
            then = _across_pieces(stream, ints, floats, gaps[i])
            out[done] = then
            stream.next_id += 1
            done += 1


@outlined
def _across_pieces(stream: Any, ints: Any, floats: Any, units: Any) -> Any:
    """Time of a request whose gap of `units` leaves the present piece; NEVER where the pieces end first."""
    while stream.piece < stream.pieces:
        end_ns = ints[stream.ends_at + stream.piece]
        rate = floats[stream.rates_at + stream.piece]
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
def _from_times(stream: Any, ints: Any, out: Any) -> None:
    """Replay of the times as they are."""
    n = min(BLOCK, stream.values_n - stream.next_id)
    for i in range(n):
        out[i] = ints[stream.values_at + stream.next_id + i]
    for i in range(n, BLOCK):
        out[i] = NEVER
    stream.next_id += n


@outlined
def _from_counts(stream: Any, ints: Any, out: Any) -> None:
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
            stream.left = ints[stream.values_at + stream.piece]
            stream.now_ns = stream.piece * stream.step_ns
        end_ns = (stream.piece + 1) * stream.step_ns
        e = draws.exponential(draws.hashed(stream.gap_seed, stream.next_id, 0))
        ahead = -math.expm1(-e / float(stream.left)) * float(end_ns - stream.now_ns)
        stream.now_ns = min(stream.now_ns + int64(ahead), end_ns - 1)
        out[i] = stream.now_ns
        stream.left -= 1
        stream.next_id += 1


@outlined
def _from_gaps(stream: Any, words: Any, out: Any) -> None:
    """Gaps from a table, in whole units."""
    for i in range(BLOCK):
        h = draws.hashed(stream.gap_seed, stream.next_id, 0)
        stream.now_ns += draws.aliased(words, stream.table_at, stream.table_n, h) * stream.step_ns
        out[i] = stream.now_ns
        stream.next_id += 1


@outlined
def fill_times(stream: Any, ints: Any, floats: Any, words: Any, gaps: Any, doubtful: Any, out: Any) -> None:
    """Draw the next block of send times; the i-th is that of request `first_id + i`. NEVER: there are no more.

    `gaps` (float64) and `doubtful` (uint8) are scratch of BLOCK entries.
    """
    stream.first_id = stream.next_id
    stream.position = 0
    if stream.source == spec.FROM_RATE:
        _from_rate(stream, ints, floats, gaps, doubtful, out)
    elif stream.source == spec.FROM_TIMES:
        _from_times(stream, ints, out)
    elif stream.source == spec.FROM_COUNTS:
        _from_counts(stream, ints, out)
    elif stream.source == spec.FROM_GAPS:
        _from_gaps(stream, words, out)
    else:
        for i in range(BLOCK):
            out[i] = NEVER


@inlined
def class_of(stream: Any, ints: Any, words: Any, ident: Any) -> Any:
    """Class of a request: from the trace's row, or drawn by share."""
    if stream.row_class_at >= 0:
        return ints[stream.row_class_at + ident]
    if stream.classes_n == 1:
        return ints[stream.classes_at]
    h = draws.hashed(stream.class_seed, ident, 0)
    return ints[stream.classes_at + draws.aliased(words, stream.class_table_at, stream.classes_n, h)]


@inlined
def key_of(stream: Any, cls: Any, ints: Any, words: Any, ident: Any, sent_ns: Any) -> Any:
    """Key of a request among the keys of all classes."""
    if stream.row_key_at >= 0:
        return cls.key_offset + ints[stream.row_key_at + ident]
    h = draws.hashed(cls.seed_keys, ident, 0)
    rank = draws.below(h, cls.keys) if cls.key_table < 0 else draws.aliased(words, cls.key_table, cls.keys, h)
    if cls.drift_every_ns > 0:
        rank = (rank + (sent_ns // cls.drift_every_ns) * cls.drift_by) % cls.keys
    return cls.key_offset + rank


@inlined
def items_of(stream: Any, cls: Any, ints: Any, words: Any, ident: Any) -> Any:
    """Items of a request: from the trace's row, the class's constant, or drawn."""
    if stream.row_items_at >= 0:
        return ints[stream.row_items_at + ident]
    if cls.items > 0:
        return int64(cls.items)
    return draws.aliased(words, cls.items_table, cls.items_n, draws.hashed(cls.seed_items, ident, 0)) + 1


@inlined
def difficulty_of(cls: Any, floats: Any, ident: Any) -> Any:
    """Difficulty of a request; 0 where nobody looks at it."""
    if cls.needs_difficulty == 0:
        return 0.0
    u = draws.unit(draws.hashed(cls.seed_difficulty, ident, 0))
    return draws.quantile(floats, cls.difficulty_at, cls.difficulty_n, u)


@inlined
def think_ns(stream: Any, floats: Any, ident: Any) -> Any:
    """Think time of a closed-loop user before request `ident`."""
    u = draws.unit(draws.hashed(stream.gap_seed, ident, 0))
    return int64(draws.quantile(floats, stream.think_at, stream.think_n, u) + 0.5)


@entry
def first_sends(
    streams: Any, s: int, ints: Any, floats: Any, words: Any, gaps: Any, doubtful: Any, out: Any
) -> int:
    """`fill_times` for Python: fills `out` and returns the number of its first request."""
    fill_times(streams[s], ints, floats, words, gaps, doubtful, out)
    return int64(streams[s].first_id)


@entry
def attributes(
    streams: Any, classes: Any, s: int, ident: int, sent_ns: int, ints: Any, floats: Any, words: Any
) -> tuple[int, int, int, float]:
    """Class, key (-1: none), items and difficulty of a request, for Python."""
    stream = streams[s]
    c = class_of(stream, ints, words, ident)
    cls = classes[c]
    key = key_of(stream, cls, ints, words, ident, sent_ns) if cls.keyed else int64(-1)
    return c, key, items_of(stream, cls, ints, words, ident), difficulty_of(cls, floats, ident)


@entry
def user_think_ns(streams: Any, s: int, ident: int, floats: Any) -> int:
    """`think_ns` for Python."""
    value: int = think_ns(streams[s], floats, ident)
    return value


__all__ = ["BLOCK", "STREAM", "attributes", "fill_times", "first_sends", "pack_streams", "user_think_ns"]

"""How compiled code reaches its state: one record of addresses, and a function for each table.

A kernel of this size, given its forty tables as forty arrays, takes five times as long to compile and runs a tenth
slower: each array is seven words, passed at every call. So `p` is one record with the tables' addresses and the
clock, and `requests(p, r)` is the r-th request: a record whose fields are read and written in place. The tables
themselves are numpy arrays that `Tables` owns. Like numpy in compiled code, the functions check no bounds; run as
plain Python (the mutation tests do) they do check them.
"""

from __future__ import annotations

import contextlib
import mmap
from typing import TYPE_CHECKING, Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from simulator.dataplane.compiled import inlined
from simulator.dataplane.records import (
    BATCH_LOG,
    CLASS,
    DEADLINE_ENTRY,
    EVENT,
    FLIGHT,
    FLOAT,
    GROUP,
    INDEX,
    INT,
    LRU_ENTRY,
    OUTCOME,
    PRIORITIES,
    QUEUE,
    REQUEST,
    REQUEST_LOG,
    ROUTE,
    SERVER,
    SERVICE,
    STATION,
    STREAM,
    WORD,
)
from simulator.results.histogram import BUCKETS
from simulator.results.recorded import CLASS_COUNTERS, LATENCY_KINDS, SERVICE_COUNTERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASS_WIDTH, SERVICE_WIDTH, KINDS = len(CLASS_COUNTERS), len(SERVICE_COUNTERS), len(LATENCY_KINDS)

CLOCK_FIELDS = (
    "now_ns", "events", "free_request", "open_requests", "free_flight", "open_flights", "log_n", "batch_log_n",
    "pending", "pending_tail", "offered", "log", "servers_n", "streams_n", "services_n", "groups_n", "batch_width",
    "stations_n", "straddlers", "half", "block_n", "block_at", "ahead_n", "misses_n", "miss_at", "miss_counted",
    "classes_n", "lru_n", "asked", "ask_step", "foresees_noise",
    "ring_room", "room_requests", "room_flights", "room_events", "room_log", "room_batch_log",
)  # fmt: skip
TABLES = (
    "streams", "classes", "routes", "services", "stations", "servers", "requests", "flights", "heap", "lru",
    "request_log", "batch_log", "ints", "floats", "words", "gaps", "doubtful", "arrival_ns", "arrival_class",
    "arrival_key", "ahead_class", "ahead_hash", "block_ns", "block_class", "block_key", "block_who", "misses",
    "class_hits", "class_ttl_ns",
    "class_balance_seed", "class_noise_seed", "class_sigma", "miss_hash", "noise_hash", "miss_factor", "flight_factor",
    "rows", "outcomes", "queues", "groups", "deadlines", "station_servers", "ready",
    "class_counters", "service_counters", "slo_good", "slo_total", "histogram", "batch_sizes", "served_items",
)  # fmt: skip
MEMORY = np.dtype([*[(field, "i8") for field in CLOCK_FIELDS], *[(table, "i8") for table in TABLES]])


ALL = 1 << 40
"""A length that no table has, for arrays that are only indexed."""
_NOTHING = np.zeros(4096, np.int8)


_HUGE_PAGE = 1 << 21
_CACHE_LINE = 64


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    """A copy that begins with a cache line; of a large table, on huge pages if the system has them.

    A table of a million keys spans thousands of ordinary pages, more than a core keeps addresses of: every other
    look-up would wait for a page walk as well as for memory.
    """
    huge = array.nbytes >= _HUGE_PAGE
    step = _HUGE_PAGE if huge else _CACHE_LINE
    space: Any = np.empty(array.nbytes + step, np.int8)
    if huge:
        space = mmap.mmap(
            -1,
            array.nbytes + 2 * step,
            mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,  # shared memory gets none
        )
        with contextlib.suppress(AttributeError, OSError):  # not Linux, or a kernel without them
            space.madvise(mmap.MADV_HUGEPAGE)
    start = -np.frombuffer(space, np.int8).ctypes.data % step
    copy = np.frombuffer(space, array.dtype, array.size, start).reshape(array.shape)
    copy[...] = array
    return copy


class Tables:
    """The kernel's tables by name, and the record of their addresses (`memory[0]`)."""

    def __init__(self) -> None:
        self.memory: NDArray[Any] = np.zeros(1, MEMORY)
        self.clock: Any = self.memory.view(np.recarray)[0]
        """The record that compiled code calls `p`."""
        self._arrays: dict[str, NDArray[Any]] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_arrays"][name]
        except KeyError:
            raise AttributeError(name) from None

    def place(self, **arrays: NDArray[Any]) -> None:
        """Put tables where compiled code finds them; records become readable by attribute in Python too."""
        for name, array in arrays.items():
            kept = _aligned(array)
            self._arrays[name] = kept.view(np.recarray) if kept.dtype.fields else kept
            # An empty array has no address that compiled code may look at.
            self.memory[0][name] = kept.ctypes.data if kept.size else _NOTHING.ctypes.data


@intrinsic  # type: ignore[untyped-decorator]  # numba ships no types
def record_at(typing_context: Any, address: Any, index: Any, dtype: Any) -> Any:
    """The index-th record of the table at an address."""
    record = dtype.dtype

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        size = context.get_constant(types.intp, record.size)
        place = builder.add(arguments[0], builder.mul(arguments[1], size))
        return builder.inttoptr(place, context.get_value_type(record))

    return record(types.intp, types.intp, dtype), generate


@intrinsic  # type: ignore[untyped-decorator]  # numba ships no types
def array_at(typing_context: Any, address: Any, n: Any, dtype: Any) -> Any:
    """The n numbers at an address as an array: for loops that should become vector instructions."""
    array_type = types.Array(dtype.dtype, 1, "C")

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(array_type)(context, builder)
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(dtype.dtype)))
        populate_array(
            array,
            data=builder.inttoptr(arguments[0], array.data.type),
            shape=[arguments[1]],
            strides=[size],
            itemsize=size,
            meminfo=None,
        )
        return array._getvalue()

    return array_type(types.intp, types.intp, dtype), generate


@intrinsic  # type: ignore[untyped-decorator]  # numba ships no types
def prefetch(typing_context: Any, address: Any) -> Any:
    """Ask for the cache line at an address: it will be wanted soon."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        function_type = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
        # Read, keep in every cache level, data cache.
        builder.call(function, [builder.inttoptr(arguments[0], pointer), word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(types.intp), generate


@inlined
def streams(p: Any, s: Any) -> Any:
    """Arrival stream s."""
    return record_at(p.streams, s, STREAM)


@inlined
def classes(p: Any, c: Any) -> Any:
    """Request class c."""
    return record_at(p.classes, c, CLASS)


@inlined
def routes(p: Any, i: Any) -> Any:
    """Route i."""
    return record_at(p.routes, i, ROUTE)


@inlined
def services(p: Any, s: Any) -> Any:
    """Service s."""
    return record_at(p.services, s, SERVICE)


@inlined
def stations(p: Any, i: Any) -> Any:
    """Station i: a queue and its batch slots."""
    return record_at(p.stations, i, STATION)


@inlined
def servers(p: Any, v: Any) -> Any:
    """Batch slot v."""
    return record_at(p.servers, v, SERVER)


@inlined
def requests(p: Any, r: Any) -> Any:
    """Logical request r."""
    return record_at(p.requests, r, REQUEST)


@inlined
def flights(p: Any, f: Any) -> Any:
    """Flight f."""
    return record_at(p.flights, f, FLIGHT)


@inlined
def flight_factor(p: Any, f: Any) -> Any:
    """Factor by which a batch takes longer that flight f is the first of; not a number: not foreseen."""
    return record_at(p.flight_factor, f, FLOAT)


@inlined
def heap(p: Any, i: Any) -> Any:
    """Event i of the heap."""
    return record_at(p.heap, i, EVENT)


@inlined
def lru(p: Any, e: Any) -> Any:
    """Entry e of the least-recently-used lists."""
    return record_at(p.lru, e, LRU_ENTRY)


@inlined
def request_log(p: Any, i: Any) -> Any:
    """Row i of the log of requests."""
    return record_at(p.request_log, i, REQUEST_LOG)


@inlined
def batch_log(p: Any, i: Any) -> Any:
    """Row i of the log of batches."""
    return record_at(p.batch_log, i, BATCH_LOG)


@inlined
def rows(p: Any, key: Any) -> Any:
    """Row of a key: see cache.py."""
    return record_at(p.rows, key, INT)


@inlined
def outcomes(p: Any, i: Any) -> Any:
    """Entry i of the breakers' rings."""
    return record_at(p.outcomes, i, OUTCOME)


@inlined
def queues(p: Any, station: Any, level: Any) -> Any:
    """Head and tail of a station's queue for one priority."""
    return record_at(p.queues, np.int64(station) * PRIORITIES + level, QUEUE)


@inlined
def groups(p: Any, g: Any) -> Any:
    """List of the requests with the g-th time-out."""
    return record_at(p.groups, g, GROUP)


@inlined
def deadlines(p: Any, g: Any, place: Any) -> Any:
    """Entry of the ring of deadlines of the g-th time-out; places count up for ever."""
    return record_at(p.deadlines, g * p.ring_room + (place & (p.ring_room - 1)), DEADLINE_ENTRY)


@inlined
def station_servers(p: Any, i: Any) -> Any:
    """Entry i of the lists of stations' slots."""
    return np.int64(record_at(p.station_servers, i, INDEX).value)


@inlined
def ready(p: Any, i: Any) -> Any:
    """Entry i of the lists of services' ready stations."""
    return np.int64(record_at(p.ready, i, INDEX).value)


@inlined
def ints(p: Any, i: Any) -> Any:
    """Whole number i of the tables."""
    return record_at(p.ints, i, INT).value


@inlined
def floats(p: Any, i: Any) -> Any:
    """Floating-point number i of the tables."""
    return record_at(p.floats, i, FLOAT).value


@inlined
def words(p: Any, i: Any) -> Any:
    """Word i of the tables."""
    return record_at(p.words, i, WORD).value


@inlined
def count_class(p: Any, c: Any, counter: Any, n: Any) -> None:
    """Add n to a counter of a class."""
    record_at(p.class_counters, np.int64(c) * CLASS_WIDTH + counter, INT).value += n


@inlined
def count_service(p: Any, s: Any, counter: Any, n: Any) -> None:
    """Add n to a counter of a service."""
    record_at(p.service_counters, np.int64(s) * SERVICE_WIDTH + counter, INT).value += n


@inlined
def count_latency(p: Any, c: Any, kind: Any, bucket: Any, n: Any) -> None:
    """Add n to a latency bucket."""
    record_at(p.histogram, (np.int64(c) * KINDS + kind) * BUCKETS + bucket, INT).value += n


@inlined
def count_slo(p: Any, slo: Any, good: Any, n: Any) -> None:
    """Count n final outcomes for an SLO, so many of them good."""
    record_at(p.slo_total, slo, INT).value += n
    record_at(p.slo_good, slo, INT).value += good


@inlined
def count_batch(p: Any, s: Any, items: Any) -> None:
    """Count a batch by its size."""
    record_at(p.batch_sizes, np.int64(s) * p.batch_width + items, INT).value += 1


@inlined
def count_served(p: Any, c: Any, s: Any, items: Any) -> None:
    """Count items of a class that a service takes."""
    record_at(p.served_items, np.int64(c) * p.services_n + s, INT).value += items

"""The demand of a scenario, drawn up front: exactly the requests that a simulation of it sends.

For whoever sends them to a real system instead. The draws are those of the data plane, made by the same compiled
functions, so that a prediction and a load test of one scenario and seed meet the very same requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scenarios.demand import Demand
from scenarios.errors import InvalidInput, Unsupported
from simulator.dataplane import arrivals
from simulator.dataplane.resolve_fleet import resolve
from simulator.dataplane.state import pack
from simulator.dataplane.up_front import draw_attributes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scenarios.load import LoadedScenario
    from simulator.dataplane.memory import Tables

MOST_REQUESTS = 20_000_000
"""Requests of one demand: it is kept in memory."""
_DRAWN = np.dtype([("class_index", "i8"), ("key", "i8"), ("items", "i8"), ("difficulty", "f8")])


def draw(loaded: LoadedScenario, seed: int | None = None) -> Demand:
    """Draw every first send of a scenario, and what the client of each would wait before its retries.

    `seed` is the scenario's own unless given. Raises `Unsupported` for closed-loop users (when they send depends on
    the answers) and `InvalidInput` as a simulation does, or where there are more than `MOST_REQUESTS`.
    """
    scenario = loaded.scenario
    users = [stream.name for stream in scenario.arrivals if stream.users is not None]
    if users:
        raise Unsupported(
            f"arrivals[{users[0]}].users: closed-loop users send when they are answered; a schedule that is drawn up "
            "front needs rate, process.poisson_ms or trace"
        )
    specification = resolve(scenario, loaded.files, scenario.run.seed if seed is None else seed)
    tables, _ = pack(specification)
    times = [_send_times(tables, each.index, specification.duration_ns) for each in specification.streams]
    lengths = [len(each) for each in times]
    if sum(lengths) > MOST_REQUESTS:
        raise InvalidInput(
            f"a schedule may have {MOST_REQUESTS:,} requests, and this one has more: give a shorter duration"
        )
    drawn = np.zeros(sum(lengths), _DRAWN)
    waits = np.zeros((sum(lengths), max(each.max_retries for each in specification.classes)), np.int64)
    first = 0
    for index, each in enumerate(times):
        rows = slice(first, first + len(each))
        draw_attributes(tables.memory, index, each, drawn[rows], waits[rows])
        first += len(each)
    stream = np.repeat(np.arange(len(times)), lengths)
    number = np.concatenate([np.arange(length) for length in lengths])
    due_ns = np.concatenate(times)
    order = np.lexsort((number, stream, due_ns))
    return Demand(
        stream[order],
        number[order],
        drawn["class_index"][order],
        due_ns[order],
        drawn["key"][order],
        drawn["items"][order],
        drawn["difficulty"][order],
        waits[order],
    )


def _send_times(tables: Tables, stream: int, end_ns: int) -> NDArray[np.int64]:
    """Send times of a stream before the end of the run, and not many more than `MOST_REQUESTS`."""
    blocks: list[NDArray[np.int64]] = []
    drawn = 0
    while drawn <= MOST_REQUESTS:
        arrivals.first_sends(tables.memory, stream)
        block = tables.arrival_ns[stream]
        within = int(np.searchsorted(block, end_ns))
        blocks.append(block[:within].copy())
        drawn += within
        if within < len(block):
            break
    return np.concatenate(blocks)

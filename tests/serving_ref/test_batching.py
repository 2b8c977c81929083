"""The model server's queue against the simulator's kernel: the same arrivals make the same batches."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scenarios.fleet import AddReplica
from scenarios.rules.batching import BatchingNumbers, batching_numbers
from scenarios.schema import Scenario
from serving_ref.model_server.batcher import NEVER, Queue, QueueFull, Waiting
from simulator.dataplane.kernel_plane import KernelPlane
from simulator.dataplane.resolve_fleet import resolve

SIZES = (1, 2, 3)
"""Items of a request, by its class."""
DURATION_S = 2
END_NS = 4_000_000_000
"""Long after the last arrival: every request has its outcome by then, and so is in the log."""


DELAYS_US = (0, 500, 2_000, 9_000, 40_000)
timeouts_us = st.sampled_from(DELAYS_US[1:]) | st.integers(1_000, 60_000)
"""As long as a delay, so that a batch is due and a client gives up at one moment; or anything."""


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    largest = draw(st.integers(3, 16))
    batching: dict[str, Any] = {
        "max_batch_size": largest,
        "max_queue_delay": f"{draw(st.sampled_from(DELAYS_US))}us",
        "preferred_batch_sizes": draw(st.lists(st.integers(1, largest), max_size=3)),
        "drop_expired": draw(st.booleans()),
    }
    if draw(st.booleans()):
        batching["max_batch_requests"] = draw(st.integers(1, largest))
    if draw(st.booleans()):
        batching["max_queue_size"] = draw(st.integers(1, 30))
    shares = draw(st.sampled_from([(1.0, 0.0, 0.0), (0.5, 0.25, 0.25), (0.25, 0.25, 0.5)]))
    return Scenario.model_validate(
        {
            "apiVersion": "baseload/v1",
            "metadata": {"name": "queue"},
            "run": {"duration": f"{DURATION_S}s"},
            "arrivals": [{"name": "a", "rate": f"{draw(st.sampled_from([50, 200, 600]))}/s"}],
            "classes": [
                {
                    "name": f"c{place}", "arrivals": "a", "share": share, "route": "r", "items": SIZES[place],
                    "priority": draw(st.integers(0, 7)), "timeout": f"{draw(timeouts_us) + place}us",
                }
                for place, share in enumerate(shares) if share
            ],
            "routes": [{"name": "r", "targets": [{"service": "s"}]}],
            "services": [
                {
                    "name": "s", "model": "m", "pools": ["p"], "batching": batching,
                    "instances_per_replica": draw(st.integers(1, 3)),
                }
            ],
            "models": [
                {"name": "m", "profiles": [{"instance_types": ["*"], "latency": {"fixed": "4ms", "per_item": "1.1ms"}}]}
            ],
            "pools": [{"name": "p", "instance_type": "g5.xlarge", "size": 1}],
        }
    )  # fmt: skip


def simulated(scenario: Scenario, seed: int) -> tuple[np.ndarray, list[tuple[int, int, int]]]:
    """The kernel's requests, and its batches: start, requests, items."""
    specification = resolve(scenario, {}, seed, log=True)
    plane = KernelPlane(specification)
    plane.advance(0)
    plane.apply([AddReplica(replica=1, service="s", pool="p", instance=0, number=0)])
    plane.advance(END_NS)
    logs = plane.logs()
    batches = np.sort(logs.batches, order=["start_ns", "number"])
    return logs.requests, [(int(b["start_ns"]), int(b["requests"]), int(b["items"])) for b in batches]


def queued(scenario: Scenario, requests: np.ndarray) -> list[tuple[int, int, int]]:
    """The same requests through the model server's queue, in virtual time."""
    service = scenario.services[0]
    batching = service.batching
    queue = Queue(batching_numbers(batching), batching.drop_expired, batching.max_queue_size)
    idle, busy = service.instances_per_replica, []
    batches: list[tuple[int, int, int]] = []
    timer_ns = NEVER
    arrivals = [(int(r["first_ns"]), int(r["cls"])) for r in np.sort(requests, order="first_ns")]
    place = 0
    while True:
        arrival_ns = arrivals[place][0] if place < len(arrivals) else NEVER
        now_ns = min(arrival_ns, busy[0] if busy else NEVER, timer_ns)
        if now_ns >= END_NS:
            return batches
        looks = now_ns == timer_ns
        while busy and busy[0] == now_ns:
            heapq.heappop(busy)
            idle += 1
            looks = True
        if arrival_ns == now_ns:
            kind = scenario.classes[arrivals[place][1]]
            place += 1
            deadline_ns = now_ns + round((kind.timeout or 0) * 1e9)
            try:
                waiting = Waiting({}, kind.items.constant or 1, kind.priority, deadline_ns, answer=None)
                queue.join(waiting, now_ns)
            except QueueFull:
                pass
            else:  # as `Batcher.infer` wakes a thread
                looks = looks or timer_ns == NEVER or queue.may_go
        if not looks:
            continue
        timer_ns = NEVER
        while idle:
            found = queue.take(now_ns, [])
            if not isinstance(found, list):
                timer_ns = found
                break
            items = sum(waiting.items for waiting in found)
            batches.append((now_ns, len(found), items))
            heapq.heappush(busy, now_ns + 4_000_000 + 1_100_000 * items)
            idle -= 1


@given(scenarios(), st.integers(0, 1_000))
def test_the_queue_makes_the_batches_that_the_kernel_makes(scenario, seed):
    requests, expected = simulated(scenario, seed)
    assert queued(scenario, requests) == expected


def test_a_queue_that_is_full_of_what_has_expired_is_looked_at():
    """The delay is far away; without a look the third request would be refused for the sake of the first."""
    queue = Queue(BatchingNumbers(8, 8, 1_000_000, ()), drop_expired=True, most=2)
    expired: list[Waiting] = []
    gone, there, next_one = (Waiting({}, 1, 0, deadline_ns, answer=None) for deadline_ns in (5, NEVER, NEVER))
    queue.join(gone, 0)
    assert not queue.may_go
    queue.join(there, 10)
    assert queue.may_go
    assert queue.take(10, expired) == 10 + 1_000_000
    assert expired == [gone]
    queue.join(next_one, 11)

"""The compiled data plane as the control plane sees it: windows, fleet changes, memory that grows when it must."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scenarios.fleet import AddReplica, DrainReplica, KillReplica, ServiceState, Snapshot
from scenarios.units import NANOSECONDS_PER_SECOND
from simulator.dataplane import blockwise, kernel
from simulator.dataplane.eligible import BLOCK_WISE, EVENT_ORDERED, kernel_path, reason_against_blocks
from simulator.dataplane.engine import Counters, Logs
from simulator.dataplane.records import BLOCK, FREE, NONE
from simulator.dataplane.specification import NEVER
from simulator.dataplane.state import pack
from simulator.results.recorded import SERVICE_COUNTERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from scenarios.fleet import Change
    from simulator.dataplane.specification import Specification

_FIRST_ROOM = 1024
_SHARED_UID = 1 << 39
"""Uids from here on are those of shared queues, by service."""
_BUSY_NS = SERVICE_COUNTERS.index("busy_ns")


@dataclass(frozen=True, eq=False)
class _Listed:
    """Where the replicas of one service are in the kernel's records, as of the last change of the fleet."""

    slots: NDArray[np.int64]
    """Rows of `servers`."""
    queues: NDArray[np.int64]
    """Rows of `stations`."""
    ready: int
    draining: int


class KernelPlane:
    """The event-ordered kernel. See `DataPlane` for the calls."""

    path = EVENT_ORDERED
    _handle = staticmethod(kernel.advance)

    def __init__(self, specification: Specification) -> None:
        self._spec = specification
        self.path_reason = reason_against_blocks(specification)
        self._tables, self._times = pack(specification)
        plane = self._tables
        self._counters = Counters(
            class_counters=plane.class_counters,
            service_counters=plane.service_counters,
            slo_good=plane.slo_good,
            slo_total=plane.slo_total,
            histogram=plane.histogram,
            batch_sizes=plane.batch_sizes,
            served_items=plane.served_items,
        )
        self._services = {service.name: service for service in specification.services}
        self._replicas: dict[int, AddReplica] = {}
        self._draining: set[int] = set()
        self._reported: set[int] = set()
        """Drained replicas that a snapshot has told of: they are forgotten at the next change."""
        self._slots: dict[int, list[int]] = {}
        self._stations: dict[int, int] = {}
        self._free_stations: list[int] = []
        self._free_servers: list[int] = []
        users = sum(stream.users for stream in specification.streams)
        self._grow(users)
        for service in specification.services:
            if service.shared_queue:
                index = self._new_station(service.index, _SHARED_UID + service.index)
                self._tables.services[service.index].shared_station = index
        self._list_fleet()
        kernel.start_users(self._tables.memory)

    def advance(self, to_ns: int) -> Counters:
        """Handle every event before `to_ns`."""
        while self._handle(self._tables.memory, to_ns) == kernel.NEED_ROOM:
            self._grow(0)
        return self._counters

    def apply(self, changes: Iterable[Change]) -> None:
        """Change the fleet at the end of the last window."""
        now_ns = int(self._tables.clock.now_ns)
        offered: list[int] = []
        for change in changes:
            match change:
                case AddReplica():
                    offered.append(self._add(change))
                case DrainReplica(replica):
                    self._drain(replica)
                case KillReplica(replica):
                    self._kill(replica, now_ns)
        self._list_fleet()
        self._grow(0)
        for station in reversed(list(dict.fromkeys(offered))):
            self._tables.stations[station].next_offered = self._tables.clock.offered
            self._tables.clock.offered = station
        self.advance(now_ns)

    def observe(self) -> Snapshot:
        """Look at the fleet as it is now."""
        plane = self._tables
        services = []
        for service, listed in zip(self._spec.services, self._listed, strict=True):
            servers = plane.servers[listed.slots]
            services.append(
                ServiceState(
                    name=service.name,
                    ready_replicas=listed.ready,
                    draining_replicas=listed.draining,
                    queued=int(plane.stations.queued[listed.queues].sum()),
                    in_service=int(servers.batch_n[servers.busy == 1].sum()),
                    batch_slots=listed.ready * service.instances,
                )
            )
        drained = self._drained()
        self._reported.update(drained)
        return Snapshot(plane.clock.now_ns / NANOSECONDS_PER_SECOND, tuple(services), drained)

    def busy_ns(self) -> NDArray[np.int64]:
        """Time with a batch in service, by service."""
        plane = self._tables
        busy: NDArray[np.int64] = plane.service_counters[:, _BUSY_NS].copy()
        for server in plane.servers[plane.servers.busy == 1]:
            busy[plane.stations[server.station].service] += plane.clock.now_ns - server.start_ns
        return busy

    def unfinished(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Logical requests without an outcome, by class and, if late already, by SLO."""
        plane = self._tables
        requests = plane.requests[plane.requests.phase != FREE]
        by_class = np.bincount(requests.cls, minlength=len(self._spec.classes)).astype(np.int64)
        age_ns = plane.clock.now_ns - requests.first_ns
        late = [
            int(np.count_nonzero((requests.cls == slo.request_class) & (age_ns > slo.latency_ns)))
            for slo in self._spec.slos
        ]
        return by_class, np.array(late, np.int64)

    def logs(self) -> Logs:
        """What was logged."""
        clock = self._tables.clock
        requests = self._tables.request_log[: clock.log_n]
        batches = self._tables.batch_log[: clock.batch_log_n]
        return Logs(
            np.sort(requests, order=["stream", "id"]),
            np.sort(batches, order=["service", "uid", "number", "start_ns"]),
        )

    # Fleet changes: rare, so in Python.

    def _uids(self, service: int) -> list[int]:
        """Replicas of a service in listed order: pool, instance, number."""
        spec = self._spec.services[service]
        members = [each for each in self._replicas.values() if each.service == spec.name]
        members.sort(key=lambda each: (spec.pools.index(each.pool), each.instance, each.number))
        return [each.replica for each in members]

    def _add(self, change: AddReplica) -> int:
        service = self._services[change.service]
        self._replicas[change.replica] = change
        if service.shared_queue:
            station = int(self._tables.services[service.index].shared_station)
        else:
            station = self._new_station(service.index, change.replica)
        times_at, samples_at = self._times[service.index][service.pools.index(change.pool)]
        slots = []
        for number in range(service.instances):
            slot = self._new_server()
            server = self._tables.servers[slot]
            server.station, server.uid, server.number = station, change.replica, number
            server.times_at, server.samples_at = times_at, samples_at
            server.busy, server.accepting, server.live = 0, 1, 1
            server.finish_ns = server.batch_n = 0
            self._tables.stations[station].idle += 1
            slots.append(slot)
        self._tables.stations[station].server = slots[0]
        self._slots[change.replica] = slots
        self._stations[change.replica] = station
        return station

    def _drain(self, replica: int) -> None:
        if replica in self._draining:
            return
        self._draining.add(replica)
        service = self._services[self._replicas[replica].service]
        if service.shared_queue:
            for slot in self._slots[replica]:
                server = self._tables.servers[slot]
                server.accepting = 0
                self._tables.stations[server.station].idle -= 1 - server.busy

    def _kill(self, replica: int, now_ns: int) -> None:
        service = self._services[self._replicas[replica].service]
        for slot in self._slots[replica]:
            kernel.withdraw(self._tables.memory, slot, now_ns)
        if not service.shared_queue:
            kernel.withdraw_queue(self._tables.memory, self._stations[replica])
        self._forget(replica)

    def _drained(self) -> tuple[int, ...]:
        """Draining replicas without a batch and, where the queue is their own, without anybody waiting."""
        if not self._draining:
            return ()
        busy, queued = self._tables.servers["busy"].tolist(), self._tables.stations["queued"].tolist()
        return tuple(
            uid
            for uid in sorted(self._draining)
            if not any(busy[slot] for slot in self._slots[uid])
            and (self._services[self._replicas[uid].service].shared_queue or not queued[self._stations[uid]])
        )

    def _forget(self, replica: int) -> None:
        """Take a replica that has nothing left out of the books; its records may be used again."""
        for slot in self._slots.pop(replica):
            self._tables.servers[slot].live = 0
            self._free_servers.append(slot)
        station = self._stations.pop(replica)
        if not self._services[self._replicas[replica].service].shared_queue:
            self._tables.stations[station].live = 0
            self._free_stations.append(station)
        del self._replicas[replica]
        self._draining.discard(replica)
        self._reported.discard(replica)

    def _new_station(self, service: int, uid: int) -> int:
        if not self._free_stations:
            old = len(self._tables.stations)
            new = max(16, 2 * old)
            self._resize(stations=new, queues=new)
            self._free_stations = list(range(new - 1, old - 1, -1))
            self._tables.clock.stations_n = new
        index = self._free_stations.pop()
        station = self._tables.stations[index]
        station.service, station.uid, station.timer_ns, station.live = service, uid, -1, 1
        station.next_ns = NEVER
        station.idle = station.queued = station.queued_items = station.outstanding = 0
        self._tables.queues[index].head = NONE
        self._tables.queues[index].tail = NONE
        return index

    def _new_server(self) -> int:
        if not self._free_servers:
            old = len(self._tables.servers)
            new = max(16, 2 * old)
            self._resize(servers=new)
            self._free_servers = list(range(new - 1, old - 1, -1))
        return self._free_servers.pop()

    def _list_fleet(self) -> None:
        """Write the lists that the kernel reads: slots of each station, ready stations of each service."""
        for replica in sorted(self._reported):
            self._forget(replica)
        station_servers: list[int] = []
        ready: list[int] = []
        self._listed: list[_Listed] = []
        for service in self._spec.services:
            record = self._tables.services[service.index]
            record.ready_at = len(ready)
            uids = self._uids(service.index)
            accepting = [uid for uid in uids if uid not in self._draining]
            slots = [slot for uid in uids for slot in self._slots[uid]]
            if service.shared_queue:
                shared = self._tables.stations[record.shared_station]
                shared.servers_at, shared.servers_n = len(station_servers), len(slots)
                queues = [int(record.shared_station)]
                ready += queues if accepting else []
            else:
                queues = [self._stations[uid] for uid in uids]
                at = len(station_servers)
                for uid, queue in zip(uids, queues, strict=True):
                    station = self._tables.stations[queue]
                    station.servers_at, station.servers_n = at, len(self._slots[uid])
                    at += len(self._slots[uid])
                ready += [self._stations[uid] for uid in accepting]
            station_servers += slots
            record.ready_n = len(ready) - record.ready_at
            self._listed.append(
                _Listed(
                    np.array(slots, np.int64),
                    np.array(queues, np.int64),
                    len(accepting),
                    len(uids) - len(accepting),
                )
            )
        self._tables.place(
            station_servers=np.array(station_servers, np.int32), ready=np.array(ready, np.int32)
        )

    # Memory.

    def _resize(self, **sizes: int) -> None:
        for name, size in sizes.items():
            old = getattr(self._tables, name)
            new = np.zeros((size, *old.shape[1:]), old.dtype)
            new[: len(old)] = old
            self._tables.place(**{name: new})

    def _grow(self, extra_events: int) -> None:
        """Give the kernel room: twice what is in use, for whatever is short."""
        plane = self._tables
        clock = plane.clock
        if clock.open_requests == len(plane.requests):
            self._chain("requests", "free_request", "flight")
        if clock.open_flights == len(plane.flights):
            self._chain("flights", "free_flight", "next")
            self._resize(flight_factor=len(plane.flights))
        clock.servers_n = len(self._tables.servers)
        if any(group.tail - group.head > clock.ring_room // 2 for group in plane.groups):
            self._double_rings()
        needed = int(clock.events + len(self._tables.requests) + len(self._tables.flights) + clock.servers_n)
        needed += extra_events + 4
        if needed + _FIRST_ROOM > len(plane.heap):
            self._resize(heap=2 * needed + 4 * _FIRST_ROOM)
        if clock.log:
            finished, open_now = int(clock.log_n), int(clock.open_requests)
            if finished + open_now + BLOCK + _FIRST_ROOM > len(plane.request_log):
                self._resize(request_log=2 * (finished + open_now + BLOCK) + 4 * _FIRST_ROOM)
            rows = (int(clock.servers_n) + 1) * _FIRST_ROOM
            if clock.batch_log_n + rows > len(plane.batch_log):
                self._resize(batch_log=2 * int(clock.batch_log_n) + 2 * rows)
        clock.room_requests, clock.room_flights = len(plane.requests), len(plane.flights)
        clock.room_events, clock.room_log, clock.room_batch_log = (
            len(plane.heap),
            len(plane.request_log) - BLOCK,  # a whole block of hits may be logged at once
            len(plane.batch_log),
        )

    def _double_rings(self) -> None:
        """Twice the room for deadlines; an entry's place is its number modulo the room."""
        old, room = self._tables.deadlines, int(self._tables.clock.ring_room)
        new = np.zeros((len(old), 2 * room), old.dtype)
        for g, group in enumerate(self._tables.groups):
            places = np.arange(group.head, group.tail)
            new[g, places % (2 * room)] = old[g, places % room]
        self._tables.place(deadlines=new)
        self._tables.clock.ring_room = 2 * room

    def _chain(self, name: str, free: str, link: str) -> None:
        """Double a pool of records and chain the new ones into its free list."""
        old = len(getattr(self._tables, name))
        new = max(_FIRST_ROOM, 2 * old)
        self._resize(**{name: new})
        pool = getattr(self._tables, name)
        pool[link][old:] = np.arange(old + 1, new + 1)
        pool[link][new - 1] = self._tables.clock[free]
        self._tables.clock[free] = old


class BlockwisePlane(KernelPlane):
    """The block-wise kernel, for specifications that `reason_against_blocks` has nothing against: the fastest
    path."""

    path = BLOCK_WISE
    _handle = staticmethod(blockwise.advance)


def kernel_plane(specification: Specification) -> KernelPlane:
    """Return the faster of the two kernels that can run a specification."""
    if kernel_path(specification) == BLOCK_WISE:
        return BlockwisePlane(specification)
    return KernelPlane(specification)

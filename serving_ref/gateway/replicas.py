"""The replicas of a service: where they are, which of them are well, and whose turn it is."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import time
from typing import TYPE_CHECKING

from scenarios.units import nanoseconds
from serving_ref.gateway.connection import Connection, Lost, Response

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving_ref.gateway.settings import Upstream

CONNECT_TIMEOUT_S = 1.0
"""A pod that is gone may leave an address at which nobody answers. Then another replica is asked in time."""
FIRST_LOOK_UP_S = 10.0
"""How long a new gateway waits for the name server. Then it is of more use without replicas than not there."""
IDLE_NS = nanoseconds(30.0)
"""A connection that idled for longer is not used again: the server may just be closing it."""


class Replica:
    """One address, and its open connections."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.outstanding = 0
        self.lost_until_ns = 0
        self.leaving_until_ns = 0
        self.idle: list[tuple[int, Connection]] = []

    async def call(self, request: Sequence[bytes], timeout_s: float) -> Response:
        """Send a request and return the response. Raises Lost."""
        self.outstanding += 1
        connection = response = None
        try:
            connection = self._idle() or await self._connect()
            response = await connection.call(request, timeout_s)
        finally:
            self.outstanding -= 1
            # Whoever gave up in between has left a response to come: the next request would get it for its own.
            if connection is not None and response is None:
                connection.close()
        if not connection.closed:
            self.idle.append((time.monotonic_ns(), connection))
        return response

    def _idle(self) -> Connection | None:
        """Return the connection that was used last, if it can still be believed in."""
        now_ns = time.monotonic_ns()
        while self.idle:
            since_ns, connection = self.idle.pop()
            if not connection.closed and now_ns - since_ns < IDLE_NS:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        try:
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(Connection, self.host, self.port)
        except (OSError, TimeoutError) as error:
            raise Lost(str(error)) from None
        return connection

    def close(self) -> None:
        """Leave the idle connections."""
        while self.idle:
            self.idle.pop()[1].close()


class Replicas:
    """The replicas of one service. With `dns`, the name is looked up again and again."""

    def __init__(self, settings: Upstream) -> None:
        self.settings = settings
        self.eject_ns = nanoseconds(settings.eject)
        self.all: list[Replica] = []
        self.looked_up = settings.endpoints.dns is None
        self.patient_until_ns = time.monotonic_ns() + nanoseconds(FIRST_LOOK_UP_S)
        self.turn = 0
        self.dice = random.Random()
        for address in settings.endpoints.addresses or []:
            host, _, port = address.rpartition(":")
            self.all.append(Replica(host, int(port)))

    async def keep_looking(self) -> None:
        """Follow the name, for ever. What can't be looked up changes nothing."""
        endpoints = self.settings.endpoints
        while endpoints.dns is not None:
            host, _, port = endpoints.dns.rpartition(":")
            with contextlib.suppress(_Unknown):
                self._become(await _addresses(host, int(port)), int(port))
                self.looked_up = True
            await asyncio.sleep(endpoints.refresh)

    def _become(self, hosts: list[str], port: int) -> None:
        known = {replica.host: replica for replica in self.all}
        for host in known.keys() - set(hosts):
            known[host].close()
        self.all = [known.get(host) or Replica(host, port) for host in hosts]

    def known(self, now_ns: int) -> bool:
        """Whether it is known where the replicas are, or has been asked for long enough."""
        return self.looked_up or now_ns >= self.patient_until_ns

    def ready(self, now_ns: int) -> list[Replica]:
        """Return the replicas that are well; those that are leaving only where there are no others."""
        there = [replica for replica in self.all if replica.lost_until_ns <= now_ns]
        return [replica for replica in there if replica.leaving_until_ns <= now_ns] or there

    def choose(self, ready: list[Replica]) -> Replica:
        """Return the replica that the service's balancing rule picks."""
        rule = self.settings.balancing
        if len(ready) == 1:
            return ready[0]
        if rule == "round-robin":
            self.turn += 1
            return ready[(self.turn - 1) % len(ready)]
        if rule == "least-outstanding":
            return min(ready, key=lambda replica: replica.outstanding)
        if rule == "random":
            return self.dice.choice(ready)
        first, second = self.dice.sample(ready, 2)
        return second if second.outstanding < first.outstanding else first

    def lost(self, replica: Replica) -> None:
        """Leave a replica out for a while: it refused or broke a connection."""
        replica.lost_until_ns = time.monotonic_ns() + self.eject_ns
        replica.close()

    def leaving(self, replica: Replica) -> None:
        """Prefer others for a while: it asked to leave its connection."""
        replica.leaving_until_ns = time.monotonic_ns() + self.eject_ns


class _Unknown(Exception):
    """The name server did not say."""


async def _addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a host, sorted; none where the name has none. Raises _Unknown."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
            return []
        raise _Unknown from None
    return sorted({str(address[0]) for *_, address in found})

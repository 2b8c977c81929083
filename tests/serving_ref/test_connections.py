"""Connections to model servers: an answer goes to the request that asked for it, or to nobody."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from serving_ref.gateway.connection import Lost, Response
from serving_ref.gateway.replicas import Replica
from tests.serving_ref.servers import infer_body, wait_until

REQUEST = b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n"
PATIENCE_S = 30.0


class Peer:
    """A server that answers each request with its path, when it is told to."""

    def __init__(self, *, after: bytes = b"") -> None:
        self.after = after
        """What it sends behind every answer."""
        self.free = asyncio.Event()
        self.free.set()
        self.connections: list[asyncio.StreamReader] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(reader)
        with contextlib.suppress(ConnectionError):
            while head := await reader.readline():
                while await reader.readline() != b"\r\n":
                    pass
                await self.free.wait()
                path = head.split()[1]
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b%b" % (len(path), path, self.after)
                )
        writer.close()


def with_peer(play, peer_settings=None):
    """Play a scene between a peer and the gateway's view of it."""

    async def scene() -> None:
        peer = Peer(**(peer_settings or {}))
        server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
        replica = Replica("127.0.0.1", server.sockets[0].getsockname()[1])
        try:
            await play(peer, replica)
        finally:
            replica.close()
            server.close()

    asyncio.run(scene())


async def ask(replica: Replica, number: int, timeout_s: float = PATIENCE_S) -> Response:
    return await replica.call([REQUEST % number], timeout_s)


def test_a_connection_is_kept_for_the_next_request():
    async def play(peer, replica):
        assert [(await ask(replica, n)).body for n in range(5)] == [b"/%d" % n for n in range(5)]
        assert len(peer.connections) == 1

    with_peer(play)


@pytest.mark.parametrize("given_up", ["it takes too long", "the caller is gone"])
def test_the_answer_to_a_call_that_was_given_up_reaches_nobody(given_up):
    async def play(peer, replica):
        peer.free.clear()
        if given_up == "it takes too long":
            with pytest.raises(Lost):
                await ask(replica, 1, timeout_s=0.5)
        else:
            call = asyncio.create_task(ask(replica, 1))
            async with asyncio.timeout(PATIENCE_S):
                while not peer.connections:
                    await asyncio.sleep(0.005)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert replica.outstanding == 0
        async with asyncio.timeout(PATIENCE_S):
            while not peer.connections[0].at_eof():
                await asyncio.sleep(0.005)
        later = asyncio.create_task(ask(replica, 2))
        await asyncio.sleep(0.05)
        peer.free.set()
        assert (await later).body == b"/2"
        assert (await ask(replica, 3)).body == b"/3"

    with_peer(play)


@pytest.mark.parametrize("cut", [None, -5, 4], ids=["a whole one", "half of one", "the beginning of one"])
def test_an_answer_that_nobody_asked_for_reaches_nobody(cut):
    after = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n/poisoned"[:cut]

    async def play(peer, replica):
        for number in range(3):
            assert (await ask(replica, number)).body == b"/%d" % number
        assert len(peer.connections) == 3, "a connection on which more comes than was asked for is left"

    with_peer(play, {"after": after})


def test_after_metadata_that_came_too_late_every_client_gets_its_own_answer(servers):
    replica = servers.model_server("5ms", instances=8)
    gateway = servers.gateway([replica])
    replica.pause()
    assert gateway.request("GET", "/v2/models/main").status == 503
    answers = {}

    def infer(value: float) -> None:
        answers[value] = gateway.infer("main", infer_body(value))

    first = threading.Thread(target=infer, args=(0.25,))
    first.start()
    wait_until(lambda: gateway.metric("baseload_gateway_in_flight") == 1, "the first request")
    replica.go_on()
    first.join()
    infer(0.75)
    assert {value: answer.output() for value, answer in answers.items()} == {0.25: [0.25], 0.75: [0.75]}

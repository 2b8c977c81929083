"""A gateway that finds its replicas by name: when it is ready, and what it does while the name server is silent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from serving_ref.gateway import replicas
from serving_ref.gateway.app import Gateway
from serving_ref.gateway.settings import GatewaySettings
from tests.serving_ref.servers import infer_body, upstream

SERVICES = ("one", "two")
SETTINGS = {
    "name": "test",
    "routes": [{"name": each, "targets": [{"service": each}]} for each in SERVICES],
    "services": [
        {"name": each, "model": "m", "endpoints": {"dns": f"{each}.svc:80", "refresh": "10ms"}}
        for each in SERVICES
    ],
}


class NameServer:
    """Stands in the place of the system's resolver: answers when, and what, a test says."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str] | OSError] = {}
        self.asked: list[str] = []
        self.told = asyncio.Event()

    def say(self, host: str, answer: list[str] | OSError) -> None:
        self.answers[host] = answer
        self.told.set()
        self.told = asyncio.Event()

    async def getaddrinfo(self, host: str, port: int, **_: object) -> list[tuple]:
        self.asked.append(host)
        while host not in self.answers:
            await self.told.wait()
        found = self.answers[host]
        if isinstance(found, OSError):
            raise found
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]


def play(scene: Callable) -> None:
    """Run a scene with a gateway whose look-ups a test answers."""

    async def run() -> None:
        names = NameServer()
        asyncio.get_running_loop().getaddrinfo = names.getaddrinfo
        gateway = Gateway(GatewaySettings.model_validate(SETTINGS))
        await gateway.start()
        try:
            await scene(gateway, names)
        finally:
            for task in gateway.looking:
                task.cancel()

    asyncio.run(run())


async def status(gateway: Gateway, path: str) -> int:
    sent = []

    async def send(message) -> None:
        sent.append(message)

    await gateway({"type": "http", "method": "GET", "path": path, "headers": []}, None, send)
    return sent[0]["status"]


async def becomes_ready(gateway: Gateway) -> None:
    async with asyncio.timeout(30):
        while await status(gateway, "/v2/health/ready") != 200:
            await asyncio.sleep(0.005)


async def stays_unready(gateway: Gateway) -> None:
    for _ in range(20):
        assert await status(gateway, "/v2/health/ready") == 503
        assert await status(gateway, "/v2/health/live") == 200
        await asyncio.sleep(0.005)


def test_it_is_ready_when_every_name_has_been_looked_up():
    async def scene(gateway, names):
        await stays_unready(gateway)
        names.say("one.svc", ["10.0.0.1"])
        await stays_unready(gateway)
        names.say("two.svc", ["10.0.0.2"])
        await becomes_ready(gateway)
        assert {name: [it.host for it in each.replicas.all] for name, each in gateway.services.items()} == {
            "one": ["10.0.0.1"], "two": ["10.0.0.2"],
        }  # fmt: skip

    play(scene)


def test_a_name_without_addresses_is_an_answer():
    """A headless Service without ready pods has none: this gateway is as ready as it can be."""

    async def scene(gateway, names):
        names.say("one.svc", socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
        names.say("two.svc", ["10.0.0.2"])
        await becomes_ready(gateway)

    play(scene)


@pytest.mark.parametrize("failing", [True, False], ids=["it fails", "it is silent"])
def test_it_does_not_wait_for_the_name_server_for_ever(monkeypatch, failing):
    """A gateway that nobody calls serves nobody: after a while it takes what comes, and says `no_replica`."""
    monkeypatch.setattr(replicas, "FIRST_LOOK_UP_S", 2.0)

    async def scene(gateway, names):
        if failing:
            for each in SERVICES:
                names.say(
                    f"{each}.svc", socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
                )
        await stays_unready(gateway)
        await becomes_ready(gateway)

    play(scene)


def test_what_cannot_be_looked_up_later_changes_nothing():
    async def scene(gateway, names):
        for each in SERVICES:
            names.say(f"{each}.svc", ["10.0.0.1"])
        await becomes_ready(gateway)
        names.say("one.svc", socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"))
        before = len(names.asked)
        while len(names.asked) < before + 6:
            await asyncio.sleep(0.005)
        assert await status(gateway, "/v2/health/ready") == 200
        assert [it.host for it in gateway.services["one"].replicas.all] == ["10.0.0.1"]

    play(scene)


def test_the_first_request_to_a_ready_gateway_finds_its_replica(servers):
    replica = servers.model_server("1ms")
    named = upstream("ranker", []) | {"endpoints": {"dns": f"localhost:{replica.port}"}}
    for _ in range(3):
        gateway = servers.gateway(services=[named])
        assert gateway.infer("main", infer_body(0.5)).outcome == "model"

"""The gateway's way to Redis: bursts, late answers, passwords, and servers that are no Redis."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import threading
import time
from collections import Counter

import pytest
import uvloop

from serving_ref.gateway.cache import ResponseCache
from serving_ref.gateway.metrics import Metrics
from serving_ref.gateway.settings import Redis
from tests.serving_ref.servers import PATIENCE_S, Server, free_port, infer_body, outcomes, wait_until

BODY = infer_body(0.5)
ROUTES = [
    {"name": "main", "targets": [{"service": "ranker"}], "cache": {"ttl": "60s"}, "coalesce": True},
]


@pytest.fixture(scope="module")
def replica(shared_servers):
    return shared_servers.model_server("1ms", instances=8)


def lookups(gateway: Server) -> dict[str, float]:
    name = "baseload_gateway_cache_lookups_total"
    return {result: gateway.metric(name, result=result) for result in ("hit", "miss", "error", "skipped")}


def warm(gateway: Server, key: str, value: float = 0.5) -> None:
    wait_until(
        lambda: gateway.infer("main", infer_body(value), baseload_key=key).outcome == "cache",
        f"{key} in the cache",
    )


@pytest.mark.redis
def test_a_burst_of_a_thousand_requests_for_a_hot_key_is_a_thousand_hits(servers, replica):
    """They all arrive while the gateway is not running: it meets them at once. The time-out is the default, 100 ms."""
    redis = servers.redis()
    gateway = servers.gateway([replica], redis={"url": f"redis://{redis.address}/0"}, routes=ROUTES)
    warm(gateway, "hot")
    request = b"POST /v2/models/main/infer HTTP/1.1\r\nhost: x\r\nbaseload-key: hot\r\n"
    request += b"content-length: %d\r\n\r\n%b" % (len(BODY), BODY)
    before = lookups(gateway)
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), PATIENCE_S))
            for _ in range(1000)
        ]
        gateway.pause()
        for client in clients:
            client.sendall(request)
        gateway.go_on()
        answers = [client.recv(4096).lower() for client in clients]
    assert Counter(b"baseload-outcome: cache" in answer for answer in answers) == {True: 1000}
    assert lookups(gateway) == before | {"hit": before["hit"] + 1000}
    assert gateway.metric("baseload_gateway_cache_breaker_opened_total") == 0


@pytest.mark.redis
def test_an_answer_that_comes_too_late_reaches_nobody(servers, replica):
    """Redis stands still for three look-ups; what it says of them afterwards is not taken for what is asked then."""
    redis = servers.redis()
    settings = {"url": f"redis://{redis.address}/0", "breaker": {"error_rate": 1, "window": 10}}
    gateway = servers.gateway([replica], redis=settings, routes=ROUTES)
    values = {f"k{n}": n / 8 for n in range(6)}
    for key, value in values.items():
        warm(gateway, key, value)
    redis.pause()
    assert outcomes([gateway.infer("main", BODY, baseload_key=f"k{n}") for n in range(3)]) == {"model": 3}
    redis.go_on()
    for key, value in list(values.items())[3:]:
        hit = wait_until(
            lambda key=key: (it := gateway.infer("main", BODY, baseload_key=key)).outcome == "cache" and it,
            "a hit",
        )
        assert hit.output() == [value]


@pytest.mark.redis
def test_a_loop_that_was_busy_does_not_find_redis_late(servers):
    """It does something else for four times as long as an answer may take; the answers have come meanwhile."""
    redis = servers.redis()

    class Else(asyncio.Protocol):
        def data_received(self, _: bytes) -> None:
            redis.go_on()
            time.sleep(0.8)

    async def play() -> None:
        cache = ResponseCache(Redis(url=f"redis://{redis.address}", timeout="200ms"), Metrics())
        await cache.put("k", b"value", None)
        redis.pause()
        here, there = socket.socketpair()
        await asyncio.get_running_loop().create_connection(Else, sock=here)
        asked = [asyncio.create_task(cache.get("k")) for _ in range(100)]
        await asyncio.sleep(0.05)
        there.send(b"x")
        assert await asyncio.gather(*asked) == [b"value"] * 100
        there.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())


@pytest.mark.redis
def test_it_says_who_it_is_and_keeps_to_its_database(servers, replica):
    redis = servers.redis()
    redis.say(b"CONFIG SET requirepass se:cret\r\n")
    url = f"redis://:se%3Acret@{redis.address}/3"
    gateway = servers.gateway([replica], redis={"url": url}, routes=ROUTES)
    warm(gateway, "k")
    kept = redis.say(
        b"AUTH se:cret\r\nSELECT 3\r\nEXISTS test:main:k\r\nSELECT 0\r\nEXISTS test:main:k\r\n", 5
    )
    assert kept == b"+OK\r\n+OK\r\n:1\r\n+OK\r\n:0\r\n"


@pytest.mark.redis
@pytest.mark.parametrize("wrong", [":other@", "nobody:se@", ""])
def test_without_the_right_password_it_serves_uncached(servers, replica, wrong):
    redis = servers.redis()
    redis.say(b"CONFIG SET requirepass se:cret\r\n")
    gateway = servers.gateway([replica], redis={"url": f"redis://{wrong}{redis.address}"}, routes=ROUTES)
    assert outcomes([gateway.infer("main", BODY, baseload_key="k") for _ in range(3)]) == {"model": 3}
    assert lookups(gateway)["error"] >= 3


@pytest.mark.parametrize(
    "words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$-1\r\n$-1\r\n", b"$5\r\nhel", b"-LOADING wait\r\n", b""]
)  # fmt: skip
def test_what_is_no_redis_costs_nobody_an_answer(servers, replica, words):
    """It says its words to whatever it is asked, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as door:

        def babble() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = door.accept()
                    with connection:
                        connection.recv(1000)
                        connection.sendall(words)

        threading.Thread(target=babble, daemon=True).start()
        url = f"redis://127.0.0.1:{door.getsockname()[1]}"
        gateway = servers.gateway([replica], redis={"url": url}, routes=ROUTES)
        answers = [gateway.infer("main", BODY, baseload_key="k") for _ in range(12)]
    assert outcomes(answers).keys() <= {"model", "coalesced"}, (
        "an answer may be on its way to the cache still"
    )
    assert gateway.metric("baseload_gateway_in_flight") == 0


@pytest.mark.parametrize("url", ["cache:6379", "http://cache", "redis://", "redis:///0", "redis://a b"])
def test_what_is_no_address_of_a_redis_is_refused(url):
    with pytest.raises(ValueError, match="url"):
        Redis(url=url)


@pytest.mark.redis
def test_over_tls_it_believes_whom_the_system_trusts(servers, replica, monkeypatch):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=servers.folder, check=True, capture_output=True,
    )  # fmt: skip
    port = free_port()
    command = [
        "redis-server", "--port", "0", "--tls-port", str(port), "--tls-cert-file", "cert.pem",
        "--tls-key-file", "key.pem", "--tls-auth-clients", "no", "--bind", "127.0.0.1", "--save", "",
    ]  # fmt: skip

    def listens(_: Server) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    servers.start(command, port, listens)
    settings = {"url": f"rediss://127.0.0.1:{port}", "timeout": "2s"}
    stranger = servers.gateway([replica], redis=settings, routes=ROUTES)
    assert stranger.infer("main", BODY, baseload_key="k").outcome == "model"
    assert lookups(stranger)["error"] >= 1
    monkeypatch.setenv("SSL_CERT_FILE", str(servers.folder / "cert.pem"))
    warm(servers.gateway([replica], redis=settings, routes=ROUTES), "k")

"""What breaks, and what clients see of it: every logical request has exactly one outcome."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.serving_ref.servers import (
    Server,
    Traffic,
    infer_body,
    outcomes,
    upstream,
    wait_until,
)

BODY = infer_body(0.5)
ANSWERED = {"model", "cache", "coalesced"}


def counted_as_seen(gateway: Server, traffic: Traffic) -> None:
    """The gateway's own count of outcomes is the clients'."""
    seen = outcomes(traffic.answers)
    for outcome, number in seen.items():
        assert gateway.metric("baseload_gateway_requests_total", outcome=outcome) == number
    assert gateway.metric("baseload_gateway_requests_total") == len(traffic.answers)
    assert gateway.metric("baseload_gateway_in_flight") == 0


def test_a_killed_model_servers_requests_are_sent_to_another(servers):
    batching = {"max_batch_size": 4, "max_queue_delay": "5ms"}
    curve = {"latency": {"fixed": "50ms", "per_item": "1us"}}
    replicas = [servers.model_server(batching=batching, synthetic=curve) for _ in range(2)]
    gateway = servers.gateway(replicas)
    with Traffic(lambda _: gateway.infer("main", BODY)) as traffic:
        traffic.wait_for(40)
        wait_until(
            lambda: replicas[0].metric("baseload_model_server_in_service") > 0, "work on the one that dies"
        )
        replicas[0].kill()
        traffic.wait_for(80)
    assert outcomes(traffic.answers) == {"model": traffic.asked}
    assert gateway.metric("baseload_gateway_redispatched_total") >= 1
    counted_as_seen(gateway, traffic)


def test_a_request_is_sent_once_more_and_no_third_time(servers):
    """Both replicas that had it are killed under it; the third one never hears of it."""
    replicas = [servers.model_server("10m") for _ in range(3)]
    gateway = servers.gateway(services=[upstream("ranker", replicas, eject="10m")])

    def holder(others: list[Server]) -> Server | None:
        serving = (it for it in others if it.metric("baseload_model_server_in_service"))
        return next(serving, None)

    with Traffic(lambda _: gateway.infer("main", BODY), clients=1) as traffic:
        left = list(replicas)
        for _ in range(2):
            left.remove(found := wait_until(lambda: holder(left), "the request on a replica"))
            found.kill()
        wait_until(lambda: traffic.answers, "the end of the request")
        assert outcomes(traffic.answers[:1]) == {"lost": 1}
        assert gateway.metric("baseload_gateway_redispatched_total") == 1
        # The next request has both chances again.
        wait_until(lambda: holder(left), "the next request on the third").kill()
    assert outcomes(traffic.answers) == {"lost": 1, "no_replica": len(traffic.answers) - 1}


def test_without_another_replica_the_request_is_lost_then_refused_then_served_again(servers):
    replica = servers.model_server("50ms", instances=8)
    gateway = servers.gateway([replica])
    with Traffic(lambda _: gateway.infer("main", BODY)) as traffic:
        traffic.wait_for(20)
        replica.kill()
        wait_until(lambda: gateway.metric("baseload_gateway_calls_total", result="no_replica"), "no replica")
        servers.model_server("50ms", instances=8, port=replica.port)
        before = gateway.metric("baseload_gateway_calls_total", result="model")
        wait_until(
            lambda: gateway.metric("baseload_gateway_calls_total", result="model") > before, "service again"
        )
    seen = outcomes(traffic.answers)
    assert seen.keys() <= {"model", "lost", "no_replica"}
    assert {answer.status for answer in traffic.answers} <= {200, 502, 503}
    counted_as_seen(gateway, traffic)


def test_a_drained_model_server_costs_no_request(servers):
    """Its answers say that it leaves, so the gateway is gone from it before the door is closed."""
    replicas = [servers.model_server("20ms", instances=4, drain={"notice": "1s"}) for _ in range(2)]
    gateway = servers.gateway(services=[upstream("ranker", replicas, eject="60s")])
    with Traffic(lambda _: gateway.infer("main", BODY)) as traffic:
        traffic.wait_for(40)
        assert replicas[0].stop() == 0
        traffic.wait_for(40)
    assert outcomes(traffic.answers) == {"model": traffic.asked}
    assert gateway.metric("baseload_gateway_redispatched_total") == 0
    counted_as_seen(gateway, traffic)


def test_a_drained_gateway_answers_what_it_took(servers):
    replica = servers.model_server("50ms", instances=16)
    gateway = servers.gateway([replica], drain={"notice": "200ms"})
    with Traffic(lambda _: gateway.infer("main", BODY)) as traffic:
        traffic.wait_for(20)
        assert gateway.stop() == 0
    assert outcomes(traffic.answers).keys() == {"model", "connection error"}
    refused = [answer for answer in traffic.answers if answer.status == 0]
    assert all(answer.latency_s < 0.04 for answer in refused), "none was cut off while it was served"


def test_the_breaker_opens_on_a_slow_replica_probes_it_and_closes(servers):
    replica = servers.model_server("5ms", instances=64)
    breaker = {"error_rate": "50%", "window": 10, "open_for": "300ms", "half_open_probes": 2}
    gateway = servers.gateway(
        services=[upstream("ranker", [replica], breaker=breaker)],
        classes=[{"name": "c", "route": "main", "timeout": "200ms"}],
    )

    def state() -> float:
        return gateway.metric("baseload_gateway_breaker_state")

    with Traffic(lambda _: gateway.infer("main", BODY)) as traffic:
        traffic.wait_for(20)
        assert state() == 0
        replica.pause()
        wait_until(lambda: state() == 2, "the breaker to open")
        wait_until(
            lambda: gateway.metric("baseload_gateway_calls_total", result="breaker_open") > 0, "refusals"
        )
        # It probes, the probes time out, and it opens again.
        wait_until(lambda: gateway.metric("baseload_gateway_breaker_opened_total") >= 2, "a failed probe")
        replica.go_on()
        wait_until(lambda: state() == 0, "the breaker to close")
        wait_until(lambda: outcomes(traffic.answers[-5:]) == {"model": 5}, "answers again")
    refused = [answer for answer in traffic.answers if answer.outcome == "breaker_open"]
    assert {answer.status for answer in refused} == {503}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert outcomes(traffic.answers).keys() == {"model", "timeout", "breaker_open"}
    counted_as_seen(gateway, traffic)


def test_a_paused_replica_does_not_take_the_other_with_it(servers):
    """Least outstanding: the one that does not answer is no longer chosen, without any breaker."""
    replicas = [servers.model_server("5ms", instances=64) for _ in range(2)]
    gateway = servers.gateway(
        services=[upstream("ranker", replicas, balancing="least-outstanding")],
        classes=[{"name": "c", "route": "main", "timeout": "1s"}],
    )
    with Traffic(lambda _: gateway.infer("main", BODY)) as traffic:
        traffic.wait_for(20)
        replicas[0].pause()
        traffic.wait_for(200)
        replicas[0].go_on()
    seen = outcomes(traffic.answers)
    assert seen["timeout"] < 40
    assert seen["model"] + seen["timeout"] == traffic.asked


@pytest.mark.redis
def test_without_redis_it_serves_uncached_and_comes_back(servers):
    redis = servers.redis()
    replica = servers.model_server("5ms", instances=16)
    gateway = servers.gateway(
        [replica],
        redis={
            "url": f"redis://{redis.address}/0", "timeout": "500ms",
            "breaker": {"error_rate": 0, "window": 1, "open_for": "200ms"},
        },
        routes=[{"name": "main", "targets": [{"service": "ranker"}], "cache": {"ttl": "60s"}, "coalesce": True}],
    )  # fmt: skip

    def hits() -> float:
        return gateway.metric("baseload_gateway_requests_total", outcome="cache")

    with Traffic(lambda n: gateway.infer("main", BODY, baseload_key=f"k{n % 10}")) as traffic:
        wait_until(lambda: hits() > 20, "hits")
        redis.kill()
        wait_until(
            lambda: gateway.metric("baseload_gateway_cache_lookups_total", result="skipped") > 20,
            "no look-ups",
        )
        before = gateway.metric("baseload_gateway_calls_total", result="model")
        wait_until(
            lambda: gateway.metric("baseload_gateway_calls_total", result="model") > before, "the model"
        )
        servers.redis(redis.port)
        before = hits()
        wait_until(lambda: hits() > before + 20, "hits again")
    assert outcomes(traffic.answers).keys() <= ANSWERED
    assert {answer.status for answer in traffic.answers} == {200}
    assert gateway.metric("baseload_gateway_cache_breaker_opened_total") >= 1
    counted_as_seen(gateway, traffic)


def test_a_silent_redis_costs_its_timeout_only(servers):
    """It takes connections and says nothing: ten requests wait 100 ms for it, then a second goes without."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        replica = servers.model_server("1ms")
        gateway = servers.gateway(
            [replica],
            redis={"url": f"redis://127.0.0.1:{silent.getsockname()[1]}/0"},
            routes=[{"name": "main", "targets": [{"service": "ranker"}], "cache": {"ttl": "60s"}}],
        )
        answers = [gateway.infer("main", BODY, baseload_key="k") for _ in range(14)]
        assert outcomes(answers) == {"model": 14}
        assert gateway.metric("baseload_gateway_cache_lookups_total", result="skipped") >= 1


def test_ten_times_too_much_is_shed_and_the_rest_is_on_time(servers):
    """Capacity 100/s (2 slots of 20 ms), 1,000/s offered, open loop. Requests wait in a queue of at most 8."""
    replica = servers.model_server("20ms", instances=2, batching={"max_queue_size": 8})
    gateway = servers.gateway([replica], routes=[
        {
            "name": "main", "targets": [{"service": "ranker"}], "shedding": [{"max_outstanding": 8}],
            "rate_limit": {"rate": "500/s", "burst": 50},
        }
    ])  # fmt: skip
    slo_s = 0.5  # waits of 80 ms and a service of 20 ms; the rest is room for a busy machine
    begin = time.monotonic()

    def send(number: int):
        time.sleep(max(begin + number / 1000 - time.monotonic(), 0))
        return gateway.infer("main", BODY)

    with ThreadPoolExecutor(128) as clients:
        answers = list(clients.map(send, range(3000)))
    seen = outcomes(answers)
    assert seen.keys() <= {"model", "shed", "rate_limited", "queue_full"}
    assert sum(seen.values()) == 3000
    refused = [answer for answer in answers if answer.status != 200]
    assert {answer.status for answer in refused} <= {429, 503}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert len(refused) > 1500
    assert seen["model"] >= 50
    # By the gateway's own clock: what clients on this machine add is not its doing.
    buckets = [(0.499122176, "0.499122176")]
    for edge_s, label in buckets:
        assert edge_s <= slo_s
        inside = gateway.metric("baseload_gateway_request_seconds_bucket", le=label)
        assert inside >= 0.99 * seen["model"]


def test_broken_http_costs_its_own_connection_only(servers):
    replica = servers.model_server("1ms")
    gateway = servers.gateway([replica], limits={"body": "1kB", "read": "300ms"})
    with socket.create_connection(("127.0.0.1", gateway.port)) as rubbish:
        rubbish.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        assert rubbish.recv(100).startswith(b"HTTP/1.1 400")
    with socket.create_connection(("127.0.0.1", gateway.port)) as slow:
        slow.sendall(b"POST /v2/models/main/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
    with socket.create_connection(("127.0.0.1", gateway.port)) as gone:
        gone.sendall(b"POST /v2/models/main/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
    oversized = http.client.HTTPConnection("127.0.0.1", gateway.port)
    oversized.request("POST", "/v2/models/main/infer", b"x" * 2000)
    assert oversized.getresponse().status == 413
    assert gateway.infer("main", BODY).outcome == "model"
    wait_until(lambda: gateway.metric("baseload_gateway_in_flight") == 0, "no request left behind")


@pytest.mark.parametrize(
    ("bytes_sent", "outcome", "result"),
    [
        (b"hello, who is there?\r\n\r\n", "lost", "lost"),
        (b"HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\n{}", "error", "error"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n{", "lost", "lost"),
    ],
    ids=["no HTTP", "an error", "half an answer"],
)
def test_what_a_model_server_does_wrong_is_said_and_opens_the_breaker(servers, bytes_sent, outcome, result):
    with socket.create_server(("127.0.0.1", 0)) as door:

        def babble() -> None:
            while True:
                try:
                    connection, _ = door.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(bytes_sent)

        threading.Thread(target=babble, daemon=True).start()
        service = {
            "name": "ranker", "model": "m", "endpoints": {"addresses": [f"127.0.0.1:{door.getsockname()[1]}"]},
            "eject": 0, "breaker": {"error_rate": "50%", "window": 8, "open_for": "10m"},
        }  # fmt: skip
        gateway = servers.gateway(services=[service], routes=[
            {"name": "main", "targets": [{"service": "ranker"}], "redispatch": False}
        ])  # fmt: skip
        answers = [gateway.infer("main", BODY) for _ in range(8)]
        assert outcomes(answers) == {outcome: 8}
        assert {answer.status for answer in answers} == {502}
        assert gateway.metric("baseload_gateway_calls_total", result=result) == 8
        assert gateway.infer("main", BODY).outcome == "breaker_open"


def test_a_service_that_refuses_opens_its_breaker(servers):
    """One slot, a queue of one: most calls come back with 503, which is a failed call, as in the simulator."""
    replica = servers.model_server("300ms", batching={"max_queue_size": 1})
    breaker = {"error_rate": "50%", "window": 10, "open_for": "10m"}
    gateway = servers.gateway(services=[upstream("ranker", [replica], breaker=breaker)])
    with Traffic(lambda _: gateway.infer("main", BODY), clients=16) as traffic:
        wait_until(lambda: gateway.metric("baseload_gateway_breaker_state") == 2, "the breaker to open")
    assert outcomes(traffic.answers).keys() <= {"model", "queue_full", "breaker_open"}
    counted_as_seen(gateway, traffic)


def test_latencies_inside_the_gateway_agree_with_the_clients(servers):
    replica = servers.model_server("50ms", instances=8)
    gateway = servers.gateway([replica])
    with Traffic(lambda _: gateway.infer("main", BODY), clients=4) as traffic:
        traffic.wait_for(60)
    seen_s = float(np.sum([answer.latency_s for answer in traffic.answers]))
    inside_s = gateway.metric("baseload_gateway_request_seconds_sum")
    assert 0.05 * traffic.asked <= inside_s <= seen_s

"""What breaks, and what clients see of it: every logical request has exactly one outcome."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections import Counter

import numpy as np
import pytest

from serving_ref.loadtest.recording import ENDED
from serving_ref.loadtest.results import BROKEN, LOST, MODEL, NOT_CONNECTED
from serving_ref.loadtest.schedule import Tensor
from tests.serving_ref.loadtest.sending import SECOND, regular, schedule, sent, sent_class, settings
from tests.serving_ref.servers import (
    Server,
    Traffic,
    counted_as_seen,
    infer_body,
    outcomes,
    upstream,
    wait_until,
)

BODY = infer_body(0.5)
ANSWERED = {"model", "cache", "coalesced"}


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


def test_a_killed_gateway_costs_what_it_had_in_hand_and_another_serves_on(servers, tmp_path):
    """Open loop, 100 requests/s for 8 s, and SIGKILL in the middle: nobody is told twice, and nobody is forgotten."""
    replica = servers.model_server("50ms", instances=32)
    classes = [{"name": "web", "route": "main"}]
    gateways = [servers.gateway([replica], classes=classes)]
    killed_ns, restarted_ns = [], []

    def restart() -> None:
        gateways.append(servers.gateway([replica], port=gateways[0].port, classes=classes))
        restarted_ns.append(time.monotonic_ns())

    def kill(said: dict[str, int]) -> None:
        if said.get("due", 0) > 200 and not killed_ns:
            gateways[0].kill()
            killed_ns.append(time.monotonic_ns())
            threading.Thread(target=restart).start()

    web = sent_class(inputs=(Tensor("x", "FP32", (-1, 1)),))
    how = settings(gateways[0].port, web, duration_ns=8 * SECOND, drain_ns=30 * SECOND)
    result = sent(tmp_path, schedule(regular(100, 8)), how, kill)
    wait_until(lambda: restarted_ns, "the second gateway")
    recorded = result.recorded
    assert recorded.state.tolist() == [ENDED] * 800, "each logical request has its outcome"
    assert sorted(recorded.request.tolist()) == list(range(800)), "and it has one"
    seen = Counter(zip(recorded.result.tolist(), recorded.status.tolist(), strict=True))
    assert seen.keys() <= {(MODEL, 200), (LOST, BROKEN), (LOST, NOT_CONNECTED)}
    sent_ns = recorded.sent_ns + result.start_ns
    in_hand = (recorded.status == BROKEN) & (sent_ns <= killed_ns[0])
    assert np.count_nonzero(in_hand) >= 1, "what it had in hand broke off"
    assert (recorded.result[sent_ns < killed_ns[0] - SECOND] == MODEL).all(), (
        "what had been answered before stays so"
    )
    assert seen[LOST, NOT_CONNECTED] >= 1, "and then the door was closed"
    served_on = (recorded.result == MODEL) & (sent_ns > killed_ns[0])
    assert (recorded.result[sent_ns > restarted_ns[0]] == MODEL).all()
    assert (
        np.count_nonzero(served_on)
        == gateways[1].metric("baseload_gateway_requests_total", outcome="model")
        >= 50
    )
    assert gateways[1].metric("baseload_gateway_requests_total") == np.count_nonzero(served_on)


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


def test_latencies_inside_the_gateway_agree_with_the_clients(servers):
    replica = servers.model_server("50ms", instances=8)
    gateway = servers.gateway([replica])
    with Traffic(lambda _: gateway.infer("main", BODY), clients=4) as traffic:
        traffic.wait_for(60)
    seen_s = float(np.sum([answer.latency_s for answer in traffic.answers]))
    inside_s = gateway.metric("baseload_gateway_request_seconds_sum")
    assert 0.05 * traffic.asked <= inside_s <= seen_s

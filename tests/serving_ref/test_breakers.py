"""Circuit breakers of services: what opens them, how they probe, and how they close again."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import replace

import pytest

from tests.serving_ref.loadtest.servers import WELL, Answer
from tests.serving_ref.loadtest.servers import Server as Upstream
from tests.serving_ref.servers import Traffic, counted_as_seen, infer_body, outcomes, upstream, wait_until

BODY = infer_body(0.5)


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


def test_the_breaker_opens_on_slow_answers_half_opens_and_closes(servers):
    """All calls are answered, and well: only so slowly that the service had better be left alone."""
    pace = {"after_s": 0.0}

    def answer(_) -> Answer:
        return replace(WELL, after_s=pace["after_s"])

    breaker = {
        "slow_latency": "500ms", "slow_consecutive": 5, "open_for": "1s", "half_open_probes": 2
    }  # fmt: skip
    with Upstream(answer) as slow:
        service = upstream("ranker", [], breaker=breaker) | {
            "endpoints": {"addresses": [f"127.0.0.1:{slow.port}"]}
        }
        gateway = servers.gateway(services=[service])

        def state() -> float:
            return gateway.metric("baseload_gateway_breaker_state")

        with Traffic(lambda _: gateway.infer("main", BODY), clients=4) as traffic:
            traffic.wait_for(50)
            opened_early = gateway.metric("baseload_gateway_breaker_opened_total")
            pace["after_s"] = 0.8
            wait_until(lambda: state() == 2, "the breaker to open")
            pace["after_s"] = 1.5  # long enough for its probes to be seen under way
            wait_until(lambda: state() == 1, "the breaker to be half-open")
            pace["after_s"] = 0.0
            wait_until(lambda: state() == 0, "the breaker to close")
            wait_until(lambda: outcomes(traffic.answers[-8:]) == {"model": 8}, "answers again")
    opened = gateway.metric("baseload_gateway_breaker_opened_total")
    assert opened > opened_early
    assert outcomes(traffic.answers).keys() == {"model", "breaker_open"}, "no call failed"
    assert opened_early == 0
    refused = [answer for answer in traffic.answers if answer.outcome == "breaker_open"]
    assert {(answer.status, answer.headers["retry-after"]) for answer in refused} == {(503, "1")}
    counted_as_seen(gateway, traffic)


def test_a_half_open_breaker_lets_its_probes_through_and_nobody_else(servers):
    """Two probes that take for ever: whoever comes meanwhile is refused."""
    seen = []

    def answer(_) -> Answer:
        seen.append(time.monotonic())
        return Answer(500) if len(seen) <= 4 else Answer(how="never")

    breaker = {"error_rate": "50%", "window": 4, "open_for": "300ms", "half_open_probes": 2}
    with Upstream(answer) as broken:
        service = upstream("ranker", [], breaker=breaker) | {
            "endpoints": {"addresses": [f"127.0.0.1:{broken.port}"]}
        }
        gateway = servers.gateway(services=[service])
        assert outcomes([gateway.infer("main", BODY) for _ in range(5)]) == {"error": 4, "breaker_open": 1}
        with Traffic(lambda _: gateway.infer("main", BODY, baseload_timeout_ms="3000"), clients=6) as traffic:
            wait_until(
                lambda: gateway.metric("baseload_gateway_breaker_state") == 1, "the breaker to be half-open"
            )
            wait_until(lambda: len(seen) == 6, "both probes")
            refused = len(traffic.answers)
            traffic.wait_for(20)
            assert outcomes(traffic.answers[refused : refused + 20]) == {"breaker_open": 20}
            assert len(seen) == 6


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

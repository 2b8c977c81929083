"""What the gateway makes of what model servers say: ours, others', and broken ones."""

from __future__ import annotations

import time

import pytest

from tests.serving_ref.loadtest.servers import Answer
from tests.serving_ref.loadtest.servers import Server as Upstream
from tests.serving_ref.servers import infer_body, outcomes, side_by_side, wait_until

BODY = infer_body(0.5)
WELL = Answer(
    body=b'{"model_name":"m","outputs":[{"name":"y","datatype":"FP32","shape":[1,1],"data":[0.5]}]}'
)
EXPIRED = Answer(503, body=b'{"error":"Request timeout expired"}', after_s=2.0)
ROUTE = {"name": "main", "targets": [{"service": "ranker"}]}


class Said:
    """What the upstream answers from now on."""

    def __init__(self) -> None:
        self.answer = WELL

    def __call__(self, _: object) -> Answer:
        return self.answer


@pytest.fixture(scope="module")
def voice():
    return Said()


@pytest.fixture(scope="module")
def upstream(voice):
    with Upstream(voice) as server:
        yield server


@pytest.fixture
def said(voice):
    voice.answer = WELL
    return voice


@pytest.fixture(scope="module")
def plain(shared_servers, upstream):
    """Sends nothing twice, and leaves no replica out."""
    return shared_servers.gateway(**service(upstream, eject=0), routes=[{**ROUTE, "redispatch": False}])


def service(*upstreams: Upstream, **settings):
    addresses = [f"127.0.0.1:{each.port}" for each in upstreams]
    return {"services": [{"name": "ranker", "model": "m", "endpoints": {"addresses": addresses}, **settings}]}


def counted(gateway, **labels) -> float:
    return gateway.metric("baseload_gateway_requests_total", **labels)


NO_ANSWERS = [
    b"hello, this is no JSON",
    b"",
    b"[]",
    b'"text"',
    b"null",
    b"{}",
    b'{"outputs": {}}',
    b'{"outputs": [1]}',
    b'{"outputs": [{"name": 5, "datatype": "FP32", "shape": [1], "data": [1]}]}',
    b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1]}]}',
    b'{"error": "something else"}',
    b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [NaN]}]}',
    WELL.body[:-1],
    b"\xff" + WELL.body,
]


@pytest.mark.redis
@pytest.mark.parametrize("ident", ["x", None])
def test_a_200_that_is_no_answer_is_an_error_and_poisons_nothing(servers, said, upstream, ident):
    """Not the key that it was for, not the cache, and not the count of outcomes."""
    redis = servers.redis()
    gateway = servers.gateway(
        **service(upstream),
        redis={"url": f"redis://{redis.address}/0", "timeout": "2s"},
        routes=[{**ROUTE, "cache": {"ttl": "60s"}, "coalesce": True}],
    )
    body = infer_body(0.5, ident=ident)
    for number, nonsense in enumerate(NO_ANSWERS):
        said.answer = Answer(body=nonsense)
        for each in side_by_side(
            [lambda key=f"k{number}": gateway.infer("main", body, baseload_key=key)] * 3
        ):
            assert (each.status, each.outcome) == (502, "error"), nonsense
            assert "not an inference response" in each.document["error"]
        said.answer = WELL
        after = gateway.infer("main", body, baseload_key=f"k{number}")
        assert (after.status, after.outcome, after.output()) == (200, "model", [0.5])
    wait_until(
        lambda: gateway.infer("main", body, baseload_key="k0").outcome == "cache", "the answer in the cache"
    )
    assert counted(gateway, outcome="error") == 3 * len(NO_ANSWERS)
    assert counted(gateway, outcome="model") == len(NO_ANSWERS)
    assert gateway.metric("baseload_gateway_outstanding") == 0


def test_answers_that_are_none_open_the_breaker(servers, said, upstream):
    breaker = {"error_rate": "50%", "window": 8, "open_for": "10m"}
    gateway = servers.gateway(**service(upstream, breaker=breaker))
    said.answer = Answer(body=b"hello")
    assert outcomes([gateway.infer("main", BODY) for _ in range(9)]) == {"error": 8, "breaker_open": 1}


@pytest.mark.redis
def test_what_breaks_inside_the_gateway_is_an_error_of_one_request(servers, said, upstream):
    """Redis holds something that this gateway did not write: it can't be given another request's id."""
    redis = servers.redis()
    gateway = servers.gateway(
        **service(upstream),
        redis={"url": f"redis://{redis.address}/0", "timeout": "2s"},
        routes=[{**ROUTE, "cache": {"ttl": "60s"}}],
    )
    redis.say(b"SET test:main:k nonsense\r\n")
    broken = gateway.infer("main", infer_body(0.5, ident="x"), baseload_key="k")
    assert (broken.status, broken.outcome) == (502, "error")
    assert broken.document["error"]
    assert gateway.infer("main", BODY, baseload_key="other").outcome == "model"
    assert (counted(gateway), counted(gateway, outcome="error")) == (2, 1)
    assert gateway.metric("baseload_gateway_in_flight") == 0


@pytest.mark.parametrize(
    ("answer", "status", "outcome"),
    [
        (Answer(503, {"baseload-outcome": "queue_full"}), 503, "queue_full"),
        (Answer(503), 503, "queue_full"),
        (Answer(503, {"baseload-outcome": "no_replica"}), 503, "no_replica"),
        (Answer(503, {"Baseload-Outcome": "no_replica"}), 503, "no_replica"),
        (Answer(503, {"baseload-outcome": "nonsense"}), 503, "queue_full"),
        (Answer(429), 503, "queue_full"),
        (Answer(429, {"baseload-outcome": "rate_limited"}), 503, "queue_full"),
        (Answer(504), 504, "timeout"),
        (Answer(400), 400, "invalid"),
        (Answer(413), 413, "invalid"),
        (Answer(500), 502, "error"),
        (Answer(500, {"baseload-outcome": "model"}), 502, "error"),
        (Answer(200, {"baseload-outcome": "error"}, WELL.body), 200, "model"),
        (Answer(302), 502, "error"),
        (Answer(204), 502, "error"),
    ],
)  # fmt: skip
def test_what_a_status_of_a_model_server_means(plain, said, answer, status, outcome):
    def calls() -> float:
        return plain.metric("baseload_gateway_calls_total", result=outcome)

    before = calls()
    said.answer = answer
    found = plain.infer("main", BODY)
    assert (found.status, found.outcome) == (status, outcome)
    assert found.headers.get("retry-after") == ("1" if status == 503 else None)
    assert calls() == before + 1


@pytest.mark.parametrize("body", [b"<html>no</html>", b"", b"[]", b'{"detail":"no"}', b'{"error":5}'])
def test_an_error_that_is_no_error_object_becomes_one(plain, said, body):
    said.answer = Answer(500, body=body)
    assert plain.infer("main", BODY).document == {"error": "the model server answered with status 500"}
    said.answer = Answer(500, body=b'{"error":"out of memory"}')
    assert plain.infer("main", BODY).document == {"error": "out of memory"}


def test_a_refusal_after_the_deadline_is_a_timeout_and_who_still_waits_is_served(servers):
    """Triton answers 503 to what has expired in its queue, as it does when the queue is full.

    The flight's first request gives up after 700 ms; the second, which shares it, still has time.
    """
    seen = []

    def triton(request) -> Answer:
        seen.append(request)
        return EXPIRED if len(seen) == 1 else WELL

    with Upstream(triton) as upstream:
        gateway = servers.gateway(**service(upstream), routes=[{**ROUTE, "coalesce": True}])

        def asks(timeout_ms: str):
            return lambda: gateway.infer("main", BODY, baseload_key="k", baseload_timeout_ms=timeout_ms)

        def later():
            wait_until(lambda: seen, "the flight")
            return asks("30000")()

        first, second = side_by_side([asks("700"), later])
    assert (first.status, first.outcome) == (504, "timeout")
    assert (second.status, second.outcome) == (200, "coalesced")
    assert len(seen) == 2
    assert gateway.metric("baseload_gateway_calls_total", result="timeout") == 1
    assert gateway.metric("baseload_gateway_calls_total", result="queue_full") == 0


def test_a_full_queue_after_the_deadline_is_a_full_queue_where_the_server_says_so(servers):
    full = Answer(503, {"baseload-outcome": "queue_full"}, after_s=0.3)
    with Upstream(lambda _: full) as upstream:
        gateway = servers.gateway(**service(upstream))
        assert gateway.infer("main", BODY, baseload_timeout_ms="100").outcome == "timeout"
        wait_until(
            lambda: gateway.metric("baseload_gateway_calls_total", result="queue_full") == 1, "the word"
        )


def test_a_model_server_that_is_still_loading_is_left_out_and_the_request_goes_to_another(servers):
    loading = servers.model_server(
        synthetic={"load": "10m"}, ready=lambda it: it.request("GET", "/v2/health/live").status == 200
    )
    good = servers.model_server("5ms", instances=8)
    gateway = servers.gateway([loading, good])
    assert outcomes([gateway.infer("main", BODY) for _ in range(40)]) == {"model": 40}
    refused = loading.metric("baseload_model_server_requests_total", outcome="no_replica")
    assert refused == gateway.metric("baseload_gateway_redispatched_total") >= 1
    begun = time.monotonic()
    side_by_side([lambda: gateway.infer("main", BODY)] * 100, 8)
    ejections = (time.monotonic() - begun) + 1
    assert (
        loading.metric("baseload_model_server_requests_total", outcome="no_replica") - refused
        <= 8 * ejections
    )


def test_where_all_are_still_loading_the_client_is_told_so(servers):
    live = lambda it: it.request("GET", "/v2/health/live").status == 200  # noqa: E731 - one line says it
    loading = [servers.model_server(synthetic={"load": "10m"}, ready=live) for _ in range(2)]
    gateway = servers.gateway(loading)
    answers = [gateway.infer("main", BODY) for _ in range(5)]
    assert {(each.status, each.outcome) for each in answers} == {(503, "no_replica")}
    assert {each.headers["retry-after"] for each in answers} == {"1"}


def test_a_cascade_says_so_where_a_model_does_not_know_how_sure_it_is(servers, said, upstream):
    services = [*service(upstream)["services"], {**service(upstream)["services"][0], "name": "large"}]
    gateway = servers.gateway(services=services, routes=[
        {
            "name": "main", "split": "cascade",
            "targets": [{"service": "ranker", "difficulty_below": "75%"}, {"service": "large"}],
        }
    ])  # fmt: skip
    for confidence in ("[null]", '["high"]', "[0.5, [0.5]]", "[{}]", "[]"):
        tensor = f'{{"name":"confidence","datatype":"FP32","shape":[1],"data":{confidence}}}'
        said.answer = Answer(body=f'{{"model_name":"m","outputs":[{tensor}]}}'.encode())
        answer = gateway.infer("main", BODY)
        assert (answer.status, answer.outcome) == (502, "error")
        assert "output confidence" in answer.document["error"]

"""The gateway's rules, one by one: real processes, real Redis, real HTTP."""

from __future__ import annotations

import time

import pytest

from tests.serving_ref.servers import (
    Server,
    Traffic,
    infer_body,
    outcomes,
    side_by_side,
    upstream,
    wait_until,
)

BODY = infer_body(0.5)


@pytest.fixture(scope="module")
def redis(shared_servers):
    return shared_servers.redis()


@pytest.fixture(scope="module")
def replica(shared_servers):
    """A model server that answers soon: 64 batch slots, each of 2 ms."""
    return shared_servers.model_server("2ms", instances=64)


@pytest.fixture(scope="module")
def slow_replica(shared_servers):
    """64 batch slots, each of 300 ms."""
    return shared_servers.model_server("300ms", instances=64)


@pytest.fixture(scope="module")
def plain(shared_servers, replica):
    """No cache, no limits; two classes."""
    return shared_servers.gateway(
        [replica],
        classes=[
            {"name": "home-page", "route": "main", "timeout": "10s"},
            {"name": "search", "route": "main"},
        ],
        limits={"body": "1kB"},
    )


def route(**settings):
    return {"routes": [{"name": "main", "targets": [{"service": "ranker"}], **settings}]}


def cached(redis: Server, **cache):
    return {
        "redis": {"url": f"redis://{redis.address}/0", "timeout": "2s"},
        **route(cache={"ttl": "60s"} | cache),
    }


def served(replica: Server) -> float:
    return replica.metric("baseload_model_server_requests_total", outcome="model")


def test_a_request_goes_to_the_model_and_comes_back(plain):
    answer = plain.infer("main", infer_body(0.25, ident="one"))
    assert (answer.status, answer.outcome, answer.headers["baseload-service"]) == (200, "model", "ranker")
    assert answer.document["id"] == "one"
    assert answer.output() == [0.25]


def test_a_route_shows_what_its_model_takes(plain):
    metadata = plain.request("GET", "/v2/models/main").document
    assert metadata["name"] == "main"
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 1]}]
    assert plain.request("GET", "/v2/models/other").status == 404


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("main", b"", {}, 400),
        ("main", b"\xff\x00", {}, 400),
        ("main", b"[" * 1000, {}, 400),
        ("main", b'{"inputs": []}', {}, 400),
        ("main", infer_body(0.5).replace(b"FP32", b"FP99"), {}, 400),
        ("main", infer_body(0.5, 0.5), {}, 400),  # two items: well formed, but more than this model takes
        ("main", infer_body(*[0.5] * 400), {}, 413),
        ("main", BODY, {"content_encoding": "gzip"}, 415),
        ("main", BODY, {"baseload_class": "nobody"}, 400),
        ("main", BODY, {"baseload_key": "two words"}, 400),
        ("main", BODY, {"baseload_key": "k" * 201}, 400),
        ("main", BODY, {"baseload_difficulty": "1.5"}, 400),
        ("main", BODY, {"baseload_difficulty": "nan"}, 400),
        ("main", BODY, {"baseload_timeout_ms": "-1"}, 400),
        ("main", BODY, {"baseload_timeout_ms": "soon"}, 400),
        ("other", BODY, {}, 404),
    ],
)
def test_what_is_wrong_is_4xx_with_a_reason(plain, path, body, headers, status):
    answer = plain.infer(path, body, **headers)
    assert (answer.status, answer.outcome) == (status, "invalid")
    assert answer.document["error"]


def test_a_body_without_a_declared_length_is_bounded_too(plain):
    def parts():
        for _ in range(100):
            yield b"x" * 100

    assert plain.request("POST", "/v2/models/main/infer", parts()).status == 413


def test_who_is_still_sending_too_much_sees_the_refusal_all_the_same(plain):
    def slowly(parts, wait_s):
        for _ in range(parts):
            time.sleep(wait_s)
            yield b"x" * 50_000

    for parts, wait_s in ((40, 0.0), (4, 0.05)):
        assert plain.request("POST", "/v2/models/main/infer", slowly(parts, wait_s)).status == 413
    assert plain.request("POST", "/v2/models/main/infer", b"x" * 3_000_000).status == 413


def test_every_request_is_counted_once_by_class_and_outcome(plain):
    def counted(**labels):
        return plain.metric("baseload_gateway_requests_total", **labels)

    before = counted(), counted(request_class="search", outcome="model"), counted(outcome="invalid")
    plain.infer("main", BODY, baseload_class="search")
    plain.infer("main", b"{}")
    after = counted(), counted(request_class="search", outcome="model"), counted(outcome="invalid")
    assert [b - a for a, b in zip(before, after, strict=True)] == [2, 1, 1]
    assert counted(route="other") == 0, "clients cannot make series"


@pytest.mark.redis
def test_an_answer_is_kept_for_its_key_until_its_time_is_over(servers, redis, replica):
    gateway = servers.gateway([replica], **cached(redis, ttl="400ms"))
    first = gateway.infer("main", infer_body(0.25, ident="one"), baseload_key="a-key")
    hit = wait_until(
        lambda: (
            (again := gateway.infer("main", infer_body(0.75, ident="two"), baseload_key="a-key")).outcome
            == "cache"
            and again
        ),
        "a hit",
    )
    assert (first.outcome, hit.output(), hit.document["id"]) == ("model", [0.25], "two")
    assert "id" not in gateway.infer("main", BODY, baseload_key="a-key").document
    assert gateway.infer("main", infer_body(0.5), baseload_key="b-key").outcome == "model"
    wait_until(
        lambda: gateway.infer("main", BODY, baseload_key="a-key").outcome == "model", "the entry to expire"
    )


@pytest.mark.redis
def test_without_a_key_nothing_is_kept(servers, redis, replica):
    gateway = servers.gateway([replica], **cached(redis))
    assert [gateway.infer("main", BODY).outcome for _ in range(3)] == ["model"] * 3


@pytest.mark.redis
def test_failures_are_not_kept(servers, redis, replica):
    gateway = servers.gateway([replica], **cached(redis))
    two_items = infer_body(0.5, 0.5)
    assert [gateway.infer("main", two_items, baseload_key="wrong").status for _ in range(2)] == [400, 400]
    assert gateway.infer("main", BODY, baseload_key="wrong").outcome == "model"


@pytest.mark.parametrize("coalesce", [True, False])
def test_requests_for_one_key_share_a_flight(servers, slow_replica, coalesce):
    gateway = servers.gateway([slow_replica], **route(coalesce=coalesce))
    before = served(slow_replica)
    calls = [
        lambda n=n: gateway.infer("main", infer_body(0.5, ident=str(n)), baseload_key="hot") for n in range(8)
    ]
    answers = side_by_side(calls)
    assert [answer.document["id"] for answer in answers] == [str(n) for n in range(8)]
    flights = served(slow_replica) - before
    assert outcomes(answers) == ({"model": flights, "coalesced": 8 - flights} if coalesce else {"model": 8})
    assert flights < 8 if coalesce else flights == 8


def test_beyond_the_rate_limit_it_says_when_to_come_back(servers, replica):
    gateway = servers.gateway([replica], **route(rate_limit={"rate": "30/min", "burst": 5}))
    answers = [gateway.infer("main", BODY) for _ in range(8)]
    assert [answer.status for answer in answers] == [200] * 5 + [429] * 3
    assert answers[-1].outcome == "rate_limited"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 2


def test_too_much_outstanding_is_shed_the_unimportant_first(servers, slow_replica):
    gateway = servers.gateway(
        [slow_replica],
        classes=[{"name": "low", "route": "main"}, {"name": "high", "route": "main", "priority": 5}],
        **route(shedding=[{"max_outstanding": 4, "below_priority": 5}]),
    )
    with Traffic(lambda _: gateway.infer("main", BODY, baseload_class="high"), clients=8):
        wait_until(lambda: gateway.metric("baseload_gateway_outstanding") >= 4, "work outstanding")
        low = wait_until(
            lambda: (it := gateway.infer("main", BODY, baseload_class="low")).outcome == "shed" and it,
            "shedding",
        )
        assert (low.status, low.headers["retry-after"]) == (503, "1")
        assert gateway.infer("main", BODY, baseload_class="high").status == 200


def test_difficulty_picks_the_tier(servers, replica):
    other = servers.model_server("2ms")
    gateway = servers.gateway(
        services=[upstream("small", [other]), upstream("large", [replica])],
        **route(
            split="difficulty", targets=[{"service": "small", "difficulty_below": 0.6}, {"service": "large"}]
        ),
    )
    tiers = [
        gateway.infer("main", BODY, baseload_difficulty=each).headers["baseload-service"]
        for each in ("0", "0.59", "0.6", "1")
    ]
    assert tiers == ["small", "small", "large", "large"]
    assert gateway.infer("main", BODY).headers["baseload-service"] == "large"


def test_a_cascade_goes_on_where_the_small_model_is_not_sure(servers, replica):
    """The synthetic model's confidence is 1 - x: at x >= difficulty_below the next one is asked."""
    other = servers.model_server("2ms")
    gateway = servers.gateway(
        services=[upstream("small", [other]), upstream("large", [replica])],
        **route(
            split="cascade", targets=[{"service": "small", "difficulty_below": "75%"}, {"service": "large"}]
        ),
    )
    tiers = [gateway.infer("main", infer_body(x)).headers["baseload-service"] for x in (0, 0.5, 0.75, 1)]
    assert tiers == ["small", "small", "large", "large"]
    assert gateway.metric("baseload_gateway_escalated_total") == 2
    stated = [
        gateway.infer("main", infer_body(0.9), baseload_difficulty=each).headers["baseload-service"]
        for each in ("0.74", "0.75")
    ]
    assert stated == ["small", "large"]


def test_a_canary_gets_its_share(servers, replica):
    other = servers.model_server("2ms", instances=8)
    gateway = servers.gateway(
        services=[upstream("stable", [replica]), upstream("canary", [other])],
        **route(targets=[{"service": "stable", "weight": 9}, {"service": "canary", "weight": 1}]),
    )
    side_by_side([lambda: gateway.infer("main", BODY)] * 600, 16)
    # 600 draws of 10 %: below 30 or above 100 once in 10,000 runs or less.
    assert 30 <= gateway.metric("baseload_gateway_calls_total", service="canary", result="model") <= 100


@pytest.mark.parametrize("rule", ["round-robin", "random", "power-of-two", "least-outstanding"])
def test_replicas_share_the_work(servers, rule):
    replicas = [servers.model_server("20ms") for _ in range(3)]
    gateway = servers.gateway(services=[upstream("ranker", replicas, balancing=rule)])
    side_by_side([lambda: gateway.infer("main", BODY)] * 90, 9)
    shares = [served(replica) for replica in replicas]
    assert sum(shares) == 90
    assert min(shares) >= 10
    if rule == "round-robin":
        assert max(shares) - min(shares) <= 1


@pytest.mark.parametrize("given_by", ["header", "class"])
def test_when_the_clients_time_is_over_it_is_told_so(servers, slow_replica, given_by):
    classes = [{"name": "c", "route": "main", **({"timeout": "100ms"} if given_by == "class" else {})}]
    gateway = servers.gateway([slow_replica], classes=classes)
    headers = {"baseload_timeout_ms": "100"} if given_by == "header" else {}
    answer = gateway.infer("main", BODY, **headers)
    assert (answer.status, answer.outcome) == (504, "timeout")


def test_the_deadline_goes_on_to_the_model_server(servers):
    """Its only batch slot is taken for 500 ms: what has 100 ms left is dropped there, not served too late."""
    replica = servers.model_server("500ms", batching={"drop_expired": True})
    gateway = servers.gateway([replica])
    with Traffic(lambda _: gateway.infer("main", BODY), clients=1):
        wait_until(lambda: replica.metric("baseload_model_server_in_service") == 1, "a batch in service")
        assert gateway.infer("main", BODY, baseload_timeout_ms="100").outcome == "timeout"
        dropped = wait_until(
            lambda: replica.metric("baseload_model_server_requests_total", outcome="timeout"), "the drop"
        )
    assert dropped == 1


def test_who_waits_longer_than_the_founder_is_served(servers):
    """A flight's first request gives up; the second, which shares it, has time: the work is sent again."""
    replica = servers.model_server("400ms", batching={"drop_expired": True})
    gateway = servers.gateway([replica], **route(coalesce=True))
    with Traffic(lambda _: replica.infer("m", BODY), clients=1) as blocking:
        wait_until(lambda: replica.metric("baseload_model_server_in_service") == 1, "a batch in service")
        founder = Traffic(
            lambda _: gateway.infer("main", BODY, baseload_key="k", baseload_timeout_ms="150"), clients=1
        )
        wait_until(lambda: gateway.metric("baseload_gateway_outstanding") == 1, "the flight")
        second = gateway.infer("main", BODY, baseload_key="k", baseload_timeout_ms="30000")
        assert "timeout" in outcomes(founder.end())
        assert blocking.answers
    assert second.outcome == "coalesced"


def test_features_are_waited_for(servers, replica):
    gateway = servers.gateway([replica], **route(feature_fetch="200ms"))
    assert gateway.infer("main", BODY).latency_s >= 0.2

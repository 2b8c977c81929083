"""Ten times more than can be served: most is refused, in words, and the rest is on time."""

from __future__ import annotations

import threading

import numpy as np

from serving_ref.loadtest.recording import ENDED
from serving_ref.loadtest.results import MODEL, RATE_LIMITED, SHED
from serving_ref.loadtest.schedule import Tensor
from serving_ref.metrics import LATENCY_BUCKETS_S
from tests.serving_ref.loadtest.sending import SECOND, schedule, sent, sent_class, settings
from tests.serving_ref.servers import Answer, Traffic, infer_body, outcomes

SERVICE_S, SLOTS = 0.04, 2
CAPACITY_PER_S = SLOTS / SERVICE_S
OVERLOAD = 10
OFFERED_PER_S, SECONDS = 12 * CAPACITY_PER_S, 6
"""Some more than ten times: a generator that falls behind on a busy machine still offers those."""
MOST_OUTSTANDING = 8
SLO_S = 1.0
"""Waits of at most 160 ms and a service of 40 ms; the rest is room for a busy machine."""
SLO_EDGE_S = max(edge_s for edge_s in LATENCY_BUCKETS_S if edge_s <= SLO_S)
"""The metrics' edge below it."""
BODY = infer_body(0.5)


class Onlookers:
    """Two clients of another kind, who look at the refusals' headers meanwhile."""

    def __init__(self, call) -> None:
        self.traffic = Traffic(call, clients=2)
        self.answers: list[Answer] = []

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.answers = self.traffic.end()


def test_ten_times_too_much_is_refused_and_the_rest_is_on_time(servers, tmp_path):
    """An open loop: requests go out when they are due, whatever became of those before them.

    Of 600 requests/s the bucket lets 300 through, and of those the 50 that two slots can serve are answered.
    """
    replica = servers.model_server("40ms", instances=SLOTS)
    gateway = servers.gateway([replica], classes=[{"name": "web", "route": "main"}], routes=[
        {
            "name": "main", "targets": [{"service": "ranker"}], "shedding": [{"max_outstanding": MOST_OUTSTANDING}],
            "rate_limit": {"rate": "300/s", "burst": 30},
        }
    ])  # fmt: skip
    dice = np.random.default_rng(1)
    due_ns = np.cumsum(dice.exponential(SECOND / OFFERED_PER_S, int(OFFERED_PER_S * SECONDS))).astype(
        np.int64
    )
    how = settings(
        gateway.port, sent_class(inputs=(Tensor("x", "FP32", (-1, 1)),)), duration_ns=int(due_ns[-1]) + SECOND,
        drain_ns=30 * SECOND, max_in_flight=5000,
    )  # fmt: skip
    over = threading.Event()

    def look(_: int) -> Answer:
        over.wait(0.05)
        return gateway.infer("main", BODY)

    with Onlookers(look) as onlookers:
        result = sent(tmp_path, schedule(due_ns), how)
    recorded = result.recorded
    number = len(due_ns)
    assert recorded.state.tolist() == [ENDED] * number, "none was skipped, none was left open"
    served = recorded.result == MODEL

    took_s = (recorded.sent_ns.max() - recorded.sent_ns.min()) / SECOND
    served_per_s = np.count_nonzero(served) / took_s
    assert number / took_s >= OVERLOAD * CAPACITY_PER_S, "the generator offered it"
    assert served_per_s <= 1.3 * CAPACITY_PER_S
    assert np.count_nonzero(served) >= 50, "and some were served"

    latency_s = (recorded.end_ns - recorded.sent_ns)[served] / SECOND
    assert np.quantile(latency_s, 0.99) <= SLO_S
    inside = gateway.metric("baseload_gateway_request_seconds_bucket", le=str(SLO_EDGE_S))
    answered = gateway.metric("baseload_gateway_request_seconds_count")
    assert inside >= 0.99 * answered > 0

    assert set(recorded.result.tolist()) == {MODEL, RATE_LIMITED, SHED}
    assert set(zip(recorded.result.tolist(), recorded.status.tolist(), strict=True)) == {
        (MODEL, 200), (RATE_LIMITED, 429), (SHED, 503),
    }  # fmt: skip
    refused = [answer for answer in onlookers.answers if answer.status != 200]
    assert {(answer.status, answer.outcome) for answer in refused} == {(429, "rate_limited"), (503, "shed")}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)

    seen = outcomes(onlookers.answers)
    for outcome, code in (("model", MODEL), ("rate_limited", RATE_LIMITED), ("shed", SHED)):
        total = seen[outcome] + np.count_nonzero(recorded.result == code)
        assert gateway.metric("baseload_gateway_requests_total", outcome=outcome) == total
    assert gateway.metric("baseload_gateway_requests_total") == number + len(onlookers.answers)

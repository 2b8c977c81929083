"""Every logical request has exactly one outcome, whatever happens to its attempts."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from serving_ref.loadtest.recording import DENIED, ENDED, UNFINISHED
from serving_ref.loadtest.results import (
    BREAKER_OPEN,
    BROKEN,
    CACHE,
    COALESCED,
    FIRST_FAILURE,
    GARBLED,
    GIVEN_UP,
    LOST,
    MODEL,
    NO_REPLICA,
    NOT_CONNECTED,
    QUEUE_FULL,
    RATE_LIMITED,
    SHED,
    TIMEOUT,
    result_of,
)
from tests.serving_ref.loadtest.sending import SECOND, regular, schedule, sent, sent_class, settings
from tests.serving_ref.loadtest.servers import WELL, Answer, Server

MS = SECOND // 1000


def named(outcome, status=200, **more):
    return Answer(status, {"baseload-outcome": outcome}, **more)


BEHAVIOURS = [
    (WELL, MODEL, 200),
    (named("cache"), CACHE, 200),
    (named("coalesced", how="chunked"), COALESCED, 200),
    (Answer(how="until-close"), MODEL, 200),
    (Answer(after_s=0.05), MODEL, 200),
    (Answer(how="reset"), LOST, BROKEN),
    (Answer(how="truncated"), LOST, BROKEN),
    (Answer(how="garbled"), LOST, GARBLED),
    (Answer(how="never"), TIMEOUT, GIVEN_UP),
    (named("rate_limited", 429), RATE_LIMITED, 429),
    (named("queue_full", 503), QUEUE_FULL, 503),
    (named("breaker_open", 503, how="chunked"), BREAKER_OPEN, 503),
    (named("no_replica", 503), NO_REPLICA, 503),
    (Answer(503), SHED, 503),
    (Answer(500), LOST, 500),
    (named("timeout", 504), TIMEOUT, 504),
]
"""What a server does, and the result and status that the client must write down."""


def behaviour(request_id):
    """A fixed one for every attempt."""
    return BEHAVIOURS[hashlib.sha256(request_id.encode()).digest()[0] % len(BEHAVIOURS)]


def test_exactly_one_outcome_and_every_attempt_as_the_server_made_it(tmp_path):
    waits = [20 * MS, 40 * MS]
    each = sent_class(timeout_ns=SECOND, max_retries=2)
    with Server(lambda seen: behaviour(seen.id)[0]) as server:
        result = sent(
            tmp_path,
            schedule(regular(200, 2), waits=waits),
            settings(server.port, each, duration_ns=7 * SECOND),
        )
    recorded = result.recorded
    assert recorded.state.tolist() == [ENDED] * 400
    by_request = {}
    for row, request in enumerate(recorded.request.tolist()):
        by_request.setdefault(request, []).append(row)
    for request, rows in by_request.items():
        assert recorded.attempt[rows].tolist() == list(range(len(rows)))
        assert recorded.last[request] == rows[-1]
        expected = [behaviour(f"web-{request}-{attempt}")[1:] for attempt in range(3)]
        tries = next((n for n, (code, _) in enumerate(expected, 1) if code < FIRST_FAILURE), 3)
        found = list(zip(recorded.result[rows].tolist(), recorded.status[rows].tolist(), strict=True))
        assert found == expected[:tries], request
        for before, row, wait_ns in zip(rows, rows[1:], waits, strict=False):
            assert recorded.due_ns[row] == recorded.end_ns[before] + wait_ns
    ids = [each.id for each in server.inferred]
    assert len(ids) == len(set(ids)) == len(recorded.request)
    assert len(by_request) == 400


def test_a_client_gives_up_when_its_time_is_over_and_counts_from_when_it_was_due(tmp_path):
    each = sent_class(timeout_ns=200 * MS)
    with Server(lambda _: Answer(after_s=0.5)) as server:
        recorded = sent(
            tmp_path, schedule(regular(20, 1)), settings(server.port, each, duration_ns=SECOND)
        ).recorded
    assert (recorded.result == TIMEOUT).all()
    assert (recorded.end_ns - recorded.due_ns >= 200 * MS).all()
    assert server.seen[-1].headers["baseload-timeout-ms"] == "200"


def test_a_retry_budget_is_shared_by_the_class_and_starts_full(tmp_path):
    """Ten tokens at first, and a fifth of one for every first attempt: of 100 requests, at most 30 are tried again."""
    each = sent_class(max_retries=1, budget_ratio=200_000, budget_cap=10_000_000)
    with Server(lambda _: Answer(503)) as server:
        recorded = sent(
            tmp_path,
            schedule(regular(100, 1), waits=[MS]),
            settings(server.port, each, duration_ns=2 * SECOND),
        ).recorded
    # The bucket is full at first: what is earned before failures come is lost, and that is a matter of when they come.
    retries = np.count_nonzero(recorded.attempt == 1)
    assert 10 <= retries <= 30
    assert np.count_nonzero(recorded.state == DENIED) == 100 - retries
    assert np.count_nonzero(recorded.state == ENDED) == retries


def test_a_request_that_the_server_calls_invalid_is_not_sent_again(tmp_path):
    each = sent_class(max_retries=3)
    with Server(lambda _: named("invalid", 400)) as server:
        recorded = sent(
            tmp_path,
            schedule(regular(50, 1), waits=[MS] * 3),
            settings(server.port, each, duration_ns=SECOND),
        ).recorded
    assert recorded.status.tolist() == [400] * 50
    assert recorded.state.tolist() == [ENDED] * 50


def test_retries_that_would_come_after_the_end_are_not_sent_and_leave_the_request_unfinished(tmp_path):
    each = sent_class(max_retries=1)
    with Server(lambda _: Answer(503)) as server:
        recorded = sent(
            tmp_path,
            schedule(regular(10, 1), waits=[2 * SECOND]),
            settings(server.port, each, duration_ns=SECOND),
        ).recorded
    assert recorded.state.tolist() == [UNFINISHED] * 10
    assert len(server.inferred) == 10


def test_a_server_that_goes_away_costs_attempts_not_the_run(tmp_path):
    servers = [Server()]
    servers[0].__enter__()
    port = servers[0].port

    def leave(said):
        if said.get("due", 0) > 30 and len(servers) == 1:
            servers.append(None)
            servers[0].__exit__()

    recorded = sent(
        tmp_path, schedule(regular(50, 3)), settings(port, duration_ns=3 * SECOND, drain_ns=SECOND), leave
    ).recorded
    ended = recorded.state[recorded.request] == ENDED
    assert MODEL in recorded.result
    assert set(recorded.status[ended].tolist()) <= {200, NOT_CONNECTED, BROKEN}
    assert NOT_CONNECTED in recorded.status


@pytest.mark.parametrize(
    ("status", "outcome", "result"),
    [
        (200, b"", MODEL), (204, b"model", MODEL), (200, b"nonsense", MODEL), (200, b"shed", MODEL),
        (429, b"", RATE_LIMITED), (503, b"", SHED), (408, b"", TIMEOUT), (504, b"", TIMEOUT), (502, b"", LOST),
        (502, b"error", LOST), (503, b"cache", SHED), (404, b"invalid", LOST), (302, b"", LOST),
    ],
)  # fmt: skip
def test_what_an_answer_means(status, outcome, result):
    assert result_of(status, outcome) == result

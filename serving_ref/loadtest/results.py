"""How an attempt ends, in the words of the simulator's counters; and what an HTTP answer means in them."""

from __future__ import annotations

from serving_ref.protocol import Outcome

RESULTS: tuple[str, ...] = (
    "open", "model", "cache", "coalesced",
    "timeout", "rate_limited", "queue_full", "shed", "breaker_open", "no_replica", "lost",
)  # fmt: skip
"""Results of an attempt; a column of results holds places in this tuple."""
OPEN, MODEL, CACHE, COALESCED, TIMEOUT, RATE_LIMITED, QUEUE_FULL, SHED, BREAKER_OPEN, NO_REPLICA, LOST = (
    range(11)
)
FIRST_FAILURE = TIMEOUT

# What the column `status` holds where there is no HTTP status.
NO_ANSWER, NOT_CONNECTED, BROKEN, GARBLED, GIVEN_UP = 0, -1, -2, -3, -4
STATUS_NAMES = {
    NO_ANSWER: "unanswered",
    NOT_CONNECTED: "not connected",
    BROKEN: "connection broken",
    GARBLED: "not HTTP",
    GIVEN_UP: "given up by the client",
}
"""Unanswered: at the end of the run. Broken: closed or reset before the whole answer was there."""

_OF_OUTCOME = {
    outcome.value.encode(): RESULTS.index(outcome.value) for outcome in Outcome if outcome.value in RESULTS
} | {Outcome.ERROR.value.encode(): LOST, Outcome.INVALID.value.encode(): LOST}
_OF_STATUS = {408: TIMEOUT, 429: RATE_LIMITED, 503: SHED, 504: TIMEOUT}


def result_of(status: int, outcome: bytes) -> int:
    """The result that an answer means; `outcome` is its header of that name, b"" if it has none.

    Servers that do not name the outcome are read by their status: 429 is rate limited, 503 shed, 408 and 504 timed
    out; any other error is an attempt lost. What the simulator has no word for (an error of the model, a request that
    the server calls invalid) is lost too; the count of answers by status keeps them apart.
    """
    if 200 <= status < 300:
        named = _OF_OUTCOME.get(outcome, MODEL)
        return named if named < FIRST_FAILURE else MODEL
    named = _OF_OUTCOME.get(outcome, OPEN)
    return named if named >= FIRST_FAILURE else _OF_STATUS.get(status, LOST)


def is_refusal(status: int) -> bool:
    """Whether a server says that the request itself is wrong: sending it again, or more of them, is no load."""
    return 400 <= status < 500 and status not in (408, 429)

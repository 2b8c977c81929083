"""What a response of a model server means: ours says so in a header, of others' the status must do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from serving_ref import asgi, protocol
from serving_ref.inference import InvalidResponse, check_response
from serving_ref.protocol import Outcome

if TYPE_CHECKING:
    from serving_ref.gateway.connection import Response

_NO_REPLICA, _QUEUE_FULL = Outcome.NO_REPLICA.value.encode(), Outcome.QUEUE_FULL.value.encode()


def verdict(response: Response, *, expired: bool) -> tuple[Outcome, int, bytes]:
    """Return outcome, status and body for the client. `expired`: the time that the call was given is over."""
    if response.status == 200:
        try:
            check_response(response.body)
        except InvalidResponse as error:
            return Outcome.ERROR, protocol.STATUS[Outcome.ERROR], asgi.error_body(str(error))
        return Outcome.MODEL, 200, response.body
    outcome = _refusal(response, expired)
    status = response.status if outcome is Outcome.INVALID else protocol.STATUS[outcome]
    return outcome, status, _error(response)


def _refusal(response: Response, expired: bool) -> Outcome:
    status, said = response.status, response.outcome
    if status == 503:
        if said == _NO_REPLICA:
            return Outcome.NO_REPLICA
        # Triton's word for what has expired in its queue is the same as for a queue that is full.
        return Outcome.TIMEOUT if expired and said != _QUEUE_FULL else Outcome.QUEUE_FULL
    if status == 429:
        return Outcome.QUEUE_FULL
    if status == 504:
        return Outcome.TIMEOUT
    return Outcome.INVALID if 400 <= status < 500 else Outcome.ERROR


def _error(response: Response) -> bytes:
    """Return the model server's error object, or one that says what it answered instead."""
    try:
        if isinstance(orjson.loads(response.body)["error"], str):
            return response.body
    except (orjson.JSONDecodeError, KeyError, TypeError):
        pass
    return asgi.error_body(f"the model server answered with status {response.status}")

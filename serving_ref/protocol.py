"""What client, gateway and model server say to each other beside the Open Inference Protocol v2 (REST).

    POST /v2/models/{route}[/versions/{version}]/infer    client → gateway: a scenario's route is a model's public name
    GET /v2/models/{route}[/versions/{version}]           client → gateway: what its first service takes and gives
    GET /v2/models/{route}[/versions/{version}]/ready     client → gateway: whether all its services have a replica
    … /v2/models/{model}[/versions/{version}] …           gateway → model server (ours, Triton, KServe)

The body is the protocol's inference request (https://github.com/kserve/open-inference-protocol,
specification/protocol/inference_rest.md) and nothing else; what the gateway needs beside it is in headers, all of
them optional. The first dimension of the inputs is the number of items.
"""

from __future__ import annotations

import re
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from serving_ref.inference import InvalidRequest

CLASS = "baseload-class"
"""Request: the class of the scenario. Without it: the first class of the route."""
KEY = "baseload-key"
"""Request: what is asked for, up to 200 printable ASCII characters. Cache and coalescing work on it; a request without
one asks for something new."""
DIFFICULTY = "baseload-difficulty"
"""Request, on both hops: from 0 to 1. Routes with `split: difficulty` send it to its tier (without it: 1, the last),
and a synthetic model is so much unsure of its answer, for routes with `split: cascade`."""
TIMEOUT_MS = "baseload-timeout-ms"
"""Request, on both hops: milliseconds (a decimal fraction is allowed) that the sender will still wait. The gateway
passes on what is left of them. Without it: the timeout of the class."""
PRIORITY = "baseload-priority"
"""Request, gateway → model server: 0 to 7 as in the scenario, higher first."""
OUTCOME = "baseload-outcome"
"""Response: one of `Outcome`, always."""
SERVICE = "baseload-service"
"""Response: the service that answered, if one did."""


class Outcome(Enum):
    """How a request ended at the gateway: exactly one of these, in the words of the simulator's counters."""

    MODEL = "model"
    """Answered by a model, on this request's own flight: 200."""
    COALESCED = "coalesced"
    """Answered by a flight that another request had started: 200."""
    CACHE = "cache"
    """Answered by the response cache: 200."""
    INVALID = "invalid"
    """Malformed, oversized, or for what is not there: a status of 4xx."""
    RATE_LIMITED = "rate_limited"
    """Beyond the token bucket: 429 with Retry-After."""
    SHED = "shed"
    """Refused because too much was outstanding: 503 with Retry-After."""
    QUEUE_FULL = "queue_full"
    """The replica's queue was full: 503 with Retry-After."""
    BREAKER_OPEN = "breaker_open"
    """The service's circuit breaker was open: 503 with Retry-After."""
    NO_REPLICA = "no_replica"
    """No replica of the service was ready: 503 with Retry-After."""
    LOST = "lost"
    """Its replica was lost, and so was the one that it was sent to again: 502."""
    ERROR = "error"
    """The model server answered, but with an error of its own: 502."""
    TIMEOUT = "timeout"
    """The time that the client gave was over: 504."""


STATUS = {
    Outcome.MODEL: 200, Outcome.COALESCED: 200, Outcome.CACHE: 200, Outcome.INVALID: 400, Outcome.RATE_LIMITED: 429,
    Outcome.SHED: 503, Outcome.QUEUE_FULL: 503, Outcome.BREAKER_OPEN: 503, Outcome.NO_REPLICA: 503,
    Outcome.LOST: 502, Outcome.ERROR: 502, Outcome.TIMEOUT: 504,
}  # fmt: skip
"""Outcome → HTTP status (INVALID: 400 unless a closer one fits)."""


INFER, READY = "/infer", "/ready"
_MODELS = "/v2/models/"
# A version goes on to the model server, in the first line of a request: no space and no line end gets through.
_MODEL_PATH = re.compile(_MODELS + r"([^/]+)(?:/versions/([A-Za-z0-9._-]+))?(/infer|/ready)?")


class ModelPath(NamedTuple):
    """A path of the protocol that names a model."""

    name: str
    version: str | None
    what: str | None
    """INFER, READY, or None: its metadata."""


@lru_cache(maxsize=1024)
def model_path(path: str) -> ModelPath | None:
    """Read a path; None where it names no model."""
    found = _MODEL_PATH.fullmatch(path)
    return ModelPath._make(found.groups()) if found else None


def is_inference(path: str) -> bool:
    """Whether a path is meant for inference, be there such a model or not."""
    return path.endswith(INFER) and path.startswith(_MODELS)


def timeout_ms(value: bytes) -> float:
    """Return the milliseconds of a TIMEOUT_MS header. Raises InvalidRequest."""
    try:
        found = float(value)
    except ValueError:
        found = -1.0
    if not 0 < found <= 1e9:
        raise InvalidRequest(f"{TIMEOUT_MS}: expected milliseconds above 0")
    return found


def difficulty(value: bytes) -> float:
    """Return the number of a DIFFICULTY header. Raises InvalidRequest."""
    try:
        found = float(value)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise InvalidRequest(f"{DIFFICULTY}: expected a number from 0 to 1")
    return found

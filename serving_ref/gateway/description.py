"""What a route's model servers say of their models, as the gateway tells it: under the route's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from serving_ref.gateway.connection import Response


def metadata_of(route: str, answer: Response | None) -> tuple[int, dict[str, Any]]:
    """Return status and document for who asks what a route takes and gives."""
    if answer is None:
        return 503, {"error": "no replica of the service is ready"}
    if answer.status == 404:
        return _absent(route)
    if answer.status != 200:
        return 503, {"error": f"the model server answered with status {answer.status}"}
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict):
        return 502, {"error": "the model server's metadata is no JSON object"}
    return 200, document | {"name": route}


def readiness_of(
    route: str, answers: Sequence[Response | None], *, draining: bool
) -> tuple[int, dict[str, Any]]:
    """Return status and document for who asks whether a route is ready: each of its services must be."""
    if any(answer is not None and answer.status == 404 for answer in answers):
        return _absent(route)
    ready = not draining and all(answer is not None and answer.status == 200 for answer in answers)
    return 200 if ready else 503, {"name": route, "ready": ready}


def _absent(route: str) -> tuple[int, dict[str, Any]]:
    return 404, {"error": f"{route}: the model server has no such model or version"}

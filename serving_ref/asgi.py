"""The little that the servers need of HTTP, straight on ASGI: no framework stands between a request and its queue."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import orjson

from serving_ref.inference import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from serving_ref.settings import Limits

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

Headers = list[tuple[bytes, bytes]]
JSON = (b"content-type", b"application/json")
CLOSE = (b"connection", b"close")
DISCARDED_BYTES, DISCARD_S = 1 << 22, 1.0
"""What is read, at most, of a body that is too large, so that its sender sees the refusal."""


class Disconnected(Exception):
    """The client went away before its request was whole."""


async def read_body(headers: dict[bytes, bytes], receive: Receive, limits: Limits) -> bytes:
    """Return the body. Raises InvalidRequest where it is too large (413), too slow (408) or encoded (415)."""
    if b"content-encoding" in headers or b"inference-header-content-length" in headers:
        raise InvalidRequest("expected plain JSON: no content encoding, no binary tensors", 415)
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > limits.body:
        if b"expect" not in headers:  # who waits for leave to send has nothing under way
            await _discard(receive)
        raise InvalidRequest(f"the body is larger than {limits.body} bytes", 413)
    try:
        async with asyncio.timeout(limits.read):
            return await _whole(receive, limits.body)
    except TimeoutError:
        raise InvalidRequest(f"the body did not arrive within {limits.read:g} s", 408) from None


async def _whole(receive: Receive, most: int) -> bytes:
    """Return all of a body, whose length may not have been declared."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
        if size > most:
            if more:
                await _discard(receive)
            raise InvalidRequest(f"the body is larger than {most} bytes", 413)
    return b"".join(parts)


async def _discard(receive: Receive) -> None:
    """Read on for a while, and throw away.

    A connection that is closed over bytes that nobody has read is reset, and who still sends then loses the answer
    that was on its way (RFC 9112, section 9.6).
    """
    left = DISCARDED_BYTES
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


async def respond(send: Send, status: int, body: bytes, headers: Headers) -> None:
    """Send a whole response."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-length", b"%d" % len(body)), *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})


def error_body(message: str) -> bytes:
    """Return the protocol's error object."""
    return orjson.dumps({"error": message})


async def lifespan(receive: Receive, send: Send, start: Callable[[], Awaitable[None]]) -> None:
    """Answer the server's start and stop; `start` is run at the first."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await start()
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return

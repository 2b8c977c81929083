"""Ask a live Prometheus server for a range, in chunks that it does not refuse."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from scenarios.errors import EnvironmentProblem, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_POINTS = 11_000
"""Points of one series in one answer: beyond this the server refuses ("exceeded maximum resolution")."""
REFUSED_QUERY = (400, 422)
"""HTTP statuses that say that the query is wrong, not the server."""


@dataclass(frozen=True)
class RangeQuery:
    """A PromQL expression over [start, end), at the ends of its steps: start + step, …, end."""

    promql: str
    start_ms: int
    """Milliseconds since 1970."""
    end_ms: int
    """A whole number of steps after the start."""
    step_ms: int

    def chunks(self, max_points: int = MAX_POINTS) -> Iterator[tuple[int, int]]:
        """First and last point (milliseconds, both inclusive) of each request, in order."""
        points = (self.end_ms - self.start_ms) // self.step_ms
        for first in range(1, points + 1, max_points):
            last = min(first + max_points - 1, points)
            yield self.start_ms + first * self.step_ms, self.start_ms + last * self.step_ms


@dataclass(frozen=True)
class Server:
    """Where and how to ask."""

    url: str
    token: str | None = None
    """Sent as `Authorization: Bearer`."""
    timeout_s: float = 60.0
    """For each request."""

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https") or not urlsplit(self.url).hostname:
            raise InvalidInput(
                f"--url: got {public_url(self.url)!r}, expected an address such as http://prometheus:9090"
            )


def range_query(promql: str, start_ns: int, end_ns: int, step_s: float) -> RangeQuery:
    """Make a query of whole steps and whole milliseconds, which is what Prometheus counts in.

    Raises InvalidInput where the range is empty, not whole steps, or the step is below a millisecond.
    """
    step_ms = round(step_s * 1000)
    if step_ms < 1 or abs(step_ms - step_s * 1000) > 1e-6:
        raise InvalidInput(f"--step: got {step_s:g} s, expected whole milliseconds")
    start_ms, end_ms = start_ns // 1_000_000, end_ns // 1_000_000
    if end_ms <= start_ms:
        raise InvalidInput("--end: expected a time after --start")
    if rest := (end_ms - start_ms) % step_ms:
        raise InvalidInput(
            f"--end: expected a whole number of steps after --start; it is {rest / 1000:g} s past the last"
        )
    return RangeQuery(promql, start_ms, end_ms, step_ms)


def ask(
    server: Server,
    query: RangeQuery,
    on_chunk: Callable[[], None] = lambda: None,
    max_points: int = MAX_POINTS,
) -> Iterator[Any]:
    """Yield the matrix of each chunk, in order; `on_chunk` is called after each.

    Raises InvalidInput where the server says that the query is wrong, EnvironmentProblem where there is no
    answer.
    """
    try:
        from prometheus_api_client import PrometheusConnect  # an optional dependency
    except ImportError as error:
        raise EnvironmentProblem(
            "prometheus-api-client is missing: pip install 'baseload[import]'"
        ) from error

    headers = {"Authorization": f"Bearer {server.token}"} if server.token else None
    with PrometheusConnect(server.url.rstrip("/"), headers=headers, timeout=server.timeout_s) as client:
        for first_ms, last_ms in query.chunks(max_points):
            yield _ask_one(client, server, query, first_ms, last_ms)
            on_chunk()


def public_url(url: str) -> str:
    """Return the address without user name and password: for reports and trace files."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def _ask_one(client: Any, server: Server, query: RangeQuery, first_ms: int, last_ms: int) -> Any:
    from prometheus_api_client.exceptions import PrometheusApiClientException

    where = public_url(server.url)
    moments = [datetime.fromtimestamp(ms / 1000, UTC) for ms in (first_ms, last_ms)]
    # The client rounds its times to whole seconds; these parameters replace what it would send.
    exact = {"start": _seconds(first_ms), "end": _seconds(last_ms)}
    try:
        return client.custom_query_range(query.promql, *moments, step=_seconds(query.step_ms), params=exact)
    except PrometheusApiClientException as error:
        status, words = _read_refusal(str(error))
        message = f"{where} refused the query {query.promql!r}: {words} (HTTP {status})"
        raise (InvalidInput if status in REFUSED_QUERY else EnvironmentProblem)(message) from error
    except (KeyError, TypeError, ValueError) as error:
        raise EnvironmentProblem(
            f"{where}: does not answer as a Prometheus server does: {error!r}"
        ) from error
    except OSError as error:  # the other exceptions of requests are all of this kind
        raise EnvironmentProblem(f"{where}: no answer: {error}") from error


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"


def _read_refusal(text: str) -> tuple[int, str]:
    """Status and the server's own words, from the client's "HTTP Status Code 400 (b'{…}')"."""
    match = re.match(r"HTTP Status Code (\d+) \((.*)\)$", text, re.DOTALL)
    if match is None:
        return 0, text
    status, body = int(match[1]), match[2]
    try:
        return status, str(json.loads(ast.literal_eval(body))["error"])
    except (ValueError, SyntaxError, KeyError, TypeError):
        return status, body[:200]

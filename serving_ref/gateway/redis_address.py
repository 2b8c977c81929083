"""Where Redis is, and who one is there."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

EXPECTED = "expected redis://[[user]:password@]host[:port][/database], or rediss://… for TLS"


@dataclass(frozen=True)
class RedisAddress:
    """What the URL of a Redis says."""

    host: str
    port: int
    database: int
    user: str
    password: str
    tls: bool


def parse_redis_url(url: str) -> RedisAddress:
    """Read the URL of a Redis. Raises ValueError where it is none."""
    parts = urlsplit(url)
    database = parts.path.removeprefix("/") or "0"
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or not database.isdigit():
        raise ValueError(EXPECTED)
    if parts.query or parts.fragment:
        raise ValueError(EXPECTED)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return RedisAddress(
        parts.hostname, parts.port or 6379, int(database), user, password, parts.scheme == "rediss"
    )

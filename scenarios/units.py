"""Quantities with units as people write them in scenario files, and how errors and reports write them back.

Inside Baseload: seconds, requests, USD, GiB. A bare number is refused where a unit could be meant (zero is
the exception): `timeout: 300` could be seconds or milliseconds, and a silent guess costs an incident.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, TypeGuard

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_NUMBER = r"[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"

SECONDS_PER = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0,
    "h": 3600.0, "d": 86_400.0, "w": 604_800.0,
}  # fmt: skip
NANOSECONDS_PER_SECOND = 1_000_000_000
BYTES_PER = {
    "B": 1, "k": 10**3, "kB": 10**3, "KB": 10**3, "M": 10**6, "MB": 10**6, "G": 10**9, "GB": 10**9,
    "T": 10**12, "TB": 10**12, "Ki": 2**10, "KiB": 2**10, "Mi": 2**20, "MiB": 2**20, "Gi": 2**30,
    "GiB": 2**30, "Ti": 2**40, "TiB": 2**40,
}  # fmt: skip
_DURATION_PART = re.compile(rf"({_NUMBER})\s*(ns|us|µs|ms|min|s|m|h|d|w)")
_DURATION = re.compile(rf"(?:{_DURATION_PART.pattern}\s*)+")
_RATE = re.compile(rf"({_NUMBER})\s*/\s*(s|m|min|h|d|w)")
_BYTES = re.compile(rf"({_NUMBER})\s*({'|'.join(sorted(BYTES_PER, key=len, reverse=True))})")
_PERCENT = re.compile(rf"({_NUMBER})\s*%")
_USD = re.compile(rf"\$\s*({_NUMBER})")
_USD_PER_HOUR = re.compile(rf"\$\s*({_NUMBER})\s*/\s*(h|hour|d|day|month)")
_USD_PER_UNIT = re.compile(rf"\$\s*({_NUMBER})\s*/\s*([A-Za-z][A-Za-z-]*)")
_HOURS_PER = {
    "h": Decimal(1),
    "hour": Decimal(1),
    "d": Decimal(24),
    "day": Decimal(24),
    "month": Decimal(730),
}


MAX_DURATION_S = 100 * 365 * 86_400.0
"""A century: the longest duration in the language, and well inside 64-bit nanoseconds."""
MAX_RATE_PER_S = 1e9
"""One event a nanosecond."""
MAX_BYTES = 10**18
MAX_USD = Decimal(10) ** 12
_LONGEST_TEXT = 64


def _number(text: str) -> float:
    return float(text.replace("_", ""))


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: Any) -> str:
    """Return the text to look for a quantity in; "" (which no quantity is) for anything else."""
    return value.strip() if isinstance(value, str) and len(value) <= _LONGEST_TEXT else ""


def parse_duration(value: Any) -> float:
    """Seconds from "8m", "300ms", "1h30m", "2d". Zero may stand alone; any other bare number is refused."""
    text = _text(value)
    if text == "0" or (_is_number(value) and value == 0):
        return 0.0
    if _is_number(value) and 0 < value < MAX_DURATION_S:
        raise ValueError(f"expected a duration with a unit, such as {value:g}s or {value:g}ms")
    if not _DURATION.fullmatch(text):
        raise ValueError("expected a duration such as 300ms, 30s, 8m, 1h30m or 2d")
    seconds = sum(_number(number) * SECONDS_PER[unit] for number, unit in _DURATION_PART.findall(text))
    if seconds > MAX_DURATION_S:
        raise ValueError("expected a duration of at most a century")
    if 0 < seconds < 0.5 / NANOSECONDS_PER_SECOND:
        raise ValueError("expected 0 or at least 1ns: time is counted in whole nanoseconds")
    return seconds


def parse_positive_duration(value: Any) -> float:
    """Seconds, as `parse_duration`, but not zero."""
    if seconds := parse_duration(value):
        return seconds
    raise ValueError("expected a duration above 0")


def parse_rate(value: Any) -> float:
    """Events per second from "400/s", "24000/min", "1e6/d"."""
    if _is_number(value) and value == 0:
        return 0.0
    match = _RATE.fullmatch(_text(value))
    if match is None:
        raise ValueError("expected a rate such as 400/s, 24000/min or 2e6/d")
    rate_per_s = _number(match[1]) / SECONDS_PER[match[2]]
    if rate_per_s > MAX_RATE_PER_S:
        raise ValueError("expected a rate of at most 1e9/s: time is counted in whole nanoseconds")
    return rate_per_s


def parse_bytes(value: Any) -> int:
    """Bytes from "6Gi", "500MB", "2KiB" (Ki, Mi, Gi are powers of 1024; k, M, G of 1000)."""
    if _is_number(value) and value == 0:
        return 0
    match = _BYTES.fullmatch(_text(value))
    if match is None:
        raise ValueError("expected a size such as 6Gi, 500Mi or 20kB")
    size = _number(match[1]) * BYTES_PER[match[2]]
    if size > MAX_BYTES:
        raise ValueError("expected a size of at most 1e6 TB")
    return round(size)


def parse_fraction(value: Any) -> float:
    """A fraction from "70%" or from a bare number in [0, 1]."""
    try:
        fraction = parse_ratio(value)
    except ValueError:
        raise ValueError("expected a percentage such as 70%, or a number from 0 to 1") from None
    if not 0 <= fraction <= 1:
        raise ValueError("expected a value from 0% to 100% (or 0 to 1)")
    return fraction


def parse_ratio(value: Any) -> float:
    """A number that may be above 1, from "130%" or from a bare number."""
    if _is_number(value) and abs(value) < MAX_BYTES:
        return float(value)
    if match := _PERCENT.fullmatch(_text(value)):
        return _number(match[1]) / 100
    raise ValueError("expected a number, or a percentage such as 30%")


def parse_usd(value: Any) -> Decimal:
    """Dollars from "$800" or "$0.0001"."""
    if isinstance(value, Decimal):
        return value
    if match := _USD.fullmatch(_text(value)):
        return _decimal(match[1])
    raise ValueError("expected an amount such as $800 or $0.01")


def parse_usd_per_hour(value: Any) -> Decimal:
    """Dollars an hour from "$3.06/h", "$12/d" or "$89/month" (a month is 730 hours, as AWS counts)."""
    if isinstance(value, Decimal):
        return value
    if match := _USD_PER_HOUR.fullmatch(_text(value)):
        return _decimal(match[1]) / _HOURS_PER[match[2]]
    raise ValueError("expected a price such as $3.06/h, $12/d or $89/month")


@dataclass(frozen=True, slots=True)
class PerUnit:
    """A price for each of some unit, such as GB-month."""

    usd: Decimal
    unit: str


def parse_usd_per_unit(value: Any) -> PerUnit:
    """Dollars for each of some unit from "$0.023/GB-month" or "$0.0000004/request"."""
    if isinstance(value, PerUnit):
        return value
    if match := _USD_PER_UNIT.fullmatch(_text(value)):
        return PerUnit(_decimal(match[1]), match[2])
    raise ValueError("expected a price for a unit, such as $0.023/GB-month")


def _decimal(text: str) -> Decimal:
    try:
        amount = Decimal(text.replace("_", ""))
    except InvalidOperation as error:
        raise ValueError(f"not a number: {text}") from error
    if amount > MAX_USD or 0 < amount < 1 / MAX_USD:
        raise ValueError("expected an amount from $1e-12 to $1e12")
    return amount


def parse_instant(value: Any) -> datetime:
    """An absolute time from "2024-01-01" or "2024-01-01T08:30:00+02:00"; UTC where it says nothing else."""
    if isinstance(value, datetime):
        instant = value
    else:
        try:
            instant = datetime.fromisoformat(_text(value).replace(" ", "T"))
        except ValueError:
            raise ValueError("expected a date or time such as 2024-01-01 or 2024-01-01T08:30:00Z") from None
    if not 1970 <= instant.year < 2150:
        raise ValueError("expected a year from 1970 to 2149")
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def nanoseconds(seconds: float) -> int:
    """Whole nanoseconds, the unit of both engines, from seconds."""
    return round(seconds * NANOSECONDS_PER_SECOND)


def format_duration(seconds: float) -> str:
    """A duration as a person would write it: 300 ms, 8 min, 2 h, 30 d (three significant digits)."""
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(seconds) >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns" if seconds else "0 s"


def _json_schema(pattern: str, *examples: str, numbers: dict[str, float] | None = None) -> WithJsonSchema:
    """Describe a quantity to editors: text of a pattern, or (where allowed) a bare number within limits."""
    kinds = "string" if numbers is None else ["string", "number"]
    return WithJsonSchema({"type": kinds, "pattern": pattern, "examples": list(examples), **(numbers or {})})


def _written(form: str) -> PlainSerializer:
    """Write a quantity of a JSON or YAML dump so that it is read back as it was."""
    return PlainSerializer(form.format, return_type=str, when_used="json")


_ZERO: dict[str, float] = {"minimum": 0, "maximum": 0}
_SOME_DURATION = rf"({_NUMBER}\s*(ns|us|µs|ms|min|s|m|h|d|w)\s*)+"

Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    _json_schema(rf"^\s*({_SOME_DURATION}|0\s*)$", "300ms", "8m", "1h30m", numbers=_ZERO),
    _written("{!r}s"),
]
"""Seconds; written "300ms", "8m", "1h30m"."""
PositiveDuration = Annotated[
    float,
    BeforeValidator(parse_positive_duration),
    _json_schema(rf"^\s*{_SOME_DURATION}$", "300ms", "8m", "1h30m"),
    _written("{!r}s"),
]
"""Seconds, not zero; written like a Duration."""
Rate = Annotated[
    float,
    BeforeValidator(parse_rate),
    _json_schema(rf"^\s*{_NUMBER}\s*/\s*(s|m|min|h|d|w)\s*$", "400/s", "24000/min", numbers=_ZERO),
    _written("{!r}/s"),
]
"""Events per second; written "400/s", "24000/min"."""
Bytes = Annotated[
    int,
    BeforeValidator(parse_bytes),
    _json_schema(rf"^\s*{_NUMBER}\s*(B|kB|KB|[kMGT]|[MGT]B|[KMGT]iB?)\s*$", "6Gi", "20kB", numbers=_ZERO),
    _written("{}B"),
]
"""Bytes; written "6Gi", "20kB"."""
Fraction = Annotated[
    float,
    BeforeValidator(parse_fraction),
    _json_schema(rf"^\s*{_NUMBER}\s*%\s*$", "70%", numbers={"minimum": 0, "maximum": 1}),
]
"""A number from 0 to 1; written "70%" or 0.7."""
Ratio = Annotated[
    float,
    BeforeValidator(parse_ratio),
    _json_schema(rf"^\s*{_NUMBER}\s*%\s*$", "30%", numbers={"minimum": 0}),
]
"""A number that may be above 1; written "130%" or 1.3."""
Usd = Annotated[Decimal, BeforeValidator(parse_usd), _json_schema(rf"^\s*\$\s*{_NUMBER}\s*$", "$800")]
"""Dollars, decimal; written "$800"."""
UsdPerHour = Annotated[
    Decimal,
    BeforeValidator(parse_usd_per_hour),
    _json_schema(rf"^\s*\$\s*{_NUMBER}\s*/\s*(h|hour|d|day|month)\s*$", "$3.06/h"),
]
"""Dollars an hour, decimal; written "$3.06/h"."""
UsdPerUnit = Annotated[
    PerUnit,
    BeforeValidator(parse_usd_per_unit),
    _json_schema(rf"^\s*\$\s*{_NUMBER}\s*/\s*[A-Za-z][A-Za-z-]*\s*$", "$0.023/GB-month", "$0.0225/hour"),
]
"""Dollars for each of some unit, decimal; written "$0.023/GB-month"."""
Instant = Annotated[
    datetime,
    BeforeValidator(parse_instant),
    _json_schema(r"^\s*\d{4}-\d\d-\d\d", "2024-01-01", "2024-01-01T08:30:00Z"),
]
"""An absolute time, in UTC; written "2024-01-01" or "2024-01-01T08:30:00Z"."""

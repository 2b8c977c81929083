"""Quantities with units as people write them in scenario files, and how errors and reports write them back.

Inside Baseload: seconds, requests, USD, GiB. A bare number is refused where a unit could be meant (zero is the
exception): `timeout: 300` could be seconds or milliseconds, and a silent guess costs an incident.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

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
_RATE = re.compile(rf"({_NUMBER})\s*/\s*(s|m|min|h|d|w)")
_BYTES = re.compile(rf"({_NUMBER})\s*({'|'.join(sorted(BYTES_PER, key=len, reverse=True))})")
_PERCENT = re.compile(rf"({_NUMBER})\s*%")
_USD = re.compile(rf"\$\s*({_NUMBER})")
_USD_PER_HOUR = re.compile(rf"\$\s*({_NUMBER})\s*/\s*(h|hour|d|day|month)")
_HOURS_PER = {"h": Decimal(1), "hour": Decimal(1), "d": Decimal(24), "day": Decimal(24), "month": Decimal(730)}


def _number(text: str) -> float:
    return float(text.replace("_", ""))


def parse_duration(value: Any) -> float:
    """Seconds from "8m", "300ms", "1h30m", "2d". Zero may stand alone; any other bare number is refused."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value == 0:
            return 0.0
        raise ValueError(f"expected a duration with a unit, such as {value}s or {value}ms")
    if isinstance(value, str):
        text = value.strip().replace(" ", "")
        parts = _DURATION_PART.findall(text)
        if parts and "".join(number + unit for number, unit in parts) == text:
            return sum(_number(number) * SECONDS_PER[unit] for number, unit in parts)
        if text == "0":
            return 0.0
    raise ValueError("expected a duration such as 300ms, 30s, 8m, 1h30m or 2d")


def parse_rate(value: Any) -> float:
    """Events per second from "400/s", "24000/min", "1e6/d"."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0:
        return 0.0
    if isinstance(value, str) and (match := _RATE.fullmatch(value.strip())):
        return _number(match[1]) / SECONDS_PER[match[2]]
    raise ValueError("expected a rate such as 400/s, 24000/min or 2e6/d")


def parse_bytes(value: Any) -> int:
    """Bytes from "6Gi", "500MB", "2KiB" (Ki, Mi, Gi are powers of 1024; k, M, G of 1000)."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0:
        return 0
    if isinstance(value, str) and (match := _BYTES.fullmatch(value.strip())):
        return round(_number(match[1]) * BYTES_PER[match[2]])
    raise ValueError("expected a size such as 6Gi, 500Mi or 20kB")


def parse_fraction(value: Any) -> float:
    """A fraction from "70%" or from a bare number in [0, 1]."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        fraction = float(value)
    elif isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())):
        fraction = _number(match[1]) / 100
    else:
        raise ValueError("expected a percentage such as 70%, or a number from 0 to 1")
    if not 0 <= fraction <= 1:
        raise ValueError("expected a value from 0% to 100% (or 0 to 1)")
    return fraction


def parse_usd(value: Any) -> Decimal:
    """Dollars from "$800" or "$0.0001"."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and (match := _USD.fullmatch(value.strip())):
        return _decimal(match[1])
    raise ValueError("expected an amount such as $800 or $0.01")


def parse_usd_per_hour(value: Any) -> Decimal:
    """Dollars an hour from "$3.06/h", "$12/d" or "$89/month" (a month is 730 hours, as AWS counts)."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and (match := _USD_PER_HOUR.fullmatch(value.strip())):
        return _decimal(match[1]) / _HOURS_PER[match[2]]
    raise ValueError("expected a price such as $3.06/h, $12/d or $89/month")


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text.replace("_", ""))
    except InvalidOperation as error:
        raise ValueError(f"not a number: {text}") from error


def nanoseconds(seconds: float) -> int:
    """Whole nanoseconds, the unit of both engines, from seconds."""
    return round(seconds * NANOSECONDS_PER_SECOND)


def format_duration(seconds: float) -> str:
    """A duration as a person would write it: 300 ms, 8 min, 2 h, 30 d (three significant digits)."""
    for unit, size in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(seconds) >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns" if seconds else "0 s"


def _schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": ["string", "number"], "pattern": pattern, "examples": [example]})


Duration = Annotated[
    float, BeforeValidator(parse_duration), _schema(rf"^\s*({_NUMBER}\s*(ns|us|µs|ms|min|s|m|h|d|w)\s*)+$|^0$", "300ms")
]
"""Seconds; written "300ms", "8m", "1h30m"."""
Rate = Annotated[float, BeforeValidator(parse_rate), _schema(rf"^\s*{_NUMBER}\s*/\s*(s|m|min|h|d|w)\s*$", "400/s")]
"""Events per second; written "400/s", "24000/min"."""
Bytes = Annotated[int, BeforeValidator(parse_bytes), _schema(rf"^\s*{_NUMBER}\s*[kKMGT]?i?B?\s*$", "6Gi")]
"""Bytes; written "6Gi", "20kB"."""
Fraction = Annotated[float, BeforeValidator(parse_fraction), _schema(rf"^\s*{_NUMBER}\s*%\s*$", "70%")]
"""A number from 0 to 1; written "70%" or 0.7."""
Usd = Annotated[Decimal, BeforeValidator(parse_usd), _schema(rf"^\$\s*{_NUMBER}$", "$800")]
"""Dollars, decimal; written "$800"."""
UsdPerHour = Annotated[
    Decimal, BeforeValidator(parse_usd_per_hour), _schema(rf"^\$\s*{_NUMBER}\s*/\s*(h|hour|d|day|month)$", "$3.06/h")
]
"""Dollars an hour, decimal; written "$3.06/h"."""

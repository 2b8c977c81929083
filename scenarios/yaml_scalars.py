"""What an unquoted YAML scalar means: the YAML 1.2 core schema, with underscores in numbers.

PyYAML follows YAML 1.1, where `on` and `no` are booleans, `1:30` is 90 and `1e6` is text. None of that is so
here. Dates stay text; the schema reads them where it expects one.
"""

from __future__ import annotations

import re
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".nan": float("nan"), ".NaN": float("nan"), ".NAN": float("nan"),
    **{f"{sign}.{word}": float(f"{sign}inf") for sign in ("", "+", "-") for word in ("inf", "Inf", "INF")},
}  # fmt: skip
_INTEGER = re.compile(r"[-+]?[0-9](_?[0-9])*")
_BASED = re.compile(r"0x[0-9a-fA-F](_?[0-9a-fA-F])*|0o[0-7](_?[0-7])*")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9](_?[0-9])*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_EXACT_INTEGER = 2**63
"""Above this a number is no longer kept as an integer; no field of the language takes one so large."""


def resolve(text: str) -> Scalar:
    """Return the value of an unquoted scalar; a number written 1e6 or 2.5e3 that is whole is an integer."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _BASED.fullmatch(text):
        return _bounded(int(text.replace("_", ""), 0))
    if _INTEGER.fullmatch(text):
        return _bounded(int(text.replace("_", ""))) if len(text) < 40 else float(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        number = float(text.replace("_", ""))
        whole = "e" in text.lower() and abs(number) < 2**53 and number == int(number)
        return int(number) if whole else number
    return text


def _bounded(number: int) -> int | float:
    if abs(number) < _EXACT_INTEGER:
        return number
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")

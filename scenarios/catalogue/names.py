"""Names of things: the order people list them in, and what a mistyped one may have meant."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def name_order(name: str) -> tuple[str, int, str]:
    """Sort key that puts the sizes of a family in order: `c5.large`, `c5.xlarge`, `c5.2xlarge`, …."""
    family, _, size = name.partition(".")
    below_xlarge = ("nano", "micro", "small", "medium", "large", "xlarge")
    if size in below_xlarge:
        return family, below_xlarge.index(size), ""
    multiple = re.fullmatch(r"(\d+)xlarge", size)
    return (family, 100 + int(multiple[1]), "") if multiple else (family, 10_000, size)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the known names close to this one, or the first of all known."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=4, cutoff=0.5)
    if close:
        return f"did you mean {', '.join(close)}?"
    shown = 24  # one line of a terminal or two: an error is to be read
    more = f", … ({len(names)} in all)" if len(names) > shown else ""
    return f"known: {', '.join(names[:shown])}{more}"

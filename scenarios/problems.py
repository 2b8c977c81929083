"""What is wrong in an input, where, and how a list of problems reads on one screen."""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from scenarios.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Location: TypeAlias = tuple[str | int, ...]
"""Keys and list positions from the root of a document to a value."""

MAX_PROBLEMS = 12
MAX_LINE = 300
MAX_VALUE = 60


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value was written."""

    source: str
    """As it is shown: a file, or a --set option."""
    line: int | None
    """Counted from 1; None: the source has no lines."""
    folder: Path
    """What relative file names in this source start from."""

    def __str__(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    place: Place
    where: str
    """Path of the value as people read it, such as classes[home].timeout; "" for a whole file."""
    message: str
    """What was found and what was expected."""

    def __str__(self) -> str:
        text = printable(": ".join(part for part in (str(self.place), self.where, self.message) if part))
        return text if len(text) <= MAX_LINE else text[: MAX_LINE - 1] + "…"


class InvalidScenarioError(InvalidInput):
    """A scenario with all that is wrong with it, in the order of its lines."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        ordered = sorted(problems, key=lambda problem: (problem.place.source, problem.place.line or 0))
        self.problems = tuple({str(problem): problem for problem in ordered}.values())
        super().__init__(_on_one_screen([str(problem) for problem in self.problems]))


def _on_one_screen(lines: list[str]) -> str:
    if len(lines) == 1:
        return lines[0]
    more = [f"… and {len(lines) - MAX_PROBLEMS} more"] if len(lines) > MAX_PROBLEMS else []
    return "\n  ".join([f"{len(lines)} problems:", *lines[:MAX_PROBLEMS], *more])


def printable(text: str) -> str:
    """Return text that cannot upset a terminal: control and direction characters are escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shown(value: Any, limit: int = MAX_VALUE) -> str:
    """Return a value as it is quoted in an error: text in quotes, shortened, on one line."""
    if isinstance(value, str):
        value = value if len(value) <= limit else value[: limit - 1] + "…"
    elif isinstance(value, dict):
        keys = [key_shown(key) for key in list(value)[:3]] + ["…"] * (len(value) > 3)
        return f"a mapping ({', '.join(keys)})" if keys else "an empty mapping"
    elif isinstance(value, list) and len(value) > 8:
        return f"a list of {len(value)}"
    text = printable(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= limit + 2 else text[:limit] + "…"


def key_shown(key: str) -> str:
    """Return a key as it is shown in a path: as it stands if it is plain, in quotes and shortened
    otherwise."""
    simple = (
        key.isascii() and key.replace("-", "").replace("_", "").replace(".", "").replace("$", "").isalnum()
    )
    return key if simple and len(key) <= 63 else shown(key, 40)


def nearest(word: str, known: Sequence[str], *, what: str = "") -> str:
    """Return "; did you mean x?", or a short list of what is known, or "" where nothing is."""
    close = difflib.get_close_matches(word[:100], known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]}?"
    if not known:
        return f"; there are no {what}" if what else ""
    listed = ", ".join(key_shown(name) for name in list(known)[:12]) + (", …" if len(known) > 12 else "")
    return f"; expected one of {listed}" if not what else f"; {what} here: {listed}"

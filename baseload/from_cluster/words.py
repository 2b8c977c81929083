"""A cluster's words in a scenario file: texts on one line, values in quotes where YAML needs them, names that stand
once.

Others write what a cluster says. Nothing of it may be read as a part of the file.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re

from scenarios.problems import printable

MOST_NAME = 63
_NOT_IN_NAMES = re.compile(r"[^a-z0-9.-]+")
_DIGEST = 8
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_WORDS_OF_YAML = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null"})
"""Plain words that are booleans or nothing to one version of YAML or another."""


def one_line(text: str) -> str:
    """Text on one line, without the characters that YAML refuses and terminals obey."""
    return printable(" ".join(text.split()))


def quoted(text: str) -> str:
    """A value as YAML text: plain where every reader takes it for text, else in quotes.

    What begins with a letter is never a number or a date.
    """
    text = one_line(text)
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS_OF_YAML:
        return text
    return json.dumps(
        text, ensure_ascii=False
    )  # YAML has no pairs of \u for characters beyond the first 65,536


def as_name(*parts: str | None, digest: str = "") -> str:
    """The parts as one name of the scenario language; one that is too long, or has a digest, ends with it."""
    whole = "-".join(filter(None, parts))
    name = _NOT_IN_NAMES.sub("-", whole.lower()).strip("-.")
    if len(name) > MOST_NAME:
        digest = digest or _digest(whole)
    if digest:
        name = f"{name[: MOST_NAME - _DIGEST - 1].rstrip('-.')}-{digest}".strip("-")
    return name


class Names:
    """Names of one list: each is given once."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def give(self, *parts: str | None) -> str:
        """A name for what has these parts. Another one that would be called the same has a digest at its end."""
        name = as_name(*parts)
        for turn in itertools.count():
            if name and name not in self._given:
                break
            name = as_name(*parts, digest=_digest(repr((parts, turn))))
        self._given.add(name)
        return name


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGEST]

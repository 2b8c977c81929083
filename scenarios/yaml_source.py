"""YAML text as a tree that remembers the place of every value.

The tree is built from the parser's events with a stack of our own, so that depth and size are bounded before
anything grows: an alias is the same node again, and its size is counted each time it is used. JSON is read
by the same road, being YAML.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import yaml

from scenarios.problems import Place, Problem, shown
from scenarios.yaml_scalars import Scalar, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_BYTES = 4_000_000
MAX_DEPTH = 40
MAX_NODES = 200_000

_SURROGATE_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
"""How JSON escapes characters beyond the first 65,536, such as emoji; YAML has another way."""
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT_TAG = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a document with its place. Mappings keep the order of their keys."""

    value: dict[str, Node] | list[Node] | Scalar
    place: Place
    """Of the key where the value is an entry of a mapping: that is where a reader looks."""
    size: int = 1
    """Nodes in this subtree, aliases counted as often as they are used."""

    def with_value(self, value: dict[str, Node] | list[Node] | Scalar) -> Node:
        """Return this node with another value."""
        return Node(value, self.place, _size_of(value))

    def at(self, place: Place) -> Node:
        """Return this node with another place."""
        return Node(self.value, place, self.size)


def plain(node: Node) -> Any:
    """Return the value of a tree without places: dicts, lists and scalars."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def read_text(path: Path) -> str | Problem:
    """Return the text of a scenario file, or why it cannot be read."""
    here = Place(str(path), None, path.parent)
    try:
        if not path.is_file():
            return Problem(here, "", "is not a file" if path.exists() else "no such file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        return Problem(here, "", f"cannot be read: {getattr(error, 'strerror', None) or error}")
    if len(data) > MAX_BYTES:
        return Problem(
            here, "", f"is larger than {MAX_BYTES // 1_000_000} MB: put bulk data in files of its own"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return Problem(replace(here, line=line), "", "is not UTF-8 text")


def compose(text: str, start: Place, expected: str = "a value") -> tuple[Node | None, list[Problem]]:
    """Return the one document in `text` (None where there is none to be had) and the problems found in it.

    `start` says how places are shown; its line is that of the first line of the text (None: lines are not
    shown). `expected` is said of a text without a document.
    """
    if _has_surrogates(text):
        return None, [Problem(start, "", "is not valid Unicode text")]
    if text.lstrip().startswith("{"):
        text = _SURROGATE_PAIR.sub(lambda pair: json.loads(f'"{pair[0]}"'), text)
    composer = _Composer(start)
    try:
        for event in _events(text):
            composer.take(event)
    except _StopError as stop:
        composer.problems.append(stop.problem)
        return None, composer.problems
    except yaml.YAMLError as error:
        composer.problems.append(_syntax_problem(error, start))
        return None, composer.problems
    if composer.root is None:
        composer.problems.append(Problem(start, "", f"is empty: expected {expected}"))
    return composer.root, composer.problems


def _has_surrogates(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _events(text: str) -> Iterator[Any]:
    loader = _LOADER(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


def _syntax_problem(error: yaml.YAMLError, start: Place) -> Problem:
    """Say in one line what the parser stumbled over, and where."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = start if mark is None or start.line is None else replace(start, line=start.line + mark.line)
    words = [getattr(error, "context", None), getattr(error, "problem", None)]
    said = ", ".join(word for word in words if word) or str(error).splitlines()[0]
    if "cannot start any token" in said:
        said += " (a value that begins with this character needs quotes; indent with spaces, not tabs)"
    return Problem(place, "", f"not valid YAML: {said}")


class _StopError(Exception):
    """A problem after which reading on makes no sense."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass
class _Open:
    """A collection whose end has not come yet."""

    value: dict[str, Node] | list[Node]
    place: Place
    anchor: str | None
    key: str | None = None
    key_place: Place | None = None
    key_places: dict[str, Place] = field(default_factory=dict)
    merged: list[Node] = field(default_factory=list)
    """What `<<` brought in: it yields to the mapping's own keys."""


class _Composer:
    """Turns parser events into one tree."""

    def __init__(self, start: Place) -> None:
        self.start = start
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._open: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._count = 0

    def take(self, event: Any) -> None:
        place = self._place(event)
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event, place)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event, place)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._begin(event, place)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            self._end()
        elif isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            raise _StopError(
                Problem(place, "", "a second document begins here: expected one document in a file")
            )

    def _place(self, event: Any) -> Place:
        if self.start.line is None or event.start_mark is None:
            return self.start
        return Place(self.start.source, self.start.line + event.start_mark.line, self.start.folder)

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> None:
        text = event.value
        if _has_surrogates(text):  # from an escape such as "\ud800"
            raise _StopError(Problem(place, "", "half of a surrogate pair is not text"))
        if self._expects_key():
            self._key(text, place)
            return
        plain_style = event.implicit[0] and event.tag in (None, "!")
        if event.tag not in (None, "!", _TEXT_TAG):
            raise _StopError(
                Problem(place, "", f"the tag {shown(event.tag)} is not part of the scenario language")
            )
        self._finish(Node(resolve(text) if plain_style and not event.style else text, place), event.anchor)

    def _expects_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].value, dict) and self._open[-1].key is None

    def _key(self, text: str, place: Place) -> None:
        mapping = self._open[-1]
        mapping.key, mapping.key_place = text, place
        if text == "<<":
            return
        if text in mapping.key_places:
            first = mapping.key_places[text]
            where = "" if first.line is None else f"; it is already on line {first.line}"
            self.problems.append(
                Problem(place, "", f"the key {shown(text)} appears twice in one mapping{where}")
            )
        mapping.key_places[text] = place

    def _alias(self, event: Any, place: Place) -> None:
        if event.anchor not in self._anchors:
            raise _StopError(
                Problem(place, "", f"*{event.anchor}: no anchor &{event.anchor} is complete before this line")
            )
        if self._expects_key():
            raise _StopError(Problem(place, "", "an alias cannot be a key"))
        self._finish(self._anchors[event.anchor].at(place), None)

    def _begin(self, event: Any, place: Place) -> None:
        if event.tag not in (None, "!"):
            raise _StopError(
                Problem(place, "", f"the tag {shown(event.tag)} is not part of the scenario language")
            )
        if self._expects_key():
            raise _StopError(
                Problem(place, "", "expected text as a key; a value that begins with { or [ needs quotes")
            )
        if len(self._open) >= MAX_DEPTH:
            raise _StopError(Problem(place, "", f"nested more than {MAX_DEPTH} deep"))
        self._open.append(_Open({} if isinstance(event, yaml.MappingStartEvent) else [], place, event.anchor))

    def _end(self) -> None:
        done = self._open.pop()
        if isinstance(done.value, dict):
            for source in done.merged:
                assert isinstance(source.value, dict)
                done.value = {**source.value, **done.value}
        self._finish(Node(done.value, done.place, _size_of(done.value)), done.anchor)

    def _finish(self, node: Node, anchor: str | None) -> None:
        """Hang a complete node into the collection that is open, or make it the root."""
        self._count += 1
        if max(node.size, self._count) > MAX_NODES:
            raise _StopError(
                Problem(node.place, "", f"more than {MAX_NODES:,} values: put bulk data in files of its own")
            )
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if isinstance(parent.value, list):
            parent.value.append(node)
            return
        key, place = parent.key, parent.key_place
        assert key is not None
        assert place is not None
        parent.key = None
        if key == "<<":
            self._merge(parent, node, place)
        else:
            parent.value[key] = node.at(place)

    def _merge(self, parent: _Open, node: Node, place: Place) -> None:
        sources = node.value if isinstance(node.value, list) else [node]
        for source in sources:
            if isinstance(source.value, dict):
                parent.merged.append(source)
            else:
                self.problems.append(
                    Problem(place, "", "<<: expected a mapping, or a list of mappings, to take keys from")
                )


def _size_of(value: dict[str, Node] | list[Node] | Scalar) -> int:
    if isinstance(value, dict):
        return 1 + sum(child.size for child in value.values())
    if isinstance(value, list):
        return 1 + sum(child.size for child in value)
    return 1

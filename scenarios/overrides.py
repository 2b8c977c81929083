"""`--set path=value`: one value of a resolved document replaced from the command line.

A path is written as errors show it: run.duration, classes[home-page].timeout, or pools.gpu.size. A named
list is addressed by name (in brackets if the name holds a dot), any list by position.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from scenarios.layers import put
from scenarios.locate import name_of
from scenarios.problems import Place, Problem, key_shown, nearest, shown
from scenarios.schema import Scenario
from scenarios.schema.navigate import fields_of, is_list, section_of, step
from scenarios.yaml_source import Node, compose, plain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_SEGMENT = re.compile(r"\[([^\[\]]+)\]|(?:^|\.)([^.\[\]]+)")
_OPTION = re.compile(r"((?:[^=\[\]]|\[[^\[\]]*\])+)=(.*)", re.DOTALL)


def apply_overrides(root: Node, overrides: Sequence[str], folder: Path) -> tuple[Node, list[Problem]]:
    """Return the document with each override applied, in order, and what is wrong with them.

    Relative file names in a value start from `folder`, like those in the scenario file.
    """
    problems: list[Problem] = []
    for override in overrides:
        place = Place(f"--set {override if len(override) <= 80 else override[:79] + '…'}", None, folder)
        try:
            path, value = _parse(override, place)
            root = _set(root, path, value, Scenario, "")
        except _RefusedError as refused:
            problems += refused.problems
    return root, problems


class _RefusedError(Exception):
    """An override that cannot be applied."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__()
        self.problems = problems


def _parse(override: str, place: Place) -> tuple[list[str], Node]:
    example = "expected path=value, such as run.duration=1h or classes[home].timeout=2s"
    match = _OPTION.fullmatch(override)
    if match is None:
        raise _RefusedError(Problem(place, "", example))
    path, text = match[1].strip(), match[2]
    segments = list(_SEGMENT.finditer(path))
    if "".join(segment[0] for segment in segments) != path:
        raise _RefusedError(Problem(place, "", f"got the path {shown(path)}: {example}"))
    if not text.strip():
        return [segment[1] or segment[2] for segment in segments], Node(None, place)
    value, problems = compose(text, place)
    if value is None or problems:
        raise _RefusedError(*problems)
    return [segment[1] or segment[2] for segment in segments], value


def _set(node: Node, path: list[str], value: Node, annotation: Any, where: str) -> Node:
    """Return `node` with the value at `path` replaced; nodes on the way are copied, the rest is shared."""
    key, rest = path[0], path[1:]
    if isinstance(node.value, list):
        return _set_in_list(node, path, value, annotation, where)
    section = section_of(annotation)
    if not isinstance(node.value, (dict, list)) and section is not None and key in section.choices:
        node = node.with_value({})  # a shorthand, such as a bare duration, gives way to the choice
    if not isinstance(node.value, dict):
        value_shown = shown(plain(node))
        message = (
            f"{where or 'the document'} is a single value, {value_shown}, and has no key {key_shown(key)}"
        )
        raise _RefusedError(Problem(value.place, "", message))
    below = step(annotation, key)
    if key not in node.value and section is not None and below is None:
        full = f"{where}.{key_shown(key)}" if where else key_shown(key)
        message = f"unknown key {full}{nearest(key, list(fields_of(section)))}"
        raise _RefusedError(Problem(value.place, "", message))
    child = value
    if rest:
        empty = Node([] if is_list(below) else {}, value.place)
        inside = f"{where}.{key_shown(key)}" if where else key_shown(key)
        child = _set(node.value.get(key, empty), rest, value, below, inside).at(value.place)
    return node.with_value(put(node.value, key, child, section))


def _set_in_list(node: Node, path: list[str], value: Node, annotation: Any, where: str) -> Node:
    assert isinstance(node.value, list)
    key, rest = path[0], path[1:]
    names = [name_of(entry) for entry in node.value]
    if key in names:
        index = names.index(key)
    elif key.isascii() and key.isdigit() and len(key) < 10 and int(key) < len(node.value):
        index = int(key)
    else:
        known = [name for name in names if name is not None]
        message = f"{where} has no entry {key_shown(key)}{nearest(key, known, what='names')}"
        if not known and node.value:
            message = (
                f"{where} has no entry {key_shown(key)}; expected a position from 0 to {len(node.value) - 1}"
            )
        raise _RefusedError(Problem(value.place, "", message))
    entries = list(node.value)
    if rest:
        entries[index] = _set(entries[index], rest, value, step(annotation, 0), f"{where}[{key_shown(key)}]")
    elif value.value is None:
        del entries[index]
    else:
        entries[index] = value
    return node.with_value(entries)

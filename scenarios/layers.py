"""`extends`: a document laid over another, and that over a third.

Mappings are merged key by key, named lists by name; other lists and single values are replaced. A key set to
null goes back to the default, and `{name: x, $remove: true}` takes an entry out. Where a section offers a
choice (a constant or a lognormal delay), choosing another key leaves the old choice behind.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.locate import name_of
from scenarios.problems import Place, Problem, nearest, shown
from scenarios.schema import Scenario
from scenarios.schema.navigate import section_of, step
from scenarios.yaml_source import Node, compose, read_text

if TYPE_CHECKING:
    from scenarios.schema.base import Section

MAX_CHAIN = 16
EXTENDS = "extends"
EXPECTED = "a mapping that begins with apiVersion: baseload/v1"
REMOVE = "$remove"


def read_layers(path: Path) -> tuple[Node | None, list[Problem]]:
    """Return the document of a file laid over everything that it extends, and the problems met on the way."""
    layers: list[Node] = []
    problems: list[Problem] = []
    seen: dict[str, Path] = {}
    asked_by: Place | None = None
    while True:
        identity = os.path.realpath(path)
        if asked_by is not None and identity in seen:
            chain = " → ".join(str(step) for step in [*seen.values(), path])
            return None, [*problems, Problem(asked_by, EXTENDS, f"a circle: {chain}")]
        if asked_by is not None and len(seen) >= MAX_CHAIN:
            return None, [*problems, Problem(asked_by, EXTENDS, f"a chain of more than {MAX_CHAIN} files")]
        seen[identity] = path
        layer, found = _read(path, asked_by)
        problems += found
        if layer is None:
            return None, problems
        assert isinstance(layer.value, dict)
        base = layer.value.pop(EXTENDS, None)
        layers.append(layer)
        if base is None:
            break
        if not isinstance(base.value, str) or not base.value:
            return None, [
                *problems,
                Problem(base.place, EXTENDS, f"got {shown(base.value)}: expected a file name"),
            ]
        asked_by = base.place
        path = Path(os.path.normpath(base.place.folder / base.value))
    document = layers.pop()
    while layers:
        document = merge(document, layers.pop(), Scenario, problems)
    return document, problems


def _read(path: Path, asked_by: Place | None) -> tuple[Node | None, list[Problem]]:
    text = read_text(path)
    if isinstance(text, Problem):
        if asked_by is not None:
            return None, [Problem(asked_by, EXTENDS, f"{text.place}: {text.message}")]
        return None, [text]
    start = Place(str(path), 1, path.parent)
    root, problems = compose(text, start, EXPECTED)
    if root is not None and not isinstance(root.value, dict):
        return None, [*problems, Problem(root.place, "", f"{_what_it_is(root)}: expected {EXPECTED}")]
    return root, problems


def _what_it_is(root: Node) -> str:
    """Say what stands at the top of a document that is no mapping."""
    if root.value is None:
        return "is empty"
    if isinstance(root.value, list):
        entries = len(root.value)
        return f"the top level is a list of {entries} {'entry' if entries == 1 else 'entries'}"
    return f"the top level is a single value, {shown(root.value)}"


def merge(base: Node, over: Node, annotation: Any, problems: list[Problem]) -> Node:
    """Lay one value over another; `annotation` is the schema's type of both, as far as it is known."""
    if isinstance(base.value, dict) and isinstance(over.value, dict):
        return _merge_mappings(base, over, annotation, problems)
    if isinstance(base.value, list) and isinstance(over.value, list) and _is_named(base) and _is_named(over):
        return _merge_named(base, over, step(annotation, 0), problems)
    return over


def _merge_mappings(base: Node, over: Node, annotation: Any, problems: list[Problem]) -> Node:
    assert isinstance(base.value, dict)
    assert isinstance(over.value, dict)
    section = section_of(annotation)
    merged = dict(base.value)
    for key, value in over.value.items():
        merged = put(merged, key, value, section)
        if key in merged and key in base.value:
            merged[key] = merge(base.value[key], value, step(annotation, key), problems)
    return over.with_value(merged)


def put(mapping: dict[str, Node], key: str, value: Node, section: type[Section] | None) -> dict[str, Node]:
    """Return a mapping with one key set; null takes the key out, and a choice takes out the other choices."""
    if value.value is None:
        return {name: child for name, child in mapping.items() if name != key}
    if section is not None and key in section.choices and key not in mapping:
        mapping = {name: child for name, child in mapping.items() if name not in section.choices}
    return {**mapping, key: value}


def _is_named(node: Node) -> bool:
    assert isinstance(node.value, list)
    return all(name_of(entry) is not None for entry in node.value) and bool(node.value)


def _merge_named(base: Node, over: Node, annotation: Any, problems: list[Problem]) -> Node:
    assert isinstance(base.value, list)
    assert isinstance(over.value, list)
    merged = list(base.value)
    names = [str(name_of(entry)) for entry in merged]
    for number, entry in enumerate(over.value):
        name = str(name_of(entry))
        assert isinstance(entry.value, dict)
        if any(name_of(earlier) == name for earlier in over.value[:number]):
            problems.append(Problem(entry.place, name, "stands twice in this list"))
        elif REMOVE in entry.value:
            problems += _remove(merged, names, entry)
        elif name in names:
            merged[names.index(name)] = merge(merged[names.index(name)], entry, annotation, problems)
        else:
            merged.append(entry)
            names.append(name)
    return over.with_value(merged)


def _remove(merged: list[Node], names: list[str], entry: Node) -> list[Problem]:
    assert isinstance(entry.value, dict)
    name = str(name_of(entry))
    if entry.value[REMOVE].value is not True or len(entry.value) != 2:
        return [Problem(entry.place, name, f"expected {{name: {name}, $remove: true}} and nothing else")]
    if name not in names:
        return [
            Problem(entry.place, name, f"nothing of this name to remove{nearest(name, names, what='names')}")
        ]
    del merged[names.index(name)]
    names.remove(name)
    return []

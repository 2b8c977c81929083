"""From a location in a document to its place in a file, its value, and the path that a person reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios.problems import Location, Problem, key_shown

if TYPE_CHECKING:
    from scenarios.yaml_source import Node


def name_of(node: Node) -> str | None:
    """Return the name of an entry of a named list, or None where it has none."""
    if isinstance(node.value, dict) and (named := node.value.get("name")) and isinstance(named.value, str):
        return named.value
    return None


def find(root: Node, location: Location) -> tuple[Node, Location]:
    """Return the node at a location, or the nearest that exists above it, and the location of that node."""
    node = root
    for depth, key in enumerate(location):
        below = child(node, key)
        if below is None:
            return node, location[:depth]
        node = below
    return node, location


def child(node: Node, key: str | int) -> Node | None:
    """Return the value of a key, or the entry at a position; None where there is none."""
    if isinstance(node.value, dict):
        return node.value.get(str(key))
    if isinstance(node.value, list) and isinstance(key, int) and key < len(node.value):
        return node.value[key]
    return None


def path_shown(root: Node, location: Location) -> str:
    """Return a location as people read it: classes[home].timeout.

    What lies below a scalar or a list that a shorthand stands for (`load: 8m` for `load: {constant: 8m}`) is
    not in the document, and not in the path.
    """
    text, node = "", root
    for key in location:
        if isinstance(node.value, dict):
            text += f".{key_shown(str(key))}" if text else key_shown(str(key))
            if str(key) not in node.value:
                break
            node = node.value[str(key)]
        elif isinstance(node.value, list) and isinstance(key, int):
            if key >= len(node.value):
                break
            node = node.value[key]
            name = name_of(node)
            text += f"[{key}]" if name is None else f"[{key_shown(name)}]"
        else:
            break
    return text


def problem_at(root: Node, location: Location, message: str) -> Problem:
    """Make a problem of a message about a location."""
    return Problem(find(root, location)[0].place, path_shown(root, location), message)

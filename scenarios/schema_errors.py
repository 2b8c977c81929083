"""Checking a document against the schema, and saying what is wrong in the language's words, not
pydantic's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from scenarios.locate import find, path_shown
from scenarios.problems import Location, Problem, nearest, shown
from scenarios.schema import Scenario
from scenarios.schema.navigate import fields_of, section_of, step
from scenarios.yaml_source import Node, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic_core import ErrorDetails


def check(root: Node) -> Scenario | list[Problem]:
    """Return the typed scenario of a resolved document, or everything that is wrong with it."""
    try:
        return Scenario.model_validate(plain(root))
    except ValidationError as error:
        return [_problem(root, details) for details in error.errors(include_url=False)]


def _problem(root: Node, details: ErrorDetails) -> Problem:
    kind, context = details["type"], details.get("ctx", {})
    location = tuple(part for part in details["loc"] if part != "[key]")
    node, found_at = find(root, location)
    where = path_shown(root, location)
    if kind == "extra_forbidden" and found_at == location:
        return Problem(node.place, where, _unknown_key(location))
    if kind == "missing" and isinstance(location[-1], int):
        return Problem(node.place, where, f"got {shown(plain(node))}: expected {location[-1] + 1} entries")
    if kind == "missing":
        return Problem(node.place, where, _missing(location))
    expected = _EXPECTED[kind](context) if kind in _EXPECTED else _plain_words(details)
    if kind == "value_error" and isinstance(node.value, dict):
        return Problem(node.place, where, expected)
    if kind == "literal_error" and isinstance(node.value, str):
        choices = context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        near = nearest(node.value, choices)
        expected += near if near.startswith("; did") else ""
    if kind == "string_type" and not isinstance(node.value, (dict, list)):
        expected += f'; in quotes it would be: "{node.value if node.value is not None else ""}"'
    if kind in ("int_type", "float_type", "bool_type") and _is_quoted_number(node.value):
        expected += "; leave out the quotes"
    if node.value is None:
        expected += "; to have the default, leave the key out"
    return Problem(node.place, where, f"got {shown(plain(node))}: {expected}")


def _unknown_key(location: Location) -> str:
    section = section_of(_type_at(location[:-1]))
    known = list(fields_of(section)) if section else []
    return f"unknown key{nearest(str(location[-1]), known)}"


def _missing(location: Location) -> str:
    """Name what is missing with its description from the schema."""
    section = section_of(_type_at(location[:-1]))
    field = fields_of(section).get(str(location[-1])) if section else None
    if field is None or not field.description:
        return "missing"
    return f"missing: {field.description.split('. ')[0].rstrip('.')}"


def _type_at(location: Location) -> Any:
    annotation: Any = Scenario
    for key in location:
        annotation = step(annotation, key)
    return annotation


def _is_quoted_number(value: object) -> bool:
    return isinstance(value, str) and value.replace(".", "", 1).isdigit()


def _plain_words(details: ErrorDetails) -> str:
    """Translate an error type that has no entry of its own below."""
    message = details["msg"].replace("Value error, ", "").replace("Input should be", "expected")
    return message[0].lower() + message[1:]


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


_SHORTHANDS = {
    "DurationDistribution": "expected a duration such as 8m, or a mapping such as {exponential: 8m}",
    "CountDistribution": "expected a whole number, or a mapping such as {uniform: [1, 100]}",
}
_EXPECTED: dict[str, Callable[[dict[str, Any]], str]] = {
    "value_error": lambda context: str(context["error"]),
    "literal_error": lambda context: f"expected {context['expected'].replace(chr(39), '')}",
    "int_type": lambda _: "expected a whole number",
    "float_type": lambda _: "expected a number",
    "bool_type": lambda _: "expected true or false",
    "string_type": lambda _: "expected text",
    "list_type": lambda _: "expected a list",
    "dict_type": lambda _: "expected a mapping",
    "model_type": lambda context: _SHORTHANDS.get(context["class_name"], "expected a mapping"),
    "tuple_type": lambda _: "expected a list of two",
    "finite_number": lambda _: "expected a finite number",
    "greater_than": lambda context: f"expected more than {_number(context['gt'])}",
    "greater_than_equal": lambda context: f"expected {_number(context['ge'])} or more",
    "less_than": lambda context: f"expected less than {_number(context['lt'])}",
    "less_than_equal": lambda context: f"expected {_number(context['le'])} or less",
    "too_short": lambda context: f"expected {_number(context['min_length'])} or more entries",
    "too_long": lambda context: f"expected {_number(context['max_length'])} entries or fewer",
    "string_too_long": lambda context: f"expected {context['max_length']} characters or fewer",
    "string_too_short": lambda context: f"expected {context['min_length']} characters or more",
    "string_pattern_mismatch": lambda _: (
        "expected a name of lower-case letters, digits, '-' and '.', with a letter or digit at both ends"
    ),
}

"""The JSON Schema of the scenario language, for editors: completion, descriptions and red underlines.

It is generated from the typed schema, and then told what pydantic cannot know: the shorthands (a bare
duration for a delay), which keys exclude each other, and that a document with `extends` states only what
differs.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from pydantic import TypeAdapter

from scenarios.schema import Scenario
from scenarios.schema.base import CountDistribution, DurationDistribution, WeightedCount
from scenarios.schema.fleet import BatchLatency
from scenarios.schema.money import PriceOverride
from scenarios.schema.traffic import Process, RateShape
from scenarios.units import (
    Bytes,
    Duration,
    Fraction,
    Instant,
    PositiveDuration,
    Rate,
    Ratio,
    Usd,
    UsdPerHour,
    UsdPerUnit,
    format_duration,
)

_REF = "#/$defs/"
_QUANTITIES = {
    "Duration": Duration, "PositiveDuration": PositiveDuration, "Rate": Rate, "Bytes": Bytes,
    "Fraction": Fraction, "Ratio": Ratio, "Usd": Usd, "UsdPerHour": UsdPerHour, "UsdPerUnit": UsdPerUnit,
    "Instant": Instant,
}  # fmt: skip
_NULL = {"type": "null"}
_CHOOSE_ONE = (
    BatchLatency, CountDistribution, DurationDistribution, PriceOverride, Process, RateShape, WeightedCount,
)  # fmt: skip


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a scenario document."""
    schema = Scenario.model_json_schema()
    definitions: dict[str, Any] = schema.pop("$defs")
    definitions["Scenario"] = schema
    quantities = {name: TypeAdapter(kind).json_schema() for name, kind in _QUANTITIES.items()}
    for definition in definitions.values():
        _name_quantities(definition, quantities)
        _tidy(definition)
    for section in _CHOOSE_ONE:
        keys = [key for key in section.model_fields if key in section.choices]
        definitions[section.__name__]["oneOf"] = [{"required": [key]} for key in keys]
    _add_shorthands(definitions)
    overlays = {
        _overlay(name): _relaxed(definition, alone=name == "Metadata")
        for name, definition in definitions.items()
    }
    definitions |= overlays | quantities
    overlay = definitions[_overlay("Scenario")]
    overlay["description"] = "What differs from the scenario that it extends."
    overlay["properties"]["extends"] = {
        "type": "string",
        "description": "The scenario file that this one is laid over, relative to this file.",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Baseload scenario",
        "if": {"type": "object", "required": ["extends"]},
        "then": {"$ref": _REF + _overlay("Scenario")},
        "else": {"$ref": _REF + "Scenario"},
        "$defs": dict(sorted(definitions.items())),
    }


def json_schema_text() -> str:
    """Return the JSON Schema as the text of a file."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def _tidy(definition: dict[str, Any]) -> None:
    """Leave out generated titles, and write defaults as a person would."""
    definition.pop("title", None)
    if "description" in definition:
        definition["description"] = " ".join(definition["description"].split())
    for field in definition.get("properties", {}).values():
        field.pop("title", None)
        if "description" in field:
            field["description"] = " ".join(field["description"].split())
        default = field.get("default")
        if default is None or isinstance(default, (dict, list)):
            field.pop("default", None)
        elif isinstance(default, float) and "Duration" in str(field.get("$ref")):
            field["default"] = format_duration(default).replace(" ", "") if default else 0


def _name_quantities(part: Any, quantities: dict[str, Any]) -> None:
    """Replace each quantity that is written out by a reference to its definition."""
    if isinstance(part, dict):
        for name, quantity in quantities.items():
            if quantity.items() <= part.items():
                for key in quantity:
                    del part[key]
                part["$ref"] = _REF + name
        for inner in part.values():
            _name_quantities(inner, quantities)
    elif isinstance(part, list):
        for inner in part:
            _name_quantities(inner, quantities)


def _add_shorthands(definitions: dict[str, Any]) -> None:
    """Let a bare duration stand for a delay, a bare count for a size, a bare word for a process."""
    shorthands: dict[str, tuple[str, dict[str, Any]]] = {
        "DurationDistribution": ("Delay", {"$ref": _REF + "Duration"}),
        "CountDistribution": ("Count", {"type": "integer", "minimum": 1}),
        "Process": ("ArrivalProcess", {"enum": ["poisson", "regular"]}),
    }
    for name, (short, _) in shorthands.items():
        _redirect(definitions, _REF + name, _REF + short)
    for name, (short, bare) in shorthands.items():
        definitions[short] = {"anyOf": [bare, {"$ref": _REF + name}]}


def _redirect(part: Any, old: str, new: str) -> None:
    if isinstance(part, dict):
        if part.get("$ref") == old:
            part["$ref"] = new
        for inner in part.values():
            _redirect(inner, old, new)
    elif isinstance(part, list):
        for inner in part:
            _redirect(inner, old, new)


def _overlay(name: str) -> str:
    return f"{name}Overlay"


def _relaxed(definition: dict[str, Any], *, alone: bool) -> dict[str, Any]:
    """Return the form of a section in a document that extends another: any part may be left out, or null.

    An entry of a list keeps its name, by which it is found; `alone`: it is not an entry of a list.
    """
    relaxed = copy.deepcopy(definition)
    _to_overlays(relaxed)
    for key in ("required", "oneOf"):
        relaxed.pop(key, None)
    properties = relaxed.get("properties", {})
    for key, field in properties.items():
        if key != "name":
            described = {"description": field.pop("description")} if "description" in field else {}
            field.pop("default", None)
            choices = field.get("anyOf", [field])
            properties[key] = {
                "anyOf": [choice for choice in choices if choice != _NULL] + [_NULL],
                **described,
            }
    if "name" in properties and not alone:
        relaxed["required"] = ["name"]
        properties["$remove"] = {"const": True, "description": "Take this entry out of the list."}
    return relaxed


def _to_overlays(part: Any) -> None:
    if isinstance(part, dict):
        if "$ref" in part and part["$ref"].removeprefix(_REF) not in _QUANTITIES:
            part["$ref"] = _REF + _overlay(part["$ref"].removeprefix(_REF))
        for inner in part.values():
            _to_overlays(inner)
    elif isinstance(part, list):
        for inner in part:
            _to_overlays(inner)

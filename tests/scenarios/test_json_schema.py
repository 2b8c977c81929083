"""The JSON Schema for editors: up to date, whole, and knowing what people write."""

from __future__ import annotations

from typing import Any

from scenarios.json_schema import json_schema, json_schema_text
from tests.scenarios.documents import full_document


class TestJsonSchema:
    def test_the_copy_in_docs_is_up_to_date(self, pytestconfig):
        written = (pytestconfig.rootpath / "docs" / "scenario.schema.json").read_text(encoding="utf-8")
        assert written == json_schema_text(), "run: baseload validate --schema > docs/scenario.schema.json"

    def test_every_reference_leads_somewhere(self):
        schema = json_schema()
        references = {part["$ref"] for part in walk(schema) if "$ref" in part}
        assert references <= {f"#/$defs/{name}" for name in schema["$defs"]}

    def test_every_field_is_described_and_every_section_closed(self):
        for name, section in json_schema()["$defs"].items():
            if "properties" in section:
                assert section["additionalProperties"] is False, name
                assert section["description"], name
                for key, field in section["properties"].items():
                    assert field.get("description"), f"{name}.{key}"

    def test_shorthands_are_known(self):
        definitions = json_schema()["$defs"]
        assert definitions["Delay"]["anyOf"][0] == {"$ref": "#/$defs/Duration"}
        assert definitions["Model"]["properties"]["load"]["$ref"] == "#/$defs/Delay"
        assert definitions["RequestClass"]["properties"]["items"]["$ref"] == "#/$defs/Count"
        assert definitions["Arrivals"]["properties"]["process"]["$ref"] == "#/$defs/ArrivalProcess"

    def test_a_document_that_extends_states_only_what_differs(self):
        overlay = json_schema()["$defs"]["ScenarioOverlay"]
        assert "required" not in overlay
        assert "extends" in overlay["properties"]
        assert "extends" not in json_schema()["$defs"]["Scenario"]["properties"]
        assert "$remove" in json_schema()["$defs"]["PoolOverlay"]["properties"]

    def test_every_key_of_the_full_document_is_known(self):
        schema = json_schema()
        known = {key for part in schema["$defs"].values() for key in part.get("properties", {})}
        keys = {key for part in walk(full_document()) for key in part}
        assert keys - known == {"team", "model"} - known  # a label and a column


def walk(part: Any) -> list[dict[str, Any]]:
    """All mappings inside a value."""
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
    return ([part] if isinstance(part, dict) else []) + [each for child in inner for each in walk(child)]

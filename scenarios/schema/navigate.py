"""Finding one's way in the schema: which section stands at a path, and which keys it knows."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from scenarios.schema.base import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo


def fields_of(section: type[Section]) -> Mapping[str, FieldInfo]:
    """Return the fields of a section by the key that stands in a document."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def core(annotation: Any) -> Any:
    """Return a type without Annotated and without "or None"."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, UnionType):
            annotation = next(part for part in get_args(annotation) if part is not NoneType)
        else:
            return annotation


def step(annotation: Any, key: str | int) -> Any:
    """Return the type one step further down: of a key of a section, or of an entry of a list. None:
    unknown."""
    kind = core(annotation)
    if isinstance(kind, type) and issubclass(kind, Section):
        field = fields_of(kind).get(str(key))
        return None if field is None else field.annotation
    if get_origin(kind) is list:
        return get_args(kind)[0]
    return None


def section_of(annotation: Any) -> type[Section] | None:
    """Return the section that a type is, or None where it is something else."""
    kind = core(annotation)
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def is_list(annotation: Any) -> bool:
    """Say whether a list is expected here."""
    return get_origin(core(annotation)) is list

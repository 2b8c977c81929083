"""Settings documents of the servers: YAML files, typed like a scenario, in the units of the scenario language."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import yaml
from pydantic import Field, ValidationError

from scenarios.errors import EnvironmentProblem, InvalidInput
from scenarios.schema.base import Section
from scenarios.units import Bytes, Duration, PositiveDuration

if TYPE_CHECKING:
    from pathlib import Path


class Drain(Section):
    """What a server does on SIGTERM: not ready at once; it serves on while the news spreads, then ends what it has."""

    notice: Duration = 3.0
    """How long it serves on: endpoints are withdrawn meanwhile."""
    limit: PositiveDuration = 30.0
    """Longest wait, after that, for what is still in flight."""


class Limits(Section):
    """Bounds on what a client may send."""

    body: Bytes = Field(default=2 * 1024 * 1024, ge=1)
    """Largest request body; larger ones get 413."""
    read: PositiveDuration = 10.0
    """Longest time for a body to arrive; slower ones get 408."""


Settings = TypeVar("Settings", bound=Section)


def load_settings(path: Path, kind: type[Settings]) -> Settings:
    """Read and check a settings file.

    Raises EnvironmentProblem where it can't be read, InvalidInput with every value that is wrong.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EnvironmentProblem(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: not YAML: {error}") from None
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        problems = [
            f"{path}: {'.'.join(map(str, each['loc'])) or 'document'}: got {each['input']!r:.80}: {each['msg']}"
            for each in error.errors(include_url=False)
        ]
        raise InvalidInput("\n  ".join(problems)) from None


def written(settings: Section) -> str:
    """Return a settings document as YAML text; `load_settings` reads it back as it was."""
    return yaml.safe_dump(
        settings.model_dump(mode="json", by_alias=True, exclude_defaults=True), sort_keys=False
    )

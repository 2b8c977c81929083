"""Load a scenario: read, extend, override, check, and find the files that it names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.digest import digest
from scenarios.layers import read_layers
from scenarios.locate import problem_at
from scenarios.named_files import resolve_files
from scenarios.overrides import apply_overrides
from scenarios.problems import InvalidScenarioError
from scenarios.references import broken_references
from scenarios.sample_checks import check_samples
from scenarios.schema_errors import check
from scenarios.yaml_source import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scenarios.schema import Scenario


@dataclass(frozen=True)
class LoadedScenario:
    """A scenario that was found to be in order, and where it came from."""

    scenario: Scenario
    path: Path
    """The file that was asked for."""
    digest: str
    """SHA-256 of the resolved document and of the files that it names."""
    files: Mapping[str, Path]
    """Each `file:` of the document → its path."""
    document: Mapping[str, Any]
    """The resolved document: `extends` and overrides applied, defaults not filled in."""


def load_scenario(path: str | Path, overrides: Sequence[str] = ()) -> LoadedScenario:
    """Load a scenario file, with overrides such as "run.duration=1h".

    Raises InvalidScenarioError, an InvalidInput, with everything that is wrong, each on a line with its
    file, line, path and what was expected.
    """
    path = Path(path)
    root, problems = read_layers(path)
    if root is None:
        raise InvalidScenarioError(problems)
    root, refused = apply_overrides(root, overrides, path.parent)
    problems += refused
    scenario = check(root)
    if isinstance(scenario, list):
        raise InvalidScenarioError(problems + scenario)
    problems += [problem_at(root, location, message) for location, message in broken_references(scenario)]
    files, missing = resolve_files(scenario, root)
    problems += missing
    if not problems:
        problems += check_samples(scenario, files, root)
    if problems:
        raise InvalidScenarioError(problems)
    document = plain(root)
    return LoadedScenario(scenario, path, digest(document, files), files, document)

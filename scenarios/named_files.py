"""The files that a scenario names: traces and measured latencies."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from scenarios.locate import find, problem_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scenarios.problems import Location, Problem
    from scenarios.schema import Scenario
    from scenarios.yaml_source import Node

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def resolve_files(scenario: Scenario, root: Node) -> tuple[dict[str, Path], list[Problem]]:
    """Return the path of each `file:` of a scenario by the text in the document, and what is wrong with them.

    A relative name starts from the folder of the file in which it is written; ${NAME} is an environment
    variable.
    """
    files: dict[str, Path] = {}
    problems: list[Problem] = []
    for location, text in _named(scenario):
        path, wrong = _resolve(text, find(root, location)[0].place.folder)
        if path is None:
            problems.append(problem_at(root, location, wrong))
        elif files.setdefault(text, path) != path:
            wrong = (
                f"means two files in one scenario, {files[text]} and {path}: give one of them another name"
            )
            problems.append(problem_at(root, location, wrong))
    return files, problems


def _named(scenario: Scenario) -> Iterator[tuple[Location, str]]:
    for i, stream in enumerate(scenario.arrivals):
        if stream.trace is not None:
            yield ("arrivals", i, "trace", "file"), stream.trace.file
    for i, model in enumerate(scenario.models):
        for j, profile in enumerate(model.profiles):
            if profile.latency.samples is not None:
                yield ("models", i, "profiles", j, "latency", "samples", "file"), profile.latency.samples.file


def _resolve(text: str, folder: Path) -> tuple[Path | None, str]:
    """Return the path that a `file:` means, or None and what is wrong."""
    unset = sorted({name for name in _VARIABLE.findall(text) if name not in os.environ})
    if unset:
        return None, f"the environment variable {', '.join(unset)} is not set"
    path = folder / _VARIABLE.sub(lambda match: os.environ[match[1]], text)
    try:
        if not path.is_file():
            return None, f"{path}: {'is not a file' if path.exists() else 'no such file'}"
        with path.open("rb"):
            return path.resolve(), ""
    except (OSError, ValueError) as error:
        return None, f"cannot be read: {getattr(error, 'strerror', None) or error}"

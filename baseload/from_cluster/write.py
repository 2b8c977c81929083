"""A draft as a scenario file; what a cluster cannot say is marked in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from baseload.from_cluster.words import one_line, quoted

if TYPE_CHECKING:
    from pathlib import Path

    from baseload.from_cluster.draft import Draft

_MARK = re.compile(r'^(?:[^#"\n]|"(?:[^"\\\n]|\\.)*")*# [A-Z]{4}: ', re.MULTILINE)
"""A remark begins with the first # outside quotes; in the middle of one, a cluster's words may look like a mark."""


class InvalidDraftError(Exception):
    """What was written is no scenario: a defect of Baseload, whatever the cluster says. Nobody else could mend it."""


def marks(text: str) -> int:
    """How many placeholders a scenario file has: remarks that begin with the mark of the template."""
    return len(_MARK.findall(text))


def scenario_text(draft: Draft) -> str:
    """The scenario file: valid, with a placeholder wherever a mark stands."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("baseload.from_cluster", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # it is YAML, not HTML
        finalize=_finalize,
    )
    environment.filters["quoted"] = quoted
    unpriced = dict.fromkeys(
        (pool.instance_type, pool.capacity_type)
        for service in draft.services
        for pool in service.pools
        if not pool.priced
    )
    template = environment.get_template("scenario.yaml.j2")
    return template.render(draft=draft, unpriced=list(unpriced))


def check_file(path: Path) -> None:
    """Raises InvalidDraftError where the file that was written is no valid scenario."""
    from scenarios.load import load_scenario  # pydantic loads when it is needed
    from scenarios.problems import InvalidScenarioError

    try:
        load_scenario(path)
    except InvalidScenarioError as error:
        raise InvalidDraftError(
            "the draft of this cluster is no valid scenario, and was not kept. That is a defect of Baseload: please "
            f"report it; a part of the cluster (--namespace) may do meanwhile. {error}"
        ) from None


def _finalize(value: object) -> object:
    """What the template puts into the file stays on its line, remarks included."""
    return one_line(value) if isinstance(value, str) else value

"""A draft as a scenario file; what a cluster cannot say is marked in it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from baseload.from_cluster.draft import Draft

_MARK = re.compile(r"# [A-Z]{4}: ")


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
    )
    unpriced = dict.fromkeys(
        (pool.instance_type, pool.capacity_type)
        for service in draft.services
        for pool in service.pools
        if not pool.known_type
    )
    return environment.get_template("scenario.yaml.j2").render(draft=draft, unpriced=list(unpriced))

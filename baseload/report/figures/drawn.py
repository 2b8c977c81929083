"""What a figure function returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from baseload.report.data import Series
    from baseload.report.style import Figure


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure with its words. `takeaways` say what it shows, a sentence a run: its text alternative too."""

    key: str
    heading: str
    takeaways: tuple[str, ...]
    note: str
    """How to read it: definitions, what was averaged."""
    figure: Figure | None
    """None: there is nothing to draw, and the takeaways say so."""


def unseen_services(series: Series, named: bool) -> str:
    """What to say of a load test that did not look into its services."""
    if named:
        return f"{series.label}: not measured, as nobody read the services' metrics."
    return "Not measured: nobody read the services' metrics."

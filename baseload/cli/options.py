"""Kinds of values that options of several commands take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scenarios.units import parse_duration, parse_fraction, parse_positive_duration

if TYPE_CHECKING:
    from collections.abc import Callable


class QuantityOption(click.ParamType[float]):
    """A number with its unit, as the scenario language reads it."""

    def __init__(self, name: str, parse: Callable[[str], float]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read "15s" or "70%"; a default is a number already."""
        if isinstance(value, float):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(f"got {value!r}, {error}", param, ctx)


DURATION = QuantityOption("duration", parse_duration)
"""Such as 15s, 5m or 1h30m; seconds inside."""
LENGTH = QuantityOption("duration", parse_positive_duration)
"""A duration above 0."""
SHARE = QuantityOption("share", parse_fraction)
"""Such as 70% or 0.7."""

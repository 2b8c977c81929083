"""What every part of a scenario document shares: strictness, names, labels and distributions."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from scenarios.units import Duration, PositiveDuration, Ratio

MAX_COUNT = 1_000_000_000
"""Largest count in the language, such as the burst of a token bucket: room for any fleet, and fits 32
bits."""
MAX_FACTOR = 1e6
"""Largest factor and weight in the language."""

PositiveInt = Annotated[int, Field(ge=1, le=MAX_COUNT)]
"""A whole number from 1 up."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=63)]
"""A Kubernetes-style name: lower-case letters, digits, '-' and '.'."""


class Section(BaseModel):
    """A part of the document: frozen, strict (no text for numbers, no unknown keys), each field described."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    choices: ClassVar[frozenset[str]] = frozenset()
    """Keys that exclude each other: an overriding document that gives one of them takes the others out."""

    def chosen(self) -> list[str]:
        """Return the choices that are given, in the order of the schema."""
        return [
            name
            for name in type(self).model_fields
            if name in self.choices and getattr(self, name) is not None
        ]

    def require_one_choice(self) -> None:
        """Raise ValueError unless exactly one of the choices is given."""
        given = self.chosen()
        if len(given) != 1:
            known = [name for name in type(self).model_fields if name in self.choices]
            got = " and ".join(given) or "none of them"
            raise ValueError(f"expected exactly one of {', '.join(known)}; got {got}")


class Named(Section):
    """An entry of a named list. Other entries refer to it by its name, never by its place in the list."""

    name: Name
    """Unique within its list."""
    labels: dict[str, str] = {}
    """Free labels, such as team and product: carried into costs and reports."""


class Moments(Section):
    """Mean and coefficient of variation of a distribution of times."""

    mean: PositiveDuration
    """The mean."""
    cv: Annotated[Ratio, Field(ge=0, le=100)]
    """Coefficient of variation: standard deviation / mean, such as 30% or 0.3."""


class DurationDistribution(Section):
    """A distribution of times. Exactly one of its keys is given; a bare duration means `constant`."""

    choices = frozenset({"constant", "uniform", "exponential", "lognormal", "gamma", "empirical"})

    constant: Duration | None = None
    """Always this long."""
    uniform: Annotated[tuple[Duration, Duration], Field(strict=False)] | None = None
    """Any time between the two, all alike."""
    exponential: Duration | None = None
    """Exponential with this mean."""
    lognormal: Moments | None = None
    """Lognormal with this mean and cv."""
    gamma: Moments | None = None
    """Gamma with this mean and cv."""
    empirical: Annotated[list[Duration], Field(min_length=1)] | None = None
    """One of these measured values, all alike."""

    @model_validator(mode="after")
    def _exactly_one(self) -> DurationDistribution:
        self.require_one_choice()
        if self.uniform is not None and self.uniform[1] < self.uniform[0]:
            raise ValueError("uniform: expected [low, high] with low <= high")
        return self


def _bare_is_constant(value: Any) -> Any:
    return value if isinstance(value, (dict, list, BaseModel)) or value is None else {"constant": value}


Delay = Annotated[DurationDistribution, BeforeValidator(_bare_is_constant)]
"""A time that may vary: "8m", or a mapping such as {lognormal: {mean: 8m, cv: 30%}}."""


class LognormalParameters(Section):
    """Parameters of the normal distribution of the logarithm."""

    mu: float = Field(ge=-50, le=50)
    """Mean of the logarithm."""
    sigma: float = Field(gt=0, le=20)
    """Standard deviation of the logarithm."""


class CountDistribution(Section):
    """A distribution of whole numbers from 1 up. Exactly one key; a bare number means `constant`."""

    choices = frozenset({"constant", "uniform", "lognormal", "mixture"})

    constant: PositiveInt | None = None
    """Always this many."""
    uniform: Annotated[tuple[PositiveInt, PositiveInt], Field(strict=False)] | None = None
    """Any whole number from low up to, not including, high."""
    lognormal: LognormalParameters | None = None
    """Lognormal, rounded to the nearest whole number, at least 1."""
    mixture: Annotated[list[WeightedCount], Field(min_length=1)] | None = None
    """Several distributions with weights."""

    @model_validator(mode="after")
    def _exactly_one(self) -> CountDistribution:
        self.require_one_choice()
        if self.uniform is not None and self.uniform[1] <= self.uniform[0]:
            raise ValueError("uniform: expected [low, high) with low < high")
        return self


class WeightedCount(CountDistribution):
    """One part of a mixture."""

    weight: float = Field(gt=0, le=MAX_FACTOR)
    """Its share, relative to the other weights."""


Count = Annotated[CountDistribution, BeforeValidator(_bare_is_constant)]
"""A whole number that may vary: 1, or a mapping such as {uniform: [1, 100]}."""

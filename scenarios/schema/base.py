"""What every part of a scenario document shares: strictness, names, labels and distributions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from scenarios.units import Duration

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=63)]
"""A Kubernetes-style name: lower-case letters, digits, '-' and '.'."""


class Section(BaseModel):
    """A part of the document: frozen, unknown keys refused, each field described."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Named(Section):
    """An entry of a named list. Other entries refer to it by its name, never by its place in the list."""

    name: Name
    """Unique within its list."""
    labels: dict[str, str] = {}
    """Free labels, such as team and product: carried into costs and reports."""


class Moments(Section):
    """Mean and coefficient of variation of a distribution of times."""

    mean: Duration
    """The mean."""
    cv: float = Field(ge=0, le=100)
    """Coefficient of variation: standard deviation / mean."""


class DurationDistribution(Section):
    """A distribution of times. Exactly one of its keys is given; a bare duration means `constant`."""

    constant: Duration | None = None
    """Always this long."""
    uniform: tuple[Duration, Duration] | None = None
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
        given = sorted(self.model_fields_set)
        if len(given) != 1:
            raise ValueError(f"expected exactly one of {', '.join(type(self).model_fields)}; got {given or 'none'}")
        if self.uniform is not None and self.uniform[1] < self.uniform[0]:
            raise ValueError("uniform: expected [low, high] with low <= high")
        return self


def _bare_is_constant(value: Any) -> Any:
    return value if isinstance(value, (dict, BaseModel)) else {"constant": value}


Delay = Annotated[DurationDistribution, BeforeValidator(_bare_is_constant)]
"""A time that may vary: "8m", or a mapping such as {lognormal: {mean: 8m, cv: 30%}}."""


class LognormalParameters(Section):
    """Parameters of the normal distribution of the logarithm."""

    mu: float
    """Mean of the logarithm."""
    sigma: float = Field(gt=0)
    """Standard deviation of the logarithm."""


class CountDistribution(Section):
    """A distribution of whole numbers from 1 up. Exactly one key; a bare number means `constant`."""

    constant: Annotated[int, Field(ge=1)] | None = None
    """Always this many."""
    uniform: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    """Any whole number from low up to, not including, high."""
    lognormal: LognormalParameters | None = None
    """Lognormal, rounded to the nearest whole number, at least 1."""
    mixture: Annotated[list[WeightedCount], Field(min_length=1)] | None = None
    """Several distributions with weights."""

    @model_validator(mode="after")
    def _exactly_one(self) -> CountDistribution:
        given = sorted(self.model_fields_set - {"weight"})
        if len(given) != 1:
            raise ValueError(f"expected exactly one of constant, uniform, lognormal, mixture; got {given or 'none'}")
        if self.uniform is not None and self.uniform[1] <= self.uniform[0]:
            raise ValueError("uniform: expected [low, high) with low < high")
        return self


class WeightedCount(CountDistribution):
    """One part of a mixture."""

    weight: float = Field(gt=0)
    """Its share, relative to the other weights."""


Count = Annotated[CountDistribution, BeforeValidator(_bare_is_constant)]
"""A whole number that may vary: 1, or a mapping such as {uniform: [1, 100]}."""

"""How replicas of a service lie on the instances of a pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios.catalogue import load_catalogue
from scenarios.errors import InvalidInput

if TYPE_CHECKING:
    from scenarios.schema import Pool, Scenario, Service

_SHARE_TOLERANCE = 1e-9


def replicas_per_instance(scenario: Scenario, pool: Pool, service: Service | None) -> int:
    """Replicas on one instance: as the service says, else as many as its accelerators hold, else 1.

    A replica does not spread over accelerators: with a share of 0.4 there are two on each. Raises
    InvalidInput for an instance type that neither catalogue nor scenario know.
    """
    shape = load_catalogue().instance_types_by_name.get(pool.instance_type)
    if shape is None and all(price.instance_type != pool.instance_type for price in scenario.prices):
        try:
            load_catalogue().instance_type(pool.instance_type)
        except InvalidInput as error:
            raise InvalidInput(
                f"pools[{pool.name}].instance_type: {error}; a type of your own needs an entry in prices"
            ) from None
    if service is None:
        return 0
    if service.replicas_per_instance is not None:
        return service.replicas_per_instance
    model = next(model for model in scenario.models if model.name == service.model)
    accelerators = shape.accelerator_count if shape is not None else 0
    return max(1, accelerators * int(1 / model.accelerator_share + _SHARE_TOLERANCE))

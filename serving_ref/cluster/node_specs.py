"""What new real nodes shall say they are: lists of types, zones and capacity types, of which the last goes on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from scenarios.catalogue import load_catalogue
from scenarios.catalogue.names import nearest
from scenarios.errors import InvalidInput
from serving_ref.cluster.instance_types import zones_of
from serving_ref.cluster.node_config import NodeSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

T = TypeVar("T")
DEFAULT_TYPE = "c6i.xlarge"
ZONE = re.compile(r"[a-z]+(-[a-z]+)+-\d[a-z]")


def checked_region(region: str) -> str:
    """Return the region.

    Raises:
        InvalidInput: the catalogue has no prices for it.
    """
    known = load_catalogue().regions
    if region not in known:
        raise InvalidInput(f"no prices for region {region!r}: {nearest(region, known)}")
    return region


def node_specs(
    numbers: Iterable[int],
    types: Sequence[str],
    zones: Sequence[str],
    capacity_types: Sequence[str],
    region: str,
) -> list[NodeSpec]:
    """Nodes of these numbers; without zones they go round the region's.

    Raises:
        InvalidInput: a type is not in the catalogue, or a zone is none.
    """
    known = [each.name for each in load_catalogue().instance_types]
    for name in types:
        if name not in known:
            raise InvalidInput(f"--instance-type {name}: {nearest(name, known)}")
    for zone in zones:
        if not ZONE.fullmatch(zone):
            raise InvalidInput(f"--zone {zone}: expected a zone such as {region}a")
    around = zones_of(region)
    return [
        NodeSpec(
            number,
            _at(types or (DEFAULT_TYPE,), place),
            _at(zones, place) if zones else around[(number - 1) % len(around)],
            _at(capacity_types or ("on-demand",), place),
        )
        for place, number in enumerate(numbers)
    ]


def _at(values: Sequence[T], place: int) -> T:
    return values[min(place, len(values) - 1)]

"""What Karpenter can buy: our catalogue in the form that its KWOK provider reads (INSTANCE_TYPES_FILE_PATH)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scenarios.catalogue import PurchaseOption

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from scenarios.catalogue import Catalogue, InstanceType

ARCHITECTURES = {"x86_64": "amd64", "arm64": "arm64"}
CAPACITY_TYPES = {"on-demand": PurchaseOption.ON_DEMAND, "spot": PurchaseOption.SPOT_REFERENCE}
"""Karpenter's word → the catalogue's price. The spot reference is one figure a region: all zones get it."""
ACCELERATORS = {"NVIDIA": "nvidia.com/gpu", "AWS": "aws.amazon.com/neuron"}
"""Maker → the extended resource that its device plug-in announces."""
ZONE_LETTERS = "abc"
PODS = "110"
STORAGE = "100Gi"


def zones_of(region: str) -> list[str]:
    """The zones that a simulated region has."""
    return [f"{region}{letter}" for letter in ZONE_LETTERS]


def instance_types(catalogue: Catalogue, region: str, zones: Sequence[str]) -> list[dict[str, Any]]:
    """One document a type that has a price in the region; an offering a zone and capacity type with a price."""
    documents = []
    for each in catalogue.instance_types:
        offerings = []
        for capacity_type, option in CAPACITY_TYPES.items():
            price = catalogue.price(each.name, region, option)
            if price is not None:
                offerings += [_offering(capacity_type, zone, price.price_usd_per_h) for zone in zones]
        if offerings:
            documents.append(
                {
                    "name": each.name,
                    "offerings": offerings,
                    "architecture": ARCHITECTURES[each.arch],
                    "operatingSystems": ["linux"],
                    "resources": resources(each),
                }
            )
    return documents


def resources(each: InstanceType) -> dict[str, str]:
    """Capacity of one instance, as Kubernetes quantities."""
    found = {
        "cpu": str(each.vcpu),
        "memory": f"{round(each.memory_gib * 1024)}Mi",
        "ephemeral-storage": STORAGE,
        "pods": PODS,
    }
    if each.accelerator is not None:
        found[accelerator_resource(each.accelerator)] = str(each.accelerator_count)
    return found


def accelerator_resource(accelerator: str) -> str:
    """The extended resource of an accelerator such as `NVIDIA A10G`."""
    return ACCELERATORS.get(accelerator.partition(" ")[0], "nvidia.com/gpu")


def _offering(capacity_type: str, zone: str, price_usd_per_h: Decimal) -> dict[str, Any]:
    requirements = {"karpenter.sh/capacity-type": capacity_type, "topology.kubernetes.io/zone": zone}
    return {
        "Price": float(price_usd_per_h),
        "Available": True,
        "Requirements": [
            {"key": key, "operator": "In", "values": [value]} for key, value in requirements.items()
        ],
    }

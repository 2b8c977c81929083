"""Kubernetes' quantities as numbers (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/)."""

from __future__ import annotations

import re
from decimal import Decimal

_SUFFIXES = {
    "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"), "": Decimal(1),
    "k": Decimal(10**3), "M": Decimal(10**6), "G": Decimal(10**9), "T": Decimal(10**12), "P": Decimal(10**15),
    "E": Decimal(10**18), "Ki": Decimal(2**10), "Mi": Decimal(2**20), "Gi": Decimal(2**30), "Ti": Decimal(2**40),
    "Pi": Decimal(2**50), "Ei": Decimal(2**60),
}  # fmt: skip
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)([A-Za-z]*)")


def quantity(value: str | int | float) -> float:
    """500m is 0.5, 6Gi is 6442450944. ValueError for what is no quantity."""
    found = _QUANTITY.fullmatch(str(value))
    if found is None or found[2] not in _SUFFIXES:
        raise ValueError(f"{value!r} is no quantity")
    return float(Decimal(found[1]) * _SUFFIXES[found[2]])


def gibibytes(size: float) -> str:
    """A size as the scenario language writes it: 6Gi, 512Mi, 100B."""
    for suffix in ("Gi", "Mi", "Ki"):
        count = size / float(_SUFFIXES[suffix])
        if count >= 1 and count.is_integer():
            return f"{count:.0f}{suffix}"
    return f"{size / float(_SUFFIXES['Mi']):.0f}Mi" if size >= float(_SUFFIXES["Mi"]) else f"{size:.0f}B"

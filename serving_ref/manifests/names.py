"""Names in a cluster: those that are too long are cut."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MODEL_SERVER = "model-server"
"""Deployments and autoscalers of replica sets are called this, "-", and the replica set's name."""
_LONGEST = 63 - len(f"keda-hpa-{MODEL_SERVER}-")
"""KEDA calls its autoscaler `keda-hpa-` and our name, and puts both into labels: a label holds 63 characters, and older
KEDAs cut the name there too."""
_DIGEST_LENGTH = 8


def replica_set_names(pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Names for (service, pool): `service-pool` where that is short and clear, else its beginning and a digest.

    Unclear is `a-b-c` where a scenario has both a-b on c and a on b-c, and a dot, which hosts' names don't have.
    """
    plain = [f"{service}-{pool}" for service, pool in pairs]
    return [
        name
        if len(name) <= _LONGEST and "." not in name and plain.count(name) == 1
        else _cut(name, f"{service}/{pool}")
        for name, (service, pool) in zip(plain, pairs, strict=True)
    ]


def _cut(name: str, unique: str) -> str:
    digest = hashlib.sha256(unique.encode()).hexdigest()[:_DIGEST_LENGTH]
    start = name.replace(".", "-")[: _LONGEST - _DIGEST_LENGTH - 1].rstrip("-")
    return f"{start}-{digest}"

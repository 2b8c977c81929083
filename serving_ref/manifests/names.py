"""Names in a cluster: those that Kubernetes does not take are refused, those that are too long are cut."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from scenarios.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MODEL_SERVER = "model-server"
"""Deployments and autoscalers of replica sets are called this, "-", and the replica set's name."""
_LONGEST = 63 - len(f"keda-hpa-{MODEL_SERVER}-")
"""KEDA calls its autoscaler `keda-hpa-` and our name, and puts both into labels: a label holds 63 characters, and older
KEDAs cut the name there too."""
_DIGEST_LENGTH = 8
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
"""RFC 1035: no dots, and no digit in front."""
_OTHERS = re.compile(r"default|kube-.*|baseload-system")
"""Namespaces of Kubernetes and of the local cluster's parts."""
_IMAGE = re.compile(
    r"(?P<name>(?:[a-zA-Z0-9.-]+(?::[0-9]+)?/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
"""[host[:port]/]name[:tag][@digest]: a colon before the last slash begins a port."""


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


def refuse_services(scenario: Path, services: Sequence[str], taken: Sequence[str]) -> None:
    """Raise InvalidInput for services of a scenario that cannot give their name to a Service of the cluster.

    `taken` are Services that the stack has already.
    """
    problems = [
        f"{scenario}: services[{name}].name: got {name}, expected "
        + (f"another name: the stack has a {name} of its own" if name in taken else _EXPECTED)
        for name in services
        if name in taken or not _SERVICE.fullmatch(name)
    ]
    if problems:
        raise InvalidInput("\n  ".join(problems))


_EXPECTED = (
    "at most 63 lower-case letters, digits and '-' that begin with a letter, as for a Kubernetes Service"
)


def refuse_namespace(namespace: str) -> None:
    """Raise InvalidInput for a namespace that is somebody else's, or none."""
    if not _LABEL.fullmatch(namespace):
        raise InvalidInput(
            f"--namespace {namespace}: expected at most 63 lower-case letters, digits and '-', "
            "a letter or digit at both ends"
        )
    if _OTHERS.fullmatch(namespace):
        raise InvalidInput(
            f"--namespace {namespace}: expected a namespace of the stack's own: it gets labels and the strictest pod "
            "security, and is deleted with the stack"
        )


def kustomize_image(reference: str) -> dict[str, str]:
    """Return an image in kustomize's words. Raises InvalidInput for what is no image; a digest outdoes a tag."""
    parts = _IMAGE.fullmatch(reference)
    if parts is None:
        raise InvalidInput(
            f"--image {reference!r}: expected NAME, NAME:TAG or NAME@sha256:…, such as registry.example.com/serving:1"
        )
    found = {"newName": parts["name"]}
    if parts["digest"]:
        found["digest"] = parts["digest"]
    elif parts["tag"]:
        found["newTag"] = parts["tag"]
    return found

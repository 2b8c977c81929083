"""What a selector asks of labels, and where a pod may run, by the rules of the Kubernetes API.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/ and …/taint-and-toleration/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Object = dict[str, Any]

_FIELD = "field "
"""Before the name of a field of the node itself: no label's key has a space."""
_CONDITIONS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_WORDS = {
    "In": "in", "NotIn": "not in", "Exists": "exists", "DoesNotExist": "does not exist", "Gt": ">", "Lt": "<",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Requirement:
    """What is asked of one label."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, value: str | None) -> bool:
        """Whether a value meets it; None: there is no such label. What is no operator is never met."""
        if self.operator == "In":
            return value in self.values
        if self.operator == "NotIn":
            return value not in self.values
        if self.operator in ("Exists", "DoesNotExist"):
            return (value is not None) == (self.operator == "Exists")
        numbers = [int(each) for each in (value, *self.values) if each and _WHOLE_NUMBER.fullmatch(each)]
        if len(numbers) != 2 or len(self.values) != 1:
            return False
        own, limit = numbers
        return (self.operator == "Gt" and own > limit) or (self.operator == "Lt" and own < limit)

    def __str__(self) -> str:
        words = (self.key, _WORDS.get(self.operator, self.operator), "|".join(sorted(self.values)))
        return " ".join(filter(None, words))


class Toleration(NamedTuple):
    """A taint that a pod puts up with; empty key and effect are any."""

    key: str
    operator: str
    value: str
    effect: str

    def covers(self, taint: Object) -> bool:
        """Whether it is about this taint."""
        if self.effect not in ("", taint["effect"]) or self.key not in ("", taint["key"]):
            return False
        same = self.operator in ("", "Equal") and self.value == taint.get("value", "")
        return self.operator == "Exists" or same


@dataclass(frozen=True, slots=True)
class PodRules:
    """Where a pod may run."""

    alternatives: tuple[tuple[Requirement, ...], ...]
    """Node selector and a term of the required node affinity: one of these must hold whole."""
    tolerations: tuple[Toleration, ...]

    def allow(self, node: Object) -> bool:
        """Whether a node that is there has the labels, and no taint in the way."""
        own = {**node["metadata"].get("labels", {}), f"{_FIELD}metadata.name": node["metadata"]["name"]}
        fits = any(all(each.holds(own.get(each.key)) for each in whole) for whole in self.alternatives)
        return fits and self.tolerate(node["spec"])

    def tolerate(self, spec: Object) -> bool:
        """Whether the pod puts up with the taints that somebody chose for a node. Those of its condition (not ready,
        under pressure, new) come and go."""
        return all(
            any(each.covers(taint) for each in self.tolerations)
            for taint in spec.get("taints", [])
            if taint["effect"] in ("NoSchedule", "NoExecute") and not taint["key"].startswith(_CONDITIONS)
        )

    def __str__(self) -> str:
        return "; or ".join(", ".join(map(str, whole)) for whole in self.alternatives)


def pod_rules(spec: Object) -> PodRules:
    """The rules of a pod's specification. A term of its affinity that asks for nothing chooses no node."""
    selected = equalities(spec.get("nodeSelector", {}))
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    terms: list[tuple[Requirement, ...]] = [()]
    if required is not None:
        of_terms = (
            (
                *expressions(each.get("matchExpressions", [])),
                *expressions(each.get("matchFields", []), _FIELD),
            )
            for each in required["nodeSelectorTerms"]
        )
        terms = [term for term in of_terms if term]
    tolerations = tuple(
        Toleration(*(each.get(part, "") for part in Toleration._fields))
        for each in spec.get("tolerations", [])
    )
    return PodRules(tuple((*selected, *term) for term in terms), tolerations)


def chooses(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a selector of labels chooses what has these; an empty one chooses everything."""
    asked = (*equalities(selector.get("matchLabels", {})), *expressions(selector.get("matchExpressions", [])))
    return all(each.holds(labels.get(each.key)) for each in asked)


def equalities(labels: Mapping[str, str]) -> tuple[Requirement, ...]:
    """Labels that must be there, with these values."""
    return tuple(Requirement(key, "In", frozenset([value])) for key, value in labels.items())


def expressions(rules: Iterable[Object], before: str = "") -> tuple[Requirement, ...]:
    """Rules as the API has them: key, operator, values."""
    return tuple(
        Requirement(before + each["key"], each["operator"], frozenset(each.get("values", [])))
        for each in rules
    )

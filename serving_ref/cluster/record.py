"""What a cluster was asked to be: the file `cluster.json` of its state folder, and where all else lies beside it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from scenarios.errors import InvalidInput
from serving_ref.cluster.folders import state_folder
from serving_ref.cluster.node_config import NodeSpec

if TYPE_CHECKING:
    from pathlib import Path

PARTS = ("kwok", "karpenter", "keda", "prometheus", "metrics-server", "redis")
NAME = re.compile(r"[a-z]([a-z0-9-]{0,9}[a-z0-9])?")
"""A link's name has at most 15 characters, and ours begin with `bl-`."""


@dataclass(frozen=True, slots=True)
class ClusterRecord:
    """A cluster as it was last asked for."""

    name: str
    nodes: tuple[NodeSpec, ...] = ()
    """Real ones."""
    parts: tuple[str, ...] = ()
    region: str = "us-east-1"
    """Whose prices Karpenter sees."""

    def with_node(self, node: NodeSpec) -> ClusterRecord:
        """With one node more."""
        return replace(self, nodes=(*self.nodes, node))

    def without_node(self, name: str) -> ClusterRecord:
        """With one node less."""
        return replace(self, nodes=tuple(node for node in self.nodes if node.name != name))

    def with_parts(self, parts: frozenset[str]) -> ClusterRecord:
        """With these parts too, in the order in which they are listed everywhere."""
        return replace(self, parts=tuple(part for part in PARTS if part in parts or part in self.parts))

    def free_numbers(self, count: int) -> list[int]:
        """The lowest numbers that no node has."""
        taken = {node.number for node in self.nodes}
        return [number for number in range(1, len(taken) + count + 1) if number not in taken][:count]

    def next_number(self) -> int:
        """The lowest of them."""
        return self.free_numbers(1)[0]

    def to_json(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self), indent=2)

    @staticmethod
    def from_json(text: str) -> ClusterRecord:
        """As it was kept."""
        document = json.loads(text)
        nodes = tuple(NodeSpec(**node) for node in document.pop("nodes"))
        parts = tuple(document.pop("parts"))
        return ClusterRecord(nodes=nodes, parts=parts, **document)


def checked_name(name: str) -> str:
    """Return the name.

    Raises:
        InvalidInput: it would not fit into names of links and folders.
    """
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"cluster name {name!r}: expected 1 to 11 lower-case letters, digits and hyphens, a letter first"
        )
    return name


def checked_parts(words: list[str]) -> frozenset[str]:
    """Return the parts of `--with`; Karpenter brings KWOK, whose nodes it buys, and KEDA the Prometheus it asks.

    Raises:
        InvalidInput: there is no such part.
    """
    for word in words:
        if word not in PARTS:
            raise InvalidInput(f"--with {word}: expected some of {', '.join(PARTS)}")
    parts = set(words)
    if "karpenter" in parts:
        parts.add("kwok")
    if "keda" in parts:
        parts.add("prometheus")
    return frozenset(parts)


@dataclass(frozen=True, slots=True)
class ClusterFolder:
    """The state folder of one cluster."""

    root: Path

    @property
    def record(self) -> Path:
        """See ClusterRecord."""
        return self.root / "cluster.json"

    @property
    def ledger(self) -> Path:
        """See ledger.py."""
        return self.root / "ledger"

    @property
    def pki(self) -> Path:
        """Keys, certificates and kubeconfigs."""
        return self.root / "pki"

    @property
    def config(self) -> Path:
        """Files that the programs read."""
        return self.root / "config"

    @property
    def admin(self) -> Path:
        """The kubeconfig of the person."""
        return self.pki / "admin.kubeconfig"

    def read(self) -> ClusterRecord | None:
        """The record, or None where `up` never came so far."""
        return ClusterRecord.from_json(self.record.read_text()) if self.record.exists() else None

    def write(self, record: ClusterRecord) -> None:
        """Keep the record, whole or not at all."""
        half = self.record.with_suffix(".new")
        half.write_text(record.to_json())
        half.replace(self.record)


def cluster_folders() -> list[ClusterFolder]:
    """Every local cluster of this user, whole or left by a crash."""
    root = state_folder()
    return [ClusterFolder(path) for path in sorted(root.iterdir()) if path.is_dir()] if root.exists() else []

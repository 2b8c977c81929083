"""A cluster by kind, where Docker is there: the same four commands, with what kind itself offers and no more."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.errors import EnvironmentProblem, InvalidInput, Unsupported
from serving_ref.cluster.folders import state_folder
from serving_ref.cluster.kubectl import Kubectl
from serving_ref.cluster.programs import find_program
from serving_ref.cluster.status import ClusterStatus, remote_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving_ref.cluster.images import ImageArchive
    from serving_ref.cluster.node_config import NodeSpec
    from serving_ref.cluster.record import ClusterRecord


def kind_is_usable() -> bool:
    """Whether kind is there, and a Docker that answers."""
    if not all(find_program(name) for name in ("kind", "docker", "kubectl")):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def kind_config(nodes: tuple[NodeSpec, ...]) -> dict[str, Any]:
    """One control plane and the workers, with the labels that real nodes have. Pure."""
    workers = [{"role": "worker", "labels": node.labels} for node in nodes]
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [{"role": "control-plane"}, *workers],
    }


@dataclass(slots=True)
class KindCluster:
    """A cluster that kind runs; its kubeconfig context is `kind-<name>`."""

    name: str
    say: Callable[[str], None]
    driver: str = "kind"

    @property
    def kubectl(self) -> Kubectl:
        """A kubectl for it."""
        program = find_program("kubectl")
        if program is None:
            raise EnvironmentProblem("kind clusters need the program kubectl on the PATH")
        return Kubectl(program, context=f"kind-{self.name}")

    @property
    def _mark(self) -> Path:
        """A file that says that the cluster of this name was made here: others are somebody else's."""
        return state_folder() / f"{self.name}.kind"

    def exists(self) -> bool:
        """Whether kind knows it, and it was made here."""
        return self._mark.exists() and self._is_known()

    def _is_known(self) -> bool:
        return self.name in self._kind("get", "clusters").split()

    def up(self, wanted: ClusterRecord) -> None:
        """Create it, unless it is there.

        Raises:
            EnvironmentProblem: somebody else made a kind cluster of this name.
            Unsupported: it is there, with another number of nodes, which kind cannot change.
        """
        if self.exists():
            workers = len(self.kubectl.get("nodes", "-l", "!node-role.kubernetes.io/control-plane")["items"])
            if workers != len(wanted.nodes):
                raise Unsupported(
                    f"kind cluster {self.name} has {workers} nodes, and kind cannot change that: "
                    f"baseload cluster down --name {self.name} first, or --nodes {workers}"
                )
            return
        if self._is_known():
            raise EnvironmentProblem(
                f"kind has a cluster {self.name} that baseload did not make: use its context, "
                f"kind-{self.name}, or another --name"
            )
        self._mark.parent.mkdir(parents=True, exist_ok=True)
        self._mark.touch()
        self.say(f"kind creates {len(wanted.nodes)} nodes")
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            json.dump(kind_config(wanted.nodes), file)
            file.flush()
            self._kind("create", "cluster", "--name", self.name, "--config", file.name, "--wait", "120s")

    def down(self) -> bool:
        """Delete it, if it was made here."""
        there = self.exists()
        if there:
            self._kind("delete", "cluster", "--name", self.name)
        self._mark.unlink(missing_ok=True)
        return there

    def status(self) -> ClusterStatus:
        """What it is."""
        if not self.exists():
            return ClusterStatus(self.name, "kind", up=False)
        return remote_status(self.name, "kind", self.kubectl)

    def kubectl_when_up(self) -> Kubectl:
        """A kubectl for it.

        Raises:
            InvalidInput: it is not up.
        """
        if not self.exists():
            raise InvalidInput(f"kind has no cluster {self.name}")
        return self.kubectl

    def load(self, archive: ImageArchive) -> None:
        """Give an image to every node."""
        with tempfile.TemporaryDirectory(prefix="baseload-image-") as folder:
            path = Path(folder) / "image.tar"
            archive.save(path)
            self._kind("load", "image-archive", str(path), "--name", self.name)

    def _kind(self, *arguments: str) -> str:
        done = subprocess.run(["kind", *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise EnvironmentProblem(f"kind {' '.join(arguments[:2])}: {done.stderr.strip()[-500:]}")
        return done.stdout

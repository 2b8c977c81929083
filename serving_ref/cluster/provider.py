"""Who runs the cluster: this machine, kind, or somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from scenarios.errors import EnvironmentProblem
from serving_ref.cluster.host import complaint, read_host_facts
from serving_ref.cluster.kind import KindCluster, kind_is_usable
from serving_ref.cluster.kubectl import Kubectl
from serving_ref.cluster.local import LocalCluster
from serving_ref.cluster.programs import find_program
from serving_ref.cluster.record import checked_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving_ref.cluster.images import ImageArchive
    from serving_ref.cluster.record import ClusterRecord
    from serving_ref.cluster.status import ClusterStatus


class Cluster(Protocol):
    """What every cluster that we make can do."""

    driver: str

    def up(self, wanted: ClusterRecord) -> object:
        """Bring it up, or what is missing of it."""

    def down(self) -> bool:
        """Take it away; False where there was nothing."""

    def status(self) -> ClusterStatus:
        """What it is right now."""

    def kubectl_when_up(self) -> Kubectl:
        """A kubectl for it; InvalidInput where it is not up."""

    def load(self, archive: ImageArchive) -> None:
        """Give an image to every node."""


def find_cluster(name: str, driver: str, say: Callable[[str], None]) -> Cluster:
    """The cluster of this name. `auto` finds it where it is, else takes local where this
    machine can, else kind.

    Raises:
        InvalidInput: the name is none.
        EnvironmentProblem: neither can be had; the message says what to do.
    """
    checked_name(name)
    local, kind = LocalCluster(name, say), KindCluster(name, say)
    if driver == "local" or (driver == "auto" and local.folder.root.exists()):
        return local
    usable = kind_is_usable()
    if driver == "kind":
        if not usable:
            raise EnvironmentProblem(
                "kind needs the programs kind, kubectl and docker, and a Docker that answers"
            )
        return kind
    if usable and (kind.exists() or complaint(read_host_facts()) is not None):
        return kind
    return local


def kubectl_for_context(context: str) -> Kubectl:
    """A kubectl for a context of the person's own kubeconfig.

    Raises:
        EnvironmentProblem: there is no kubectl.
    """
    program = find_program("kubectl")
    if program is None:
        raise EnvironmentProblem("--context needs the program kubectl on the PATH")
    return Kubectl(program, context=context)

"""A cluster on this machine: `up`, `down`, and what happens to its real nodes in between."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.catalogue import load_catalogue
from scenarios.errors import EnvironmentProblem, InvalidInput
from serving_ref.cluster import network
from serving_ref.cluster.addresses import AddressPlan
from serving_ref.cluster.certificates import Authority
from serving_ref.cluster.control import ControlPlane
from serving_ref.cluster.control_config import as_list
from serving_ref.cluster.folders import cache_folder, state_folder
from serving_ref.cluster.host import check_host, read_sysctls, wanted_sysctls
from serving_ref.cluster.images import load_image, pause_image
from serving_ref.cluster.kubectl import Kubectl
from serving_ref.cluster.ledger import Folder, Ledger, Link, Processes, Sysctl
from serving_ref.cluster.loaded_images import read_images, write_image
from serving_ref.cluster.machine import Machine
from serving_ref.cluster.node import RealNode, remove_groups
from serving_ref.cluster.parts import Parts
from serving_ref.cluster.processes import wait_until
from serving_ref.cluster.programs import components_for, find_program
from serving_ref.cluster.record import ClusterFolder, ClusterRecord, cluster_folders
from serving_ref.cluster.simulated_nodes import simulated_name, simulated_node
from serving_ref.cluster.status import local_status
from serving_ref.cluster.tools import Toolbox
from serving_ref.cluster.undo import undo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from serving_ref.cluster.images import ImageArchive
    from serving_ref.cluster.node_config import NodeSpec
    from serving_ref.cluster.status import ClusterStatus

NODE_TIMEOUT_S = 120.0
CONTROL = "control"


class LocalCluster:
    """One cluster of this machine, up or not. `say` is told what is done and waited for."""

    driver = "local"

    def __init__(self, name: str, say: Callable[[str], None]) -> None:
        self.name = name
        self.folder = ClusterFolder(state_folder() / name)
        self.plan = AddressPlan()
        self.say = say
        self.tools = Toolbox(cache_folder(), say)
        self.control = Machine(self.folder.root, CONTROL)
        self.kubectl = Kubectl(self.tools.program("kubernetes", "kubectl"), self.folder.admin)

    def up(self, wanted: ClusterRecord) -> ClusterRecord:
        """Bring the cluster up as wanted, or what is missing of it; return what it is now.

        Nodes are added, never removed; parts are switched on, never off.

        Raises:
            EnvironmentProblem: this machine cannot run it (what to do is in the message), or something that was
                waited for does not come.
        """
        parts = frozenset(wanted.parts)
        check_host(parts)
        self.tools.build(components_for(parts))
        pause = self._pause()
        with self._alone():
            record = self._begin(wanted)
            self._start_control()
            for node in record.nodes:
                self._start_node(node, pause)
            network.route_services(self.control, self.plan, list(record.nodes))
            add_ons = self._parts(record)
            add_ons.start(self.say)
            self._wait_for_nodes(record.nodes)
            add_ons.wait(self.say)
        return record

    def down(self) -> bool:
        """Undo everything the ledger lists, also after a crash. False where there was nothing to undo."""
        with self._alone():
            return self._clear()

    def _clear(self) -> bool:
        if not self.folder.root.exists():
            return False
        undo(
            [
                Processes(str(self.folder.root)),
                *Ledger(self.folder.ledger).entries(),
                Folder(str(self.folder.root)),
            ],
            self.say,
        )
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock of this machine's clusters: one command at a time changes something."""
        root = state_folder()
        root.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(root, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self.say("waiting for another `baseload cluster` command to end")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _begin(self, wanted: ClusterRecord) -> ClusterRecord:
        """Open the ledger, and decide what the cluster shall be: what it was, and what is wanted beside."""
        others = [folder.root.name for folder in cluster_folders() if folder.root != self.folder.root]
        if others:
            raise EnvironmentProblem(
                f"cluster {others[0]} is here already, up or left by a crash: a machine carries one at a time; "
                f"baseload cluster down --name {others[0]}"
            )
        if self.folder.root.exists() and not self.control.is_on():
            self.say("clearing what a crash left")
            self._clear()
        known = self.folder.read()
        self.folder.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        ledger = Ledger(self.folder.ledger)
        ledger.write(Processes(str(self.folder.root)))
        ledger.write(Folder(str(self.folder.root)))
        record = wanted if known is None else merged(known, wanted)
        self.folder.write(record)
        network.check_addresses(self.plan, self.name, self.folder.root, up=self.control.is_on())
        present = read_sysctls()
        for path, value in wanted_sysctls(present).items():
            ledger.write(Sysctl(path, present[path], value))
            Path(path).write_text(value)
        return record

    def _start_control(self) -> None:
        if not self.control.is_on():
            self.say("starting the control machine")
            self.control.start(keep=self._keep())
            network.furnish_control(self.control, self.plan)
            Ledger(self.folder.ledger).write(Link(network.host_link(self.name)))
            network.connect_host(self.control, self.plan, self.name, self.folder.root)
        plane = ControlPlane(self.control, self.folder, self.plan, self.tools, self._authority)
        plane.start(self.kubectl, self.say, cluster=self.name)

    @property
    def _authority(self) -> Authority:
        openssl = find_program("openssl")
        assert openssl is not None, "the check of the machine comes first"
        return Authority(self.folder.pki, openssl)

    def _keep(self) -> list[Path]:
        """Folders that every machine must see: the cluster's state, and the programs."""
        return [self.folder.root, cache_folder()]

    def _pause(self) -> ImageArchive:
        catatonit = find_program("catatonit")
        assert catatonit is not None, "the check of the machine comes first"
        return pause_image(catatonit)

    def _parts(self, record: ClusterRecord) -> Parts:
        return Parts(
            self.control, self.folder, self.plan, self.tools, self.kubectl, record.region, record.parts
        )

    def _real_node(self, spec: NodeSpec) -> RealNode:
        return RealNode(spec, Machine(self.folder.root, spec.name), self.folder, self.plan, self.tools)

    def _start_node(self, spec: NodeSpec, pause: ImageArchive) -> None:
        node = self._real_node(spec)
        images = [pause, *read_images(self.folder)]
        node.start(self.control, self._authority, cluster=self.name, keep=self._keep(), images=images)

    def _wait_for_nodes(self, nodes: Sequence[NodeSpec]) -> None:
        names = [node.name for node in nodes]
        self._wait_until_ready(
            names,
            hint=lambda: "".join(
                Machine(self.folder.root, name).log_end("kubelet")
                for name in names
                if name not in self.ready_nodes()
            ),
        )

    def _wait_until_ready(self, names: Sequence[str], hint: Callable[[], str] = str) -> None:
        words = ", ".join(names) if len(names) < 4 else f"{names[0]} to {names[-1]}"
        self.say(f"waiting for {words} to be ready")
        wait_until(
            lambda: self.ready_nodes().issuperset(names),
            f"nodes {words} to be ready",
            timeout_s=NODE_TIMEOUT_S,
            hint=hint,
        )

    def ready_nodes(self) -> set[str]:
        """Names of the nodes whose Ready condition is true, KWOK's included."""
        return {
            node["metadata"]["name"]
            for node in self.kubectl.get("nodes")["items"]
            if any(
                each["type"] == "Ready" and each["status"] == "True"
                for each in node["status"].get("conditions", [])
            )
        }

    def record(self) -> ClusterRecord:
        """What the cluster is.

        Raises:
            InvalidInput: it is not up.
        """
        found = self.folder.read()
        if found is None or not self.control.is_on():
            raise InvalidInput(f"cluster {self.name} is not up: baseload cluster up --name {self.name}")
        return found

    def status(self) -> ClusterStatus:
        """What it is right now; never an error where it is down or half down."""
        return local_status(self.name, self.folder, self.kubectl)

    def kubectl_when_up(self) -> Kubectl:
        """A kubectl for it.

        Raises:
            InvalidInput: it is not up.
        """
        self.record()
        return self.kubectl

    def add_node(self, wanted: NodeSpec) -> NodeSpec:
        """Switch on one more real node, wait until it is ready, and return it with its number, the lowest free."""
        pause = self._pause()
        with self._alone():
            record = self.record()
            spec = replace(wanted, number=record.next_number())
            self.folder.write(record.with_node(spec))
            self._start_node(spec, pause)
            network.route_services(self.control, self.plan, list(self.record().nodes))
        self._wait_for_nodes([spec])
        return spec

    def add_simulated_nodes(self, specs: Sequence[NodeSpec]) -> list[str]:
        """Make Node objects that KWOK keeps ready, wait until they are, and return their names.

        Raises:
            InvalidInput: KWOK is not on.
        """
        if "kwok" not in self.record().parts:
            raise InvalidInput(
                f"simulated nodes need KWOK: baseload cluster up --name {self.name} --with kwok"
            )
        types = {each.name: each for each in load_catalogue().instance_types}
        self.kubectl.apply(as_list([simulated_node(spec, types[spec.instance_type]) for spec in specs]))
        names = [simulated_name(spec.number) for spec in specs]
        self._wait_until_ready(names)
        return names

    def real_node(self, name: str) -> NodeSpec | None:
        """The real node of this name; None where it is a simulated one, which has no power to cut.

        Raises:
            InvalidInput: there is no such node.
        """
        real = {node.name: node for node in self.record().nodes}
        if name not in real and self.kubectl.find("node", name) is None:
            raise InvalidInput(f"no node {name!r}: expected a simulated one, or {', '.join(real) or 'none'}")
        return real.get(name)

    def cut_power(self, spec: NodeSpec) -> None:
        """End a node at once, with everything that runs on it. Its Node object stays."""
        with self._alone():
            Machine(self.folder.root, spec.name).kill()
            record = self.record().without_node(spec.name)
            network.disconnect_node(self.control, self.plan, spec)
            network.route_services(self.control, self.plan, list(record.nodes))
            remove_groups(self.name, spec.name)
            self.folder.write(record)

    def forget_node(self, name: str) -> None:
        """Delete the Node object, as a cloud's node controller does when the instance is gone."""
        self.kubectl.run("delete", "node", name, "--ignore-not-found", "--wait=false")

    def image_stores(self) -> list[RealNode]:
        """The real nodes, as keepers of images."""
        return [self._real_node(node) for node in self.record().nodes]

    def remember_image(self, archive: ImageArchive) -> None:
        """Give an image to nodes that come later too."""
        write_image(self.folder, archive)

    def load(self, archive: ImageArchive) -> None:
        """Give an image to every real node."""
        load_image(self, archive)


def merged(known: ClusterRecord, wanted: ClusterRecord) -> ClusterRecord:
    """What is there, and what is wanted beside it: nodes are counted, parts are joined. Pure."""
    record = known.with_parts(frozenset(wanted.parts))
    for node in wanted.nodes[len(known.nodes) :]:
        number = record.next_number()
        record = record.with_node(replace(node, number=number))
    return record

"""A real node: a machine with containerd, kubelet and kube-proxy, and the pods that they run."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scenarios.errors import EnvironmentProblem
from serving_ref.cluster import node_config as config
from serving_ref.cluster.certificates import Authority, node_certificate
from serving_ref.cluster.cgroups import make_group, read_cgroup_host, remove_group
from serving_ref.cluster.control_config import api_server_url
from serving_ref.cluster.folders import write_changed
from serving_ref.cluster.host import may_raise_priority
from serving_ref.cluster.images import load_into
from serving_ref.cluster.ledger import Cgroup, Ledger
from serving_ref.cluster.network import connect_node
from serving_ref.cluster.processes import marked
from serving_ref.cluster.programs import cni_folder

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from serving_ref.cluster.addresses import AddressPlan
    from serving_ref.cluster.images import ImageArchive
    from serving_ref.cluster.machine import Machine
    from serving_ref.cluster.node_config import NodeSpec
    from serving_ref.cluster.record import ClusterFolder
    from serving_ref.cluster.tools import Toolbox

CONTAINERD_TIMEOUT_S = 30.0
NAMESPACE = "k8s.io"
"""Where the kubelet's images and containers are in containerd."""


def cluster_group(cluster: str) -> str:
    """The control group of all nodes of a cluster."""
    return f"baseload-{cluster}"


@dataclass(frozen=True, slots=True)
class RealNode:
    """One real node of a local cluster."""

    spec: NodeSpec
    machine: Machine
    folder: ClusterFolder
    plan: AddressPlan
    tools: Toolbox

    def start(
        self,
        control: Machine,
        authority: Authority,
        *,
        cluster: str,
        keep: Sequence[Path],
        images: Sequence[ImageArchive],
    ) -> None:
        """Switch it on and start what does not run. The first of `images` is the pause image."""
        self.make_groups(cluster)
        if not self.machine.is_on():
            self.machine.start(keep=keep)
            connect_node(control, self.machine, self.plan, self.spec)
        address = self.plan.node(self.spec.number)
        authority.issue(node_certificate(self.spec.name, str(address)))
        kubeconfig = authority.kubeconfig(self.spec.name, api_server_url(self.plan), cluster=cluster)
        self._start_containerd(images[0].reference)
        for image in images:
            load_into(self, image)
        kubelet = config.kubelet_config(
            self.plan, self.spec, pki=self.folder.pki, cgroup=f"{cluster_group(cluster)}/{self.spec.name}"
        )
        flags = config.kubelet_flags(
            self.spec, address, config=self._write("kubelet.json", json.dumps(kubelet)), kubeconfig=kubeconfig
        )
        self._start("kubelet", flags)
        proxy = config.proxy_config(
            self.plan, self.spec, kubeconfig=self.folder.pki / "kube-proxy.kubeconfig"
        )
        self._start("kube-proxy", [f"--config={self._write('kube-proxy.json', json.dumps(proxy))}"])

    def make_groups(self, cluster: str) -> None:
        """Make the control groups of its pods, entered into the ledger beforehand."""
        host, ledger = read_cgroup_host(), Ledger(self.folder.ledger)
        for group in (cluster_group(cluster), f"{cluster_group(cluster)}/{self.spec.name}"):
            for path in host.folders(group):
                ledger.write(Cgroup(str(path)))
            make_group(host, group)

    def _start_containerd(self, pause: str) -> None:
        plugins = cni_folder()
        assert plugins is not None, "the check of the machine comes first"
        text = config.containerd_config(
            pause=pause, cni_plugins=plugins, restrict_oom_score=not may_raise_priority()
        )
        file = self._write("containerd.toml", text)
        cni = json.dumps(config.cni_config(self.plan.pods_of(self.spec.number)))
        where = config.CNI_CONFIG
        self.machine.run(["sh", "-c", f"mkdir -p {where} && cat >{where}/10-baseload.conflist"], stdin=cni)
        self.machine.start_program("containerd", ["containerd", "--config", str(file)])
        self.machine.wait_for("containerd", self._containerd_answers, timeout_s=CONTAINERD_TIMEOUT_S)

    def _containerd_answers(self) -> bool:
        command = self.machine.enter(ctr("version"))
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def _start(self, program: str, flags: list[str]) -> None:
        self.machine.start_program(program, [str(self.tools.program("kubernetes", program)), *flags])

    def _write(self, name: str, text: str) -> Path:
        return write_changed(self.machine.folder / name, text)

    def image_blobs(self) -> frozenset[str]:
        """Digests of the blobs in its content store."""
        return frozenset(self.machine.run(ctr("content", "ls", "-q")).split())

    def import_image(self, write: Callable[[io.BufferedIOBase], None]) -> None:
        """Take in an OCI layout.

        Raises:
            EnvironmentProblem: containerd does not accept it.
        """
        process = subprocess.Popen(
            self.machine.enter(ctr("images", "import", "-")),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | marked(self.folder.root),
        )
        assert process.stdin is not None
        assert process.stderr is not None
        with contextlib.suppress(BrokenPipeError):  # its own words, below, say why
            write(process.stdin)  # type: ignore[arg-type]  # a pipe is written like any buffered file
            process.stdin.close()
        words = process.stderr.read().decode(errors="replace").strip()
        if process.wait() != 0:
            raise EnvironmentProblem(f"{self.spec.name} did not take an image: {words[-500:]}")


def ctr(*arguments: str) -> list[str]:
    """Speak to containerd, in its own words."""
    return ["ctr", "--address", config.CONTAINERD_SOCKET, "--namespace", NAMESPACE, *arguments]


def remove_groups(cluster: str, name: str) -> None:
    """Remove the control groups of a node that is off."""
    for path in read_cgroup_host().folders(f"{cluster_group(cluster)}/{name}"):
        remove_group(path)

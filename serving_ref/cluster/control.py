"""The control machine: etcd, API server, controllers, scheduler and DNS, in the order in which they need each other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from serving_ref.cluster import control_config as config
from serving_ref.cluster.certificates import Authority, control_certificates
from serving_ref.cluster.folders import write_changed

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving_ref.cluster.addresses import AddressPlan
    from serving_ref.cluster.kubectl import Kubectl
    from serving_ref.cluster.machine import Machine
    from serving_ref.cluster.record import ClusterFolder
    from serving_ref.cluster.tools import Toolbox

API_TIMEOUT_S = 120.0
KUBECONFIGS = ("admin", "controller-manager", "scheduler", "kube-proxy")


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """The control machine's programs."""

    machine: Machine
    folder: ClusterFolder
    plan: AddressPlan
    tools: Toolbox
    authority: Authority

    def start(self, kubectl: Kubectl, say: Callable[[str], None], *, cluster: str) -> None:
        """Start what does not run, and wait until the API server answers."""
        self._certify(cluster)
        pki = self.folder.pki
        etcd = self.tools.program("etcd", "etcd")
        data = self.machine.folder / "etcd"
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.machine.start_program("etcd", [str(etcd), *config.etcd_flags(data)])
        self._start("kube-apiserver", config.api_server_flags(self.plan, pki))
        say("waiting for the API server")
        self.machine.wait_for("kube-apiserver", kubectl.is_ready, timeout_s=API_TIMEOUT_S)
        self._start("kube-controller-manager", config.controller_manager_flags(pki))
        self._start("kube-scheduler", config.scheduler_flags(pki))
        self._start_dns(kubectl)

    def _certify(self, cluster: str) -> None:
        self.authority.make()
        for certificate in control_certificates(self.plan):
            self.authority.issue(certificate)
        for name in KUBECONFIGS:
            self.authority.kubeconfig(name, config.api_server_url(self.plan), cluster=cluster)

    def _start(self, program: str, flags: list[str]) -> None:
        self.machine.start_program(program, [str(self.tools.program("kubernetes", program)), *flags])

    def _start_dns(self, kubectl: Kubectl) -> None:
        file = self._write("Corefile", config.corefile(self.plan, self.folder.admin))
        coredns = self.tools.program("coredns", "coredns")
        self.machine.start_program("coredns", [str(coredns), "-conf", str(file)])
        service = config.host_service(
            "kube-dns", "kube-system", 53, self.plan, cluster_ip=str(self.plan.dns_service), udp=True
        )
        kubectl.apply(config.as_list(service))
        # Programs here ask for services by name, as they would in a pod.
        self.machine.cover(Path("/etc/resolv.conf"), self._write("resolv.conf", config.resolver(self.plan)))

    def _write(self, name: str, text: str) -> Path:
        self.folder.config.mkdir(exist_ok=True)
        return write_changed(self.folder.config / name, text)

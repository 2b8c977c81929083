"""What a cluster has beside Kubernetes itself, switched on by name: KWOK, Karpenter, KEDA, Prometheus and others.

All of them are programs of the control machine. So they need no images and no room on a node, they live on when a
node is interrupted, and what a load test measures on the nodes is the stack alone. Prometheus and Redis are reached
as Services (`prometheus.baseload-system:9090`, `redis.baseload-system:6379`), like managed ones in a cloud.
"""

from __future__ import annotations

import base64
import json
import shutil
import socket
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from scenarios.catalogue import load_catalogue
from serving_ref.cluster import control_config as config
from serving_ref.cluster.folders import write_changed
from serving_ref.cluster.instance_types import instance_types, zones_of
from serving_ref.cluster.kwok import kwok_config
from serving_ref.cluster.node_pools import node_class
from serving_ref.cluster.prometheus_config import PROMETHEUS_PORT, prometheus_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from serving_ref.cluster.addresses import AddressPlan
    from serving_ref.cluster.kubectl import Kubectl
    from serving_ref.cluster.machine import Machine
    from serving_ref.cluster.record import ClusterFolder
    from serving_ref.cluster.tools import Toolbox

SYSTEM = "baseload-system"
KEDA = "keda"
REDIS_PORT = 6379
KEDA_ADAPTER_PORT = 6444
KARPENTER_HEALTH_PORT = 8181
KWOK_PORT = 10247
KEDA_HEALTH_PORT = 8281
KEDA_GRPC = "127.0.0.1:9666"
EXTERNAL_METRICS_API = ("external.metrics.k8s.io", "v1beta1")
METRICS_API = ("metrics.k8s.io", "v1beta1")
METRICS_SERVER_PORT = 6445
METRICS_RESOLUTION = "15s"
"""What metrics-server's own manifest sets: how often it asks the kubelets."""
CRD_TIMEOUT = "60s"
READY_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of one local cluster."""

    control: Machine
    folder: ClusterFolder
    plan: AddressPlan
    tools: Toolbox
    kubectl: Kubectl
    region: str
    parts: tuple[str, ...]

    def start(self, say: Callable[[str], None]) -> None:
        """Start the parts that do not run."""
        starters = {
            "kwok": self._start_kwok,
            "karpenter": self._start_karpenter,
            "keda": self._start_keda,
            "prometheus": self._start_prometheus,
            "metrics-server": self._start_metrics_server,
            "redis": self._start_redis,
        }
        self.folder.config.mkdir(exist_ok=True)
        if {"prometheus", "redis"} & set(self.parts):
            self.kubectl.apply(config.as_list([config.namespace(SYSTEM)]))
        for part in self.parts:
            say(f"starting {part}")
            starters[part]()

    def _start_kwok(self) -> None:
        stages = sorted(self.tools.manifests("kwok").glob("*.yaml"))
        file = self._write("kwok.yaml", kwok_config(path.read_text() for path in stages))
        flags = [
            f"--kubeconfig={self.folder.admin}",
            f"--config={file}",
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
            f"--server-address={self.plan.control}:{KWOK_PORT}",
            f"--node-ip={self.plan.control}",
            f"--cidr={self.plan.simulated_pods}",
        ]
        self.control.start_program("kwok", [str(self.tools.program("kwok", "kwok")), *flags])

    def _start_karpenter(self) -> None:
        self._apply_definitions("karpenter")
        self.kubectl.apply(json.dumps(node_class()))
        types = instance_types(load_catalogue(), self.region, zones_of(self.region))
        environment = {
            "KUBECONFIG": str(self.folder.admin),
            "INSTANCE_TYPES_FILE_PATH": str(self._write("instance-types.json", json.dumps(types))),
            "DISABLE_LEADER_ELECTION": "true",
            "SYSTEM_NAMESPACE": "kube-system",
            "METRICS_PORT": "8180",
            "HEALTH_PROBE_PORT": str(KARPENTER_HEALTH_PORT),
        }
        program = self.tools.program("karpenter", "karpenter")
        self.control.start_program("karpenter", [str(program)], environment=environment)

    def _start_keda(self) -> None:
        self._apply_definitions("keda")
        certificates = self.folder.pki / "keda"
        certificates.mkdir(exist_ok=True, mode=0o700)
        for name, source in (("ca.crt", "ca.crt"), ("tls.crt", "keda.crt"), ("tls.key", "keda.key")):
            shutil.copy(self.folder.pki / source, certificates / name)
        environment = {
            "KUBECONFIG": str(self.folder.admin),
            "WATCH_NAMESPACE": "",
            "POD_NAMESPACE": KEDA,
            "KEDA_CLUSTER_OBJECT_NAMESPACE": KEDA,
            "POD_NAME": "keda-operator",
            "OPERATOR_NAME": "keda-operator",
        }
        service = config.host_service("keda-metrics-apiserver", KEDA, KEDA_ADAPTER_PORT, self.plan)
        api = self._aggregated(EXTERNAL_METRICS_API, service[0])
        self.kubectl.apply(config.as_list([config.namespace(KEDA), *service, api]))
        self.control.start_program(
            "keda-operator",
            [
                str(self.tools.program("keda", "keda-operator")),
                f"--cert-dir={certificates}",
                f"--metrics-service-bind-address={KEDA_GRPC}",
                "--metrics-bind-address=127.0.0.1:8280",
                f"--health-probe-bind-address={self.plan.control}:{KEDA_HEALTH_PORT}",
                "--zap-log-level=info",
            ],
            environment=environment,
        )
        admin = self.folder.admin
        self.control.start_program(
            "keda-adapter",
            [
                str(self.tools.program("keda", "keda-adapter")),
                f"--secure-port={KEDA_ADAPTER_PORT}",
                f"--authentication-kubeconfig={admin}",
                f"--authorization-kubeconfig={admin}",
                f"--lister-kubeconfig={admin}",
                f"--client-ca-file={certificates}/ca.crt",
                f"--tls-cert-file={certificates}/tls.crt",
                f"--tls-private-key-file={certificates}/tls.key",
                f"--cert-dir={certificates}",
                f"--metrics-service-address={KEDA_GRPC}",
                "--metrics-service-grpc-authority=localhost",
                "--port=8282",
            ],
            environment=environment,
        )

    def _start_metrics_server(self) -> None:
        """Asks the kubelets of real nodes: KWOK's have none."""
        name, pki, admin = "metrics-server", self.folder.pki, self.folder.admin
        service = config.host_service(name, "kube-system", METRICS_SERVER_PORT, self.plan)
        self.kubectl.apply(config.as_list([*service, self._aggregated(METRICS_API, service[0])]))
        flags = [
            f"--kubeconfig={admin}",
            f"--authentication-kubeconfig={admin}",
            f"--authorization-kubeconfig={admin}",
            f"--secure-port={METRICS_SERVER_PORT}",
            f"--tls-cert-file={pki}/{name}.crt",
            f"--tls-private-key-file={pki}/{name}.key",
            f"--kubelet-certificate-authority={pki}/ca.crt",
            f"--kubelet-client-certificate={pki}/kubelet-client.crt",
            f"--kubelet-client-key={pki}/kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP",
            f"--metric-resolution={METRICS_RESOLUTION}",
            "--node-selector=baseload.dev/node=real",
        ]
        self.control.start_program(name, [str(self.tools.program(name, name)), *flags])

    def _aggregated(self, api: tuple[str, str], service: dict[str, Any]) -> dict[str, Any]:
        """A group and version that the API server leaves to a program of the control machine."""
        group, version = api
        authority = (self.folder.pki / "ca.crt").read_bytes()
        (port,) = service["spec"]["ports"]
        return {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{version}.{group}"},
            "spec": {
                "group": group,
                "version": version,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "caBundle": base64.b64encode(authority).decode(),
                "service": {
                    "name": service["metadata"]["name"],
                    "namespace": service["metadata"]["namespace"],
                    "port": port["port"],
                },
            },
        }

    def _start_prometheus(self) -> None:
        data = self.control.folder / "prometheus"
        data.mkdir(parents=True, exist_ok=True)
        document = prometheus_config(self.plan, self.folder.admin, self.folder.pki, self.parts)
        file = self._write("prometheus.json", json.dumps(document, indent=2))
        self.control.start_program(
            "prometheus",
            [
                str(self.tools.program("prometheus", "prometheus")),
                f"--config.file={file}",
                f"--storage.tsdb.path={data}",
                "--storage.tsdb.retention.time=2d",
                f"--web.listen-address={self.plan.control}:{PROMETHEUS_PORT}",
                "--web.enable-lifecycle",
                "--log.level=warn",
            ],
        )
        self.kubectl.apply(
            config.as_list(config.host_service("prometheus", SYSTEM, PROMETHEUS_PORT, self.plan))
        )

    def _start_redis(self) -> None:
        flags = ["--bind", str(self.plan.control), "127.0.0.1", "--port", str(REDIS_PORT)]
        flags += ["--save", "", "--appendonly", "no", "--protected-mode", "no", "--daemonize", "no"]
        flags += ["--set-proc-title", "no"]  # the title would be written over the mark in its environment
        self.control.start_program("redis", ["redis-server", *flags])
        self.kubectl.apply(config.as_list(config.host_service("redis", SYSTEM, REDIS_PORT, self.plan)))

    def wait(self, say: Callable[[str], None]) -> None:
        """Wait until the parts answer."""
        if "keda" in self.parts:
            say("waiting for KEDA's metrics")
            self._wait_for("keda-operator", KEDA_HEALTH_PORT, "/readyz")
            self._wait_for_api("keda-adapter", EXTERNAL_METRICS_API)
        if "metrics-server" in self.parts:
            say("waiting for metrics-server's first readings")
            self._wait_for_api("metrics-server", METRICS_API)
        if "prometheus" in self.parts:
            self._wait_for("prometheus", PROMETHEUS_PORT, "/-/ready")
            # It may have run before, with other parts; only now is it sure to listen.
            reload = f"http://{self.plan.control}:{PROMETHEUS_PORT}/-/reload"
            urllib.request.urlopen(urllib.request.Request(reload, method="POST"), timeout=10).close()
        if "karpenter" in self.parts:
            self._wait_for("karpenter", KARPENTER_HEALTH_PORT, "/readyz")
        if "kwok" in self.parts:
            self._wait_for("kwok", KWOK_PORT, "/healthz")
        if "redis" in self.parts:
            self._wait_for("redis", REDIS_PORT)

    def _wait_for(self, program: str, port: int, path: str | None = None) -> None:
        address = str(self.plan.control)
        self.control.wait_for(
            program,
            lambda: accepts(address, port) if path is None else answers(f"http://{address}:{port}{path}"),
            timeout_s=READY_TIMEOUT_S,
        )

    def _apply_definitions(self, component: str) -> None:
        files = sorted(self.tools.manifests(component).glob("*_*.yaml"))
        self.kubectl.apply_files(files)
        self.kubectl.run(
            "wait",
            "--for=condition=Established",
            f"--timeout={CRD_TIMEOUT}",
            *(f"--filename={path}" for path in files),
        )

    def _wait_for_api(self, program: str, api: tuple[str, str]) -> None:
        group, version = api
        name = f"apiservice/{version}.{group}"
        self.control.wait_for(program, lambda: self._is_available(name), timeout_s=READY_TIMEOUT_S)

    def _is_available(self, name: str) -> bool:
        conditions = self.kubectl.get(name).get("status", {}).get("conditions", [])
        return any(each["type"] == "Available" and each["status"] == "True" for each in conditions)

    def _write(self, name: str, text: str) -> Path:
        return write_changed(self.folder.config / name, text)


def answers(url: str) -> bool:
    """Whether an address answers with status 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == HTTPStatus.OK)
    except OSError:
        return False


def accepts(address: str, port: int) -> bool:
    """Whether a port takes connections."""
    try:
        with socket.create_connection((address, port), timeout=2):
            return True
    except OSError:
        return False

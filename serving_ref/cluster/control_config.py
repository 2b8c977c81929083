"""What the control machine's programs are told: pure functions from the cluster's plan to command lines and files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from serving_ref.cluster.certificates import CLUSTER_DOMAIN

if TYPE_CHECKING:
    from pathlib import Path

    from serving_ref.cluster.addresses import AddressPlan

API_PORT = 6443
ETCD = "http://127.0.0.1:2379"
QUICK_CLIENT = ("--kube-api-qps=200", "--kube-api-burst=400")
"""Three hundred pods at once are no burst for a test of fleets; the default of 20 requests/s would be its limit."""
ETCD_PEER = "http://127.0.0.1:2380"


def api_server_url(plan: AddressPlan) -> str:
    """Where everybody finds the API server: this machine, the nodes, and pods by way of the service."""
    return f"https://{plan.control}:{API_PORT}"


def etcd_flags(data: Path) -> list[str]:
    """Nothing is synced to disk: this database does not outlive the machine, and syncing makes it slow."""
    return [
        f"--data-dir={data}",
        f"--listen-client-urls={ETCD}",
        f"--advertise-client-urls={ETCD}",
        f"--listen-peer-urls={ETCD_PEER}",
        f"--initial-advertise-peer-urls={ETCD_PEER}",
        f"--initial-cluster=default={ETCD_PEER}",
        "--unsafe-no-fsync",
    ]


def api_server_flags(plan: AddressPlan, pki: Path) -> list[str]:
    """Aggregated APIs (KEDA's metrics) are reached at their endpoints, because no kube-proxy runs here."""
    return [
        f"--etcd-servers={ETCD}",
        "--bind-address=0.0.0.0",
        f"--advertise-address={plan.control}",
        f"--secure-port={API_PORT}",
        f"--service-cluster-ip-range={plan.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={pki}/service-accounts.pub",
        f"--service-account-signing-key-file={pki}/service-accounts.key",
        f"--service-account-issuer=https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        "--enable-aggregator-routing=true",
    ]


def controller_manager_flags(pki: Path) -> list[str]:
    """Its defaults: the HPA looks every 15 s, and a node that is silent for 50 s is not ready."""
    config = f"{pki}/controller-manager.kubeconfig"
    return [
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        f"--root-ca-file={pki}/ca.crt",
        f"--service-account-private-key-file={pki}/service-accounts.key",
        "--use-service-account-credentials",
        *QUICK_CLIENT,
    ]


def scheduler_flags(pki: Path) -> list[str]:
    """The scheduler with its defaults, but for how often it may speak."""
    config = f"{pki}/scheduler.kubeconfig"
    return [
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        *QUICK_CLIENT,
    ]


def corefile(plan: AddressPlan, kubeconfig: Path) -> str:
    """CoreDNS answers for the cluster and for nothing else: pods here cannot reach the outside anyway.

    Our CoreDNS (tools/coredns/main.go) asks `kubernetes` before `template`; the usual one does it the other way round.
    """
    return f"""\
.:53 {{
    bind {plan.control}
    errors
    health 127.0.0.1:8054
    ready 127.0.0.1:8055
    kubernetes {CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
        pods insecure
        ttl 5
    }}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


def resolver(plan: AddressPlan) -> str:
    """resolv.conf(5) of the control machine: as pods have it, without a namespace, and asking CoreDNS itself."""
    return f"nameserver {plan.control}\nsearch svc.{CLUSTER_DOMAIN} {CLUSTER_DOMAIN}\noptions ndots:5\n"


def host_service(
    name: str, namespace: str, port: int, plan: AddressPlan, *, cluster_ip: str = "", udp: bool = False
) -> list[dict[str, object]]:
    """A Service whose one endpoint is a program of the control machine, at the port of the same number."""
    ports = [{"name": f"{name}-tcp", "port": port, "protocol": "TCP"}]
    if udp:
        ports.append({"name": f"{name}-udp", "port": port, "protocol": "UDP"})
    service: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"ports": ports, **({"clusterIP": cluster_ip} if cluster_ip else {})},
    }
    endpoints: dict[str, object] = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{name}-control",
            "namespace": namespace,
            "labels": {
                "kubernetes.io/service-name": name,
                "endpointslice.kubernetes.io/managed-by": "baseload",
            },
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [str(plan.control)], "conditions": {"ready": True}}],
    }
    return [service, endpoints]


def namespace(name: str) -> dict[str, object]:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def as_list(objects: list[dict[str, object]]) -> str:
    """One document for `kubectl apply -f -`."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})

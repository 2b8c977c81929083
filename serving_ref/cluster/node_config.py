"""What a real node's programs are told: pure functions from the cluster's plan to files and command lines.

A node sees its own /run, /var and /tmp (see `machine.py`), so these paths are the ones of any Kubernetes node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serving_ref.cluster.certificates import CLUSTER_DOMAIN

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv4Network
    from pathlib import Path

    from serving_ref.cluster.addresses import AddressPlan

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
CNI_CONFIG = "/run/baseload/cni"
"""Not /etc, which a node shares with this machine."""
CAPACITY_TYPES = ("on-demand", "spot", "reserved")


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A real node: its number in the cluster, and what it says it is."""

    number: int
    instance_type: str
    zone: str
    capacity_type: str = "on-demand"

    @property
    def name(self) -> str:
        """Such as `node-1`."""
        return f"node-{self.number}"

    @property
    def labels(self) -> dict[str, str]:
        """As a cloud's node controller and Karpenter set them."""
        return {
            "node.kubernetes.io/instance-type": self.instance_type,
            "topology.kubernetes.io/region": self.zone.rstrip("abcdef"),
            "topology.kubernetes.io/zone": self.zone,
            "karpenter.sh/capacity-type": self.capacity_type,
            "baseload.dev/node": "real",
        }


def containerd_config(*, pause: str, cni_plugins: Path, restrict_oom_score: bool) -> str:
    """`restrict_oom_score`: without CAP_SYS_RESOURCE no process may be made less killable than we are.

    No AppArmor: the profile that containerd loads for pods belongs to the whole machine, and would stay after `down`.
    """
    return f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
imports = []

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  restrict_oom_score_adj = {str(restrict_oom_score).lower()}
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_plugins}"
    conf_dir = "{CNI_CONFIG}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd-opt"
"""


def cni_config(pods: IPv4Network) -> dict[str, Any]:
    """Pods hang on a bridge within their node; everything else is routed, nothing is translated."""
    ipam = {
        "type": "host-local",
        "dataDir": "/run/baseload/addresses",
        "ranges": [[{"subnet": str(pods)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": False, "hairpinMode": True}
    return {
        "cniVersion": "1.0.0",
        "name": "baseload",
        "plugins": [{**bridge, "ipam": ipam}, {"type": "portmap", "capabilities": {"portMappings": True}}],
    }


def kubelet_config(plan: AddressPlan, node: NodeSpec, *, pki: Path, cgroup: str) -> dict[str, Any]:
    """Reserve nothing, evict late: a node has the whole machine, and shares it with the other nodes."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{pki}/{node.name}.crt",
        "tlsPrivateKeyFile": f"{pki}/{node.name}.key",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDomain": CLUSTER_DOMAIN,
        "clusterDNS": [str(plan.dns_service)],
        "resolvConf": "",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 99,
        "imageGCLowThresholdPercent": 98,
        "nodeStatusUpdateFrequency": "4s",
        "registerWithTaints": [],
        "shutdownGracePeriod": "0s",
        "serializeImagePulls": False,
    }


def kubelet_flags(node: NodeSpec, address: IPv4Address, *, config: Path, kubeconfig: Path) -> list[str]:
    """What the configuration file has no field for."""
    labels = ",".join(f"{key}={value}" for key, value in sorted(node.labels.items()))
    return [
        f"--config={config}",
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={node.name}",
        f"--node-ip={address}",
        f"--node-labels={labels}",
        "--root-dir=/var/lib/kubelet",
        "--cert-dir=/var/lib/kubelet/pki",
    ]


def proxy_config(plan: AddressPlan, node: NodeSpec, *, kubeconfig: Path) -> dict[str, Any]:
    """The size of the connection table belongs to the whole machine and is left alone.

    So are its timeouts (0): their settings come with the module nf_conntrack, which on a fresh machine is loaded by
    the first rule that needs it, after kube-proxy has failed to set them and ended.
    """
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "hostnameOverride": node.name,
        "clusterCIDR": str(plan.pods),
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
        "iptables": {"minSyncPeriod": "0.1s"},
    }

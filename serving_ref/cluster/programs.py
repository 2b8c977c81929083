"""The programs a cluster is made of: which distribution package has them, which Go module they are built from."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"), Path("/usr/libexec/cni"))
"""Where distributions keep the network plug-ins; Debian's comes first."""
CNI_PLUGINS = ("bridge", "host-local", "loopback", "portmap")
EXTRA_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where programs for root lie, which the PATH of some shells leaves out."""


@dataclass(frozen=True, slots=True)
class SystemProgram:
    """A program that comes with the distribution."""

    name: str
    package: str
    """Debian's and Ubuntu's name of its package."""


SYSTEM_PROGRAMS = (
    SystemProgram("containerd", "containerd"),
    SystemProgram("ctr", "containerd"),
    SystemProgram("runc", "runc"),
    SystemProgram("iptables", "iptables"),
    SystemProgram("ip", "iproute2"),
    SystemProgram("mount", "mount"),
    SystemProgram("unshare", "util-linux"),
    SystemProgram("nsenter", "util-linux"),
    SystemProgram("openssl", "openssl"),
    SystemProgram("catatonit", "catatonit"),
)
"""What every local cluster needs."""

PART_PROGRAMS = {
    "redis": (SystemProgram("redis-server", "redis-server"),),
}
"""What a part needs beside them."""


def find_program(name: str) -> Path | None:
    """Where a program lies; root's folders are looked at whatever PATH says."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *EXTRA_PATH])
    found = shutil.which(name, path=path)
    return Path(found) if found else None


def cni_folder() -> Path | None:
    """The folder that has the network plug-ins, or None."""
    for folder in CNI_FOLDERS:
        if all((folder / plugin).exists() for plugin in CNI_PLUGINS):
            return folder
    return None


@dataclass(frozen=True, slots=True)
class Component:
    """Go programs that are built together: a folder of `tools/` with its go.mod and go.sum."""

    name: str
    module: str
    """The module whose version is the component's version."""
    packages: dict[str, str]
    """Program → the Go package it is built from; `.` is a main.go beside the go.mod."""
    version_variable: str | None = None
    """The Go variable that is told the version: a build from the module proxy does not know it by itself."""
    tags: tuple[str, ...] = ()
    """Build tags."""
    manifests: tuple[str, ...] = ()
    """Folders and files of the module that hold Kubernetes objects which go with the programs."""


def _kubernetes(*names: str) -> dict[str, str]:
    return {name: f"k8s.io/kubernetes/cmd/{name}" for name in names}


COMPONENTS = (
    Component("etcd", "go.etcd.io/etcd/server/v3", {"etcd": "go.etcd.io/etcd/server/v3"}),
    Component(
        "kubernetes",
        "k8s.io/kubernetes",
        _kubernetes(
            "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"
        ),
        "k8s.io/component-base/version.gitVersion",
    ),
    Component("coredns", "github.com/coredns/coredns", {"coredns": "."}),
    Component(
        "kwok",
        "sigs.k8s.io/kwok",
        {"kwok": "sigs.k8s.io/kwok/cmd/kwok"},
        manifests=(
            "kustomize/stage/node/fast/node-initialize.yaml",
            "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
            "kustomize/stage/pod/fast/pod-ready.yaml",
            "kustomize/stage/pod/fast/pod-complete.yaml",
            "kustomize/stage/pod/fast/pod-delete.yaml",
        ),
    ),
    Component(
        "karpenter",
        "sigs.k8s.io/karpenter",
        {"karpenter": "sigs.k8s.io/karpenter/kwok"},
        "sigs.k8s.io/karpenter/pkg/operator.Version",
        manifests=("pkg/apis/crds", "kwok/apis/crds"),
    ),
    # Debian's Prometheus cannot discover pods, and the whole one brings the libraries of twenty clouds.
    Component(
        "prometheus",
        "github.com/prometheus/prometheus",
        {"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"},
        "github.com/prometheus/common/version.Version",
        tags=("remove_all_sd", "enable_kubernetes_sd"),
    ),
    Component(
        "metrics-server",
        "sigs.k8s.io/metrics-server",
        {"metrics-server": "sigs.k8s.io/metrics-server/cmd/metrics-server"},
        "k8s.io/client-go/pkg/version.gitVersion",
    ),
    Component(
        "keda",
        "github.com/kedacore/keda/v2",
        {
            "keda-operator": "github.com/kedacore/keda/v2/cmd/operator",
            "keda-adapter": "github.com/kedacore/keda/v2/cmd/adapter",
        },
        "github.com/kedacore/keda/v2/version.Version",
        manifests=("config/crd/bases",),
    ),
)
COMPONENTS_BY_NAME = {component.name: component for component in COMPONENTS}

ALWAYS = ("etcd", "kubernetes", "coredns")
PART_COMPONENTS = {
    "kwok": ("kwok",),
    "karpenter": ("kwok", "karpenter"),
    "keda": ("prometheus", "keda"),
    "prometheus": ("prometheus",),
    "metrics-server": ("metrics-server",),
}
"""What a part needs beside them; Karpenter's nodes are KWOK's."""


def components_for(parts: frozenset[str]) -> list[Component]:
    """The components that a cluster with these parts needs, in the order they are built."""
    names = {*ALWAYS, *(name for part in parts for name in PART_COMPONENTS.get(part, ()))}
    return [component for component in COMPONENTS if component.name in names]

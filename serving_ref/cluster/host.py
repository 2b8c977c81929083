"""Whether this machine can run a local cluster: what is missing, and what to do about it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.errors import EnvironmentProblem
from serving_ref.cluster.cgroups import read_cgroup_host
from serving_ref.cluster.programs import (
    PART_PROGRAMS,
    SYSTEM_PROGRAMS,
    cni_folder,
    find_program,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

KERNEL_FILES = {
    "/proc/self/ns/net": "network namespaces (CONFIG_NET_NS)",
    "/proc/self/ns/pid": "process namespaces (CONFIG_PID_NS)",
    "/proc/sys/net/ipv4/ip_forward": "IPv4 (CONFIG_INET)",
    "/proc/sys/net/bridge/bridge-nf-call-iptables": "packet filters on bridges: modprobe br_netfilter",
}
FILE_SYSTEMS = ("overlay", "tmpfs", "proc")
CAP_SYS_RESOURCE = 24

SYSCTLS = {
    "/proc/sys/vm/overcommit_memory": "1",
    "/proc/sys/vm/panic_on_oom": "0",
    "/proc/sys/kernel/panic": "10",
    "/proc/sys/kernel/panic_on_oops": "1",
    "/proc/sys/kernel/keys/root_maxkeys": "1000000",
    "/proc/sys/kernel/keys/root_maxbytes": "25000000",
}
"""What every kubelet sets when it starts (setupKernelTunables in pkg/kubelet/cm, 1.35). It belongs to the whole
machine, so we set it before the kubelet does, with the old values in the ledger."""
ENOUGH_INOTIFY = {
    "/proc/sys/fs/inotify/max_user_instances": 1024,
    "/proc/sys/fs/inotify/max_user_watches": 524_288,
}
"""One root user owns the watches of all nodes together; a distribution's 128 instances are soon used up."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What was found on this machine."""

    is_root: bool
    missing_packages: tuple[str, ...]
    missing_features: tuple[str, ...]
    linux: bool = True


def read_host_facts(parts: frozenset[str] = frozenset()) -> HostFacts:
    """Look at this machine, for a cluster with these parts."""
    if not Path("/proc/self/ns").exists():
        return HostFacts(os.geteuid() == 0, (), (), linux=False)
    wanted = [
        *SYSTEM_PROGRAMS,
        *(program for part in sorted(parts) for program in PART_PROGRAMS.get(part, ())),
    ]
    packages = [program.package for program in wanted if find_program(program.name) is None]
    if cni_folder() is None:
        packages.append("containernetworking-plugins")
    features = [words for file, words in KERNEL_FILES.items() if not Path(file).exists()]
    known = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}
    features += [f"the file system {name}: modprobe {name}" for name in FILE_SYSTEMS if name not in known]
    features += [f"the control group controller {name}" for name in read_cgroup_host().missing()]
    return HostFacts(os.geteuid() == 0, tuple(dict.fromkeys(packages)), tuple(features))


def complaint(facts: HostFacts) -> str | None:
    """What stands against a cluster here and what to do, or None. Pure."""
    if not facts.linux:
        return "a local cluster needs Linux; elsewhere use kind, or name a cluster you have with --context"
    if not facts.is_root:
        return (
            "a local cluster needs root, for network namespaces and control groups: run the command with sudo, "
            "use kind (install it and Docker), or name a cluster you have with --context"
        )
    lines = []
    if facts.missing_packages:
        names = " ".join(facts.missing_packages)
        lines.append(f"programs are missing: apt-get install {names} (or what your distribution calls them)")
    lines += [f"the kernel lacks {feature}" for feature in facts.missing_features]
    return "; ".join(lines) or None


def check_host(parts: frozenset[str]) -> None:
    """Raise EnvironmentProblem, with what to do, unless this machine can run a cluster with these parts."""
    words = complaint(read_host_facts(parts))
    if words is not None:
        raise EnvironmentProblem(words)


def wanted_sysctls(read: Mapping[str, str]) -> dict[str, str]:
    """Of the settings as read (path → value), those to change and to what. Pure."""
    changes = {path: value for path, value in SYSCTLS.items() if path in read and read[path] != value}
    for path, enough in ENOUGH_INOTIFY.items():
        if path in read and int(read[path]) < enough:
            changes[path] = str(enough)
    return changes


def read_sysctls() -> dict[str, str]:
    """The present values of the settings that a cluster may change."""
    paths = [Path(name) for name in (*SYSCTLS, *ENOUGH_INOTIFY)]
    return {str(path): path.read_text().strip() for path in paths if path.exists()}


def may_raise_priority() -> bool:
    """Whether we may make a process less killable (CAP_SYS_RESOURCE); containers often may not."""
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split()[0], 16)
    return bool(effective >> CAP_SYS_RESOURCE & 1)

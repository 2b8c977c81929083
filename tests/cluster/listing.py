"""What a machine is, as far as a cluster could change it: listed before and after, and compared."""

import os
import re
import subprocess
from pathlib import Path

PROGRAMS = {
    "catatonit",
    "containerd",
    "containerd-shim-runc-v2",
    "coredns",
    "etcd",
    "karpenter",
    "keda-adapter",
    "keda-operator",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubelet",
    "kwok",
    "nsenter",
    "runc",
    "unshare",
}
VOLATILE = re.compile(
    r"/(random|pty|quota|dentry-state|inode-nr|inode-state|file-nr|aio-nr|ns_last_pid|nf_conntrack_count|cad_pid|"
    r"nr_hugepages\w*|usermodehelper|lost\w*|drop_caches|flush|stat_refresh|loadavg)(/|$)"
)
"""Settings that count what happens, or that differ from one read to the next."""
OUR_GROUPS = re.compile(r"baseload|kubepods|k8s\.io|cri-containerd")
"""Names under which a cluster makes control groups; those of sessions and commands come and go meanwhile."""
FOLDERS = ("/etc", "/opt", "/run", "/run/netns", "/var/lib", "/var/log", "/var/run/netns")


def output(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout


def processes():
    """Programs of a cluster, and whatever lives in namespaces of its own or has a cluster's mark."""
    own = Path("/proc/self/ns/pid").readlink()
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            marked = b"BASELOAD_CLUSTER=" in (path / "environ").read_bytes()
            elsewhere = (path / "ns" / "pid").readlink() != own
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        name = os.path.basename(words[0]).decode()  # noqa: PTH119 - words of a command line, not a path
        if state not in "ZX" and (marked or elsewhere or name in PROGRAMS):
            found.add((int(path.name), name))
    return found


def filter_rules():
    """Packet filter rules without their counters."""
    text = "".join(output(command) for command in ("iptables-save", "ip6tables-save"))
    return re.sub(r"\[\d+:\d+\]|^#.*$", "", text, flags=re.MULTILINE)


def sysctls():
    """Every readable setting of the kernel but those that count."""
    found = {}
    for folder, _, names in os.walk("/proc/sys"):
        for name in names:
            path = Path(folder, name)
            if not VOLATILE.search(str(path)):
                try:
                    found[str(path)] = path.read_text()
                except OSError:
                    continue
    return found


def machine():
    """Everything, by its kind."""
    return {
        "processes": processes(),
        "mounts": {
            tuple(line.split()[3:5]) for line in Path("/proc/self/mountinfo").read_text().splitlines()
        },
        "links": set(os.listdir("/sys/class/net")),  # noqa: PTH208 - names, not paths
        "addresses": set(re.findall(r"inet6? (\S+)", output("ip", "address"))),
        "routes": set(output("ip", "route", "show", "table", "all").splitlines()),
        "network namespaces": set(output("ip", "netns", "list").split()),
        "rules": filter_rules(),
        "control groups": {folder for folder, _, _ in os.walk("/sys/fs/cgroup") if OUR_GROUPS.search(folder)},
        "settings": sysctls(),
        "folders": {str(path) for folder in FOLDERS for path in Path(folder).glob("*")},
    }


def difference(before, after):
    """Kind → what came and what went; empty where nothing did."""
    found = {}
    for kind, there in before.items():
        now = after[kind]
        if kind == "settings":
            # A link has settings of its own, and is listed among the links.
            changed = {
                path: (there[path], now[path])
                for path in there.keys() & now.keys()
                if there[path] != now[path]
            }
            if changed:
                found[kind] = changed
        elif there != now:
            found[kind] = (there, now) if isinstance(there, str) else (now - there, there - now)
    return found

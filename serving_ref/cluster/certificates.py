"""Who may speak to whom: one authority for the cluster, and a certificate for each of its parts."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scenarios.errors import EnvironmentProblem
from serving_ref.cluster.folders import write_changed

if TYPE_CHECKING:
    from pathlib import Path

    from serving_ref.cluster.addresses import AddressPlan

DAYS = 365
CLUSTER_DOMAIN = "cluster.local"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says. Kubernetes reads the user from the common name, groups from organisations."""

    file: str
    common_name: str
    organisation: str = ""
    names: tuple[str, ...] = ()
    """As in a subjectAltName: `DNS:kubernetes`, `IP:198.18.0.1`."""

    @property
    def subject(self) -> str:
        """As openssl reads it."""
        return f"{f'/O={self.organisation}' if self.organisation else ''}/CN={self.common_name}"


def control_certificates(plan: AddressPlan) -> list[Certificate]:
    """The certificates of the control machine's programs, and of the person."""
    service = "kubernetes.default.svc"
    api_names = ("kubernetes", "kubernetes.default", service, f"{service}.{CLUSTER_DOMAIN}", "localhost")
    api_addresses = (str(plan.control), str(plan.api_service), "127.0.0.1")
    keda = ("keda-operator.keda.svc", "keda-metrics-apiserver.keda.svc", "localhost")
    return [
        Certificate(
            "apiserver",
            "kube-apiserver",
            names=(*(f"DNS:{name}" for name in api_names), *(f"IP:{address}" for address in api_addresses)),
        ),
        Certificate("kubelet-client", "apiserver-kubelet-client", "system:masters"),
        Certificate("front-proxy", "front-proxy-client"),
        Certificate("admin", "admin", "system:masters"),
        Certificate("controller-manager", "system:kube-controller-manager"),
        Certificate("scheduler", "system:kube-scheduler"),
        Certificate("kube-proxy", "system:kube-proxy"),
        Certificate("keda", "keda", "system:masters", tuple(f"DNS:{name}" for name in keda)),
        Certificate("metrics-server", "metrics-server", names=("DNS:metrics-server.kube-system.svc",)),
    ]


def node_certificate(name: str, address: str) -> Certificate:
    """A kubelet's: its user and group are what the node authoriser looks at."""
    return Certificate(name, f"system:node:{name}", "system:nodes", (f"DNS:{name}", f"IP:{address}"))


class Authority:
    """The certificates' folder. What is there is kept, so `up` can be called again."""

    def __init__(self, folder: Path, openssl: Path) -> None:
        self.folder = folder
        self._openssl = str(openssl)

    @property
    def certificate(self) -> Path:
        """The authority's own certificate."""
        return self.folder / "ca.crt"

    @property
    def _key(self) -> Path:
        return self.folder / "ca.key"

    def make(self) -> None:
        """Make the authority and the key that signs service account tokens."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self.certificate.exists():
            self._new(self._key, self.certificate, "/CN=baseload-cluster", [])
        if not (self.folder / "service-accounts.pub").exists():
            key = str(self.folder / "service-accounts.key")
            self._run(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key])
            self._run(["pkey", "-in", key, "-pubout", "-out", str(self.folder / "service-accounts.pub")])

    def issue(self, certificate: Certificate) -> None:
        """Make `<file>.key` and `<file>.crt`."""
        key, file = self.folder / f"{certificate.file}.key", self.folder / f"{certificate.file}.crt"
        if file.exists():
            return
        extensions = ["extendedKeyUsage=serverAuth,clientAuth", "basicConstraints=critical,CA:FALSE"]
        if certificate.names:
            extensions.append(f"subjectAltName={','.join(certificate.names)}")
        signed = ["-CA", str(self.certificate), "-CAkey", str(self._key)]
        for extension in extensions:
            signed += ["-addext", extension]
        self._new(key, file, certificate.subject, signed)

    def _new(self, key: Path, certificate: Path, subject: str, more: list[str]) -> None:
        half = certificate.with_suffix(".new")
        command = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        command += ["-days", str(DAYS), "-subj", subject, "-keyout", str(key), "-out", str(half), *more]
        self._run(command)
        half.rename(certificate)

    def _run(self, arguments: list[str]) -> None:
        done = subprocess.run([self._openssl, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise EnvironmentProblem(f"openssl {arguments[0]} failed:\n{done.stderr.strip()[-500:]}")

    def kubeconfig(self, certificate: str, server: str, *, cluster: str) -> Path:
        """Write `<certificate>.kubeconfig`, which names files of this folder, and return its path."""
        path = self.folder / f"{certificate}.kubeconfig"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": cluster,
                    "cluster": {"server": server, "certificate-authority": str(self.certificate)},
                }
            ],
            "users": [
                {
                    "name": certificate,
                    "user": {
                        "client-certificate": str(self.folder / f"{certificate}.crt"),
                        "client-key": str(self.folder / f"{certificate}.key"),
                    },
                }
            ],
            "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": certificate}}],
            "current-context": cluster,
        }
        write_changed(path, json.dumps(document, indent=2))
        path.chmod(0o600)
        return path

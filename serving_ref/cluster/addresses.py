"""Which address is whose. Everything lies in 198.18.0.0/15, which is set aside for benchmarks (RFC 2544)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

NETWORK = IPv4Network("198.18.0.0/16")
MAX_NODES = 64


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """The addresses of one cluster: a /16, cut up once and for all.

    Everything on the bridge is in the first /24; node n has .(10 + n) there and a /24 of its own for pods.
    """

    network: IPv4Network = NETWORK

    def __post_init__(self) -> None:
        if self.network.prefixlen != 16:
            raise ValueError(f"expected a /16, found {self.network}")

    def _part(self, third: int, prefix: int) -> IPv4Network:
        return IPv4Network((int(self.network.network_address) + (third << 8), prefix))

    @property
    def machines(self) -> IPv4Network:
        """The bridge's network: the control machine, the host and every real node."""
        return self._part(0, 24)

    @property
    def control(self) -> IPv4Address:
        """The control machine: API server, DNS, Prometheus, Redis; also the router between pods."""
        return self.machines[1]

    @property
    def host(self) -> IPv4Address:
        """This machine's own end of the link to the cluster."""
        return self.machines[254]

    def node(self, number: int) -> IPv4Address:
        """Address of real node 1, 2, …"""
        return self.machines[10 + _checked(number)]

    def pods_of(self, number: int) -> IPv4Network:
        """The pods of real node 1, 2, …"""
        return self._part(64 + _checked(number) - 1, 24)

    @property
    def pods(self) -> IPv4Network:
        """All pods of real nodes."""
        return self._part(64, 18)

    @property
    def services(self) -> IPv4Network:
        """Cluster IPs of Services."""
        return self._part(240, 20)

    @property
    def api_service(self) -> IPv4Address:
        """`kubernetes.default`: the first address of the range, by convention of the API server."""
        return self.services[1]

    @property
    def dns_service(self) -> IPv4Address:
        """`kube-dns.kube-system`: the tenth, by common convention."""
        return self.services[10]

    @property
    def simulated_pods(self) -> IPv4Network:
        """What KWOK writes into the status of pods that do not run; nothing is ever sent there."""
        return self._part(192, 20)


def _checked(number: int) -> int:
    if not 1 <= number <= MAX_NODES:
        raise ValueError(f"expected a node number from 1 to {MAX_NODES}, found {number}")
    return number

"""What the programs are told, as they would read it."""

import json
import tomllib
from pathlib import Path

import pytest

from serving_ref.cluster import control_config, node_config
from serving_ref.cluster.addresses import AddressPlan
from serving_ref.cluster.certificates import control_certificates, node_certificate
from serving_ref.cluster.kind import kind_config
from serving_ref.cluster.machine import setup_script
from serving_ref.cluster.network import conflict, hardware_address
from serving_ref.cluster.node_config import NodeSpec
from serving_ref.cluster.prometheus_config import prometheus_config

PLAN = AddressPlan()
PKI = Path("/state/pki")
NODE = NodeSpec(2, "g5.xlarge", "us-east-1b", "spot")


def flags(lines):
    return dict(line.removeprefix("--").partition("=")[::2] for line in lines)


def test_nodes_say_what_a_cloud_s_nodes_say():
    assert NODE.labels == {
        "node.kubernetes.io/instance-type": "g5.xlarge",
        "topology.kubernetes.io/region": "us-east-1",
        "topology.kubernetes.io/zone": "us-east-1b",
        "karpenter.sh/capacity-type": "spot",
        "baseload.dev/node": "real",
    }


def test_the_api_server_s_certificate_is_good_for_every_name_it_is_called_by():
    server = next(each for each in control_certificates(PLAN) if each.file == "apiserver")
    assert {f"IP:{PLAN.control}", f"IP:{PLAN.api_service}", "DNS:kubernetes.default.svc"} <= set(server.names)
    told = flags(control_config.api_server_flags(PLAN, PKI))
    assert told["service-cluster-ip-range"] == str(PLAN.services)
    assert told["kubelet-preferred-address-types"] == "InternalIP"
    assert told["enable-aggregator-routing"] == "true"


def test_every_file_of_keys_that_is_named_is_made():
    made = {each.file for each in control_certificates(PLAN)} | {"ca", "service-accounts"}
    lines = [
        *control_config.api_server_flags(PLAN, PKI),
        *control_config.controller_manager_flags(PKI),
        *control_config.scheduler_flags(PKI),
    ]
    named = {Path(line.partition("=")[2]).stem for line in lines if f"={PKI}/" in line}
    assert named <= made


def test_a_node_is_known_to_the_node_authoriser_by_its_certificate():
    certificate = node_certificate("node-2", "198.18.0.12")
    assert certificate.subject == "/O=system:nodes/CN=system:node:node-2"
    assert certificate.names == ("DNS:node-2", "IP:198.18.0.12")


@pytest.mark.parametrize("restricted", [True, False])
def test_containerd_s_file_is_toml_with_the_pause_image(restricted):
    text = node_config.containerd_config(
        pause="baseload.local/pause:1", cni_plugins=Path("/usr/lib/cni"), restrict_oom_score=restricted
    )
    cri = tomllib.loads(text)["plugins"]["io.containerd.grpc.v1.cri"]
    assert cri["sandbox_image"] == "baseload.local/pause:1"
    assert cri["restrict_oom_score_adj"] is restricted
    assert cri["disable_apparmor"] is True
    assert cri["cni"] == {"bin_dir": "/usr/lib/cni", "conf_dir": node_config.CNI_CONFIG}


def test_pods_get_addresses_of_their_node_and_nothing_is_translated():
    bridge, _ = node_config.cni_config(PLAN.pods_of(2))["plugins"]
    assert bridge["ipam"]["ranges"] == [[{"subnet": str(PLAN.pods_of(2))}]]
    assert bridge["ipMasq"] is False


def test_the_kubelet_runs_on_old_control_groups_under_its_own_group():
    document = node_config.kubelet_config(PLAN, NODE, pki=PKI, cgroup="baseload-x/node-2")
    assert json.loads(json.dumps(document)) == document
    assert document["failCgroupV1"] is False
    assert document["cgroupRoot"] == "/baseload-x/node-2"
    assert document["clusterDNS"] == [str(PLAN.dns_service)]
    told = flags(
        node_config.kubelet_flags(
            NODE, PLAN.node(2), config=Path("/c"), kubeconfig=Path("/state/node-2.kubeconfig")
        )
    )
    assert told["hostname-override"] == "node-2"
    assert told["node-ip"] == "198.18.0.12"
    assert "karpenter.sh/capacity-type=spot" in told["node-labels"].split(",")


def test_kube_proxy_leaves_the_machine_s_connection_table_alone():
    document = node_config.proxy_config(PLAN, NODE, kubeconfig=Path("/k"))
    assert document["conntrack"] == {
        "maxPerCore": 0,
        "min": 0,
        "tcpEstablishedTimeout": "0s",
        "tcpCloseWaitTimeout": "0s",
    }
    assert document["clusterCIDR"] == str(PLAN.pods)


def test_the_bridge_s_hardware_address_is_its_own_and_no_group_s():
    first, *rest = hardware_address(PLAN.control).split(":")
    assert int(first, 16) & 0b11 == 0b10  # locally administered, one receiver
    assert rest == ["00", "c6", "12", "00", "01"]


def test_a_host_service_leads_to_the_control_machine():
    service, endpoints = control_config.host_service("redis", "baseload-system", 6379, PLAN)
    assert endpoints["metadata"]["labels"]["kubernetes.io/service-name"] == service["metadata"]["name"]
    assert endpoints["endpoints"][0]["addresses"] == [str(PLAN.control)]
    assert [port["port"] for port in service["spec"]["ports"]] == [6379]


def test_dns_is_asked_by_udp_and_tcp_at_its_usual_address():
    service, endpoints = control_config.host_service(
        "kube-dns", "kube-system", 53, PLAN, cluster_ip=str(PLAN.dns_service), udp=True
    )
    assert service["spec"]["clusterIP"] == str(PLAN.dns_service)
    assert [port["protocol"] for port in endpoints["ports"]] == ["TCP", "UDP"]
    assert f"bind {PLAN.control}" in control_config.corefile(PLAN, Path("/k"))


def test_prometheus_scrapes_real_nodes_only_and_the_parts_that_are_on():
    document = prometheus_config(PLAN, Path("/k"), PKI, ("keda", "prometheus"))
    jobs = {job["job_name"]: job for job in document["scrape_configs"]}
    assert set(jobs) == {"pods", "containers", "prometheus", "keda"}
    kept = [rule for rule in jobs["containers"]["relabel_configs"] if rule.get("action") == "keep"]
    assert kept == [
        {
            "action": "keep",
            "source_labels": ["__meta_kubernetes_node_label_baseload_dev_node"],
            "regex": "real",
        }
    ]


def test_folders_below_a_covered_place_are_held_open_and_bound_back():
    lines = setup_script(
        keep=[Path("/tmp/state"), Path("/opt/cache")], disk=Path("/tmp/state/disk")
    ).splitlines()
    covered = lines.index("mount -t tmpfs -o mode=0755 baseload /tmp")
    assert (
        lines.index("exec 3</tmp/state") < covered < lines.index("mount -c --bind /proc/self/fd/3 /tmp/state")
    )
    assert "exec 4</tmp/state/disk" in lines
    assert not any("/opt/cache" in line for line in lines)
    assert any("/proc/self/fd/4/kubelet /var/lib/kubelet" in line for line in lines)


def test_a_path_with_a_space_is_one_path():
    script = setup_script(keep=[Path("/tmp/my state")], disk=Path("/tmp/my state/disk"))
    assert "exec 3<'/tmp/my state'" in script


def test_addresses_in_use_are_told_by_their_link():
    link = {"ifname": "eth9", "addr_info": [{"local": "198.18.3.4", "prefixlen": 24}]}
    assert conflict(PLAN, json.dumps([link]), link="bl-x", up=True).endswith("eth9 (198.18.3.0/24)")
    assert conflict(PLAN, json.dumps([link]), link="eth9", up=True) is None
    assert conflict(PLAN, json.dumps([link]), link="eth9", up=False) == "there is a link eth9 already"
    elsewhere = {"ifname": "eth0", "addr_info": [{"local": "10.0.0.2", "prefixlen": 8}]}
    assert conflict(PLAN, json.dumps([elsewhere]), link="bl-x", up=False) is None


def test_kind_s_workers_have_the_labels_of_real_nodes():
    roles = [(node["role"], node.get("labels", {})) for node in kind_config((NODE,))["nodes"]]
    assert roles == [("control-plane", {}), ("worker", NODE.labels)]

"""What Prometheus scrapes: annotated pods, the kubelets of real nodes, and the control machine's own programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from serving_ref.cluster.addresses import AddressPlan

PROMETHEUS_PORT = 9090
SCRAPE_INTERVAL_S = 5
"""Shorter than the usual 15 to 60 s, so that short load tests have points; an autoscaler's lag here is the less."""
META = "__meta_kubernetes_pod_annotation_prometheus_io"


PART_PORTS = {"karpenter": 8180, "keda": 8280}
"""Where the parts show their own metrics."""


def prometheus_config(
    plan: AddressPlan, kubeconfig: Path, pki: Path, parts: tuple[str, ...]
) -> dict[str, Any]:
    """The configuration file, as a document."""
    own = {"prometheus": f"{plan.control}:{PROMETHEUS_PORT}"}
    own |= {part: f"127.0.0.1:{port}" for part, port in PART_PORTS.items() if part in parts}
    return {
        "global": {
            "scrape_interval": f"{SCRAPE_INTERVAL_S}s",
            "evaluation_interval": f"{SCRAPE_INTERVAL_S}s",
        },
        "scrape_configs": [
            _pods(kubeconfig),
            _kubelets(kubeconfig, pki),
            *({"job_name": job, "static_configs": [{"targets": [where]}]} for job, where in own.items()),
        ],
    }


def _pods(kubeconfig: Path) -> dict[str, Any]:
    """Pods that ask for it by the customary annotations prometheus.io/scrape, /port and /path; only where they run."""
    return {
        "job_name": "pods",
        "kubernetes_sd_configs": [{"role": "pod", "kubeconfig_file": str(kubeconfig)}],
        "relabel_configs": [
            _keep(f"{META}_scrape", "true"),
            _keep("__meta_kubernetes_pod_phase", "Running"),
            _keep("__meta_kubernetes_pod_node_name", "node-.*"),
            _copy(f"{META}_path", "__metrics_path__", "(.+)"),
            {
                "source_labels": ["__meta_kubernetes_pod_ip", f"{META}_port"],
                "separator": ":",
                "regex": "(.+:.+)",
                "target_label": "__address__",
            },
            _copy("__meta_kubernetes_namespace", "namespace"),
            _copy("__meta_kubernetes_pod_name", "pod"),
            _copy("__meta_kubernetes_pod_node_name", "node"),
            _copy("__meta_kubernetes_pod_label_app_kubernetes_io_name", "app"),
            _copy("__meta_kubernetes_pod_label_baseload_dev_service", "baseload_service"),
            _copy("__meta_kubernetes_pod_label_baseload_dev_pool", "baseload_pool"),
        ],
    }


def _kubelets(kubeconfig: Path, pki: Path) -> dict[str, Any]:
    """CPU and memory of containers."""
    return {
        "job_name": "containers",
        "scheme": "https",
        "metrics_path": "/metrics/cadvisor",
        "tls_config": {
            "ca_file": f"{pki}/ca.crt",
            "cert_file": f"{pki}/admin.crt",
            "key_file": f"{pki}/admin.key",
        },
        "kubernetes_sd_configs": [{"role": "node", "kubeconfig_file": str(kubeconfig)}],
        "relabel_configs": [
            _keep("__meta_kubernetes_node_label_baseload_dev_node", "real"),
            _copy("__meta_kubernetes_node_name", "node"),
        ],
    }


def _keep(label: str, expression: str) -> dict[str, Any]:
    return {"action": "keep", "source_labels": [label], "regex": expression}


def _copy(label: str, target: str, expression: str = "(.*)") -> dict[str, Any]:
    return {"source_labels": [label], "regex": expression, "target_label": target}

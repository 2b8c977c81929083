"""Kubernetes manifests of the serving stack: a base, overlays by platform, and what renders both for a scenario."""

"""The reference serving stack: gateway, model server, their manifests, the local cluster and the load generator."""

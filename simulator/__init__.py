"""The discrete-event simulator: control plane on SimPy, data plane compiled, a readable reference for both."""

"""A local Kubernetes that is the real thing: real control plane, real nodes that can die, real autoscalers.

Start with `local.py` (what `up` and `down` do, in order), then `machine.py` (what a node is made of). Why it is
built this way stands in docs/decisions/0005-local-cluster.md.
"""

"""The control plane: SimPy processes that change the fleet and read its counters
(docs/decisions/0001-seam.md)."""

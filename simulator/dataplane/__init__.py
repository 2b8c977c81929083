"""The fast half of the simulator: requests, queues and batches, compiled; and its SimPy reference."""

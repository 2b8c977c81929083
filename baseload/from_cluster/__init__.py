"""A first scenario from a running cluster: what is read there, what it means, and the file that is written."""

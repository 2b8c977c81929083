"""Kernel and reference are one simulator: random scenarios, windows, ties, and seeded bugs that must be found."""

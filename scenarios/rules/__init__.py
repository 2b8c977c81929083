"""Decisions that simulator and serving stack take by the same code: settings, state and time in, decision out.

Time is passed in as whole nanoseconds. The simulator's reference engine calls these with simulated time, the gateway
and the model server with a monotonic clock's; the kernel's compiled twins are tested against the reference.
"""

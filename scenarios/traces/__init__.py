"""Traffic traces: the files that `baseload import` writes and the simulator replays.

`scenarios.traces.write` has the other direction; it is apart because it costs the import of pyarrow.
"""

from scenarios.traces.model import CountTrace, Repair, RequestTrace, Trace
from scenarios.traces.read import read_trace

__all__ = ["CountTrace", "Repair", "RequestTrace", "Trace", "read_trace"]

"""A run goes on after its last arrival, and ends, on every engine."""

import pytest

from tests.simulator.exact.case import Case
from tests.simulator.exact.harness import ENGINES, check, differences, play, play_reference
from tests.simulator.exact.python_run import PythonRun

SECOND = 1_000_000_000
DOCUMENT = {
    "apiVersion": "baseload/v1",
    "metadata": {"name": "two-busy-minutes"},
    "run": {"duration": "2m"},
    "arrivals": [{"name": "web", "trace": {"file": "counts.csv"}}],
    "classes": [{"name": "c", "arrivals": "web", "route": "r", "timeout": "1s"}],
    "routes": [{"name": "r", "targets": [{"service": "s"}]}],
    "services": [{"name": "s", "model": "m", "pools": ["p"]}],
    "models": [{"name": "m", "profiles": [{"instance_types": ["t"], "latency": {"table": [[1, "10ms"]]}}]}],
    "pools": [{"name": "p", "instance_type": "t"}],
}
COUNTS = {"counts.csv": f"time_ns,count\n0,50\n{60 * SECOND},50\n"}
FLEET = ((0, (("add", 0, "s", "p", 0, 0),)),)
ENOUGH = 1_000_000
"""Looks at memory for a hundred requests, many times over."""


@pytest.mark.parametrize("end_s", [120, 180])
@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.plane)
def test_run_ends_when_arrivals_and_deadlines_are_over(engine, end_s):
    """With nothing left, the next event and the next deadline are both at the end of time: no deadline is due."""
    case = Case(DOCUMENT, COUNTS, 1, FLEET, end_s * SECOND)
    specification = case.specification()
    expected = play_reference(case, specification)
    # In plain Python first: what never ends would raise Runaway there, and hang as compiled code.
    run = PythonRun()
    run.memory.forget(most_steps=ENOUGH)
    built = run.plane(engine.module, engine.plane)
    assert not differences(expected, play(built, case, specification, expected.moves))
    run.close()
    check(case, [engine])

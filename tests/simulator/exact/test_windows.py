"""Where the data plane's windows end changes nothing: on random scenarios, whatever the length of the windows."""

import pytest

from simulator.dataplane.reference_plane import ReferencePlane
from tests.simulator.exact.explore import explore
from tests.simulator.exact.harness import ENGINES, differences, explained, play, play_reference
from tests.simulator.exact.strategies import cases

MS = 1_000_000
WINDOWS_MS = (100, 1_000, 15_000, 600_000)
HALF_SECONDS = {"unit_ms": 500, "length": (300, 1500)}
"""On the grid everything happens at whole half seconds: the windows end at events, and half-openness shows."""


def check_windows(case) -> None:
    """Assert that every engine, in every length of windows, equals the reference in one window a fleet change."""
    specification = case.specification()
    expected = play_reference(case, specification)
    builds = {engine.plane: engine.build for engine in ENGINES if engine.takes(specification)}
    for name, build in {"ReferencePlane": ReferencePlane, **builds}.items():
        for window_ms in (None, *WINDOWS_MS):
            ends = range(0, case.end_ns, window_ms * MS) if window_ms else ()
            found = differences(expected, play(build, case, specification, expected.moves, ends))
            assert not found, explained(case, f"{name} in windows of {window_ms} ms", found)


@pytest.mark.parametrize("plain", [False, True], ids=["every feature", "plain"])
@pytest.mark.parametrize("grid", [True, False], ids=["on the grid", "off the grid"])
def test_windows_change_nothing(grid, plain):
    explore(cases(grid=grid, plain=plain, **HALF_SECONDS), 14, check_windows)

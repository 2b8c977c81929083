"""Hypothesis draws the scenarios: the same ones in every run of the same sources, so that red is never bad luck.

(Of the same sources, because hypothesis likes the numbers that it finds there.)
"""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, seed, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

    from tests.simulator.exact.case import Case

SHRINK = "EXACT_NO_SHRINK" not in os.environ
FRESH = 10
"""Examples that hypothesis draws before it begins to vary what it has: five of six would differ in a detail only."""


def explore(strategy: SearchStrategy[Case], n: int, test: Callable[[Case], None]) -> None:
    """Run a test on n different cases; a failing one is made small before it is shown."""
    passed: set[str] = set()
    for number in count():
        if len(passed) >= n:
            return

        @seed(f"{strategy!r} {number}")
        @settings(
            max_examples=FRESH,
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink) if SHRINK else (Phase.generate,),
        )
        @given(strategy)
        def run(case: Case) -> None:
            if len(passed) < n and repr(case) not in passed:
                test(case)
                passed.add(repr(case))

        run()


def drawn(strategy: SearchStrategy[Case], n: int) -> list[Case]:
    """The first n different cases that hypothesis draws."""
    found: list[Case] = []
    explore(strategy, n, found.append)
    return found

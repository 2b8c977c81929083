"""Hypothesis draws the scenarios: the same ones in every run, so that red means the change and not luck."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

    from tests.simulator.exact.case import Case

SHRINK = "EXACT_NO_SHRINK" not in os.environ


def explore(strategy: SearchStrategy[Case], n: int, test: Callable[[Case], None]) -> None:
    """Run a test on n drawn cases; a failing one is made small before it is shown."""

    @settings(
        max_examples=n,
        derandomize=True,
        database=None,
        deadline=None,
        report_multiple_bugs=False,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink) if SHRINK else (Phase.generate,),
    )
    @given(strategy)
    def run(case: Case) -> None:
        test(case)

    run()


def drawn(strategy: SearchStrategy[Case], n: int) -> list[Case]:
    """The first n cases that hypothesis draws."""
    found: list[Case] = []
    explore(strategy, n, found.append)
    return found[:n]

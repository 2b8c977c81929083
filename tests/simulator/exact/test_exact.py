"""Kernel and reference agree bit for bit on random scenarios, and between them these scenarios show everything."""

from functools import cache

import pytest

from simulator.results.recorded import CLASS_COUNTERS, SERVICE_COUNTERS
from tests.simulator.exact.census import EXPECTED, Census
from tests.simulator.exact.explore import explore
from tests.simulator.exact.harness import ENGINES, check
from tests.simulator.exact.strategies import cases
from tests.simulator.exact.watch import KINDS

EXPLORATIONS = {
    "on the grid": (260, cases(grid=True)),
    "off the grid": (220, cases(grid=False)),
    "on the grid, plain": (100, cases(grid=True, plain=True)),
    "off the grid, plain": (100, cases(grid=False, plain=True)),
    "large": (6, cases(grid=True, length=(2000, 4000))),
    "large, plain": (6, cases(grid=False, plain=True, length=(2000, 4000))),
}
"""How many scenarios of which kind; `plain` ones can be run by the block-wise kernel too."""


@cache
def explored(name: str) -> Census:
    """Check every engine on the scenarios of one exploration, and count what happened in them."""
    census = Census()

    def run(case) -> None:
        specification, recording = check(case)
        census.add(
            specification, recording, [engine.plane for engine in ENGINES if engine.takes(specification)]
        )

    n, strategy = EXPLORATIONS[name]
    explore(strategy, n, run)
    return census


@cache
def everything() -> Census:
    """All explorations together."""
    total = Census()
    for census in map(explored, EXPLORATIONS):
        for name, counts in vars(census).items():
            getattr(total, name).__iadd__(counts)
    return total


@pytest.mark.parametrize("name", EXPLORATIONS)
def test_engines_equal_the_reference_bit_for_bit(name):
    print(explored(name).summary())


def test_at_least_500_scenarios_of_hundreds_of_requests_were_compared():
    census = everything()
    print(census.summary())
    assert len(census.requests) >= 500
    assert sorted(census.requests)[len(census.requests) // 2] >= 100
    assert max(census.requests) >= 5_000
    assert census.scenarios["BlockwisePlane"] >= 150


@pytest.mark.parametrize("feature", EXPECTED)
def test_feature_was_on(feature):
    assert everything().features[feature] > 0


@pytest.mark.parametrize("counter", [*CLASS_COUNTERS, *SERVICE_COUNTERS])
def test_counter_counted(counter):
    assert everything().counters[counter] > 0


PAIRS = [(earlier, later) for earlier in KINDS for later in KINDS if earlier <= later]


@pytest.mark.parametrize(("earlier", "later"), PAIRS, ids=[f"{KINDS[a]}-{KINDS[b]}" for a, b in PAIRS])
def test_events_met_in_one_nanosecond(earlier, later):
    # The later kind can come first too: it can cause an event of an earlier kind at once.
    assert everything().ties[earlier, later] > 0

"""Kernel and reference agree bit for bit on random scenarios, and between them these scenarios show everything."""

from functools import cache

import pytest

from simulator.results.recorded import CLASS_COUNTERS, SERVICE_COUNTERS
from tests.simulator.exact.census import EXPECTED, Census
from tests.simulator.exact.explore import explore
from tests.simulator.exact.harness import ENGINES, check
from tests.simulator.exact.noisy import NOISY
from tests.simulator.exact.strategies import cases
from tests.simulator.exact.watch import KINDS

EXPLORATIONS = {
    "on the grid": (210, cases(grid=True)),
    "off the grid": (210, cases(grid=False)),
    "on the grid, plain": (160, cases(grid=True, plain=True)),
    "off the grid, plain": (160, cases(grid=False, plain=True)),
    "on the grid, large": (6, cases(grid=True, length=(2000, 4000))),
    "off the grid, plain, large": (6, cases(grid=False, plain=True, length=(2000, 4000))),
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


def test_engines_equal_the_reference_where_noise_is_drawn_in_advance_and_replicas_are_lost():
    specification, recording = check(NOISY)
    assert all(engine.takes(specification) for engine in ENGINES)
    assert recording.stops[-1]["class_counters"][:, CLASS_COUNTERS.index("redispatched")].any()


def test_500_scenarios_of_100_requests_or_more_were_compared_and_half_of_them_on_the_grid():
    print(everything().summary())
    sizes = {name: [n for n in explored(name).requests if 100 <= n <= 10_000] for name in EXPLORATIONS}
    print({name: len(each) for name, each in sizes.items()})
    assert sum(map(len, sizes.values())) >= 500
    assert sum(len(each) for name, each in sizes.items() if name.startswith("on the grid")) >= 250
    assert sum(n >= 1_000 for each in sizes.values() for n in each) >= 10
    assert everything().scenarios["BlockwisePlane"] >= 320


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

"""The exactness test finds every seeded bug of a kernel. The kernels run as plain Python here, with bounds checked."""

from functools import cache

import pytest

from tests.simulator.exact.checked_memory import Runaway
from tests.simulator.exact.explore import drawn
from tests.simulator.exact.harness import BLOCKWISE, ENGINES, KERNEL, differences, play, play_reference
from tests.simulator.exact.mutants import BLOCK_WISE, EVENT_ORDERED, NEIGHBOURS
from tests.simulator.exact.noisy import KEYLESS, NOISY
from tests.simulator.exact.python_run import SOURCES, PythonRun
from tests.simulator.exact.strategies import cases
from tests.simulator.exact.ties import TIES

SHORT = (40, 120)
CRASHES = (IndexError, KeyError, Runaway, OverflowError, ZeroDivisionError)
"""How a broken kernel may end, other than with another result. A patch that is no Python is no such end."""
BUGS = [(KERNEL, mutant) for mutant in EVENT_ORDERED] + [(BLOCKWISE, mutant) for mutant in BLOCK_WISE]


@cache
def pool(engine):
    """Cases for an engine with what the reference makes of them: small ones, then random ones on and off the grid."""
    plain = engine is BLOCKWISE
    on, off = (drawn(cases(grid=grid, plain=plain, length=SHORT), 110) for grid in (True, False))
    chosen = [*(tie.case() for tie in TIES), NOISY, KEYLESS] + [
        case for pair in zip(on, off, strict=True) for case in pair
    ]
    taken = [(case, case.specification()) for case in chosen]
    taken = [(case, specification) for case, specification in taken if engine.takes(specification)]
    return [(case, specification, play_reference(case, specification)) for case, specification in taken]


@cache
def accesses(engine):
    """How often the sound kernel looks at its memory, case by case. It must equal the reference, of course."""
    run = PythonRun()
    found = []
    for case, specification, expected in pool(engine):
        run.memory.forget()
        got = play(run.plane(engine.module, engine.plane), case, specification, expected.moves)
        assert not differences(expected, got), repr(case)
        found.append(run.memory.steps)
    run.close()
    return found


@cache
def verdict(engine, mutant):
    """What gave a seeded bug away, and after how many cases; None: nothing did."""
    run = PythonRun({mutant.file: ((mutant.old, mutant.new),)})
    try:
        for number, (case, specification, expected) in enumerate(pool(engine)):
            run.memory.forget(most_steps=5 * accesses(engine)[number] + 10_000)
            try:
                got = play(run.plane(engine.module, engine.plane), case, specification, expected.moves)
            except CRASHES as crash:
                return number + 1, repr(crash)
            if found := differences(expected, got):
                return number + 1, found[0]
    finally:
        run.close()
    return None


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.plane)
def test_python_run_equals_the_reference_and_stays_in_bounds(engine):
    assert len(accesses(engine)) >= 100


@pytest.mark.parametrize(("engine", "mutant"), BUGS, ids=[mutant.name for _, mutant in BUGS])
def test_seeded_bug_is_found(engine, mutant):
    found = verdict(engine, mutant)
    print(found)
    assert found, f"{mutant.file}: {mutant.new!r} for {mutant.old!r} makes no difference to any case"


@pytest.mark.parametrize("mutant", NEIGHBOURS, ids=[mutant.name for mutant in NEIGHBOURS])
def test_place_in_the_table_decides_in_a_small_case(mutant):
    found = verdict(KERNEL, mutant)
    assert found
    assert found[0] <= len(TIES)


def test_every_compiled_source_has_a_seeded_bug():
    marks = ("@inlined", "@outlined")
    compiled = {path.name for path in SOURCES.glob("*.py") if any(mark in path.read_text() for mark in marks)}
    assert {mutant.file for _, mutant in BUGS} >= compiled - {"memory.py", "draws.py"}

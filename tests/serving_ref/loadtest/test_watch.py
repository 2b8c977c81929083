"""A watch outlives whatever its looks come upon, and tells of it."""

from __future__ import annotations

import threading
import time

import psutil
import pytest

from serving_ref.loadtest import cpu, watch
from serving_ref.loadtest.cpu import CpuWatch
from serving_ref.loadtest.watch import Watch


class Counting(Watch[int]):
    """Sees the number of each look; looks of some numbers fail."""

    def __init__(self, failing=(), error=None):
        super().__init__("numbers", 0.01)
        self.number = 0
        self.failing, self.error = failing, error or RuntimeError("so it is")

    def look(self):
        self.number += 1
        if self.number in self.failing:
            raise self.error
        return self.number


def after(looks, counting):
    with counting:
        while counting.number < looks:
            time.sleep(0.01)
    return counting


def test_it_looks_at_the_beginning_every_so_often_and_at_the_end():
    watched = after(3, Counting())
    assert watched.seen == tuple(range(1, watched.number + 1))
    assert watched.number >= 4
    assert watched.gaps() == []
    with Counting() as short:
        assert short.seen == (1,)
    assert short.seen == (1, 2)


@pytest.mark.parametrize("error", [RuntimeError("so it is"), KeyError("so it is"), MemoryError("so it is")])
def test_a_look_that_fails_costs_what_it_would_have_seen_and_is_told(error):
    watched = after(6, Counting((2, 4), error))
    assert watched.seen[:3] == (1, 3, 5)
    (gap,) = watched.gaps()
    assert gap.startswith(f"numbers: 2 of {watched.number} readings failed (the last: ")
    assert "so it is" in gap


def test_the_first_look_decides_whether_there_is_anything_to_see():
    watched = Counting({1})
    with pytest.raises(RuntimeError, match="so it is"), watched:
        pass
    time.sleep(0.05)
    assert watched.number == 1


class Stuck(Counting):
    """Its second look does not come back before it is let."""

    def __init__(self):
        super().__init__()
        self.let = threading.Event()

    def look(self):
        if not self.is_first:
            self.let.wait()
        return super().look()


def test_a_look_that_does_not_come_back_is_not_waited_for_without_end(monkeypatch):
    monkeypatch.setattr(watch, "PATIENCE_S", 0.1)
    with Stuck() as stuck:
        pass
    assert stuck.seen == (1,)
    assert stuck.gaps() == ["numbers: 1 of 2 readings failed (the last: it was not over after 0.1 s)"]
    stuck.let.set()


def test_nobody_waits_for_the_last_look_of_a_load_test_that_was_stopped():
    stuck = Stuck()
    with pytest.raises(KeyboardInterrupt), stuck:
        raise KeyboardInterrupt
    stuck.let.set()


def test_a_sample_of_the_cpu_that_cannot_be_taken_is_missing_and_told(monkeypatch):
    monkeypatch.setattr(cpu, "EVERY_S", 0.02)
    take, taken = psutil.cpu_times, []

    def sometimes():
        taken.append(None)
        if len(taken) in (3, 4):
            raise OSError(24, "Too many open files")
        return take()

    monkeypatch.setattr(psutil, "cpu_times", sometimes)
    begin_ns = time.monotonic_ns()
    with CpuWatch({}) as watched:
        while len(taken) < 12:
            time.sleep(0.02)
    use = watched.use(begin_ns, time.monotonic_ns())
    assert 0 <= use.machine <= 1
    (gap,) = watched.gaps()
    assert gap.startswith("CPU use: 2 of ")
    assert gap.endswith("readings failed (the last: [Errno 24] Too many open files)")


def test_a_watched_process_that_ends_in_mid_run_is_told(monkeypatch):
    monkeypatch.setattr(cpu, "EVERY_S", 0.02)
    process = psutil.Popen(["sleep", "60"])
    with CpuWatch({"gateway": process.pid}) as watched:
        process.kill()
        process.wait()
        time.sleep(0.1)
    (gap,) = watched.gaps()
    assert gap.startswith("--watch gateway: ")
    assert gap.endswith("readings failed (the last: the process has ended)")

"""`kill -9` of `up` at whatever moment: `down` leaves the machine as it was, and `up` works again."""

import os
import random
import signal
import time

import pytest

from tests.cluster.conftest import NAME, Cluster, baseload, start
from tests.cluster.listing import difference, machine

SEED = int(os.environ.get("CRASH_SEED", random.SystemRandom().randrange(10**6)))
MOMENTS = int(os.environ.get("CRASH_MOMENTS", "6"))


@pytest.fixture(scope="module")
def duration_s(no_cluster):
    """How long a whole `up` takes here, now."""
    started_s = time.monotonic()
    baseload("cluster", "up", "--name", NAME, "--with", "redis")
    took_s = time.monotonic() - started_s
    baseload("cluster", "down", "--name", NAME)
    return took_s


@pytest.fixture(scope="module")
def before(duration_s):
    return machine()


@pytest.mark.parametrize("number", range(MOMENTS))
def test_a_killed_up_leaves_nothing_after_down(number, duration_s, before):
    # One moment in each slice of the time that `up` takes, so that every stage is met.
    share = (number + random.Random(f"{SEED}/{number}").random()) / MOMENTS
    process = start("cluster", "up", "--name", NAME, "--with", "redis")
    time.sleep(share * duration_s)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    baseload("cluster", "down", "--name", NAME)
    changed = difference(before, machine())
    assert not changed, f"killed after {share * duration_s:.2f} s (CRASH_SEED={SEED}): {changed}"


def test_up_after_a_killed_up_is_a_whole_cluster(duration_s, before):
    process = start("cluster", "up", "--name", NAME, "--nodes", "1")
    time.sleep(0.7 * duration_s)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    baseload("cluster", "up", "--name", NAME, "--nodes", "1")
    status = Cluster().status()
    assert all(status["programs"].values())
    assert all(node["ready"] for node in status["nodes"])
    baseload("cluster", "down", "--name", NAME)
    assert not difference(before, machine())


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_up_after_a_killed_down_is_a_whole_cluster(share, duration_s, before):
    """Whatever `down` had taken away by then, nothing that is left of the old cluster is in the way."""
    baseload("cluster", "up", "--name", NAME, "--nodes", "1")
    begun_s = time.monotonic()
    baseload("cluster", "down", "--name", NAME)
    took_s = time.monotonic() - begun_s
    baseload("cluster", "up", "--name", NAME, "--nodes", "1")
    process = start("cluster", "down", "--name", NAME)
    time.sleep(share * took_s)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    baseload("cluster", "up", "--name", NAME, "--nodes", "1")
    status = Cluster().status()
    assert all(status["programs"].values())
    assert [(each["name"], each["ready"]) for each in status["nodes"]] == [("node-1", True)]
    baseload("cluster", "down", "--name", NAME)
    assert not difference(before, machine())


def test_a_dead_control_machine_is_cleared_by_the_next_up(before):
    baseload("cluster", "up", "--name", NAME, "--nodes", "1")
    cluster = Cluster()
    os.kill(cluster.local.control.init_pid(), signal.SIGKILL)
    baseload("cluster", "up", "--name", NAME, "--nodes", "1")
    assert all(cluster.status()["programs"].values())
    baseload("cluster", "down", "--name", NAME)
    assert not difference(before, machine())

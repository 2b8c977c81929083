"""Programs are found again by their mark alone, whoever started them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scenarios.errors import EnvironmentProblem
from serving_ref.cluster.processes import kill_all, kill_matching, processes_of, spawn, wait_until

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
START_S = 20.0
ROOT = Path(__file__).parents[3]


def programs(folder):
    return {process.program for process in processes_of(folder)}


@pytest.fixture
def folder(tmp_path):
    yield tmp_path
    kill_all(tmp_path)


def test_a_program_is_found_by_its_mark_and_killed(folder):
    spawn(folder, "control/one", SLEEP, log=folder / "logs" / "one.log")
    wait_until(lambda: programs(folder) == {"control/one"}, "the mark", timeout_s=START_S)
    kill_all(folder)
    assert processes_of(folder) == []


def test_a_program_of_another_cluster_is_left_alone(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    stranger = spawn(other, "control/one", SLEEP, log=other / "log")
    wait_until(lambda: processes_of(other) != [], "the other's mark", timeout_s=START_S)
    try:
        kill_all(folder)
        assert stranger.poll() is None
        assert processes_of(folder) == []
    finally:
        kill_all(other)


def test_a_program_lives_on_when_who_started_it_is_killed(folder):
    starter = (
        "import sys; from pathlib import Path; from serving_ref.cluster.processes import spawn\n"
        f"spawn(Path({str(folder)!r}), 'node-1/kubelet', {SLEEP!r}, log=Path({str(folder / 'log')!r}))\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", starter], check=False, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: programs(folder) == {"node-1/kubelet"}, "the orphan's mark", timeout_s=START_S)


def test_only_the_chosen_are_killed(folder):
    spawn(folder, "node-1/kubelet", SLEEP, log=folder / "log")
    spawn(folder, "node-2/kubelet", SLEEP, log=folder / "log")
    wait_until(lambda: len(programs(folder)) == 2, "both marks", timeout_s=START_S)
    kill_matching(folder, lambda process: process.program.startswith("node-1/"))
    assert programs(folder) == {"node-2/kubelet"}


def test_the_environment_of_a_program_is_its_own_and_not_the_callers(folder, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "x")
    log = folder / "log"
    shown = [sys.executable, "-c", "import os; print(sorted(os.environ), flush=True)"]
    spawn(folder, "x", shown, log=log, environment={"OWN": "1"}).wait()
    assert "SECRET_OF_THE_CALLER" not in log.read_text()
    assert "'OWN'" in log.read_text()


def test_waiting_in_vain_says_for_what_and_what_else_is_known():
    with pytest.raises(EnvironmentProblem, match="in vain for rain: the sky is blue"):
        wait_until(lambda: False, "rain", timeout_s=0.05, hint=lambda: ": the sky is blue")


def test_nobody_waits_for_a_program_that_has_ended():
    with pytest.raises(EnvironmentProblem, match="waited for rain, which has ended: dry"):
        wait_until(lambda: False, "rain", timeout_s=600, hint=lambda: ": dry", alive=lambda: False)

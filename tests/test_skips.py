"""Skips are counted and printed; in CI a skip fails, unless its reason is one that CI allows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFTEST = """
from tests.skips import SkipAccount

def pytest_configure(config):
    config.pluginmanager.register(SkipAccount({allowed!r}))
"""
TESTS = """
import pytest

def test_runs():
    pass

@pytest.mark.parametrize("n", range(3))
def test_without_its_program(n):
    pytest.skip("needs a program")

@pytest.mark.skipif(True, reason="needs a GPU with 80 GiB")
def test_without_its_accelerator():
    pass

@pytest.mark.xfail(reason="known")
def test_known_to_fail():
    assert False
"""


@pytest.fixture
def run_pytest(tmp_path):
    def run(allowed, tests=TESTS, *options):
        (tmp_path / "conftest.py").write_text(CONFTEST.format(allowed=allowed))
        (tmp_path / "test_some.py").write_text(tests)
        command = [sys.executable, "-m", "pytest", "-q", *options, str(tmp_path)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return run


def test_at_hand_skips_pass_and_are_counted(run_pytest):
    done = run_pytest(None)
    assert done.returncode == 0, done.stdout
    assert "3 × needs a program\n" in done.stdout
    assert "1 × needs a GPU with 80 GiB\n" in done.stdout
    assert "1 passed, 4 skipped, 1 xfailed in" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "1")], ids=["alone", "xdist"])
def test_in_ci_only_the_allowed_reasons_pass(run_pytest, workers):
    done = run_pytest(("needs a GPU",), TESTS, *workers)
    assert done.returncode == 1, done.stdout
    assert "CI must be able to run it: needs a program" in done.stdout
    assert "1 × needs a GPU with 80 GiB\n" in done.stdout
    assert "3 failed, 1 passed, 1 skipped, 1 xfailed in" in done.stdout.splitlines()[-1]


def test_in_ci_a_module_that_skips_itself_fails(run_pytest):
    tests = "import pytest\npytest.importorskip('a_module_nobody_has')\n"
    assert run_pytest((), tests).returncode != 0
    assert run_pytest(None, tests).returncode == pytest.ExitCode.NO_TESTS_COLLECTED

"""What all tests share: where the real data lies, how hard hypothesis tries, and an account of every skip."""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings

from tests.skips import SkipAccount

ROOT = Path(__file__).parents[1]
IN_CI = os.environ.get("CI", "").lower() not in {"", "0", "false"}
os.environ["ORT_DISABLE_TELEMETRY"] = (
    "1"  # for tests that load ONNX Runtime themselves; see test_telemetry.py
)
IMPOSSIBLE_IN_CI = ("needs a GPU",)
"""How the reason of a skip must begin that CI lets pass: its machines cannot run these tests."""

PROGRAMS = {
    "browser": ("chromium", "chromium-browser", "google-chrome"),
    "prometheus": ("prometheus",),
    "redis": ("redis-server",),
    "kubectl": ("kubectl",),
    "k6": ("go",),
    "buildah": ("buildah",),
}
"""Marker → the programs of which its tests need one."""

# Three ways to run the property tests (HYPOTHESIS_PROFILE, or pytest --hypothesis-profile): quick, with new
# examples every time; in CI more, and always the same, so that red means the change, not luck; and by night.
settings.register_profile("default", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("thorough", max_examples=5_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if IN_CI else "default"))


def pytest_configure(config):
    config.pluginmanager.register(SkipAccount(IMPOSSIBLE_IN_CI if IN_CI else None), "skip-account")


def pytest_runtest_setup(item):
    for marker, programs in PROGRAMS.items():
        if item.get_closest_marker(marker) and not any(map(shutil.which, programs)):
            pytest.skip(f"needs the program {programs[0]} (make test-system-packages)")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data sets: BASELOAD_DATA, else shared/data beside the checkout."""
    folder = Path(os.environ.get("BASELOAD_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("needs the real data sets (BASELOAD_DATA names their folder)")
    return folder.resolve()

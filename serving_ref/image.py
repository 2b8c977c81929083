"""What the image of gateway and model server needs: our three packages, and not all that Baseload depends on.

`python -m serving_ref.image` prints the requirements, for the Dockerfile.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

import scenarios
from scenarios.errors import EnvironmentProblem

BASE = frozenset({"click", "numpy", "pydantic", "pyyaml"})
"""Of Baseload's own dependencies: the simulator's engine and its tables stay outside."""
PACKAGES = ("scenarios", "simulator", "serving_ref")
EXTRA = re.compile(r"""extra\s*==\s*["']serving["']""")


def requirements() -> list[str]:
    """Return what pip shall install, such as `redis>=8.1`.

    Raises EnvironmentProblem where Baseload was installed before it had servers.
    """
    wanted = []
    for line in importlib.metadata.requires("baseload") or []:
        requirement, _, condition = (part.strip() for part in line.partition(";"))
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower()
        if EXTRA.search(condition) or (not condition and name in BASE):
            wanted.append(requirement)
    if len(wanted) <= len(BASE):
        raise EnvironmentProblem(
            "this installation of baseload knows no serving extra: install it again (make install)"
        )
    return sorted(wanted)


def packages() -> list[Path]:
    """Return the folders of our code."""
    root = Path(scenarios.__file__).parents[1]
    return [root / name for name in PACKAGES]


def constraints() -> Path | None:
    """Return the pins, where this is a checkout."""
    path = Path(scenarios.__file__).parents[1] / "constraints.txt"
    return path if path.is_file() else None


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements()) + "\n")

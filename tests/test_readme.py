"""The README shows what its commands print: `make readme` writes it anew."""

import subprocess
import sys
from pathlib import Path

from baseload.cli import COMMANDS

ROOT = Path(__file__).parents[1]


def test_the_tour_prints_what_the_readme_shows():
    script = [sys.executable, "scripts/console_blocks.py", "--check", "README.md"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"make readme\n{done.stdout}{done.stderr}"


def test_the_table_names_every_command():
    readme = (ROOT / "README.md").read_text()
    for command in COMMANDS:
        assert f"| `baseload {command}` |" in readme

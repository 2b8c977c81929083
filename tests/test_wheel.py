"""What is installed is what is written: no data file of the product stays behind in the checkout."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]


def test_the_wheel_holds_every_file_of_the_product(tmp_path):
    listed = subprocess.run(
        ["git", "ls-files", "-z", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    product = [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    for name in [*product, "pyproject.toml", "README.md", "LICENSE"]:
        copy = tmp_path / "source" / name  # a build writes beside what it builds
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy)
    build = ["wheel", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(tmp_path), "."]
    subprocess.run([sys.executable, "-m", "pip", *build], cwd=tmp_path / "source", check=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in product if not name.endswith(".md")} - installed == set()
    assert {name.split("/")[0] for name in installed if ".dist-info/" not in name} == set(PACKAGES)

"""Arrows point one way: the import table of the design, checked by import-linter."""

import tomllib
from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_imports_keep_to_the_table(capsys):
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_every_package_has_its_place():
    """A new folder of the design is not forgotten by import-linter, by mypy, or by the wheel."""
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    tools = PROJECT["tool"]
    assert packages == set(tools["importlinter"]["root_packages"])
    assert packages == {
        layer for c in tools["importlinter"]["contracts"] if c["id"] == "layers" for layer in c["layers"]
    }
    assert packages == set(tools["mypy"]["packages"])
    assert {f"{package}*" for package in packages} <= set(tools["setuptools"]["packages"]["find"]["include"])

"""The rules of the house that no linter knows."""

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PRODUCT = tuple(f"{package}/" for package in PROJECT["tool"]["mypy"]["packages"])
MAX_LINES = 400
WRITTEN_HERE = (".py", ".js", ".css", ".html", ".md", ".toml", ".yaml", ".yml", ".sh", "", ".txt", ".csv")

MACHINE_PATH = re.compile(r"(?<![\w.~/-])/(?:home|root|work|Users)/\w|[.]library/")
STUB = re.compile(r"\b(?:raise NotImplementedError|TODO|FIXME|XXX)\b")
SILENCED = re.compile(
    r"#\s*(?:noqa\b(?::\s*[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*)?|type:\s*ignore(?:\[[\w, -]+\])?)(?P<rest>.*)$"
)
REASON = re.compile(r"\W*\w.*\w{2}")


@cache
def tracked():
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [name for name in names.split("\0") if name and (ROOT / name).is_file()]


@cache
def lines_of(name):
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


def found(pattern, names):
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name in names
        for number, line in enumerate(lines_of(name), start=1)
        if pattern.search(line)
    ]


def python(*folders):
    return [name for name in tracked() if name.endswith(".py") and name.startswith(folders or "")]


def test_no_file_is_long():
    """A file of more than 400 lines lacks a noun: split it there."""
    long = [f"{name}: {len(lines_of(name))} lines" for name in python() if len(lines_of(name)) > MAX_LINES]
    assert not long, "\n".join(long)


def test_no_path_of_one_machine():
    written = [name for name in tracked() if Path(name).suffix in WRITTEN_HERE]
    leaks = found(MACHINE_PATH, written)
    assert not leaks, "\n".join(leaks)


def test_the_product_has_no_stubs():
    stubs = found(STUB, python(*PRODUCT))
    assert not stubs, "\n".join(stubs)


def without_reason(lines):
    """Numbers of the lines that silence a check without a word; the first of a block speaks for the block."""
    reason_stands_at = -1
    for number, line in enumerate(lines, start=1):
        silenced = SILENCED.search(line)
        if silenced and (REASON.match(silenced["rest"]) or reason_stands_at == number - 1):
            reason_stands_at = number
        elif silenced:
            yield number


def test_a_silenced_check_says_why():
    """`# noqa: CODE` and `# type: ignore[code]` stand with their reason on the line."""
    mute = [f"{name}:{number}" for name in python() for number in without_reason(lines_of(name))]
    assert not mute, "\n".join(mute)


@pytest.mark.parametrize(
    ("lines", "mute"),
    [
        (["import x  # noqa: F401 - for its effect"], []),
        (["import x  # noqa: F401  # for its effect"], []),
        (["import x  # noqa: F401, E501 (for its effect)", "import y  # noqa: F401"], []),
        (["import x  # noqa: F401 - for its effect", "", "import y  # noqa: F401"], [3]),
        (["x = y  # type: ignore[arg-type]  # numba ships no types"], []),
        (["import x  # noqa: F401"], [1]),
        (["import x  # noqa"], [1]),
        (["x = y  # type: ignore[arg-type, misc]"], [1]),
    ],
)
def test_what_counts_as_a_reason(lines, mute):
    assert list(without_reason(lines)) == mute


def test_commands_in_the_documents_are_the_makefiles():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for document in ("README.md", "CONTRIBUTING.md"):
        named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / document).read_text(), flags=re.MULTILINE))
        assert named <= targets, document
    assert {"make demo", "make test"} <= set(lines_of("README.md")), (
        "the two commands stand on lines of their own"
    )


def test_links_in_the_documents_lead_somewhere():
    for document in [name for name in tracked() if name.endswith(".md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", (ROOT / document).read_text()):
            assert ((ROOT / document).parent / target).exists(), f"{document}: {target}"


def test_the_changelog_knows_this_version():
    version = PROJECT["project"]["version"]
    assert [line for line in lines_of("CHANGELOG.md") if line.startswith("## ") and version in line]


def test_every_pin_is_exact_and_of_no_one_machine():
    pins = [line for line in lines_of("constraints.txt") if line and not line.startswith("#")]
    assert [line for line in pins if not re.match(r"[a-z0-9-]+==[\w.]+(\s+# via .*)?$", line)] == []

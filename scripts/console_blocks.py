"""Write what the commands of a Markdown file's ```console blocks print into it; --check shows what differs.

    python scripts/console_blocks.py [--check] README.md

A block is one command after "$ ", then its output (both streams). The commands of a file share a new folder
that holds `scenarios/` and nothing else.
"""

import difflib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```console\n\$ (?P<command>.*)\n(?P<output>(?:.*\n)*?)```$", re.MULTILINE)


def output_of(command: str, folder: Path) -> str:
    """What a command prints, as a reader of a page of 80 columns without colours sees it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "COLUMNS": "80", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    lines = [line.rstrip() for line in done.stdout.strip("\n").splitlines()]
    return "".join(f"{line}\n" for line in lines)


def filled(text: str) -> str:
    """The text with every block's output as it is now."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scenarios").symlink_to(ROOT / "scenarios")
        return BLOCK.sub(
            lambda block: f"```console\n$ {block['command']}\n{output_of(block['command'], folder)}```", text
        )


def main() -> None:
    """Fill the file, or with --check end with 1 and a diff where it says something else than the commands."""
    *options, name = sys.argv[1:]
    file = Path(name)
    before = file.read_text(encoding="utf-8")
    after = filled(before)
    if options != ["--check"]:
        file.write_text(after, encoding="utf-8")
        return
    difference = list(
        difflib.unified_diff(
            before.splitlines(), after.splitlines(), f"{name} says", "the commands say", lineterm=""
        )
    )
    if difference:
        sys.exit("\n".join(difference))


if __name__ == "__main__":
    main()

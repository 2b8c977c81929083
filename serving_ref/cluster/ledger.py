"""What a cluster makes on this machine, written down before it is made, so that `down` can always undo it.

A cluster is mostly processes in namespaces of their own: when a machine's first process is killed, the kernel takes
its processes, mounts, links, routes and packet filter rules with it. The ledger is for the rest.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Processes:
    """Every process that has `marker` in its environment; the first entry of every ledger."""

    marker: str


@dataclass(frozen=True, slots=True)
class Link:
    """A network link in the machine's own namespace; its routes and addresses go with it."""

    name: str


@dataclass(frozen=True, slots=True)
class Cgroup:
    """A control group with all below it."""

    path: str


@dataclass(frozen=True, slots=True)
class Sysctl:
    """A kernel setting outside every namespace. It is set back only while it still has the value given here."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder with all in it."""

    path: str


Entry: TypeAlias = Processes | Link | Cgroup | Sysctl | Folder
KINDS: dict[str, type[Entry]] = {kind.__name__: kind for kind in (Processes, Link, Cgroup, Sysctl, Folder)}
UNDO_ORDER = (Processes, Link, Cgroup, Sysctl, Folder)
"""Processes use all the rest, so they go first; the folder with the ledger itself goes last."""


def undo_order(entries: Iterable[Entry]) -> list[Entry]:
    """Return what to undo, each thing once, latest first within its kind.

    Of several entries for one setting the oldest knows the value from before the cluster.
    """
    oldest: dict[tuple[type[Entry], str], Entry] = {}
    for entry in entries:
        oldest.setdefault((type(entry), _identity(entry)), entry)
    latest_first = list(reversed(oldest.values()))
    return sorted(latest_first, key=lambda entry: UNDO_ORDER.index(type(entry)))


def _identity(entry: Entry) -> str:
    match entry:
        case Processes(marker):
            return marker
        case Link(name):
            return name
        case Cgroup(path) | Folder(path):
            return path
        case Sysctl(path, _, _):
            return path


def to_line(entry: Entry) -> str:
    """One line of JSON."""
    return json.dumps({"kind": type(entry).__name__, **asdict(entry)}, sort_keys=True) + "\n"


def from_lines(text: str) -> list[Entry]:
    """Read entries. A last line without its end was cut off while being written: its thing was not made yet."""
    whole, _, _ = text.rpartition("\n")
    return [_from_document(json.loads(line)) for line in whole.splitlines() if line]


def _from_document(document: dict[str, str]) -> Entry:
    kind = KINDS[document.pop("kind")]
    return kind(**document)


class Ledger:
    """The ledger's file. `write` returns when the entry would survive a power cut."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, entry: Entry) -> None:
        """Add an entry, unless it is there already."""
        if entry in self.entries():
            return
        with self.path.open("ab") as file:
            file.truncate(self._whole_bytes())
            file.write(to_line(entry).encode())
            file.flush()
            os.fsync(file.fileno())

    def _whole_bytes(self) -> int:
        """Up to where lines are whole: what a killed command began to write must not become part of the next."""
        return self.path.read_bytes().rfind(b"\n") + 1

    def entries(self) -> list[Entry]:
        """All entries, oldest first."""
        return from_lines(self.path.read_text(encoding="utf-8")) if self.path.exists() else []

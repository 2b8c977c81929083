"""Where the cluster keeps what it builds (once a machine) and what it runs (while it is up)."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Programs and image layers, kept between clusters: `$XDG_CACHE_HOME/baseload/cluster`."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "baseload" / "cluster"


def state_folder() -> Path:
    """One folder a running cluster, gone with it: `$XDG_STATE_HOME/baseload/clusters`."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return home / "baseload" / "clusters"


def write_changed(path: Path, text: str) -> Path:
    """Write a file that running programs may watch, unless it says that already, and return its path.

    kube-proxy ends when its configuration is written to, whatever it says then; `up` again must change nothing.
    """
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    return path

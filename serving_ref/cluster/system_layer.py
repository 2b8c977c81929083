"""The lowest layer of an image: a small Debian with Python, made by debootstrap once a machine."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.errors import EnvironmentProblem
from serving_ref.cluster.layers import BlobStore, tree_entries

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving_ref.cluster.layers import Blob

RELEASE = "bookworm"
PYTHON = "3.11.2"
"""The Python of Debian 12; a stable release keeps its version."""
PACKAGES = ("python3", "ca-certificates", "libgomp1")
"""Python with its whole library; certificates and OpenMP are what wheels expect from a system."""
NOT_NEEDED = re.compile(
    r"""(dev|proc|sys|run|tmp|boot|home|root|media|mnt|srv|opt)/.
    | var/(cache|log|lib/apt/lists|lib/dpkg/info|lib/dpkg/.*-old|backups)/.
    | usr/share/(doc|man|info|locale|lintian|zoneinfo|bash-completion|common-licenses)/.
    | etc/(machine-id|hostname|resolv\.conf|hosts|shadow-|passwd-|group-|gshadow-)$
    | usr/lib/python3/dist-packages/.*/tests/.""",
    re.VERBOSE,
)
"""What a container never reads, what differs from one build to the next, and what Kubernetes mounts itself."""


@dataclass(frozen=True, slots=True)
class SystemLayer:
    """The layer, and what dependencies must fit."""

    blob: Blob
    python: str
    """Such as `3.11.2`."""


def system_layer(store: BlobStore, say: Callable[[str], None]) -> SystemLayer:
    """Return the layer, made now if this machine has not made it yet.

    Raises:
        EnvironmentProblem: debootstrap is missing, is not run as root, or fails.
    """
    recipe = json.dumps([RELEASE, PYTHON, PACKAGES, NOT_NEEDED.pattern])
    stamp = store.folder / f"system-{hashlib.sha256(recipe.encode()).hexdigest()[:16]}"
    blob = store.find(stamp.read_text()) if stamp.exists() else None
    if blob is None:
        blob = _make(store, say)
        stamp.write_text(blob.digest)
    return SystemLayer(blob, PYTHON)


def _make(store: BlobStore, say: Callable[[str], None]) -> Blob:
    debootstrap = shutil.which("debootstrap")
    if debootstrap is None:
        raise EnvironmentProblem(
            "images need the program debootstrap (Debian and Ubuntu: apt install debootstrap)"
        )
    started_s = time.time()
    say(
        f"making the system layer of images, Debian {RELEASE} with Python {PYTHON}: once a machine, about a minute"
    )
    store.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store.folder, prefix="system-") as name:
        root = Path(name)
        command = [debootstrap, "--variant=minbase", f"--include={','.join(PACKAGES)}", RELEASE, name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
            raise EnvironmentProblem(f"debootstrap failed with status {done.returncode}:\n{last}")
        entries = tree_entries(
            root, "", keep=lambda path: not NOT_NEEDED.match(path), newest_mtime_s=int(started_s)
        )
        blob = store.add_layer(entries)
    say(f"made the system layer: {blob.size_bytes / 2**20:.0f} MiB in {time.time() - started_s:.0f} s")
    return blob

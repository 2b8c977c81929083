"""The identity of a scenario: the same digest means the same document and the same data."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def digest(document: Mapping[str, Any], files: Mapping[str, Path]) -> str:
    """Return the SHA-256 of the resolved document in canonical JSON, with the SHA-256 of each file it names.

    Where the files lie does not count, nor does the order of keys or how the document was put together.
    """
    contents = {name: file_digest(path) for name, path in files.items()}
    canonical = json.dumps(
        {"document": document, "files": contents}, sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""One layer of an image: a tar whose bytes depend on what is in the files, not on when or where it was packed."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Blob:
    """A file known by what is in it, in the store of blobs."""

    digest: str
    """`sha256:` and 64 hexadecimal digits."""
    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, folder or link as it stands in a layer; `source` or `content` has a file's bytes."""

    name: str
    """Path in the image, without the leading slash."""
    mode: int
    source: Path | None = None
    content: bytes = b""
    link: str | None = None
    uid: int = 0
    gid: int = 0
    mtime_s: int = 0

    def header(self) -> tarfile.TarInfo:
        """The tar header, with nothing in it that this entry does not say."""
        info = tarfile.TarInfo(self.name)
        info.mode, info.uid, info.gid, info.mtime = stat.S_IMODE(self.mode), self.uid, self.gid, self.mtime_s
        if self.link is not None:
            info.type, info.linkname = tarfile.SYMTYPE, self.link
        elif stat.S_ISDIR(self.mode):
            info.type = tarfile.DIRTYPE
        elif self.source is not None:
            info.size = self.source.stat().st_size
        else:
            info.size = len(self.content)
        return info


def folder_entry(name: str, permissions: int = 0o755) -> Entry:
    """An empty folder."""
    return Entry(name, stat.S_IFDIR | permissions)


def tree_entries(
    root: Path, prefix: str, *, keep: Callable[[str], bool] = lambda _: True, newest_mtime_s: int = 0
) -> Iterable[Entry]:
    """Yield what lies under `root`, as it will lie under `prefix`, in the order of names.

    `keep` sees each path relative to `root`; a folder that is not kept is not entered. Times later than
    `newest_mtime_s` become 0: they tell when the tree was made, while older ones came with a package and are
    what its compiled Python files were made from. Without it, owners become root too. Devices, sockets and
    pipes are left out.
    """
    for folder, inner, files in os.walk(root):
        relative = Path(folder).relative_to(root)
        inner[:] = sorted(name for name in inner if keep(str(relative / name)))
        for name in sorted([*inner, *(name for name in files if keep(str(relative / name)))]):
            yield from _entry(Path(folder, name), prefix + str(relative / name), newest_mtime_s)


def _entry(path: Path, name: str, newest_mtime_s: int) -> Iterable[Entry]:
    status = path.lstat()
    mtime_s = int(status.st_mtime) if status.st_mtime <= newest_mtime_s else 0
    uid, gid = (status.st_uid, status.st_gid) if newest_mtime_s else (0, 0)
    if stat.S_ISLNK(status.st_mode):
        yield Entry(name, status.st_mode, None, b"", str(path.readlink()), uid, gid, mtime_s)
    elif stat.S_ISDIR(status.st_mode):
        yield Entry(name, status.st_mode, uid=uid, gid=gid)
    elif stat.S_ISREG(status.st_mode):
        yield Entry(name, status.st_mode, path, uid=uid, gid=gid, mtime_s=mtime_s)


class BlobStore:
    """A folder of blobs named by their digests. Written whole or not at all; the same content is kept once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, digest: str) -> Blob | None:
        """The blob with this digest, or None; of a digest that was cut off while it was noted down, too."""
        path = self.folder / digest.removeprefix("sha256:")
        return Blob(digest, path, path.stat().st_size) if path.is_file() else None

    def add_bytes(self, content: bytes) -> Blob:
        """Keep these bytes."""
        return self._add(lambda file: file.write(content))

    def add_layer(self, entries: Iterable[Entry]) -> Blob:
        """Keep a layer of these entries, in the order given."""
        return self._add(lambda file: write_tar(file, entries))

    def _add(self, write: Callable[[io.BufferedRandom], object]) -> Blob:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix="new-", delete=False) as file:
            temporary = Path(file.name)
            try:
                write(file)  # type: ignore[arg-type]  # a named temporary file forwards to a BufferedRandom
                file.flush()
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                temporary.rename(self.folder / digest)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        blob = self.find(f"sha256:{digest}")
        assert blob is not None
        return blob


def write_tar(file: io.BufferedIOBase, entries: Iterable[Entry]) -> None:
    """Write entries as an uncompressed tar: the nodes are on this machine, so compressing would only cost time."""
    with tarfile.open(fileobj=file, mode="w|", bufsize=1 << 20, format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            if entry.source is not None:
                with entry.source.open("rb") as content:
                    tar.addfile(entry.header(), content)
            else:
                tar.addfile(entry.header(), io.BytesIO(entry.content))


def file_entries(files: Mapping[str, bytes], permissions: int = 0o644) -> Iterable[Entry]:
    """Yield files from memory with the folders they need, each folder once."""
    folders = sorted({str(parent) for name in files for parent in Path(name).parents} - {"."})
    yield from map(folder_entry, folders)
    for name in sorted(files):
        yield Entry(name, stat.S_IFREG | permissions, content=files[name])

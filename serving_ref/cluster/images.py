"""Container images without a container engine: three layers of their own, so that a change of code ships kilobytes.

`build_image` makes an image of (1) a small Debian with Python, (2) packages from PyPI, (3) our code. `load_image`
gives it to every real node of a cluster, and sends only what a node does not have yet. The layout inside:

    /app/dependencies    what pip installed     both are on PYTHONPATH
    /app/code            what `code` named      and this is the working folder
"""

from __future__ import annotations

import hashlib
import json
import platform
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from scenarios.errors import EnvironmentProblem, InvalidInput
from serving_ref.cluster.folders import cache_folder
from serving_ref.cluster.layers import BlobStore, Entry, file_entries, folder_entry, tree_entries, write_tar
from serving_ref.cluster.system_layer import system_layer

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from serving_ref.cluster.layers import Blob

REGISTRY = "baseload.local"
"""A host that is nowhere: these images come from no registry, so pods need no pull policy but the default."""
NOBODY = 65532
"""The user of distroless images: numeric, because `runAsNonRoot` looks at numbers only."""
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
APP = "app"
COMPILED = ("-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash")
"""Compiled files that do not hold a time: same bytes each build, and used although the root is read-only."""
PIP_FOR_ANOTHER_PYTHON = """
import platform, runpy, sys
version = sys.argv.pop(1)
platform.python_version = lambda: version
platform.python_version_tuple = lambda: tuple(version.split("."))
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
"""pip chooses wheels by --python-version, but reads conditions such as `python_full_version < "3.11.3"` for the Python
it runs on (pypa/pip issue 11010): so it is told the image's here."""
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True, slots=True)
class ImageArchive:
    """A built image: its name, and the blobs it is made of in the store."""

    reference: str
    """Such as `baseload.local/gateway:3f2a91c04d7e`: the tag is the start of the digest, so it never lies."""
    manifest: Blob
    blobs: tuple[Blob, ...]
    """Its configuration, then its layers from the lowest up."""

    @property
    def digest(self) -> str:
        """`sha256:…` of the manifest."""
        return self.manifest.digest

    def write(self, file: io.BufferedIOBase, *, without: frozenset[str] = frozenset()) -> None:
        """Write an OCI image layout as one tar, without the blobs of these digests."""
        index = {
            "schemaVersion": 2,
            "manifests": [
                _descriptor(self.manifest, MANIFEST_TYPE)
                | {"annotations": {"io.containerd.image.name": self.reference}}
            ],
        }
        head = {"oci-layout": _json({"imageLayoutVersion": "1.0.0"}), "index.json": _json(index)}
        write_tar(file, [*file_entries(head), *self._blob_entries(without)])

    def save(self, path: Path) -> None:
        """Write the whole image to a file, for `ctr images import`, `kind load image-archive` and `skopeo`."""
        with path.open("wb") as file:
            self.write(file)

    def _blob_entries(self, without: frozenset[str]) -> Iterable[Entry]:
        yield folder_entry("blobs")
        yield folder_entry("blobs/sha256")
        for blob in (self.manifest, *self.blobs):
            if blob.digest not in without:
                name = f"blobs/{blob.digest.replace(':', '/')}"
                yield Entry(name, stat.S_IFREG | 0o644, source=blob.path)


class ImageStore(Protocol):
    """What keeps images: a node of a cluster."""

    def image_blobs(self) -> frozenset[str]:
        """Digests of the blobs it has."""

    def import_image(self, write: Callable[[io.BufferedIOBase], None]) -> None:
        """Take in the OCI layout that `write` writes."""


class HasNodes(Protocol):
    """A cluster, as far as images go."""

    def image_stores(self) -> Sequence[ImageStore]:
        """Its real nodes."""

    def remember_image(self, archive: ImageArchive) -> None:
        """Give this image to nodes that come later too."""


def build_image(
    name: str,
    *,
    dependencies: Sequence[str] = (),
    code: Sequence[Path] = (),
    entrypoint: Sequence[str],
    user: int = NOBODY,
    constraints: Path | None = None,
    environment: Mapping[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> ImageArchive:
    """Build an image of Python code.

    Args:
        name: such as `gateway`; the image is called `baseload.local/gateway:<start of its digest>`.
        dependencies: what pip shall install (wheels only: nothing is compiled), such as `["redis==8.0.1"]`.
        code: files and folders; each lies in /app/code under its own name, packages are importable.
        entrypoint: the command, such as `["python3", "-m", "serving_ref.gateway"]`.
        user: user and group number the process runs as.
        constraints: a pip constraints file, such as the project's `constraints.txt`.
        environment: variables beside PATH and PYTHONPATH.
        say: is told about steps that take long.

    Raises:
        InvalidInput: a path in `code` is not there.
        EnvironmentProblem: debootstrap or pip is missing or fails.
    """
    store = BlobStore(cache_folder() / "blobs")
    system = system_layer(store, say)
    layers = [system.blob]
    if dependencies:
        layers.append(_dependencies_layer(store, dependencies, constraints, system.python, say))
    if code:
        layers.append(_code_layer(store, code))
    settings = {
        "User": f"{user}:{user}",
        "WorkingDir": f"/{APP}/code" if code else "/",
        "Entrypoint": list(entrypoint),
        "Env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            f"PYTHONPATH=/{APP}/code:/{APP}/dependencies",
            "PYTHONUNBUFFERED=1",
            *(f"{key}={value}" for key, value in sorted((environment or {}).items())),
        ],
    }
    return assemble(store, name, settings, layers)


def pause_image(program: Path) -> ImageArchive:
    """The image that holds a pod's namespaces open: one static program that waits (`catatonit -P`)."""
    store = BlobStore(cache_folder() / "blobs")
    layer = store.add_layer([Entry("pause", stat.S_IFREG | 0o755, source=program)])
    return assemble(store, "pause", {"User": f"{NOBODY}:{NOBODY}", "Entrypoint": ["/pause", "-P"]}, [layer])


def assemble(
    store: BlobStore, name: str, settings: Mapping[str, Any], layers: Sequence[Blob]
) -> ImageArchive:
    """Put layers under one configuration. Layers are not compressed, so a layer's digest is also its diff id."""
    machine = platform.machine()
    configuration = {
        "architecture": ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
    }
    config = store.add_bytes(_json(configuration))
    manifest = store.add_bytes(
        _json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": _descriptor(config, CONFIG_TYPE),
                "layers": [_descriptor(layer, LAYER_TYPE) for layer in layers],
            }
        )
    )
    tag = manifest.digest.removeprefix("sha256:")[:12]
    return ImageArchive(f"{REGISTRY}/{name}:{tag}", manifest, (config, *layers))


def load_image(cluster: HasNodes, archive: ImageArchive) -> None:
    """Give an image to every real node of a cluster, those that come later included."""
    cluster.remember_image(archive)
    for node in cluster.image_stores():
        load_into(node, archive)


def load_into(node: ImageStore, archive: ImageArchive) -> None:
    """Give an image to one node; blobs that it has are not sent again."""
    present = node.image_blobs()
    node.import_image(lambda file: archive.write(file, without=present))


def _dependencies_layer(
    store: BlobStore,
    dependencies: Sequence[str],
    constraints: Path | None,
    python: str,
    say: Callable[[str], None],
) -> Blob:
    pins = constraints.read_text(encoding="utf-8") if constraints else ""
    recipe = _json([sorted(dependencies), pins, python, platform.machine()])
    stamp = store.folder / f"dependencies-{hashlib.sha256(recipe).hexdigest()[:16]}"
    known = store.find(stamp.read_text()) if stamp.exists() else None
    if known is not None:
        return known
    started_s = time.monotonic()
    say(f"installing {', '.join(dependencies)} into a layer")
    with tempfile.TemporaryDirectory(prefix="baseload-layer-") as folder:
        command = [sys.executable, "-c", PIP_FOR_ANOTHER_PYTHON, python, "install", "--quiet"]
        command += ["--disable-pip-version-check", "--root-user-action=ignore"]
        command += ["--target", folder, "--no-compile", "--only-binary=:all:", "--python-version", python]
        command += ["--constraint", str(constraints)] if constraints else []
        _run([*command, *dependencies], "pip install")
        _compile(Path(folder), python)
        layer = store.add_layer(
            [folder_entry(APP), *tree_entries(Path(folder), f"{APP}/dependencies/", keep=_is_content)]
        )
    stamp.write_text(layer.digest)
    say(f"installed: {layer.size_bytes / 2**20:.0f} MiB in {time.monotonic() - started_s:.0f} s")
    return layer


def _code_layer(store: BlobStore, code: Sequence[Path]) -> Blob:
    entries = [folder_entry(APP), folder_entry(f"{APP}/code")]
    for path in code:
        if not path.exists():
            raise InvalidInput(f"{path}: expected a file or folder to put into an image")
        name = f"{APP}/code/{path.name}"
        if path.is_dir():
            entries += [folder_entry(name), *tree_entries(path, f"{name}/", keep=_is_source)]
        else:
            entries.append(Entry(name, stat.S_IFREG | 0o644, source=path))
    return store.add_layer(entries)


def _is_source(path: str) -> bool:
    return Path(path).name not in {"__pycache__", ".git", ".venv"}


def _is_content(path: str) -> bool:
    """Scripts in bin/ start with the interpreter of the machine that built them."""
    return path != "bin"


def _compile(folder: Path, python: str) -> None:
    """Compile where our Python is the image's; elsewhere the container does it, each time it starts."""
    if python.startswith(f"{sys.version_info.major}.{sys.version_info.minor}."):
        # Some packages ship files that only another version can read: what fails is left as it is.
        subprocess.run(
            [sys.executable, *COMPILED, "-s", str(folder), "-p", f"/{APP}/dependencies", str(folder)],
            capture_output=True,
            check=False,
        )


def _run(command: Sequence[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise EnvironmentProblem(f"{what} failed with status {done.returncode}:\n{last}")


def _descriptor(blob: Blob, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size_bytes}


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

"""Images without an engine: the same content gives the same bytes, and only what is missing is sent."""

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from scenarios.errors import InvalidInput
from serving_ref.cluster import images
from serving_ref.cluster.images import assemble, build_image, load_image
from serving_ref.cluster.layers import BlobStore, Entry, tree_entries
from serving_ref.cluster.system_layer import NOT_NEEDED, SystemLayer


@pytest.fixture
def store(tmp_path):
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    (root / "package" / "__pycache__").mkdir(parents=True)
    (root / "package" / "__init__.py").write_text("answer = 42\n")
    (root / "package" / "__pycache__" / "stale.pyc").write_text("stale")
    (root / "package" / "link").symlink_to("__init__.py")
    return root


def content(blob):
    with tarfile.open(blob.path) as tar:
        return {member.name: member for member in tar}


def layout(archive, **options):
    file = io.BytesIO()
    archive.write(file, **options)
    file.seek(0)
    with tarfile.open(fileobj=file) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}


def test_the_digest_does_not_depend_on_when_a_file_was_written(store, tree):
    first = store.add_layer(tree_entries(tree, "app/"))
    os.utime(tree / "package" / "__init__.py", (1, 1))
    assert store.add_layer(tree_entries(tree, "app/")) == first


def test_the_digest_depends_on_content_and_mode(store, tree):
    file = tree / "package" / "__init__.py"
    digests = {store.add_layer(tree_entries(tree, "app/")).digest}
    file.write_text("answer = 43\n")
    digests.add(store.add_layer(tree_entries(tree, "app/")).digest)
    file.chmod(0o755)
    digests.add(store.add_layer(tree_entries(tree, "app/")).digest)
    assert len(digests) == 3


def test_a_layer_holds_files_folders_and_links_and_what_is_left_out_is_not_entered(store, tree):
    layer = store.add_layer(tree_entries(tree, "app/", keep=lambda path: "__pycache__" not in path))
    members = content(layer)
    assert list(members) == ["app/package", "app/package/__init__.py", "app/package/link"]
    assert members["app/package/link"].linkname == "__init__.py"


def test_a_time_older_than_the_build_came_with_its_package_and_is_kept(store, tree):
    os.utime(tree / "package" / "__init__.py", (1_000, 1_000))
    members = content(store.add_layer(tree_entries(tree, "", newest_mtime_s=2_000)))
    assert members["package/__init__.py"].mtime == 1_000
    assert members["package/__pycache__/stale.pyc"].mtime == 0


@pytest.mark.parametrize("noted", ["", "sha256:", "sha256:0a1b"])
def test_a_digest_that_was_cut_off_is_no_blob(store, noted):
    store.add_bytes(b"x")
    assert store.find(noted) is None


def test_a_blob_that_could_not_be_written_leaves_nothing(store):
    with pytest.raises(FileNotFoundError):
        store.add_layer([Entry("gone", 0o644, source=Path("no/such/file"))])
    assert list(store.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("usr/lib/python3.11/json/__init__.py", True),
        ("usr/share/doc/bash/README", False),
        ("usr/share/doc", True),
        ("var/lib/dpkg/status", True),
        ("var/cache/apt/archives/x.deb", False),
        ("etc/machine-id", False),
        ("etc/passwd", True),
        ("tmp", True),
    ],
)
def test_what_the_system_layer_leaves_out(path, kept):
    assert (NOT_NEEDED.match(path) is None) == kept


def test_an_image_names_its_blobs_by_what_is_in_them(store):
    layers = [store.add_layer([Entry(name, 0o644, content=b"x")]) for name in ("low", "high")]
    archive = assemble(store, "probe", {"User": "1:1"}, layers)
    files = layout(archive)
    (manifest,) = json.loads(files["index.json"])["manifests"]
    assert manifest["annotations"]["io.containerd.image.name"] == archive.reference
    blobs = {name: data for name, data in files.items() if name.startswith("blobs/")}
    assert all(name == f"blobs/sha256/{hashlib.sha256(data).hexdigest()}" for name, data in blobs.items())
    document = json.loads(blobs["blobs/" + manifest["digest"].replace(":", "/")])
    assert [layer["digest"] for layer in document["layers"]] == [layer.digest for layer in layers]
    config = json.loads(blobs["blobs/" + document["config"]["digest"].replace(":", "/")])
    assert config["rootfs"]["diff_ids"] == [layer.digest for layer in layers]
    assert len(blobs) == 4


class Node:
    """A node that keeps the digests it is sent."""

    def __init__(self):
        self.blobs, self.sent_bytes = frozenset(), 0

    def image_blobs(self):
        return self.blobs

    def import_image(self, write):
        file = io.BytesIO()
        write(file)
        self.sent_bytes = file.tell()
        file.seek(0)
        with tarfile.open(fileobj=file) as tar:
            names = [Path(name).name for name in tar.getnames() if name.startswith("blobs/sha256/")]
        self.blobs |= {f"sha256:{name}" for name in names}


class Cluster:
    def __init__(self, nodes):
        self.nodes, self.remembered = nodes, []

    def image_stores(self):
        return self.nodes

    def remember_image(self, archive):
        self.remembered.append(archive)


@pytest.fixture
def small_system(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        images,
        "system_layer",
        lambda store, say: SystemLayer(
            store.add_layer([Entry("usr", 0o644, content=bytes(10**6))]), "3.11.2"
        ),
    )


def test_a_change_of_code_sends_the_code_only(small_system, tree):
    cluster = Cluster([Node(), Node()])
    build = lambda: build_image("app", code=[tree / "package"], entrypoint=["python3"])  # noqa: E731 - said twice
    load_image(cluster, first := build())
    assert all(node.sent_bytes > 10**6 for node in cluster.nodes)
    (tree / "package" / "__init__.py").write_text("answer = 43\n")
    load_image(cluster, second := build())
    assert all(node.sent_bytes < 10**5 for node in cluster.nodes)
    assert first.reference != second.reference
    assert cluster.remembered == [first, second]


def test_code_lies_under_its_own_name_without_compiled_files(small_system, tree):
    archive = build_image("app", code=[tree / "package"], entrypoint=["python3"])
    assert list(content(archive.blobs[-1])) == [
        "app",
        "app/code",
        "app/code/package",
        "app/code/package/__init__.py",
        "app/code/package/link",
    ]


def test_an_image_runs_as_a_number_that_is_not_root(small_system, tree):
    archive = build_image("app", code=[tree / "package"], entrypoint=["python3", "-m", "package"])
    config = json.loads(archive.blobs[0].path.read_text())["config"]
    assert (config["User"], config["WorkingDir"]) == ("65532:65532", "/app/code")
    assert config["Entrypoint"] == ["python3", "-m", "package"]
    assert "PYTHONPATH=/app/code:/app/dependencies" in config["Env"]


def test_code_that_is_not_there_is_told_by_its_path(small_system, tmp_path):
    with pytest.raises(InvalidInput, match="no-such-folder"):
        build_image("app", code=[tmp_path / "no-such-folder"], entrypoint=["python3"])

"""The Dockerfile, built for real: Buildah in place of Docker, and a Debian of our own in place of the base image.

Everything that Buildah does is done in a mount and a process namespace of its own, which end with it.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pip
import pytest
import yaml

from serving_ref.cluster.folders import cache_folder
from serving_ref.cluster.layers import BlobStore
from serving_ref.cluster.system_layer import system_layer
from tests.serving_ref.servers import ROOT, Server, Servers, free_port, upstream, wait_until

pytestmark = [
    pytest.mark.buildah,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to build an image"),
]

DOCKERFILE = ROOT / "serving_ref" / "Dockerfile"
(BASE,) = set(re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE))
IMAGE = "baseload-serving:test"
OWN_NAMESPACES = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]
WITH_EMPTY_STATE = 'for each in lib cache; do mount -t tmpfs none /var/$each; done; exec "$0" "$@"'
"""Buildah keeps a little beside its storage, whatever it is told: there it is gone at the end."""
STAND_IN = """
rm /usr/lib/python3*/EXTERNALLY-MANAGED /usr/lib/*/libgomp.so*
mv /usr/bin/python3* /usr/local/bin
ln -s python3 /usr/local/bin/python
printf '#!/bin/sh\nexec python3 -m pip "$@"\n' >/usr/local/bin/pip
chmod +x /usr/local/bin/pip
"""
"""Makes of Debian's Python what the Dockerfile is promised: one in /usr/local, into which pip may install; and no more
libraries than there."""
PACKAGES = {"index-url", "extra-index-url", "find-links", "trusted-host", "proxy", "cert", "client-cert"}
"""Settings of pip that say where packages are: a container needs them too."""
NOT_COMPILED = """
import importlib.util, json, pathlib
found = {"sources": 0, "stale": []}
for path in pathlib.Path("/app").rglob("*.py"):
    cached = pathlib.Path(importlib.util.cache_from_source(path))
    found["sources"] += 1
    head = cached.read_bytes()[:8] if cached.exists() else b""
    if head != importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little"):
        found["stale"].append(str(path))
print(json.dumps(found))
"""
"""Prints how many modules there are, and which have no compiled file that holds whatever the times are."""


@dataclass(frozen=True)
class Buildah:
    """Buildah with its storage in a folder."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        storage = ["--root", str(self.folder / "root"), "--runroot", str(self.folder / "runroot")]
        program = ["env", f"TMPDIR={self.folder}", "buildah", *storage, "--storage-driver", "vfs"]
        return [*OWN_NAMESPACES, WITH_EMPTY_STATE, *program, *arguments]

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"buildah {arguments[0]}: {done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout.strip()

    def inside(self, container: str, *command: str, volumes: tuple[str, ...] = ()) -> list[str]:
        """What runs a command in a container on this machine's network, as the image's user."""
        options = [option for volume in volumes for option in ("--volume", volume)]
        return self.command(
            "run", "--isolation", "chroot", "--network", "host", *options, container, *command
        )

    def output(self, container: str, *command: str) -> str:
        return subprocess.run(
            self.inside(container, *command), capture_output=True, text=True, check=True
        ).stdout

    def users(self) -> list[str]:
        """Processes and mounts that still have to do with the folder."""
        name = str(self.folder)
        commands = {path: _read(path) for path in Path("/proc").glob("[0-9]*/cmdline")}
        mounts = [line for line in _read(Path("/proc/self/mountinfo")).splitlines() if name in line]
        return mounts + [str(path) for path, line in commands.items() if name in line]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # the process has ended meanwhile
        return ""


@pytest.fixture(scope="module")
def buildah() -> Iterator[Buildah]:
    # Not pytest's folder: that is kept, and this is nearly a gigabyte.
    with tempfile.TemporaryDirectory(prefix="baseload-buildah-") as name:
        made = Buildah(Path(name))
        yield made
        wait_until(lambda: not made.users(), "nothing of the containers to be left")


def packages(folder: Path) -> list[str]:
    """Volumes that let pip in a container find packages as it does here."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    settings = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        settings[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    settings = {name: value for name, value in settings.items() if name in PACKAGES}
    lines = (f"{name} = {' '.join(value.split())}\n" for name, value in settings.items())
    folder.joinpath("pip.conf").write_text("[global]\n" + "".join(lines))
    paths = {word for value in settings.values() for word in value.split() if Path(word).is_absolute()}
    volumes = [f"{folder}/pip.conf:/etc/pip.conf:ro", *(f"{path}:{path}:ro" for path in sorted(paths))]
    return [option for volume in volumes for option in ("--volume", volume)]


def make_base(buildah: Buildah) -> None:
    layer = system_layer(BlobStore(cache_folder() / "blobs"), print).blob
    own_pip = buildah.folder / "pip"
    shutil.copytree(Path(pip.__file__).parent, own_pip, ignore=shutil.ignore_patterns("__pycache__"))
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, str(layer.path), "/")
    buildah("copy", "--quiet", container, str(own_pip), "/usr/local/lib/python3.11/dist-packages/pip")
    buildah("run", "--isolation", "chroot", container, "sh", "-ec", STAND_IN)
    buildah("config", "--env", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
    buildah("commit", "--quiet", "--rm", container, BASE)


@pytest.fixture(scope="module")
def container(buildah) -> str:
    """A container of the image."""
    make_base(buildah)
    options = ["--isolation", "chroot", "--network", "host", "--pull=never", *packages(buildah.folder)]
    buildah("bud", *options, "--file", str(DOCKERFILE), "--tag", IMAGE, str(ROOT))
    return buildah("from", "--pull=never", IMAGE)


@pytest.fixture(scope="module")
def config(buildah, container) -> dict[str, Any]:
    return json.loads(buildah("inspect", "--type", "image", IMAGE))["OCIv1"]["config"]


def test_what_the_manifests_take_for_granted_is_in_the_image(buildah, container, config):
    deployment = yaml.safe_load((ROOT / "serving_ref/manifests/base/gateway/deployment.yaml").read_text())
    security = deployment["spec"]["template"]["spec"]["securityContext"]
    assert config["User"] == f"{security['runAsUser']}:{security['runAsGroup']}"
    assert config["ExposedPorts"].keys() == {"8080/tcp"}
    assert buildah.output(container, "id", "-u").strip() == str(security["runAsUser"])
    assert "Lay the model" in buildah.output(
        container, "python3", "-m", "serving_ref.model_server.repository", "--help"
    )


def test_everything_is_compiled_for_the_images_python(buildah, container):
    """And by content, not time: a pod's root is read-only, so what is stale there is compiled at every start."""
    found = json.loads(buildah.output(container, "python3", "-c", NOT_COMPILED))
    assert found["sources"] > 500
    assert found["stale"] == []


def start(
    buildah: Buildah, servers: Servers, container: str, command: list[str], settings: dict[str, Any]
) -> Server:
    port = free_port()
    folder = servers.folder / str(port)
    folder.mkdir()
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    command = [*command, "--host", "127.0.0.1", "--port", str(port)]
    running = buildah.inside(container, *command, volumes=(f"{folder}:/etc/baseload:ro",))
    return servers.start(running, port, Server.is_ready)


def test_an_answer_of_a_real_model_comes_through_gateway_and_model_server(
    buildah, container, config, servers
):
    serve = ["python3", "-m", "serving_ref.model_server", "--settings", "/etc/baseload/settings.yaml"]
    model = {"name": "m", "onnx": {"package": "magika"}}
    replica = start(buildah, servers, container, serve, {"service": "ranker", "model": model})
    routes = [{"name": "main", "targets": [{"service": "ranker"}]}]
    settings = {"name": "test", "routes": routes, "services": [upstream("ranker", [replica])]}
    gateway = start(buildah, servers, container, config["Cmd"], settings)
    (asked,) = gateway.request("GET", "/v2/models/main").document["inputs"]
    items = asked["shape"][1]
    tensor = {**asked, "shape": [1, items], "data": [65] * items}
    answer = gateway.infer("main", json.dumps({"inputs": [tensor]}).encode())
    assert (answer.status, answer.outcome) == (200, "model")
    assert sum(answer.output("target_label")) == pytest.approx(1, abs=1e-3)

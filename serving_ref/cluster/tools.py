"""Build the Go programs of a cluster, at the versions that `tools/` pins, once a machine.

A component's programs lie in `<cache>/tools/<name>-<version>-<recipe>/`. The recipe is a digest of its go.mod and
go.sum and the settings, so whatever changes them builds anew, and nothing else does.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.errors import EnvironmentProblem
from serving_ref.cluster.programs import COMPONENTS_BY_NAME, find_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from serving_ref.cluster.programs import Component

TOOLS = Path(__file__).parent / "tools"
SETTINGS = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}
"""Programs that run on any Linux of this architecture, built by the Go that is here."""


@dataclass(frozen=True, slots=True)
class GoRelease:
    """The Go on this machine."""

    program: Path
    version: str
    """Such as `go1.26.8`."""


def recipe_files(component: Component) -> list[Path]:
    """What a component is built from: its go.mod and go.sum, and a main.go where it has one."""
    return sorted((TOOLS / component.name).glob("*.*"))


def pinned_version(component: Component) -> str:
    """The version of a component in its go.mod, such as `v1.35.4`."""
    text = (TOOLS / component.name / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"^\s*(?:require\s+)?{re.escape(component.module)} (v\S+)", text, re.MULTILINE)
    assert found, f"{component.name}: its go.mod does not pin {component.module}"
    return found[1]


def needed_go(components: Iterable[Component]) -> tuple[int, ...]:
    """The lowest Go release that builds all of these, from their go.mod files."""
    texts = [(TOOLS / component.name / "go.mod").read_text(encoding="utf-8") for component in components]
    return max(_release(found[1]) for text in texts if (found := re.search(r"^go (\S+)", text, re.MULTILINE)))


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def find_go(components: Iterable[Component]) -> GoRelease:
    """Return the Go of this machine.

    Raises:
        EnvironmentProblem: there is none, or it is too old.
    """
    needed = needed_go(components)
    wanted = ".".join(map(str, needed))
    program = find_program("go")
    if program is None:
        raise EnvironmentProblem(
            f"building the cluster's programs needs Go {wanted} or newer, and there is no go on the PATH "
            "(https://go.dev/dl)"
        )
    text = _output([str(program), "env", "GOVERSION"])
    if _release(text.partition(" ")[0]) < needed:
        raise EnvironmentProblem(f"the cluster's programs need Go {wanted} or newer; {program} is {text}")
    return GoRelease(program, text)


def _output(command: list[str]) -> str:
    # Outside the checkout, so that no go.mod there asks for another toolchain.
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd="/", env=os.environ | SETTINGS
    )
    return done.stdout.strip()


class Toolbox:
    """The built programs in the cache folder."""

    def __init__(self, cache: Path, say: Callable[[str], None]) -> None:
        self._folder = cache / "tools"
        self._say = say

    def program(self, component: str, name: str) -> Path:
        """Where a program lies; it has been built by `build`."""
        return self.folder(COMPONENTS_BY_NAME[component]) / name

    def manifests(self, component: str) -> Path:
        """The folder with the Kubernetes objects that go with a component."""
        return self.folder(COMPONENTS_BY_NAME[component]) / "manifests"

    def folder(self, component: Component) -> Path:
        """Where a component's programs lie."""
        files = b"".join(path.read_bytes() for path in recipe_files(component))
        described = (sorted(component.packages.items()), component.tags, sorted(SETTINGS.items()))
        recipe = hashlib.sha256(files + repr(described).encode())
        return self._folder / f"{component.name}-{pinned_version(component)}-{recipe.hexdigest()[:12]}"

    def missing(self, components: Iterable[Component]) -> list[Component]:
        """Those not built yet."""
        return [component for component in components if not self._is_built(component)]

    def _is_built(self, component: Component) -> bool:
        return all((self.folder(component) / name).exists() for name in component.packages)

    def build(self, components: Iterable[Component]) -> None:
        """Build what is missing, one program after the other.

        Raises:
            EnvironmentProblem: there is no fitting Go, the modules cannot be had, or the build fails.
        """
        missing = self.missing(components)
        if not missing:
            return
        go = find_go(missing)
        names = ", ".join(f"{component.name} {pinned_version(component)}" for component in missing)
        self._say(
            f"building {names} with {go.version}: once a machine, 15 to 20 minutes for all on two cores"
        )
        for component in missing:
            with self._alone(component):
                if not self._is_built(component):
                    self._build(component, go)

    @contextmanager
    def _alone(self, component: Component) -> Iterator[None]:
        """Keep two commands from building the same thing at once: the second waits and finds it done."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f".{component.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _build(self, component: Component, go: GoRelease) -> None:
        started_s = time.monotonic()
        folder = self._folder / f".{component.name}.new"
        shutil.rmtree(folder, ignore_errors=True)  # of a build that was killed
        try:
            (folder / "bin").mkdir(parents=True)
            for file in recipe_files(component):
                shutil.copy(file, folder)
            for program, package in component.packages.items():
                self._build_one(component, program, package, folder, go)
            self._copy_manifests(component, folder, go)
            (folder / "bin").rename(self.folder(component))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self._say(f"built {component.name} in {time.monotonic() - started_s:.0f} s")

    def _build_one(
        self, component: Component, program: str, package: str, folder: Path, go: GoRelease
    ) -> None:
        self._say(f"  building {program} …")
        command = [str(go.program), "build", "-trimpath", "-buildvcs=false", "-mod=readonly"]
        command += [f"-tags={','.join(component.tags)}", f"-ldflags={link_flags(component)}"]
        command += ["-o", str(folder / "bin" / program), package]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, env=self._environment()
        )
        if done.returncode:
            last = "\n".join(done.stderr.strip().splitlines()[-8:])
            raise EnvironmentProblem(f"go build of {program} failed with status {done.returncode}:\n{last}")

    def _copy_manifests(self, component: Component, folder: Path, go: GoRelease) -> None:
        """Keep the module's own objects beside the programs, so that a cluster starts without the module cache."""
        if not component.manifests:
            return
        command = [str(go.program), "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", component.module]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True, env=self._environment()
        )
        target = folder / "bin" / "manifests"
        target.mkdir()
        for name in component.manifests:
            source = Path(done.stdout.strip()) / name
            for file in sorted(source.glob("*.yaml")) if source.is_dir() else [source]:
                (target / file.name).write_bytes(file.read_bytes())

    @staticmethod
    def _environment() -> Mapping[str, str]:
        return os.environ | SETTINGS


def link_flags(component: Component) -> str:
    """What the linker is told: no symbols for debuggers, and the version."""
    flags = ["-s", "-w"]
    if component.version_variable:
        flags.append(f"-X={component.version_variable}={pinned_version(component)}")
    return " ".join(flags)

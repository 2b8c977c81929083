"""A machine of the cluster: namespaces of its own for processes, mounts, network, names and messages.

Its first process does nothing but wait. While it lives, programs can be started in the machine; when it is killed, the
kernel kills them all and takes their mounts, links, routes and packet filter rules with it, as when a real machine
loses power. So a machine leaves nothing behind, whoever killed it and when.

A machine shares /usr and /etc with this one. /run, /tmp and /var are its own; folders of this machine that lie there
and are needed (state, programs) are bound back to their places, and what shall survive in its `disk` is bound there.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scenarios.errors import EnvironmentProblem
from serving_ref.cluster.processes import (
    kill_matching,
    marked,
    processes_of,
    running,
    spawn,
    wait_until,
)
from serving_ref.cluster.programs import find_program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

INIT = "init"
PRIVATE = ("/run", "/tmp", "/var")
ON_DISK = ("/var/lib/containerd", "/var/lib/kubelet", "/var/log/pods", "/var/log/containers")
"""What is too large for memory."""
START_TIMEOUT_S = 20.0


def setup_script(*, keep: Sequence[Path], disk: Path) -> str:
    """The commands that furnish a new machine. Pure.

    `keep` are folders of this machine that must stay visible. They are held open by a file descriptor while the
    file system above them is covered, then bound back.
    """
    kept = [path for path in dict.fromkeys(keep) if _below_private(path)]
    lines = ["set -e"]
    for descriptor, path in enumerate([*kept, disk], start=3):
        lines.append(f"exec {descriptor}<{shlex.quote(str(path))}")
    for folder in PRIVATE:
        lines.append(f"mount -t tmpfs -o mode=0755 baseload {folder}")
    lines.append(
        "chmod 1777 /tmp; ln -s /run /var/run; mkdir -p /run/lock /var/lib /var/log /var/tmp /var/cache"
    )
    for descriptor, path in enumerate(kept, start=3):
        place = shlex.quote(str(path))
        lines += [f"mkdir -p {place}", f"mount -c --bind /proc/self/fd/{descriptor} {place}"]
    on_disk = 3 + len(kept)
    for folder in ON_DISK:
        inner = f"/proc/self/fd/{on_disk}/{Path(folder).name}"
        lines.append(f"mkdir -p {inner} {folder}; mount -c --bind {inner} {folder}")
    lines += ["ip link set lo up", "mount --make-rshared /"]
    return "\n".join(lines)


def _below_private(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in PRIVATE)


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of the cluster whose state lies in `cluster_folder`: `control`, or a node."""

    cluster_folder: Path
    name: str

    @property
    def folder(self) -> Path:
        """Its part of the state folder."""
        return self.cluster_folder / "machines" / self.name

    def log(self, program: str) -> Path:
        """Where a program of it writes."""
        return self.cluster_folder / "logs" / f"{self.name}-{program}.log"

    def init_pid(self) -> int | None:
        """The first process, or None where the machine is off."""
        return running(self.cluster_folder).get(f"{self.name}/{INIT}")

    def is_on(self) -> bool:
        """Whether it runs."""
        return self.init_pid() is not None

    def start(self, *, keep: Sequence[Path]) -> None:
        """Switch it on, furnished, with a loopback and no other link."""
        disk = self.folder / "disk"
        disk.mkdir(parents=True, exist_ok=True)
        catatonit = find_program("catatonit")
        assert catatonit is not None, "the check of the machine comes first"
        namespaces = ["--pid", "--mount", "--net", "--uts", "--ipc", "--fork", "--mount-proc"]
        command = ["unshare", *namespaces, "--propagation=private", str(catatonit), "-P"]
        spawn(self.cluster_folder, f"{self.name}/{INIT}", command, log=self.log(INIT))
        wait_until(self.is_on, f"machine {self.name} to start", timeout_s=START_TIMEOUT_S)
        self.run(["sh", "-c", setup_script(keep=keep, disk=disk)])
        self.run(["sh", "-c", f"echo {shlex.quote(self.name)} >/proc/sys/kernel/hostname"])

    def enter(self, command: Sequence[str]) -> list[str]:
        """The command line that runs `command` in the machine."""
        pid = self.init_pid()
        if pid is None:
            raise EnvironmentProblem(f"machine {self.name} is off")
        return ["nsenter", f"--target={pid}", "--pid", "--mount", "--net", "--uts", "--ipc", "--", *command]

    def run(self, command: Sequence[str], *, stdin: str | None = None) -> str:
        """Run a short command in the machine and return its output.

        Raises:
            EnvironmentProblem: the machine is off, or the command fails.
        """
        return run_marked(self.cluster_folder, self.enter(command), stdin=stdin)

    def cover(self, path: Path, by: Path) -> None:
        """Let programs of the machine find another file at a path; what a link there leads to may be missing.

        On this machine nothing changes. Where there is no such path on either machine, it stays so.
        """
        place, file = shlex.quote(str(path)), shlex.quote(str(by))
        private = " | ".join(f"{folder}/*" for folder in PRIVATE)
        self.run(
            [
                "sh", "-ec",
                f"""place=$(readlink -m {place})
                if cmp -s {file} "$place"; then exit; fi
                case "$place" in {private}) mkdir -p "$(dirname "$place")"; touch "$place";; esac
                if [ -e "$place" ]; then mount --bind {file} "$place"; fi""",
            ]
        )  # fmt: skip

    def start_program(
        self, name: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start a program in the machine, unless it runs already.

        Raises:
            EnvironmentProblem: the machine is off, or the program ends at once; with its last words.
        """
        program = f"{self.name}/{name}"
        if program in running(self.cluster_folder):
            return
        spawn(self.cluster_folder, program, self.enter(command), log=self.log(name), environment=environment)
        # It is on its way into the machine: whoever looks now would not see it run.
        self.wait_for(name, lambda: program in running(self.cluster_folder), timeout_s=START_TIMEOUT_S)

    def has(self, program: str) -> bool:
        """Whether a program of it runs, or is just being started."""
        return any(each.program == f"{self.name}/{program}" for each in processes_of(self.cluster_folder))

    def wait_for(self, program: str, condition: Callable[[], bool], *, timeout_s: float) -> None:
        """Wait until a program of it does what it shall.

        Raises:
            EnvironmentProblem: it does not in time, or ends; with its last words.
        """
        wait_until(
            condition,
            f"{program} on {self.name}",
            timeout_s=timeout_s,
            hint=lambda: self.log_end(program),
            alive=lambda: self.has(program),
        )

    def log_end(self, program: str, lines: int = 5) -> str:
        """The last words of a program, for messages."""
        path = self.log(program)
        text = path.read_text(errors="replace") if path.exists() else ""
        return "".join(f"\n  {line[:500]}" for line in text.strip().splitlines()[-lines:])

    def kill(self) -> None:
        """Take its power away."""
        kill_matching(self.cluster_folder, lambda process: process.program == f"{self.name}/{INIT}")
        kill_matching(self.cluster_folder, lambda process: process.program.startswith(f"{self.name}/"))


def run_marked(cluster_folder: Path, command: Sequence[str], *, stdin: str | None = None) -> str:
    """Run a short command that `down` would find, should we be killed meanwhile.

    Raises:
        EnvironmentProblem: it fails.
    """
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        input=stdin,
        env=os.environ | marked(cluster_folder),
    )
    if done.returncode:
        words = " ".join(command[command.index("--") + 1 :] if "--" in command else command)
        raise EnvironmentProblem(f"{words[:200]}: status {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout

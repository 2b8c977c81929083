"""Speak to a cluster with kubectl: the same words a person would use, whether the cluster is ours or not."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scenarios.errors import EnvironmentProblem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

REQUEST_TIMEOUT_S = 90


@dataclass(frozen=True, slots=True)
class Kubectl:
    """A kubectl for one cluster."""

    program: Path
    kubeconfig: Path | None = None
    """None: the person's own."""
    context: str | None = None
    """None: the current one."""

    def command(self, *arguments: str) -> list[str]:
        """The command line."""
        options = [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig else []
        options += [f"--context={self.context}"] if self.context else []
        return [str(self.program), *options, *arguments]

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Run it and return what it printed.

        Raises:
            EnvironmentProblem: it fails; the message is kubectl's.
        """
        done = self.attempt(*arguments, stdin=stdin)
        if done.returncode:
            words = done.stderr.strip()[-800:]
            raise EnvironmentProblem(f"kubectl {' '.join(arguments)[:200]}: {words}")
        return done.stdout

    def attempt(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it, whatever comes of it.

        Raises:
            EnvironmentProblem: there is no such program any more.
        """
        try:
            return subprocess.run(
                self.command(*arguments), capture_output=True, text=True, check=False, input=stdin
            )
        except FileNotFoundError as error:
            raise EnvironmentProblem(f"{self.program}: the cache was emptied; baseload cluster up") from error

    def get(self, *arguments: str) -> Any:
        """`kubectl get … -o json`."""
        return json.loads(
            self.run("get", *arguments, "-o", "json", f"--request-timeout={REQUEST_TIMEOUT_S}s")
        )

    def find(self, *arguments: str) -> Any | None:
        """One object as `get` gives it, or None where there is none.

        Raises:
            EnvironmentProblem: kubectl cannot tell: the API server does not answer, or one may not look.
        """
        limit = f"--request-timeout={REQUEST_TIMEOUT_S}s"
        found = self.run("get", *arguments, "--ignore-not-found", "-o", "json", limit)
        return json.loads(found) if found.strip() else None

    def apply(self, documents: str, *more: str) -> None:
        """`kubectl apply` of documents in YAML or JSON, by the server, so that large CRDs fit."""
        self.run("apply", "--server-side", "--force-conflicts", "-f", "-", *more, stdin=documents)

    def apply_files(self, paths: Sequence[Path]) -> None:
        """`kubectl apply` of files."""
        self.run("apply", "--server-side", "--force-conflicts", *(f"--filename={path}" for path in paths))

    def is_ready(self) -> bool:
        """Whether the API server answers that it is ready."""
        return self.attempt("get", "--raw", "/readyz", "--request-timeout=2s").returncode == 0

"""`baseload stack render` and kustomize, for the tests of the manifests."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from baseload.cli.stack import command
from tests.serving_ref.servers import ROOT
from tests.simulator.small import document

LIBRARY = ROOT / "scenarios" / "library"
QUICKSTART = LIBRARY / "quickstart.yaml"
REAL = ["--onnx", "two-tower=magika"]
ELSEWHERE = ["--image", "registry/serving:7", "--prometheus", "http://prometheus.monitoring:9090"]
"""What a platform other than the local one wants to know."""


def rendered(scenario: Path, folder: Path, *options: str) -> Path:
    out = folder / "stack"
    result = CliRunner().invoke(
        command, ["render", str(scenario), "-o", str(out), *options], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return out


def built(folder: Path) -> list[dict[str, Any]]:
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, "kustomize warns of what it will no longer take"
    return list(yaml.safe_load_all(done.stdout))


def by_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in documents if each["kind"] == kind}


def small_scenario(folder: Path, **pool: Any) -> Path:
    """A scenario of one model `m`, one service `ranker` and one pool `gpu`, with keys of the pool changed."""
    scenario = document()
    scenario["services"][0]["pools"] = ["gpu"]
    scenario["pools"] = [{"name": "gpu", "instance_type": "g5.xlarge", "size": 2} | pool]
    return written(folder, scenario)


def written(folder: Path, scenario: dict[str, Any]) -> Path:
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(scenario, sort_keys=False))
    return path


def pod_of(documents: list[dict[str, Any]], deployment: str) -> dict[str, Any]:
    return by_kind(documents, "Deployment")[deployment]["spec"]["template"]["spec"]

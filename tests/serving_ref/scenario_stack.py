"""The stack of a scenario as plain processes on loopback: Redis, model servers and a gateway."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenarios.load import load_scenario
from serving_ref.from_scenario import stack_of
from serving_ref.gateway.settings import Endpoints
from serving_ref.model_server.settings import OnnxModel
from tests.serving_ref.servers import ROOT, Server, Servers

SERVERS_CORE, GENERATOR_CORE = 0, 1


@dataclass(frozen=True)
class ScenarioStack:
    """What was started for a scenario; all its services share the model servers (so one service is best)."""

    gateway: Server
    replicas: list[Server]
    redis: Server

    @property
    def load_test_options(self) -> list[str]:
        """Where `baseload loadtest` reads the model servers' own figures."""
        return [part for each in self.replicas for part in ("--metrics", f"http://{each.address}/metrics")]

    @property
    def processes(self) -> dict[str, Server]:
        """All of it, by name."""
        replicas = {f"model-server-{number}": each for number, each in enumerate(self.replicas, 1)}
        return {"gateway": self.gateway, "redis": self.redis, **replicas}

    def pin(self, core: int) -> None:
        """Leave all of it one core."""
        for server in self.processes.values():
            for task in Path(f"/proc/{server.process.pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), {core})


def start(servers: Servers, scenario: Path, onnx: Mapping[str, OnnxModel] | None = None) -> ScenarioStack:
    """Start the stack of a scenario file; models in `onnx` compute, the others wait."""
    loaded = load_scenario(scenario)
    redis = servers.redis()
    sets = stack_of(loaded, endpoints=lambda _: Endpoints(addresses=["127.0.0.1:1"]), onnx=onnx).replica_sets
    replicas = [
        servers.python("serving_ref.model_server", _plain(each.settings), None, Server.is_ready)
        for each in sets
        for _ in range(each.replicas)
    ]
    addresses = Endpoints(addresses=[replica.address for replica in replicas])
    stack = stack_of(loaded, endpoints=lambda _: addresses, redis_url=f"redis://{redis.address}/0", onnx=onnx)
    gateway = servers.python("serving_ref.gateway", _plain(stack.gateway), None, Server.is_ready)
    return ScenarioStack(gateway, replicas, redis)


def _plain(settings: Any) -> Any:
    return json.loads(settings.model_dump_json(by_alias=True, exclude_none=True))


def load_test(
    servers: Servers, scenario: Path, out: Path, onnx: Mapping[str, OnnxModel] | None = None
) -> Any:
    """`baseload loadtest` of a scenario on a stack of its own, servers on one core and the generator on another.

    The cache starts cold, as in the simulation. Returns the run's document; a run that does not count is a failure.
    """
    stack = start(servers, scenario, onnx)
    stack.pin(SERVERS_CORE)
    watched = [f"--watch={name}={server.process.pid}" for name, server in stack.processes.items()]
    status, run = baseload(
        "loadtest", str(scenario), "--target", f"http://{stack.gateway.address}", *stack.load_test_options,
        "--cpu", str(GENERATOR_CORE), *watched, "-o", str(out), "-q",
    )  # fmt: skip
    assert status == 0, json.dumps(run["load_test"], indent=1)
    return run


def baseload(*arguments: str) -> Any:
    """Run a command with --json: its exit status, and what it printed."""
    program = [sys.executable, "-c", "from baseload.cli import main; main()", *arguments, "--json"]
    done = subprocess.run(
        program, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)

"""The stack of a scenario as plain processes on loopback: Redis, model servers and a gateway."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenarios.load import load_scenario
from serving_ref.from_scenario import stack_of
from serving_ref.gateway.settings import Endpoints
from tests.serving_ref.servers import Server, Servers


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

    def pin(self, core: int) -> None:
        """Leave all of it one core."""
        for server in (self.gateway, self.redis, *self.replicas):
            for task in Path(f"/proc/{server.process.pid}/task").iterdir():
                os.sched_setaffinity(int(task.name), {core})


def start(servers: Servers, scenario: Path) -> ScenarioStack:
    """Start the stack of a scenario file."""
    loaded = load_scenario(scenario)
    redis = servers.redis()
    sets = stack_of(loaded, endpoints=lambda _: Endpoints(addresses=["127.0.0.1:1"])).replica_sets
    replicas = [
        servers.python("serving_ref.model_server", _plain(each.settings), None, Server.is_ready)
        for each in sets
        for _ in range(each.replicas)
    ]
    addresses = Endpoints(addresses=[replica.address for replica in replicas])
    stack = stack_of(loaded, endpoints=lambda _: addresses, redis_url=f"redis://{redis.address}/0")
    gateway = servers.python("serving_ref.gateway", _plain(stack.gateway), None, Server.is_ready)
    return ScenarioStack(gateway, replicas, redis)


def _plain(settings: Any) -> Any:
    return json.loads(settings.model_dump_json(by_alias=True, exclude_none=True))

"""What a request costs in gateway and model server: CPU time, which other load on the machine bends least.

On two cores, 1,000 requests/s through gateway, Redis and model server leave room for the load generator as long as each
of the two costs less than 500 µs a request. Every request here opens a connection, which is the dearer way.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.serving_ref.servers import Server, Traffic, infer_body, outcomes, running, upstream

REQUESTS = 3_000
MOST_US = 500
BATCHING = {"max_batch_size": 16, "max_queue_delay": "2ms"}
CURVE = {"latency": {"table": [[1, "4ms"], [16, "12ms"]]}}


def cpu_s(server: Server) -> float:
    """User and system time that a process has used (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with running(tmp_path_factory.mktemp("stack")) as servers:
        redis = servers.redis()
        replica = servers.model_server(synthetic=CURVE, batching=BATCHING, instances=2)
        gateway = servers.gateway(
            services=[upstream("ranker", [replica])],
            redis={"url": f"redis://{redis.address}/0", "timeout": "1s"},
            routes=[
                {
                    "name": "main",
                    "cache": {"ttl": "10m"},
                    "coalesce": True,
                    "targets": [{"service": "ranker"}],
                }
            ],
        )
        yield gateway, replica


@pytest.mark.redis
@pytest.mark.parametrize(("keys", "outcome"), [(None, "model"), (1, "cache")], ids=["miss", "hit"])
def test_cpu_time_of_a_request(benchmark, stack, keys, outcome):
    gateway, replica = stack
    body = infer_body(0.25)

    def call(_: int):
        return gateway.infer("main", body, **({} if keys is None else {"baseload_key": "hot"}))

    def run() -> None:
        with Traffic(call, clients=16) as traffic:
            traffic.wait_for(REQUESTS)
        assert outcomes(traffic.answers).most_common(1)[0][0] == outcome
        run.sent = len(traffic.answers)

    before = cpu_s(gateway), cpu_s(replica)
    benchmark.pedantic(run, rounds=1, iterations=1)
    after = cpu_s(gateway), cpu_s(replica)
    spent_us = [1e6 * (now - then) / run.sent for now, then in zip(after, before, strict=True)]
    benchmark.extra_info |= {"gateway_us": round(spent_us[0]), "model_server_us": round(spent_us[1])}
    assert max(spent_us) < MOST_US, spent_us

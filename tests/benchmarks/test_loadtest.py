"""The load generator keeps its schedule at 1,000 requests a second beside a server on the same cores."""

import subprocess
import sys

import numpy as np
import pytest

from serving_ref.loadtest.cpu import CpuWatch
from serving_ref.loadtest.launch import GENERATOR, send
from serving_ref.loadtest.recording import ENDED
from serving_ref.loadtest.results import MODEL
from tests.serving_ref.loadtest.k6 import Question, agree, by_k6, by_us, slow_server
from tests.serving_ref.loadtest.sending import SECOND, schedule, settings

RATE_PER_S, DURATION_S = 1000, 20
MOST_LAG_P99_S = 0.005
TRIVIAL = """
import asyncio, sys
ANSWER = b"HTTP/1.1 200 OK\\r\\nbaseload-outcome: model\\r\\ncontent-length: 2\\r\\n\\r\\n{}"
class Trivial(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.left = transport, b""
    def data_received(self, data):
        data = self.left + data
        while True:
            head, end, rest = data.partition(b"\\r\\n\\r\\n")
            size = int(head.lower().partition(b"content-length: ")[2].partition(b"\\r\\n")[0] or 0)
            if not end or len(rest) < size:
                break
            data = rest[size:]
            self.transport.write(ANSWER)
        self.left = data
async def main():
    server = await asyncio.get_running_loop().create_server(Trivial, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@pytest.fixture
def port():
    with subprocess.Popen([sys.executable, "-c", TRIVIAL], stdout=subprocess.PIPE, text=True) as process:
        yield int(process.stdout.readline())
        process.kill()


@pytest.mark.benchmark(group="load generator")
def test_a_thousand_requests_a_second_on_time(benchmark, port, tmp_path):
    gaps_s = np.random.default_rng(1).exponential(1 / RATE_PER_S, RATE_PER_S * DURATION_S)
    due_ns = (np.cumsum(gaps_s) * SECOND).astype(np.int64)
    given = schedule(due_ns[due_ns < DURATION_S * SECOND])
    how = settings(port, duration_ns=DURATION_S * SECOND, connections=64)
    found = {}

    def make():
        with CpuWatch({}) as watch:
            sent = send(tmp_path, given, how, watch, lambda _: None)
        found["sent"] = sent
        found["cpu"] = watch.use(sent.start_ns, sent.start_ns + DURATION_S * SECOND)

    benchmark.pedantic(make, rounds=1)
    recorded, use = found["sent"].recorded, found["cpu"]
    lag_s = (recorded.sent_ns - recorded.due_ns) / SECOND
    p50, p99 = np.percentile(lag_s, [50, 99])
    latency_s = (recorded.end_ns - recorded.due_ns) / SECOND
    benchmark.extra_info |= {
        "lag_p50_ms": round(p50 * 1000, 3),
        "lag_p99_ms": round(p99 * 1000, 3),
        "latency_p50_ms": round(float(np.percentile(latency_s, 50)) * 1000, 3),
        "generator_cores": round(use.processes[GENERATOR], 3),
        "machine_busy": round(use.machine, 3),
    }
    assert (recorded.state == ENDED).all()
    assert (recorded.result == MODEL).all()
    assert p99 <= MOST_LAG_P99_S, benchmark.extra_info


def compared(benchmark, folder, port, other_port, asked):
    """Both percentiles, ours timed."""
    theirs = by_k6(folder, port, asked)
    ours = benchmark.pedantic(by_us, args=(folder, other_port, asked), rounds=1)
    benchmark.extra_info |= {
        name: {"k6": round(theirs[name], 3), "baseload": round(ours[name], 3)} for name in theirs
    }
    assert agree(ours, theirs), benchmark.extra_info


@pytest.mark.k6
@pytest.mark.benchmark(group="load generator")
def test_a_fast_server_is_seen_as_by_k6(benchmark, port, tmp_path):
    """At 1,000 requests/s, answered at once."""
    compared(benchmark, tmp_path, port, port, Question(RATE_PER_S, DURATION_S, connections=64))


@pytest.mark.k6
@pytest.mark.benchmark(group="load generator")
def test_a_slow_server_is_seen_as_by_k6(benchmark, tmp_path):
    """At 400 requests/s, with 80 of them open at any moment."""
    with slow_server() as one, slow_server() as other:
        compared(benchmark, tmp_path, one.port, other.port, Question(400, DURATION_S, connections=240))

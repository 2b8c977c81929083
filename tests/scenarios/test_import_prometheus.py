"""`import prometheus` against a real Prometheus server: real scrapes, real limits, real refusals."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, Counter, start_http_server

from baseload.cli.import_traffic import command
from scenarios.errors import InvalidInput
from scenarios.importers.interval_counts import CountOptions
from scenarios.importers.prometheus import SeriesOptions, import_matrices
from scenarios.importers.prometheus_server import MAX_POINTS, Server, ask, range_query
from scenarios.traces import read_trace

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="needs the programs prometheus and promtool (Debian package: prometheus)",
    ),
]

STEP_S = 15
HISTORY_POINTS = 4 * 86_400 // STEP_S  # four days: 23,040 points, three chunks
HISTORY_START = 1_714_521_600  # 2024-05-01T00:00:00Z
MISSING = range(12_000, 12_040)  # ten minutes without a sample
LOOKBACK_S = 290  # the server repeats a sample for so long; no multiple of the step, so that no tie decides


def history_rate(point):
    """Requests per second at a point: a slow sawtooth, every value different from its neighbours."""
    return 100 + (point * 7) % 1009


@dataclass(frozen=True)
class RealServer:
    url: str
    requests_sent: int
    """What the scraped exporter counted in the end."""
    scraped_from: int
    scraped_to: int
    """Seconds since 1970, whole, within the time in which it was scraped."""

    def get(self, path, **parameters):
        with urllib.request.urlopen(f"{self.url}{path}?{urllib.parse.urlencode(parameters)}") as answer:
            return json.load(answer)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, condition, timeout_s=30.0):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    pytest.fail(f"{what}: not within {timeout_s} s")


def write_history(path):
    with path.open("w") as file:
        file.write("# TYPE history_rate gauge\n")
        for point in range(HISTORY_POINTS + 1):
            if point not in MISSING:
                moment = HISTORY_START + point * STEP_S
                for shard, share in (("a", 0.25), ("b", 0.75)):
                    file.write(f'history_rate{{shard="{shard}"}} {history_rate(point) * share} {moment}\n')
        file.write("# EOF\n")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prometheus")
    write_history(folder / "history.openmetrics")
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", "history.openmetrics", "data"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    registry = CollectorRegistry()
    counter = Counter("http_requests", "Requests served", ["code"], registry=registry)
    exporter, exporter_thread = start_http_server(0, "127.0.0.1", registry)
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        "scrape_configs: [{job_name: gateway, static_configs: "
        f"[{{targets: ['127.0.0.1:{exporter.server_port}']}}]}}]\n"
    )
    port = free_port()
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--storage.tsdb.retention.time=100y",
                f"--query.lookback-delta={LOOKBACK_S}s",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for("Prometheus ready", lambda: is_ready(url, process, folder / "log"))
        # Both series are scraped before they count: rate() does not see a first increment from nothing.
        for code in ("200", "500"):
            counter.labels(code)
        begin = RealServer(url, 0, 0, 0)
        wait_for("first scrape", lambda: len(found(begin, "http_requests_total")) == 2)
        sent, scraped_from = 0, int(time.time())
        while time.time() < scraped_from + 5:
            counter.labels("200").inc(9)
            counter.labels("500").inc(1)
            sent += 10
            time.sleep(0.05)
        wait_for("last scrape", lambda: total(begin) == sent)
        time.sleep(0.4)  # two more scrapes, so that the last increment lies within every rate window
        yield RealServer(url, sent, scraped_from, int(time.time()) + 1)
    finally:
        process.terminate()
        process.wait(timeout=20)
        exporter.shutdown()
        exporter_thread.join()
        exporter.server_close()


def is_ready(url, process, log):
    if process.poll() is not None:
        pytest.fail(f"Prometheus ended with {process.returncode}:\n{Path(log).read_text()[-2000:]}")
    try:
        with urllib.request.urlopen(f"{url}/-/ready") as answer:
            return answer.status == 200
    except OSError:
        return False


def found(server, query):
    return server.get("/api/v1/query", query=query)["data"]["result"]


def total(server):
    return sum(float(result["value"][1]) for result in found(server, "http_requests_total"))


def run(*arguments):
    return CliRunner().invoke(command, ["prometheus", *map(str, arguments)], catch_exceptions=False)


def test_a_long_range_comes_in_chunks_and_whole(server, tmp_path):
    out = tmp_path / "history.parquet"
    result = run(
        *("--url", server.url, "--query", "sum(history_rate)", "--step", "15s", "--gap", "zero"),
        *("--start", "2024-05-01", "--end", "2024-05-05", "--json", "-o", out),
    )
    report = json.loads(result.stdout)
    trace = read_trace(out)
    stale = range(MISSING[0] + LOOKBACK_S // STEP_S, MISSING[-1] + 1)
    held = {point: MISSING[0] - 1 for point in MISSING if point not in stale}
    expected = [
        0 if point in stale else STEP_S * history_rate(held.get(point, point))
        for point in range(1, HISTORY_POINTS + 1)
    ]
    assert len(trace.count) == HISTORY_POINTS > 2 * MAX_POINTS
    assert np.flatnonzero(trace.count != expected).tolist() == []
    assert trace.total == sum(expected) == report["total_requests"]
    assert (report["start"], report["step_s"]) == ("2024-05-01T00:00:00Z", 15.0)
    (gap,) = (repair for repair in report["repairs"] if repair["what"] == "gaps_filled")
    assert gap["count"] == len(stale)


def test_the_server_refuses_the_same_range_in_one_piece(server):
    with pytest.raises(urllib.error.HTTPError) as refused:
        server.get(
            "/api/v1/query_range",
            query="sum(history_rate)",
            start=HISTORY_START + STEP_S,
            end=HISTORY_START + HISTORY_POINTS * STEP_S,
            step=STEP_S,
        )
    assert refused.value.code == 400
    assert b"exceeded maximum resolution of 11,000 points" in refused.value.read()
    asked = range_query(
        "sum(history_rate)", HISTORY_START * 10**9, (HISTORY_START + 4 * 86_400) * 10**9, STEP_S
    )
    with pytest.raises(InvalidInput, match="exceeded maximum resolution"):
        list(ask(Server(server.url), asked, max_points=HISTORY_POINTS))


def test_the_longest_chunk_is_within_the_limit(server):
    asked = range_query(
        "sum(history_rate)", HISTORY_START * 10**9, (HISTORY_START + MAX_POINTS * STEP_S) * 10**9, STEP_S
    )
    calls = []
    (matrix,) = ask(Server(server.url), asked, on_chunk=lambda: calls.append(1))
    assert len(matrix[0]["values"]) == MAX_POINTS
    assert calls == [1]


def test_scraped_requests_come_out_as_they_were_sent(server, tmp_path):
    out = tmp_path / "live.parquet"
    result = run(
        *("--url", server.url, "--query", "sum(rate(http_requests_total[1s]))", "--step", "1s", "-o", out),
        *("--start", iso(server.scraped_from - 1), "--end", iso(server.scraped_to), "--gap", "zero"),
    )
    assert result.exit_code == 0
    trace = read_trace(out)
    # rate() extrapolates to the edges of its window, which may cost or add a scrape interval in each second.
    assert trace.total == pytest.approx(server.requests_sent, rel=0.25)
    assert trace.source == f"{server.url} sum(rate(http_requests_total[1s]))"


def iso(unix_s):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(unix_s))


def test_steps_below_a_second_are_asked_for_exactly(server):
    start_ns = (server.scraped_from + 1) * 10**9 + 300 * 10**6
    asked = range_query("sum(http_requests_total)", start_ns, start_ns + 3 * 10**9, 0.25)
    (matrix,) = ask(Server(server.url), asked)
    times_ms = [round(float(moment) * 1000) for moment, _ in matrix[0]["values"]]
    assert times_ms == [start_ns // 10**6 + 250 * k for k in range(1, 13)]


def test_several_series_are_listed_or_added_up(server):
    asked = range_query(
        "history_rate", HISTORY_START * 10**9, (HISTORY_START + 11_500 * STEP_S) * 10**9, STEP_S
    )
    with pytest.raises(InvalidInput, match=r'2 series, .*\n.*shard="a".*\n.*shard="b"'):
        import_matrices(ask(Server(server.url), asked), SeriesOptions(), "test", asked)
    options = SeriesOptions(sum_series=True, counts=CountOptions(value="rate", stamp="end"))
    trace, _ = import_matrices(ask(Server(server.url), asked), options, "test", asked)
    assert trace.count.tolist() == [STEP_S * history_rate(point) for point in range(1, 11_501)]


def test_a_query_that_is_wrong_is_refused_in_the_servers_words(server):
    asked = range_query("sum(", 0, 60 * 10**9, 15)
    with pytest.raises(InvalidInput, match=r"refused the query 'sum\('.*parse error.*\(HTTP 400\)"):
        list(ask(Server(server.url), asked))


def test_a_range_without_data_says_so(server):
    asked = range_query("sum(history_rate)", 0, 60 * 10**9, 15)
    with pytest.raises(InvalidInput, match="the query gave no series in this range"):
        import_matrices(ask(Server(server.url), asked), SeriesOptions(), "test", asked)


def test_nan_of_the_server_is_a_missing_value(server):
    asked = range_query(
        "5 + 0 / (sum(history_rate) - 107)",  # 0/0 at the first point
        HISTORY_START * 10**9,
        (HISTORY_START + 4 * STEP_S) * 10**9,
        STEP_S,
    )
    options = SeriesOptions(counts=CountOptions(value="rate", stamp="end", gap="zero"))
    trace, report = import_matrices(ask(Server(server.url), asked), options, "test", asked)
    assert trace.count.tolist() == [0, 75, 75, 75]
    assert "not_a_number" in {repair.what for repair in report.repairs}


def test_a_saved_answer_gives_the_trace_of_the_live_one(server, tmp_path):
    start, end = HISTORY_START, HISTORY_START + 100 * STEP_S
    body = server.get(
        "/api/v1/query_range", query="sum(history_rate)", start=start + STEP_S, end=end, step=STEP_S
    )
    (tmp_path / "answer.json").write_text(json.dumps(body))
    run("--json-file", tmp_path / "answer.json", "-o", tmp_path / "saved.parquet")
    run(
        *("--url", server.url, "--query", "sum(history_rate)", "--step", "15s"),
        *("--start", iso(start), "--end", iso(end), "-o", tmp_path / "live.parquet"),
    )
    saved, live = (read_trace(tmp_path / f"{name}.parquet") for name in ("saved", "live"))
    assert saved.count.tolist() == live.count.tolist()
    assert (saved.start_unix_ns, saved.step_ns) == (live.start_unix_ns, live.step_ns)

"""The generator sends when requests are due, whatever the server does, and says how well it kept to that."""

from __future__ import annotations

import ssl
import subprocess
import threading

import numpy as np
import pytest

from scenarios.errors import EnvironmentProblem
from serving_ref.loadtest.recording import ENDED, SKIPPED, UNFINISHED
from serving_ref.loadtest.results import MODEL, OPEN, TIMEOUT
from serving_ref.loadtest.target import parse_target, probe
from tests.serving_ref.loadtest.sending import (
    SECOND,
    generator_process,
    regular,
    schedule,
    sent,
    sent_class,
    settings,
)
from tests.serving_ref.loadtest.servers import WELL, Answer, Server


def test_every_request_of_the_schedule_arrives_once_and_is_answered(tmp_path):
    due_ns = regular(200, 2)
    with Server() as server:
        result = sent(tmp_path, schedule(due_ns), settings(server.port))
    assert sorted(each.id for each in server.inferred) == sorted(f"web-{n}-0" for n in range(400))
    recorded = result.recorded
    assert (recorded.state == ENDED).all()
    assert (recorded.result == MODEL).all()
    assert recorded.due_ns.tolist() == due_ns.tolist()
    assert (recorded.sent_ns >= recorded.due_ns).all()
    assert (recorded.end_ns >= recorded.sent_ns).all()


def test_a_stall_of_the_server_is_seen_by_all_requests_that_were_due_meanwhile(tmp_path):
    """No coordinated omission: a closed loop would have waited for the first, and called it one slow request."""
    stalls = []
    with Server() as server:

        def stall_once(said):
            if said.get("due", 0) > 50 and not stalls:
                stalls.append(None)
                threading.Thread(target=lambda: stalls.append(server.stall(1.0))).start()

        result = sent(
            tmp_path, schedule(regular(100, 4)), settings(server.port, duration_ns=4 * SECOND), stall_once
        )
    begin_ns, end_ns = (each - result.start_ns for each in stalls[-1])
    recorded = result.recorded
    meanwhile = (recorded.due_ns >= begin_ns) & (recorded.due_ns < end_ns)
    assert np.count_nonzero(meanwhile) >= 95
    # They went out although no answer came: a closed loop would have sent no more than it had connections.
    assert (recorded.sent_ns[meanwhile] < end_ns).sum() >= 30
    assert (recorded.end_ns[meanwhile] >= end_ns).all()
    latency_ns = (recorded.end_ns - recorded.due_ns)[meanwhile]
    assert (latency_ns >= end_ns - recorded.due_ns[meanwhile]).all()
    assert np.count_nonzero(latency_ns > 0.5 * SECOND) >= 45
    assert (recorded.state == ENDED).all()


def paused_once():
    """Stops the generator's process in the middle of a run, for 0.7 s."""
    paused = []

    def pause(said):
        if said.get("due", 0) > 20 and not paused:
            process = generator_process()
            process.suspend()
            paused.append(threading.Timer(0.7, process.resume))
            paused[0].start()

    return pause


def test_a_generator_that_does_not_run_sends_late_counts_from_when_requests_were_due_and_says_so(tmp_path):
    with Server() as server:
        result = sent(
            tmp_path, schedule(regular(100, 3)), settings(server.port, duration_ns=3 * SECOND), paused_once()
        )
    recorded = result.recorded
    lag_ns = recorded.sent_ns - recorded.due_ns
    late = lag_ns > 0.05 * SECOND
    assert 50 <= np.count_nonzero(late) < 300
    assert lag_ns.max() >= 0.6 * SECOND
    assert (recorded.end_ns - recorded.due_ns >= lag_ns).all()
    assert (recorded.state == ENDED).all()


def test_clients_wait_from_when_they_were_to_send(tmp_path):
    """A request that goes out after its time is over has failed, however fast the answer would be."""
    with Server() as server:
        how = settings(server.port, sent_class(timeout_ns=SECOND // 5), duration_ns=3 * SECOND)
        result = sent(tmp_path, schedule(regular(100, 3)), how, paused_once())
    recorded = result.recorded
    lag_ns = recorded.sent_ns - recorded.due_ns
    assert np.count_nonzero(lag_ns > 0.2 * SECOND) >= 40
    assert (recorded.result[lag_ns > 0.2 * SECOND] == TIMEOUT).all()
    assert np.count_nonzero(recorded.result == MODEL) >= 150


def test_beyond_the_bound_in_flight_requests_are_skipped_and_counted(tmp_path):
    said = {}
    with Server(lambda _: Answer(how="never")) as server:
        how = settings(server.port, duration_ns=SECOND, drain_ns=0, max_in_flight=7)
        result = sent(tmp_path, schedule(regular(100, 1)), how, said.update)
    recorded = result.recorded
    assert (said["due"], said["skipped"]) == (100, 93)
    assert result.most_in_flight == 7
    assert recorded.state[:7].tolist() == [UNFINISHED] * 7
    assert recorded.state[7:].tolist() == [SKIPPED] * 93
    assert recorded.last[7:].tolist() == [-1] * 93
    assert recorded.result.tolist() == [OPEN] * 7
    assert len(server.inferred) == 7


def test_connections_are_kept_and_used_again(tmp_path):
    with Server() as server:
        result = sent(
            tmp_path, schedule(regular(100, 1)), settings(server.port, duration_ns=SECOND, connections=3)
        )
    # A new one only where all are busy; a busy machine may need some.
    assert server.connections == result.connections <= max(3, result.most_in_flight) < 100
    assert len(server.inferred) == 100


def test_a_server_that_closes_after_every_answer_gets_a_new_connection_for_each(tmp_path):
    closing = Answer(headers={"Connection": "close"})
    with Server(lambda _: closing) as server:
        result = sent(tmp_path, schedule(regular(50, 1)), settings(server.port, duration_ns=SECOND))
    assert (result.recorded.result == MODEL).all()
    assert server.connections >= 50


def test_tls_is_spoken_to_a_server_that_is_trusted(tmp_path, monkeypatch):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-days", "2",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    with Server(tls=context) as server:
        how = settings(server.port, duration_ns=SECOND, tls=True)
        with pytest.raises(EnvironmentProblem, match="certificate"):
            sent(tmp_path, schedule(regular(50, 1)), how)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        probe(parse_target(server.url), "web", b'POST / HTTP/1.1\r\nContent-Length: 14\r\n\r\n{"id":"probe"}')
        result = sent(tmp_path, schedule(regular(50, 1)), how)
    assert (result.recorded.result == MODEL).all()


def test_the_target_is_asked_for_its_outcomes_name(tmp_path):
    with Server(lambda _: Answer()) as server:
        silent = sent(tmp_path, schedule(regular(50, 0.2)), settings(server.port, duration_ns=SECOND // 5))
    with Server(lambda _: WELL) as server:
        naming = sent(tmp_path, schedule(regular(50, 0.2)), settings(server.port, duration_ns=SECOND // 5))
    assert (silent.names_outcomes, naming.names_outcomes) == (False, True)


def test_a_target_that_cannot_be_reached_is_told_before_anything_is_sent(tmp_path):
    with Server() as server:
        port = server.port
    with pytest.raises(EnvironmentProblem, match=f"127.0.0.1:{port}: .*refused"):
        sent(tmp_path, schedule(regular(50, 1)), settings(port))


def test_a_generator_whose_starter_is_gone_ends_by_itself(tmp_path):
    """Ctrl-C, or worse: nobody is left who would end the load."""
    seen = []

    def interrupt(said):
        if said.get("due", 0) > 5:
            seen.append(generator_process())
            raise KeyboardInterrupt

    with Server() as server, pytest.raises(KeyboardInterrupt):
        sent(tmp_path, schedule(regular(50, 60)), settings(server.port, duration_ns=60 * SECOND), interrupt)
    assert not seen[0].is_running()
    assert not list(tmp_path.glob("requests*"))

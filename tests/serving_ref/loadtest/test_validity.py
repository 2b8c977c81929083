"""A load test says how it went, and why it does not count."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from scenarios.errors import EnvironmentProblem, InvalidInput
from serving_ref.loadtest.cpu import CpuUse, CpuWatch
from serving_ref.loadtest.launch import GENERATOR, Sent
from serving_ref.loadtest.recording import ENDED, SKIPPED, Recording
from serving_ref.loadtest.results import BROKEN, LOST, MODEL
from serving_ref.loadtest.schedule import Tensor
from serving_ref.loadtest.target import ANY_INPUT, Target, model_inputs, parse_target, probe
from serving_ref.loadtest.validity import Limits, conduct
from tests.serving_ref.loadtest.sending import SECOND, schedule
from tests.serving_ref.loadtest.servers import Answer, Server
from tests.simulator.small import load

IDLE = CpuUse(machine=0.2, busiest=0.9, processes={GENERATOR: 0.1, "gateway": 0.95})


def went(*, lag_ns=0, skipped=0, statuses=(200,) * 100, cpu=IDLE, due_ns=20 * SECOND):
    """Requests that were all due at one time, after the warm-up of 10 s unless it says otherwise."""
    recording = Recording(len(statuses) + skipped, 1)
    for request, status in enumerate(statuses):
        row = recording.begin(request, 0, due_ns, due_ns + lag_ns)
        recording.end(row, due_ns + SECOND, MODEL if status == 200 else LOST, status)
        recording.state[request] = ENDED
    for request in range(len(statuses), len(statuses) + skipped):
        recording.state[request] = SKIPPED
    sent = Sent(0, 0, True, 9, 4, 0, True, recording.recorded())
    return conduct(load().scenario, schedule([due_ns] * (len(statuses) + skipped)), sent, cpu)


def test_a_run_that_kept_to_its_schedule_on_a_quiet_machine_counts():
    document = went(lag_ns=4_900_000).document(Limits())
    assert document["valid"] is True
    assert document["invalid_because"] == []
    assert document["schedule_lag_s"]["p99"] == pytest.approx(0.0049)
    assert document["attempts_by_answer"] == {"200": 100}


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (
            {"lag_ns": 5_100_000},
            "the generator sent late: p99 of the schedule lag is 5.1 ms, at most 5 ms count",
        ),
        ({"skipped": 3}, "3 requests were never sent, because too many were in flight (--max-in-flight)"),
        ({"statuses": (200,) * 95 + (404,) * 5}, "the target called 5.0% of the attempts invalid"),
        ({"cpu": CpuUse(0.71, 0.9, {GENERATOR: 0.1})}, "the machine was 71% busy, at most 70% count"),
        ({"cpu": CpuUse(0.5, 0.9, {GENERATOR: 0.8})}, "the generator's core was 80% busy, at most 70% count"),
    ],
)
def test_what_makes_a_run_invalid(how, reason):
    document = went(**how).document(Limits())
    assert document["valid"] is False
    assert document["invalid_because"] == [reason]


def test_lag_counts_after_the_warm_up_only():
    assert went(lag_ns=SECOND, due_ns=9 * SECOND).objections(Limits()) == []


def test_overload_is_no_reason():
    """That a server refuses what it cannot do is what some tests are for."""
    found = went(statuses=(503,) * 90 + (429,) * 5 + (408,) * 3 + (BROKEN,) * 2)
    assert found.objections(Limits()) == []
    assert found.document(Limits())["attempts_by_answer"] == {
        "connection broken": 2, "408": 3, "429": 5, "503": 90,
    }  # fmt: skip


def test_skips_are_told_by_class():
    assert went(skipped=3).document(Limits())["skipped"] == {"home-page": 3, "search": 0}


def test_the_watch_sees_who_is_busy():
    with CpuWatch({"me": os.getpid()}) as watch:
        begin_ns = time.monotonic_ns()
        while (use := watch.use(begin_ns, time.monotonic_ns())) is None:
            sum(range(100_000))
    assert 0 < use.processes["me"] <= np.ceil(os.cpu_count() or 1)
    assert 0 < use.machine <= 1


def test_a_process_that_is_not_there_is_told():
    with pytest.raises(InvalidInput, match="gateway: there is no process"):
        CpuWatch({"gateway": 2**22 - 1})


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://127.0.0.1:8080", Target("127.0.0.1", 8080, False, "")),
        ("http://gateway.svc/shop/", Target("gateway.svc", 80, False, "/shop")),
        ("https://[::1]", Target("::1", 443, True, "")),
    ],
)
def test_addresses(url, target):
    assert parse_target(url) == target


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8080", "ftp://host", "http://", "http://h:port", "http://h/?a=1", "http://u@h"]
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(InvalidInput, match=r"--target "):
        parse_target(url)


def test_a_target_that_calls_the_request_invalid_is_told_with_its_words():
    with (
        Server(lambda _: Answer(422, body=b'{"error": "input x is missing"}')) as server,
        pytest.raises(EnvironmentProblem, match=r"refuses requests of class web: 422 .*input x is missing"),
    ):
        probe(parse_target(server.url), "web", request())


def test_a_target_that_is_only_overloaded_may_be_tested():
    with Server(lambda _: Answer(503)) as server:
        probe(parse_target(server.url), "web", request())


def test_inputs_are_asked_from_the_target():
    metadata = (
        b'{"name": "m", "inputs": [{"name": "x", "datatype": "INT32", "shape": [-1, 2048]}], "outputs": []}'
    )
    with Server(get=lambda _: Answer(body=metadata)) as server:
        assert model_inputs(parse_target(server.url), "main") == (Tensor("x", "INT32", (-1, 2048)),)
        assert server.seen[0].path == "/v2/models/main"
    with (
        Server(get=lambda _: Answer(body=b"[]")) as server,
        pytest.raises(EnvironmentProblem, match="expected model metadata of the Open Inference Protocol"),
    ):
        model_inputs(parse_target(server.url), "main")


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_target_that_knows_no_metadata_gets_one_tensor(status):
    with Server(get=lambda _: Answer(status)) as server:
        assert model_inputs(parse_target(server.url), "main") == ANY_INPUT


@pytest.mark.parametrize("status", [503, 500, 401, 302])
def test_a_target_that_cannot_give_its_metadata_now_is_told_with_its_words(status):
    """What its models take is not known then, and a guess would make every request of the run invalid."""
    body = b'{"error": "no replica of the service is ready"}'
    with (
        Server(get=lambda _: Answer(status, body=body)) as server,
        pytest.raises(
            EnvironmentProblem,
            match=rf"{server.url}/v2/models/main: expected model metadata .*, got {status} .*no replica",
        ),
    ):
        model_inputs(parse_target(server.url), "main")


def test_an_unreachable_target_is_told():
    with Server() as server:
        url = server.url
    with pytest.raises(EnvironmentProblem, match="cannot be reached: Connection refused"):
        model_inputs(parse_target(url), "main")


def request():
    return b'POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 14\r\n\r\n{"id":"probe"}'

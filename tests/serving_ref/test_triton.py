"""Triton in the model server's place: its configuration read by its own message, and its answers."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc.model_config_pb2 import ModelConfig, ModelInstanceGroup, ModelQueuePolicy

from scenarios.errors import Unsupported
from scenarios.load import load_scenario
from scenarios.rules.batching import batching_numbers
from scenarios.schema import Batching
from scenarios.schema.base import MAX_COUNT
from scenarios.units import MAX_DURATION_S, nanoseconds
from serving_ref.from_scenario import stack_of
from serving_ref.gateway.service import NEVER, Work, with_schedule
from serving_ref.gateway.settings import Endpoints
from serving_ref.model_server.settings import ModelServerSettings, ModelSettings, OnnxModel
from serving_ref.triton import config_pbtxt
from tests.serving_ref.servers import PATIENCE_S, Server, Traffic, infer_body, outcomes, wait_until
from tests.serving_ref.test_from_scenario import RUNNABLE

BODY = infer_body(0.5)
MAX_ITEMS = 4096
CENTURY_US = 100 * 365 * 86_400 * 1_000_000


def parsed(settings: ModelServerSettings, *, gpu: bool = False) -> Any:
    """What Triton reads: like its server, this refuses unknown fields and numbers out of range."""
    return text_format.Parse(config_pbtxt(settings, gpu=gpu), ModelConfig())


def server(name: str = "m", instances: int = 1, **batching: Any) -> ModelServerSettings:
    return ModelServerSettings(
        service="s",
        model=ModelSettings(name=name, onnx=OnnxModel(package="magika")),
        batching=Batching.model_validate(batching),
        instances=instances,
    )


def patience_us(policy: Any, stated_us: int | None) -> int | None:
    """After what time Triton drops a waiting request; None: never. A request can only shorten the default."""
    default_us = policy.default_timeout_microseconds
    if policy.allow_timeout_override and stated_us is not None and stated_us < default_us:
        return stated_us
    return default_us or None


durations = st.integers(0, 10**10).map(lambda ns: f"{ns}ns") | st.sampled_from(
    ["0", "1ns", "500ns", "1500ns", "100us", "4ms", "2s", f"{MAX_DURATION_S:.0f}s"]
)


@st.composite
def settings_documents(draw: st.DrawFn) -> ModelServerSettings:
    largest = draw(st.integers(1, 64) | st.integers(1, MAX_ITEMS))
    return server(
        draw(st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", fullmatch=True)),
        draw(st.integers(1, 64)),
        max_batch_size=largest,
        max_queue_delay=draw(durations),
        preferred_batch_sizes=draw(st.lists(st.integers(1, largest), max_size=5)),
        max_queue_size=draw(st.none() | st.integers(1, 500) | st.just(MAX_COUNT)),
        drop_expired=draw(st.booleans()),
    )


@given(settings=settings_documents(), gpu=st.booleans())
def test_every_setting_arrives_in_its_field(settings, gpu):
    config = parsed(settings, gpu=gpu)
    asked, batcher = settings.batching, config.dynamic_batching
    assert (config.name, config.backend) == (settings.model.name, "onnxruntime")
    assert config.max_batch_size == asked.max_batch_size
    assert list(batcher.preferred_batch_size) == sorted(set(asked.preferred_batch_sizes))
    late_ns = batcher.max_queue_delay_microseconds * 1000 - nanoseconds(asked.max_queue_delay)
    assert 0 <= late_ns < 1000, "whole microseconds, and a delay above 0 stays one"
    assert batcher.default_queue_policy.max_queue_size == (asked.max_queue_size or 0), "0: unbounded"
    (group,) = config.instance_group
    kind = ModelInstanceGroup.KIND_GPU if gpu else ModelInstanceGroup.KIND_CPU
    assert (group.count, group.kind, list(group.gpus)) == (settings.instances, kind, [])


@given(settings=settings_documents())
def test_nothing_is_said_beyond_the_settings(settings):
    """No other kind of scheduler, no order of responses, no policy of one priority: Triton's defaults hold there."""
    config = parsed(settings)
    assert {each.name for each, _ in config.ListFields()} == {
        "name", "backend", "max_batch_size", "instance_group", "dynamic_batching",
    }  # fmt: skip
    assert not config.dynamic_batching.preserve_ordering
    assert not config.dynamic_batching.priority_queue_policy


@given(settings=settings_documents(), priority=st.integers(0, 7))
def test_every_priority_is_a_level_and_the_highest_comes_first(settings, priority):
    batcher = parsed(settings).dynamic_batching
    level = json.loads(with_schedule(Work(BODY, priority, NEVER), 0))["parameters"]["priority"]
    assert 1 <= level <= batcher.priority_levels
    assert level == batcher.priority_levels - priority
    assert batcher.default_priority_level == batcher.priority_levels, "who states none has the lowest, 0"


@given(settings=settings_documents(), patience_ns=st.integers(1_000, 10**18))
def test_a_request_waits_as_long_as_its_client(settings, patience_ns):
    policy = parsed(settings).dynamic_batching.default_queue_policy
    assert policy.timeout_action == ModelQueuePolicy.REJECT
    stated = json.loads(with_schedule(Work(BODY, 0, deadline_ns=patience_ns), 0))["parameters"]
    if settings.batching.drop_expired:
        assert patience_us(policy, stated["timeout"]) == patience_ns // 1000
        assert patience_us(policy, None) == CENTURY_US, "who states none is not dropped"
    else:
        assert patience_us(policy, stated["timeout"]) is None


def test_the_longest_wait_fits_tritons_clock():
    """It adds the timeout in nanoseconds to a clock that starts with the machine, in 64 bits."""
    assert CENTURY_US * 1000 + nanoseconds(MAX_DURATION_S) < 2**64


@pytest.mark.parametrize("path", RUNNABLE, ids=lambda path: path.stem)
def test_the_librarys_services_can_be_configured(path):
    loaded = load_scenario(path)
    onnx = {model.name: OnnxModel(package="magika") for model in loaded.scenario.models}
    try:
        stack = stack_of(loaded, endpoints=lambda s: Endpoints(dns=f"{s.name}:8080"), onnx=onnx, triton=True)
    except Unsupported:
        return  # no server of ours runs it either
    assert all(service.schedule_parameters for service in stack.gateway.services)
    for each in stack.replica_sets:
        rule = batching_numbers(each.settings.batching)
        if rule.max_requests == rule.max_items:
            assert parsed(each.settings).max_batch_size == rule.max_items


def test_triton_knows_no_bound_on_requests():
    with pytest.raises(Unsupported, match="max_batch_requests"):
        parsed(server(max_batch_size=8, max_batch_requests=2))


def test_triton_is_told_deadline_and_priority_in_its_words():
    request = json.loads(with_schedule(Work(BODY, priority=7, deadline_ns=5_000_000), now_ns=2_000_000))
    assert request["parameters"] == {"priority": 1, "timeout": 3_000}
    assert request["inputs"] == json.loads(BODY)["inputs"]


@dataclass
class StandIn:
    """Answers as Triton does under a configuration; its first request waits in the queue for longer than a test."""

    policy: Any
    full: bool = False
    port: int = 0
    seen: list[dict[str, Any]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def answer(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.seen.append(request)
        if self.full:
            return 503, {"error": "Exceeds maximum queue size"}
        if len(self.seen) == 1:
            dropped_us = patience_us(self.policy, request["parameters"].get("timeout"))
            time.sleep(PATIENCE_S if dropped_us is None else dropped_us / 1e6)
            return 503, {"error": "Request timeout expired"}
        return 200, {"model_name": "m", "outputs": [request["inputs"][0] | {"name": "y"}]}


@contextlib.contextmanager
def standing_in(stand_in: StandIn) -> Iterator[StandIn]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            status, document = stand_in.answer(
                json.loads(self.rfile.read(int(self.headers["content-length"])))
            )
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        stand_in.port = listening.server_address[1]
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield stand_in
        listening.shutdown()
        thread.join()


def before(servers, triton: StandIn) -> Server:
    """A gateway that coalesces, before a stand-in."""
    endpoints = {"addresses": [triton.address]}
    return servers.gateway(
        routes=[{"name": "main", "coalesce": True, "targets": [{"service": "ranker"}]}],
        services=[{"name": "ranker", "model": "m", "endpoints": endpoints, "schedule_parameters": True}],
    )


POLICY = parsed(server(drop_expired=True)).dynamic_batching.default_queue_policy


def test_what_triton_drops_has_timed_out_and_who_waits_longer_is_served(servers):
    """Its 503 for that is no word of a full queue: the flight is sent again for the second, who has time."""
    with standing_in(StandIn(POLICY)) as triton:
        gateway = before(servers, triton)
        founder = Traffic(
            lambda _: gateway.infer("main", BODY, baseload_key="k", baseload_timeout_ms="1500"), clients=1
        )
        wait_until(lambda: triton.seen, "the flight")
        second = gateway.infer("main", BODY, baseload_key="k", baseload_timeout_ms="30000")
        assert "timeout" in outcomes(founder.end())
    assert (second.status, second.outcome) == (200, "coalesced")
    assert gateway.metric("baseload_gateway_calls_total", result="timeout") == 1
    assert gateway.metric("baseload_gateway_calls_total", result="queue_full") == 0


def test_what_triton_refuses_at_once_met_a_full_queue(servers):
    with standing_in(StandIn(POLICY, full=True)) as triton:
        gateway = before(servers, triton)
        answer = gateway.infer("main", BODY, baseload_timeout_ms="30000")
    assert (answer.status, answer.outcome) == (503, "queue_full")

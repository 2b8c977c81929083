"""Requests whose tensors differ in shape, and answers that are no numbers: a real model in the model server."""

from __future__ import annotations

import json
import math
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.rules.batching import BatchingNumbers
from serving_ref.model_server.batcher import NEVER, Queue, Waiting
from tests.serving_ref.onnx_file import write_log_model
from tests.serving_ref.servers import Answer, Server, outcomes, side_by_side, wait_until


@pytest.fixture
def start(servers):
    def started(**settings) -> Server:
        write_log_model(servers.folder / "log.onnx")
        return servers.model_server(
            model={"name": "m", "onnx": {"file": "log.onnx", "device": "cpu"}}, **settings
        )

    return started


def body(*rows: list[float]) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [len(rows), len(rows[0])], "data": rows}
    return json.dumps({"inputs": [tensor]}).encode()


def logs(*rows: list[float]) -> list[float]:
    return [pytest.approx(math.log(value), abs=1e-6) for row in rows for value in row]


def test_requests_of_different_shapes_are_all_answered_each_shape_in_batches_of_its_own(start):
    server = start(batching={"max_batch_size": 8, "max_queue_delay": "200ms"})
    rows = [[[1.0 + n] * (1 + n // 8)] * (1 + n % 2) for n in range(32)]
    answers = side_by_side([lambda it=it: server.infer("m", body(*it)) for it in rows])
    assert outcomes(answers) == {"model": 32}
    assert [answer.output("y") for answer in answers] == [logs(*it) for it in rows]
    assert server.metric("baseload_model_server_batch_items_count") < 32, "those that may share a batch do"


def test_another_shape_sends_the_batch_that_waits(start):
    """As Triton does: the batch can't grow beyond it. The delay is ten minutes, which no client here waits."""
    server = start(batching={"max_batch_size": 8, "max_queue_delay": "10m"}, instances=2)
    answers: list[Answer] = []

    def ask(length: int) -> threading.Thread:
        thread = threading.Thread(target=lambda: answers.append(server.infer("m", body([2.0] * length))))
        thread.start()
        return thread

    for number in range(4):
        ask(length := 1 + number % 2)
        wait_until(lambda number=number: len(answers) == number, f"request {number} to be sent by the next")
        wait_until(lambda: server.metric("baseload_model_server_queue_depth") == 1, "the next to wait")
        assert all(len(answer.output("y")) == 1 + place % 2 for place, answer in enumerate(answers)), length
    assert outcomes(answers) == {"model": 3}


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(0, 1)), min_size=1, max_size=30),
    st.integers(3, 9), st.sampled_from([0, 5, 1000]), st.lists(st.integers(1, 9), max_size=2),
)  # fmt: skip
def test_a_batch_is_of_one_kind_keeps_the_order_and_waits_for_nothing_that_cannot_join(
    requests, most, delay_ns, sizes
):
    rule = BatchingNumbers(most, most, delay_ns, tuple(sorted({min(size, most) for size in sizes})))
    queue = Queue(rule, drop_expired=False, most=None)
    for place, (kind, items, priority) in enumerate(requests):
        queue.join(Waiting({}, items, priority, NEVER, answer=None, kind=kind), place)
    order = [waiting for level in reversed(queue.levels) for waiting in level]
    now_ns = len(requests)
    while queue.size:
        may_go = queue.may_go
        batch = queue.take(now_ns, [])
        run = next((n for n, it in enumerate(order) if it.kind != order[0].kind), len(order))
        if isinstance(batch, int):
            assert batch == min(it.enqueued_ns for it in order) + delay_ns > now_ns
            assert run == len(order), "what can't grow does not wait"
            now_ns = batch
            continue
        assert may_go or now_ns >= min(it.enqueued_ns for it in order) + delay_ns
        assert batch == order[: len(batch)]
        assert len(batch) <= run
        order = order[len(batch) :]


@pytest.mark.parametrize(("values", "told"), [([1.0, -1.0], "y"), ([0.0], "y"), ([-1.0], "y")])
def test_an_answer_that_is_not_finite_is_an_error_in_words_and_costs_its_neighbours_nothing(
    start, values, told
):
    server = start(batching={"max_batch_size": 8, "max_queue_delay": "300ms"})
    well, broken = body([2.0] * len(values)), body(values)
    answers = side_by_side([lambda it=it: server.infer("m", it) for it in (well, broken, well)], 3)
    assert [(answer.status, answer.outcome) for answer in answers] == [
        (200, "model"),
        (500, "error"),
        (200, "model"),
    ]
    assert answers[1].document == {"error": f"output {told} of the model is not finite (NaN or infinity)"}
    assert server.metric("baseload_model_server_requests_total", outcome="error") == 1


def test_through_the_gateway_it_is_an_error_too(start, servers):
    server = start()
    gateway = servers.gateway([server])
    answer = gateway.infer("main", body([-1.0]))
    assert (answer.status, answer.outcome) == (502, "error")
    assert "not finite" in answer.document["error"]
    asked = json.loads(body([1.0])) | {"outputs": [{"name": "confidence"}]}
    assert gateway.infer("main", json.dumps(asked).encode()).output("confidence") == [0.0]
    assert np.isfinite(gateway.infer("main", body([2.0])).output("y")).all()

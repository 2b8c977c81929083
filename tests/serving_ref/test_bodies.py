"""Reading a request's body, at both servers: how long it may take, and how large it may be."""

from __future__ import annotations

import http.client
import socket
import time

import pytest

from tests.serving_ref.servers import PATIENCE_S, Server, infer_body, wait_until

BODY = infer_body(0.5)
LIMITS = {"body": "1kB", "read": "300ms"}


@pytest.fixture(scope="module")
def model_server(shared_servers):
    return shared_servers.model_server("1ms", instances=8, limits=LIMITS)


@pytest.fixture(scope="module")
def gateway(shared_servers, model_server):
    return shared_servers.gateway([model_server], limits=LIMITS)


@pytest.fixture(params=["gateway", "model server"])
def door(request, gateway, model_server):
    """A server, and the path of its inference requests."""
    if request.param == "gateway":
        return gateway, b"/v2/models/main/infer"
    return model_server, b"/v2/models/m/infer"


def answer_on(connection: socket.socket) -> tuple[int, str | None, bytes]:
    """Read an answer: status, its `connection` header, body."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.getheader("connection"), response.read()


def exchange(server: Server, request: bytes) -> tuple[int, str | None, bytes]:
    """Send bytes on a connection of their own, and read the answer."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as connection:
        connection.sendall(request)
        return answer_on(connection)


def head(path: bytes, *lines: bytes) -> bytes:
    return b"POST %b HTTP/1.1\r\nhost: x\r\n%b\r\n" % (path, b"".join(line + b"\r\n" for line in lines))


def chunks(*bodies: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(body), body) for body in bodies) + b"0\r\n\r\n"


def invalid(server: Server) -> float:
    kind = "gateway" if server.metric("baseload_gateway_ready_replicas") else "model_server"
    return server.metric(f"baseload_{kind}_requests_total", outcome="invalid")


@pytest.mark.parametrize("begun", [b"", b"{", b'{"inputs": ['], ids=["no byte", "one byte", "some"])
def test_a_body_that_does_not_arrive_is_408(door, begun):
    server, path = door
    before = invalid(server)
    status, connection, body = exchange(server, head(path, b"content-length: 100") + begun)
    assert (status, connection) == (408, "close")
    assert b"did not arrive within 0.3 s" in body
    assert invalid(server) == before + 1


@pytest.mark.parametrize("begun", [b"", b"5\r\nhello\r\n"], ids=["no chunk", "one chunk"])
def test_a_body_in_chunks_that_does_not_end_is_408(door, begun):
    server, path = door
    assert exchange(server, head(path, b"transfer-encoding: chunked") + begun)[0] == 408


def test_a_body_that_comes_byte_by_byte_has_the_same_time(door):
    server, path = door
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) as connection:
        connection.sendall(head(path, b"content-length: 900"))
        connection.settimeout(0.02)
        answer = b""
        while not answer:
            connection.sendall(b" ")
            try:
                answer = connection.recv(4096)
            except TimeoutError:
                assert time.monotonic() - begun < PATIENCE_S
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_what_waits_for_its_body_is_in_no_batch(model_server):
    """A request that is being read is neither in the queue nor in service."""
    with socket.create_connection(("127.0.0.1", model_server.port), PATIENCE_S) as connection:
        connection.sendall(head(b"/v2/models/m/infer", b"content-length: 100"))
        for _ in range(5):
            assert model_server.metric("baseload_model_server_in_service") == 0
            assert model_server.metric("baseload_model_server_queue_depth") == 0
        assert answer_on(connection)[0] == 408


def test_in_service_are_the_requests_of_batches_and_no_others(servers):
    """Two slots, each with a batch of three; four more wait; and none is left over at the end."""
    server = servers.model_server(
        synthetic={"latency": {"fixed": "3s", "per_item": "1us"}}, instances=2,
        batching={"max_batch_size": 3, "max_queue_delay": "10m", "preferred_batch_sizes": [3]},
    )  # fmt: skip
    request = head(b"/v2/models/m/infer", b"content-length: %d" % len(BODY)) + BODY

    def state() -> tuple[float, float]:
        return tuple(server.metric(f"baseload_model_server_{name}") for name in ("in_service", "queue_depth"))

    clients = [socket.create_connection(("127.0.0.1", server.port), PATIENCE_S) for _ in range(10)]
    for client in clients:
        client.sendall(request)
    wait_until(lambda: state() == (6, 4), "two batches, and a queue of four")
    wait_until(lambda: state() == (3, 1), "the next batch")
    wait_until(lambda: state() == (0, 1), "one that no batch will take for ten minutes")
    assert server.metric("baseload_model_server_requests_total", outcome="model") == 9
    for client in clients:
        client.close()


@pytest.mark.parametrize("parts", [1, 3])
def test_a_body_in_chunks_is_bounded_however_it_arrives(door, parts):
    """All in one piece of the network's, or in several."""
    server, path = door
    before = invalid(server)
    large = chunks(*[b"x" * (1500 // parts)] * parts)
    assert exchange(server, head(path, b"transfer-encoding: chunked") + large)[0] == 413
    assert invalid(server) == before + 1
    well = chunks(BODY[:10], BODY[10:])
    assert exchange(server, head(path, b"transfer-encoding: chunked") + well)[0] == 200


def test_the_bound_is_the_bound(door):
    server, path = door
    for size, status in ((1000, 400), (1001, 413)):
        for sent in (
            head(path, b"content-length: %d" % size) + b" " * size,
            head(path, b"transfer-encoding: chunked") + chunks(b" " * size),
        ):
            assert exchange(server, sent)[0] == status


def test_a_client_that_is_gone_before_its_request_is_whole_leaves_nothing(gateway):
    with socket.create_connection(("127.0.0.1", gateway.port), PATIENCE_S) as connection:
        connection.sendall(head(b"/v2/models/main/infer", b"content-length: 100"))
        wait_until(lambda: gateway.metric("baseload_gateway_in_flight") == 1, "the request")
    wait_until(lambda: gateway.metric("baseload_gateway_in_flight") == 0, "nothing")

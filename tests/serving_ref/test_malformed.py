"""Malformed and oversized bodies, through the running gateway and model server: always 4xx, and always counted.

What a body deserves is known from the reader that both servers use; here it has to come out of the other end of two
processes and two hops of HTTP.
"""

from __future__ import annotations

import http.client
import json
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_ref.inference import DTYPES, InvalidRequest, TensorSpec, checked_request, input_tensors
from tests.serving_ref.servers import PATIENCE_S, Server, infer_body

MOST_BYTES, MOST_ITEMS = 1_000, 4
LIMITS = {"body": "1kB"}
VALID = {
    "id": "a",
    "parameters": {"p": 1},
    "inputs": [
        {"name": "x", "shape": [2, 1], "datatype": "FP32", "data": [0.25, 0.5], "parameters": {}},
    ],
    "outputs": [{"name": "y"}],
}
INPUTS = (TensorSpec("x", "FP32", (1,)),)
OUTPUTS = ("y", "confidence")

scalars = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8)
    | st.sampled_from(["x", "y", "confidence", *DTYPES, 1e38, -1e39, 2**63, "0", 0, 1, 2, -1])
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def places(document: Any, path: tuple = ()) -> Iterator[tuple]:
    """Every place in a document."""
    yield path
    if isinstance(document, dict | list):
        for name in document if isinstance(document, dict) else range(len(document)):
            yield from places(document[name], (*path, name))


def changed(document: Any, path: tuple, change: Any) -> Any:
    """A copy with another value at one place; `change` is called with the old one."""
    if not path:
        return change(document)
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = changed(document[path[0]], path[1:], change)
    return copy


@st.composite
def mutated_documents(draw: st.DrawFn) -> Any:
    """A valid request with one to three mistakes: another value, one too few, one too many, or one level too deep."""
    document: Any = VALID
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(document))))
        new = draw(values)

        def drop(old: Any) -> Any:
            return old[1:] if isinstance(old, list) else {} if isinstance(old, dict) else None

        def more(old: Any, new: Any = new) -> Any:
            return (
                [*old, *old]
                if isinstance(old, list)
                else old | {"more": new}
                if isinstance(old, dict)
                else new
            )

        change = draw(st.sampled_from([lambda _, new=new: new, drop, more, lambda old: [old]]))
        document = changed(document, path, change)
    return document


@st.composite
def mutated_texts(draw: st.DrawFn) -> bytes:
    """A valid text, cut, or with bytes put into it, or longer than may be."""
    text = json.dumps(VALID).encode()
    begin = draw(st.integers(0, len(text)))
    end = draw(st.integers(begin, min(begin + 8, len(text))))
    inserted = draw(
        st.binary(max_size=6) | st.sampled_from([b"NaN", b"1e999", b"[" * 600, b"{", b"\\ud800", b"\xed"])
    )
    padding = draw(st.sampled_from([b"", b"", b"", b" " * MOST_BYTES]))
    return text[:begin] + inserted + text[end:] + padding


bodies = (
    st.binary(max_size=64)
    | st.binary(min_size=MOST_BYTES - 2, max_size=MOST_BYTES + 2)
    | values.map(lambda document: json.dumps(document).encode())
    | mutated_documents().map(lambda document: json.dumps(document).encode())
    | mutated_texts()
)


def deserved(body: bytes) -> int:
    """The status that a body deserves."""
    if len(body) > MOST_BYTES:
        return 413
    try:
        request, items = checked_request(body)
        input_tensors(request, INPUTS)
    except InvalidRequest as error:
        return error.status
    wanted = request.get("outputs")
    if wanted is None:
        named = True
    else:
        names = (
            [each.get("name") for each in wanted if isinstance(each, dict)]
            if isinstance(wanted, list)
            else []
        )
        named = bool(names) and all(name in OUTPUTS for name in names if isinstance(name, str))
        named = named and all(isinstance(name, str) for name in names)
    return 200 if items <= MOST_ITEMS and named else 400


@pytest.fixture(scope="module")
def model_server(shared_servers):
    curve = {"latency": {"fixed": "100us", "per_item": "1us"}}
    batching = {"max_batch_size": MOST_ITEMS}
    return shared_servers.model_server(synthetic=curve, batching=batching, limits=LIMITS)


@pytest.fixture(scope="module")
def gateway(shared_servers, model_server):
    return shared_servers.gateway([model_server], limits=LIMITS)


class Sender:
    """Sends bodies over one connection, for as long as the server keeps it."""

    def __init__(self, server: Server, path: str) -> None:
        self.path = path
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
        self.outcomes: Counter[str] = Counter()

    def send(self, body: bytes, *, chunked: bool) -> tuple[int, dict]:
        sent = iter([body]) if chunked else body
        self.connection.request("POST", self.path, sent, encode_chunked=chunked,
                                headers={"Transfer-Encoding": "chunked"} if chunked else {})  # fmt: skip
        answer = self.connection.getresponse()
        document = json.loads(answer.read())
        self.outcomes[answer.headers["baseload-outcome"]] += 1
        return answer.status, document


@pytest.mark.parametrize("which", ["gateway", "model_server"])
def test_every_body_gets_the_status_that_it_deserves(which, gateway, model_server):
    server, path = (gateway, "main") if which == "gateway" else (model_server, "m")
    sender = Sender(server, f"/v2/models/{path}/infer")
    name = f"baseload_{which}_requests_total"
    before = {each: server.metric(name, outcome=each) for each in ("model", "invalid")}
    all_before = server.metric(name)

    @given(bodies, st.booleans())
    def fuzz(body: bytes, chunked: bool) -> None:
        status, document = sender.send(body, chunked=chunked and body != b"")
        assert status == deserved(body)
        if status == 200:
            assert all(math.isfinite(value) for output in document["outputs"] for value in output["data"])
        else:
            assert set(document) == {"error"}
            assert document["error"]

    fuzz()
    assert sender.outcomes.keys() <= {"model", "invalid"}
    assert sender.outcomes["invalid"] > 0
    for outcome, count in before.items():
        assert server.metric(name, outcome=outcome) - count == sender.outcomes[outcome]
    assert server.metric(name) - all_before == sender.outcomes.total(), "each is counted, and once"
    assert server.infer(path, infer_body(0.5)).outcome == "model", "the server is well"
    assert server.process.poll() is None
    assert not server.log.read_text(), "and has nothing to complain of"


HEADERS = [
    "baseload-class", "baseload-key", "baseload-difficulty", "baseload-timeout-ms", "baseload-priority",
    "content-encoding", "inference-header-content-length", "content-type", "expect",
]  # fmt: skip


@pytest.mark.parametrize("which", ["gateway", "model_server"])
def test_no_header_breaks_a_server(which, gateway, model_server):
    server, path = (gateway, "main") if which == "gateway" else (model_server, "m")
    printable = st.text(
        st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20
    )
    numbers = st.sampled_from(["nan", "inf", "-0", "1e400", "1e-400", "0x10", "1_000", "٣", "8", "7", ""])

    @given(st.sampled_from(HEADERS), printable | numbers.map(lambda text: text.encode().decode("latin-1")))
    def fuzz(name: str, value: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
        connection.request(
            "POST", f"/v2/models/{path}/infer", infer_body(0.5), {name: value.encode("latin-1")}
        )
        answer = connection.getresponse()
        assert json.loads(answer.read())
        assert answer.status in (200, 400, 415, 504)
        connection.close()

    fuzz()
    assert server.infer(path, infer_body(0.5)).outcome == "model"
    assert not server.log.read_text()

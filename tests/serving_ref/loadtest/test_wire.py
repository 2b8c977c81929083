"""The bytes of a request are what the protocol asks for, and a function of the schedule."""

from __future__ import annotations

import json

import pytest

from serving_ref.loadtest.schedule import Tensor
from serving_ref.loadtest.wire import Writer
from tests.serving_ref.loadtest.sending import sent_class, settings


def written(*inputs, number=7, key=3, items=1, difficulty=0.25, **changed):
    each = sent_class("home-page", inputs=inputs or (Tensor("x", "FP32", (-1, 4)),), **changed)
    data = Writer(settings(8080, each), each).request(f"web-{number}-0", number, key, items, difficulty)
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return first, dict(line.split(": ") for line in lines), body


def test_it_is_an_inference_request_with_our_headers():
    first, headers, body = written(timeout_ns=1_500_000_000)
    assert first == "POST /v2/models/main/infer HTTP/1.1"
    assert headers.pop("Content-Length") == str(len(body))
    assert headers == {
        "Host": "127.0.0.1:8080",
        "Content-Type": "application/json",
        "baseload-class": "home-page",
        "baseload-timeout-ms": "1500",
        "baseload-key": "run-home-page-3",
        "baseload-difficulty": "0.250000000",
    }
    document = json.loads(body)
    assert document.keys() == {"id", "inputs"}
    assert document["id"] == "web-7-0"
    tensor = document["inputs"][0]
    assert (tensor["name"], tensor["datatype"], tensor["shape"]) == ("x", "FP32", [1, 4])
    assert len(tensor["data"]) == 4


@pytest.mark.parametrize(
    "datatype", ["BOOL", "UINT8", "INT8", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"]
)
@pytest.mark.parametrize("shape", [(-1,), (-1, 3), (-1, 2, 5), (-1, -1), (-1, 4, -1)])
@pytest.mark.parametrize("items", [1, 7])
def test_data_fills_the_shape_with_values_of_the_type(datatype, shape, items):
    _, _, body = written(Tensor("x", datatype, shape), items=items)
    tensor = json.loads(body)["inputs"][0]
    assert tensor["shape"][0] == items
    assert all(
        size in (given, tensor["shape"][0]) or given < 0
        for size, given in zip(tensor["shape"], shape, strict=True)
    )
    count = 1
    for size in tensor["shape"]:
        count *= size
    assert len(tensor["data"]) == count
    kinds = {"BOOL": bool, "BYTES": str}.get(datatype, float if datatype.startswith("FP") else int)
    assert {type(value) for value in tensor["data"]} == {kinds}


def test_the_same_key_is_the_same_content_and_another_is_another():
    body = {key: json.loads(written(number=key, key=key)[2])["inputs"] for key in range(50)}
    assert body[3] == json.loads(written(number=999, key=3)[2])["inputs"]
    assert len({json.dumps(each) for each in body.values()}) == 50


def test_a_request_for_something_new_has_no_key_and_content_of_its_own():
    bodies = set()
    for number in range(50):
        _, headers, body = written(number=number, key=-1)
        assert "baseload-key" not in headers
        bodies.add(json.dumps(json.loads(body)["inputs"]))
    assert len(bodies) == 50


@pytest.mark.parametrize(
    "tensor", [Tensor("x", "BYTES", (-1,)), Tensor("x", "FP32", (-1, -1)), Tensor("x", "INT32", (-1, -1, 3))]
)
@pytest.mark.parametrize("items", [1, 4])
@pytest.mark.parametrize("request_bytes", [2_000, 500_000])
def test_the_payload_is_about_as_large_as_the_class_says(tensor, items, request_bytes):
    _, _, body = written(tensor, items=items, request_bytes=request_bytes)
    assert request_bytes * 0.95 < len(body) < request_bytes * 1.05 + 200


def test_an_unknown_data_type_is_refused():
    with pytest.raises(ValueError, match="no data type COMPLEX"):
        written(Tensor("x", "COMPLEX", (-1,)))

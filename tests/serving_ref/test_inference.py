"""The protocol's requests and responses: what fits is read, and nothing else gets through."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving_ref.inference import (
    DTYPES,
    InvalidRequest,
    InvalidResponse,
    TensorSpec,
    check_response,
    checked_request,
    input_tensors,
    lowest,
    response_body,
    with_id,
)

X = TensorSpec("x", "FP32", (2,))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["x", "y"]) | json_values,
        "datatype": st.sampled_from([*DTYPES, "FP8"]) | json_values,
        "shape": st.lists(st.integers(-1, 3), max_size=3) | json_values,
        "data": json_values,
    },
)


def request_of(**changes):
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2.5, 3, 4]} | changes
    return json.dumps({"inputs": [tensor]}).encode()


def read(body, *specs):
    request, items = checked_request(body)
    return items, input_tensors(request, specs or (X,))


@pytest.mark.parametrize("data", [[1, 2.5, 3, 4], [[1, 2.5], [3, 4]]])
def test_flat_and_nested_data_are_the_same(data):
    items, tensors = read(request_of(data=data))
    assert items == 2
    assert tensors["x"].dtype == np.float32
    assert tensors["x"].tolist() == [[1, 2.5], [3, 4]]


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(body):
    with pytest.raises(InvalidRequest):
        read(body)


@given(
    st.fixed_dictionaries(
        {}, optional={"inputs": st.lists(tensors, max_size=3) | json_values, "id": json_values}
    )
)
def test_no_document_breaks_the_reader(document):
    """It is read, or refused with 400: never another exception."""
    status = 200
    try:
        read(json.dumps(document).encode())
    except InvalidRequest as error:
        status = error.status
    assert status in (200, 400)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shape": [2, 3]}, "expected shape"),
        ({"shape": [3, 2]}, "needs 6 values, got 4"),
        ({"shape": [0, 2], "data": []}, "whole numbers from 1 up"),
        ({"shape": [2, True]}, "whole numbers from 1 up"),
        ({"datatype": "FP64"}, "expected datatype FP32"),
        ({"datatype": "INT"}, "datatype: expected one of"),
        ({"data": [[1, 2], [3]]}, "ragged"),
        ({"data": [1, 2, 3, "4"]}, "not FP32"),
        ({"data": [1, 2, 3, 1e300]}, "out of range"),
        ({"data": "1234"}, "expected a list"),
        ({"name": "z"}, "expected x, each once; got z"),
    ],
)
def test_what_is_wrong_is_named(changes, said):
    with pytest.raises(InvalidRequest, match=said):
        read(request_of(**changes))


@pytest.mark.parametrize("value", [1.5, 300, -1])
def test_whole_numbers_are_not_rounded_or_wrapped(value):
    with pytest.raises(InvalidRequest):
        read(request_of(datatype="UINT8", data=[1, 2, 3, value]), TensorSpec("x", "UINT8", (2,)))


BOUNDS = {name: np.iinfo(dtype) for name, dtype in DTYPES.items() if name.startswith(("INT", "UINT"))}


@given(st.data())
def test_whole_numbers_arrive_as_they_are_or_not_at_all(data):
    """Also those beyond 2**53, which a float would round, and on both sides of 2**63, which numpy reads as floats."""
    datatype = data.draw(st.sampled_from(sorted(BOUNDS)))
    low, high = BOUNDS[datatype].min, BOUNDS[datatype].max
    edges = [low, high, low - 1, high + 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1]
    values = data.draw(
        st.lists(st.sampled_from(edges) | st.integers(-(2**63), 2**64 - 1), min_size=1, max_size=4)
    )
    body = request_of(datatype=datatype, shape=[len(values), 1], data=[[value] for value in values])
    try:
        _, tensors = read(body, TensorSpec("x", datatype, (1,)))
    except InvalidRequest:
        assert not all(low <= value <= high for value in values)
    else:
        assert tensors["x"].ravel().tolist() == values
        assert tensors["x"].dtype == DTYPES[datatype]


@pytest.mark.parametrize(
    "data", [[2**53 + 1, 2**64 - 1], [[2**53 + 1], [2**64 - 1]], [0, 2**63], [2**64 - 1, 1]], ids=repr
)
def test_large_unsigned_numbers_are_exact(data):
    _, tensors = read(request_of(datatype="UINT64", shape=[2, 1], data=data), TensorSpec("x", "UINT64", (1,)))
    assert tensors["x"].ravel().tolist() == np.array(data, object).ravel().tolist()


@pytest.mark.parametrize("data", [[1.0, 2**64 - 1], [1.5, 2], ["1", 2**64 - 1], [None, 1]], ids=repr)
def test_what_is_not_whole_is_no_unsigned_number(data):
    with pytest.raises(InvalidRequest):
        read(request_of(datatype="UINT64", shape=[2, 1], data=data), TensorSpec("x", "UINT64", (1,)))


def test_inputs_must_agree_on_the_number_of_items():
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}
    other = {**tensor, "name": "y", "shape": [2], "data": [1, 2]}
    with pytest.raises(InvalidRequest, match="one first dimension"):
        checked_request(json.dumps({"inputs": [tensor, other]}).encode())


def test_a_response_carries_its_tensors_and_id():
    outputs = {"y": np.array([[1.5], [2]], np.float32), "n": np.array([3, 4])}
    response = json.loads(response_body("m", "1", "a", outputs))
    assert response["id"] == "a"
    assert response["outputs"] == [
        {"name": "y", "datatype": "FP32", "shape": [2, 1], "data": [1.5, 2]},
        {"name": "n", "datatype": "INT64", "shape": [2], "data": [3, 4]},
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_a_value_that_json_cannot_carry_is_named_and_not_sent_as_null(datatype, value):
    outputs = {"x": np.zeros(2, DTYPES[datatype]), "y": np.array([1, value], DTYPES[datatype])}
    with pytest.raises(InvalidResponse, match="output y of the model is not finite"):
        response_body("m", "1", None, outputs)


@given(st.binary(max_size=60))
def test_no_bytes_pass_for_a_response(body):
    with pytest.raises(InvalidResponse):
        check_response(body)


@given(
    st.fixed_dictionaries(
        {}, optional={"outputs": st.lists(tensors, max_size=3) | json_values, "id": json_values}
    )
)
def test_what_passes_for_a_response_can_be_given_an_id_and_asked_how_sure_it_is(document):
    body = json.dumps(document).encode()
    try:
        check_response(body)
        assert json.loads(with_id(body, "b"))["outputs"] == json.loads(body)["outputs"]
        lowest(body, "x")
    except InvalidResponse:
        return


def test_a_shared_answer_gets_the_id_of_who_asked():
    body = response_body("m", "1", "a", {"y": np.zeros(1)})
    assert json.loads(with_id(body, "b"))["id"] == "b"
    assert "id" not in json.loads(with_id(body, None))


def test_the_least_sure_item_speaks_for_a_response():
    body = response_body("m", "1", None, {"confidence": np.array([[0.9], [0.25]], np.float32)})
    assert lowest(body, "confidence") == 0.25
    assert lowest(body, "other") is None

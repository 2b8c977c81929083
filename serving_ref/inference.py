"""The Open Inference Protocol's inference request and response: JSON text in, checked tensors out, and back.

https://github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md. Tensors are JSON, nested or
flat in row-major order; the binary extension is refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Tensors = dict[str, "NDArray[Any]"]
"""By name; the first dimension is the batch."""
DTYPES: dict[str, Any] = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "FP32": np.float32, "FP64": np.float64, "BYTES": np.object_,
}  # fmt: skip
"""The protocol's name of a data type → numpy's."""
_NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
_KINDS = {"b": "b", "u": "iu", "i": "iu", "f": "iuf", "O": "U"}
"""Kind of the wanted dtype → kinds that JSON values may have."""
MAX_RANK = 8
ANY = -1
"""A dimension of a `TensorSpec` that may have any size."""


class InvalidRequest(Exception):
    """A request that is wrong in itself: `status` is the HTTP status of 4xx that says so."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class InvalidResponse(Exception):
    """What a model has given is no answer that the protocol could carry."""


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a model. The shape leaves out the first dimension: that is the batch."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def document(self) -> dict[str, Any]:
        """Return it as the model metadata shows it."""
        return {"name": self.name, "datatype": self.datatype, "shape": [ANY, *self.shape]}


def checked_request(body: bytes) -> tuple[dict[str, Any], int]:
    """Return the request in a body, and its number of items. Tensor values are not looked at.

    Raises InvalidRequest.
    """
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    if not isinstance(request, dict):
        raise InvalidRequest("expected a JSON object with inputs")
    if not isinstance(request.get("id", ""), str):
        raise InvalidRequest("id: expected text")
    if not isinstance(request.get("parameters", {}), dict):
        raise InvalidRequest("parameters: expected an object")
    inputs = request.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise InvalidRequest("inputs: expected a list of tensors, at least one")
    items = {_checked_tensor(tensor, place) for place, tensor in enumerate(inputs)}
    if len(items) > 1:
        raise InvalidRequest(f"inputs: expected one first dimension, got {sorted(items)}")
    return request, items.pop()


def _checked_tensor(tensor: Any, place: int) -> int:
    """Return the first dimension of a tensor that is well formed."""
    where = f"inputs[{place}]"
    if not isinstance(tensor, dict) or not isinstance(tensor.get("name"), str):
        raise InvalidRequest(f"{where}: expected an object with name, shape, datatype and data")
    datatype, shape = tensor.get("datatype"), tensor.get("shape")
    if not isinstance(datatype, str) or datatype not in DTYPES:
        raise InvalidRequest(f"{where}.datatype: expected one of {', '.join(DTYPES)}")
    if not isinstance(shape, list) or not 1 <= len(shape) <= MAX_RANK:
        raise InvalidRequest(f"{where}.shape: expected 1 to {MAX_RANK} dimensions")
    if not all(type(size) is int and 0 < size < 1 << 31 for size in shape):
        raise InvalidRequest(f"{where}.shape: expected whole numbers from 1 up")
    if not isinstance(tensor.get("data"), list):
        raise InvalidRequest(f"{where}.data: expected a list")
    return int(shape[0])


def input_tensors(request: Mapping[str, Any], wanted: Sequence[TensorSpec]) -> Tensors:
    """Return the inputs of a checked request as arrays, by name. Raises InvalidRequest where they don't fit."""
    given = {tensor["name"]: tensor for tensor in request["inputs"]}
    names = [spec.name for spec in wanted]
    if len(given) != len(request["inputs"]) or given.keys() != set(names):
        raise InvalidRequest(
            f"inputs: expected {', '.join(names)}, each once; got {', '.join(map(str, given))}"
        )
    return {spec.name: _array(given[spec.name], spec) for spec in wanted}


def _array(tensor: Mapping[str, Any], spec: TensorSpec) -> NDArray[Any]:
    name, shape = spec.name, tuple(tensor["shape"])
    if tensor["datatype"] != spec.datatype:
        raise InvalidRequest(f"{name}: expected datatype {spec.datatype}, got {tensor['datatype']}")
    fits = len(shape) == len(spec.shape) + 1 and all(
        size in (given, ANY) for size, given in zip(spec.shape, shape[1:], strict=True)
    )
    if not fits:
        raise InvalidRequest(f"{name}: expected shape {[ANY, *spec.shape]}, got {list(shape)}")
    dtype = np.dtype(DTYPES[spec.datatype])
    try:
        found = np.asarray(tensor["data"])
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{name}: data is ragged") from None
    if found.size != math.prod(shape):
        raise InvalidRequest(f"{name}: shape {list(shape)} needs {math.prod(shape)} values, got {found.size}")
    if dtype.kind == "u" and found.dtype.kind == "f":
        found = _whole_numbers(tensor["data"], found)
    if found.dtype.kind not in _KINDS[dtype.kind]:
        raise InvalidRequest(f"{name}: data is not {spec.datatype}")
    with np.errstate(over="ignore"):
        array = found.astype(dtype).reshape(shape)
    if dtype.kind in "iu" and not np.array_equal(array.ravel(), found.ravel()):
        raise InvalidRequest(f"{name}: a value is out of range for {spec.datatype}")
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise InvalidRequest(f"{name}: a value is out of range for {spec.datatype}")
    return array


def _whole_numbers(data: list[Any], found: NDArray[Any]) -> NDArray[Any]:
    """Return data as unsigned numbers where it is that: numpy reads whole numbers on both sides of 2**63 as floats."""
    values = np.asarray(data, object).ravel().tolist()
    if all(type(value) is int and 0 <= value < 1 << 64 for value in values):
        return np.array(values, np.uint64)
    return found


def response_body(model: str, version: str, ident: str | None, outputs: Mapping[str, NDArray[Any]]) -> bytes:
    """Return an inference response as JSON. Tensors are flat.

    Raises InvalidResponse where a value is not finite: JSON has no such numbers, and null would be none either.
    """
    response: dict[str, Any] = {"model_name": model, "model_version": version}
    if ident is not None:
        response["id"] = ident
    response["outputs"] = [
        {
            "name": name,
            "datatype": _NAMES[array.dtype],
            "shape": list(array.shape),
            "data": np.ascontiguousarray(array).ravel().tolist(),
        }
        for name, array in outputs.items()
    ]
    body = orjson.dumps(response)
    if b"null" in body:  # what orjson makes of such a value; else there is none, and no need to look for it
        for name, array in outputs.items():
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise InvalidResponse(f"output {name} of the model is not finite (NaN or infinity)")
    return body


def check_response(body: bytes) -> None:
    """Raise InvalidResponse where a body is no inference response. Tensor values are not looked at."""
    try:
        response = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidResponse("not an inference response: not JSON") from None
    outputs = response.get("outputs") if isinstance(response, dict) else None
    if not isinstance(outputs, list) or not all(map(_is_output, outputs)):
        raise InvalidResponse(
            "not an inference response: expected outputs with name, shape, datatype and data"
        )


def _is_output(tensor: Any) -> bool:
    return (
        isinstance(tensor, dict)
        and isinstance(tensor.get("name"), str)
        and isinstance(tensor.get("datatype"), str)
        and isinstance(tensor.get("shape"), list)
        and isinstance(tensor.get("data"), list)
    )


def with_id(body: bytes, ident: str | None) -> bytes:
    """Return an inference response with another request's id: answers are shared, ids are not."""
    response = orjson.loads(body)
    response.pop("id", None)
    if ident is not None:
        response["id"] = ident
    return orjson.dumps(response)


def lowest(body: bytes, output: str) -> float | None:
    """Return the smallest value of an output of a response; None where there is no such output.

    Raises InvalidResponse where its values are not numbers.
    """
    for tensor in orjson.loads(body)["outputs"]:
        if tensor["name"] == output:
            try:
                values = np.asarray(tensor["data"], np.float64)
            except (ValueError, TypeError):
                values = np.array([np.nan])
            if not values.size or not np.isfinite(values).all():
                raise InvalidResponse(f"output {output} of the model is not made of numbers")
            return float(values.min())
    return None

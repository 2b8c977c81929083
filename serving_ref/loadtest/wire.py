"""The bytes of a request: HTTP/1.1 with an inference request of the Open Inference Protocol v2.

The content is a function of what the schedule says: the same key is the same content, byte for byte. It is cut out of a
text that is made once, so that sending costs no more than putting pieces together.
"""

from __future__ import annotations

import json
import math
import random
import string
from typing import TYPE_CHECKING

from scenarios.units import NANOSECONDS_PER_SECOND
from serving_ref import protocol

if TYPE_CHECKING:
    from serving_ref.loadtest.schedule import SentClass, Settings, Tensor

FREE_LENGTH = 16
"""Values along a dimension of any length, where the class gives no payload size."""
_POOL = 1 << 16
_LONGEST_TEXT = 1 << 22
_SCATTER = 2654435761
"""Knuth's multiplier (The Art of Computer Programming 3, 6.4): neighbouring keys get content from different places."""
_LETTERS = string.ascii_letters + string.digits
_INTEGERS = ("INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64")
_FLOATS = ("FP16", "FP32", "FP64", "BF16")


class Writer:
    """Makes the requests of one class."""

    def __init__(self, settings: Settings, each: SentClass) -> None:
        """ValueError for a data type that the protocol does not know."""
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        head = [
            f"POST {each.path} HTTP/1.1",
            f"Host: {host}:{settings.port}",
            "Content-Type: application/json",
            f"{protocol.CLASS}: {each.name}",
        ]
        if each.timeout_ns is not None:
            head.append(f"{protocol.TIMEOUT_MS}: {each.timeout_ns / NANOSECONDS_PER_SECOND * 1000:.9g}")
        self._head = "\r\n".join(head) + "\r\n"
        self._key_prefix = f"{settings.key_prefix}-{each.name}-"
        share = each.request_bytes // max(len(each.inputs), 1)
        self._tensors = tuple(
            (_Texts if tensor.datatype == "BYTES" else _Numbers)(tensor, share) for tensor in each.inputs
        )

    def request(self, name: str, number: int, key: int, items: int, difficulty: float) -> bytes:
        """One request. `name` is its id for the server's logs; `key` -1: content that no other request has."""
        place = (key if key >= 0 else ~number) * _SCATTER
        inputs = ",".join([tensor.text(place, items) for tensor in self._tensors])
        body = f'{{"id":"{name}","inputs":[{inputs}]}}'
        keyed = f"{protocol.KEY}: {self._key_prefix}{key}\r\n" if key >= 0 else ""
        return (
            f"{self._head}{keyed}{protocol.DIFFICULTY}: {difficulty:.9f}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode("ascii")


class _Texts:
    """A tensor of strings."""

    def __init__(self, tensor: Tensor, request_bytes: int) -> None:
        self._tensor, self._bytes = tensor, request_bytes
        self._letters = "".join(random.Random(tensor.name).choices(_LETTERS, k=_POOL + _LONGEST_TEXT))

    def text(self, place: int, items: int) -> str:
        """The tensor as JSON; its content begins at a place of the pool."""
        shape = _shape(self._tensor, items, free=1)
        values = math.prod(shape)
        length = min(max(self._bytes // values, FREE_LENGTH), _LONGEST_TEXT)
        begins = [(place + value * _SCATTER) % _POOL for value in range(values)]
        data = '","'.join([self._letters[begin : begin + length] for begin in begins])
        return _tensor(self._tensor, shape, f'"{data}"')


class _Numbers:
    """A tensor of numbers, all written equally wide."""

    def __init__(self, tensor: Tensor, request_bytes: int) -> None:
        source = random.Random(tensor.name)
        self._tensor, self._bytes = tensor, request_bytes
        self._pool = "".join([_number(tensor.datatype, source) for _ in range(_POOL)])
        self._width = len(self._pool) // _POOL

    def text(self, place: int, items: int) -> str:
        """The tensor as JSON; its values begin at a place of the pool, which they may go round."""
        fixed = items * math.prod(size for size in self._tensor.shape[1:] if size >= 0) * self._width
        shape = _shape(self._tensor, items, max(self._bytes // fixed, 1) if self._bytes else FREE_LENGTH)
        values = math.prod(shape)
        begin = place % _POOL
        pool = self._pool * ((begin + values - 1) // _POOL + 1)
        return _tensor(self._tensor, shape, pool[begin * self._width : (begin + values) * self._width - 1])


def _shape(tensor: Tensor, items: int, free: int) -> list[int]:
    """Dimensions of a request: of those that may have any length, the first is `free` long and the others 1."""
    shape = [items]
    for size in tensor.shape[1:]:
        shape.append(size if size >= 0 else free)
        free = free if size >= 0 else 1
    return shape


def _tensor(tensor: Tensor, shape: list[int], data: str) -> str:
    name = json.dumps(tensor.name)
    return f'{{"name":{name},"datatype":"{tensor.datatype}","shape":{shape},"data":[{data}]}}'


def _number(datatype: str, source: random.Random) -> str:
    """A value with its comma; all values of a type are equally wide."""
    if datatype == "BOOL":
        return "true,"
    if datatype in _INTEGERS:
        return f"{source.randrange(100, 128)},"
    if datatype in _FLOATS:
        return f"{source.random():.6f},"
    raise ValueError(f"the protocol has no data type {datatype}")

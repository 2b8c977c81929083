"""A small ONNX model, written by hand: no package that writes them is needed for one node.

Fields by number: github.com/onnx/onnx, onnx/onnx.proto.
"""

from __future__ import annotations

from pathlib import Path

_FLOAT = 1
_IR_VERSION, _OPSET = 7, 13


def write_log_model(path: Path) -> None:
    """`y` = log(`x`), FP32 [batch, length]: any length, and no finite answer to what is not above 0."""
    node = _text(1, "x") + _text(2, "y") + _text(4, "Log")
    graph = _part(1, node) + _text(2, "log") + _part(11, _tensor("x")) + _part(12, _tensor("y"))
    path.write_bytes(_number(1, _IR_VERSION) + _part(7, graph) + _part(8, _number(2, _OPSET)))


def _tensor(name: str) -> bytes:
    shape = b"".join(_part(1, _text(2, size)) for size in ("batch", "length"))
    return _text(1, name) + _part(2, _part(1, _number(1, _FLOAT) + _part(2, shape)))


def _number(field: int, value: int) -> bytes:
    return bytes([field << 3, value])


def _text(field: int, value: str) -> bytes:
    return _part(field, value.encode())


def _part(field: int, content: bytes) -> bytes:
    assert len(content) < 128, "longer ones have a length of several bytes"
    return bytes([field << 3 | 2, len(content)]) + content

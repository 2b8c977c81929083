"""A model in ONNX Runtime: on CUDA where that is there, else on the CPU."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

# Since 1.29 the published builds send names and digests of models to their maker unless this is set when they load
# (onnxruntime/core/platform/posix/telemetry_1ds.cc). Whose models run here is nobody else's business.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime

from scenarios.errors import EnvironmentProblem
from serving_ref.inference import ANY, TensorSpec

if TYPE_CHECKING:
    from serving_ref.inference import Tensors
    from serving_ref.model_server.settings import OnnxModel

_DATATYPES = {
    "tensor(bool)": "BOOL", "tensor(uint8)": "UINT8", "tensor(int8)": "INT8", "tensor(int32)": "INT32",
    "tensor(int64)": "INT64", "tensor(float16)": "FP16", "tensor(float)": "FP32", "tensor(double)": "FP64",
}  # fmt: skip
"""ONNX Runtime's name of a type → the protocol's."""
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_FATAL = 4
"""Log severity of ONNX Runtime: it warns of every processor that it does not know."""


class OnnxRuntime:
    """A session. Beside the model's outputs there is `confidence`: the largest value of the first one, per item."""

    def __init__(self, settings: OnnxModel, folder: Path) -> None:
        """Load it. Raises EnvironmentProblem where the file or the device is not there."""
        path = model_path(settings, folder)
        device = _device(settings.device)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.inter_op_num_threads = 1
        # A thread that spins while it waits for work takes the core that another process needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = _FATAL
        self.session = onnxruntime.InferenceSession(str(path), options, providers=[PROVIDERS[device]])
        # ONNX Runtime takes the CPU without a word where CUDA's libraries or the GPU are missing.
        if PROVIDERS[device] not in self.session.get_providers():
            if settings.device == "cuda":
                raise EnvironmentProblem(
                    "onnxruntime cannot start CUDA here: expected a GPU, and the CUDA and cuDNN that it was built for"
                )
            device = "cpu"
        self.platform = f"onnxruntime-{device}"
        self.inputs = tuple(_spec(each) for each in self.session.get_inputs())
        outputs = tuple(_spec(each) for each in self.session.get_outputs())
        self.names = [spec.name for spec in outputs]
        self.outputs = (*outputs, TensorSpec("confidence", "FP32", (1,)))

    def prepared(self, inputs: Tensors, difficulty: float | None) -> Tensors:  # noqa: ARG002 - the protocol's
        """Return the inputs: a real model sees for itself how hard they are."""
        return inputs

    def infer(self, inputs: Tensors) -> Tensors:
        """Run a batch."""
        found = dict(zip(self.names, self.session.run(self.names, inputs), strict=True))
        scores = found[self.names[0]]
        found["confidence"] = scores.reshape(len(scores), -1).max(axis=1, keepdims=True).astype(np.float32)
        return found


def _device(wanted: str) -> str:
    """Return cpu or cuda. Raises EnvironmentProblem where CUDA was asked for and is not there."""
    there = PROVIDERS["cuda"] in onnxruntime.get_available_providers()
    if wanted == "cuda" and not there:
        raise EnvironmentProblem(
            "onnxruntime has no CUDA execution provider here (pip install onnxruntime-gpu)"
        )
    return "cuda" if there and wanted != "cpu" else "cpu"


def model_path(settings: OnnxModel, folder: Path) -> Path:
    """Return where the model is. Raises EnvironmentProblem where it is not."""
    path = _shipped(settings.package) if settings.package else folder / str(settings.file)
    if not path.is_file():
        raise EnvironmentProblem(f"{path}: there is no such model")
    return path


def _shipped(package: str) -> Path:
    """Return where a package keeps its model, without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise EnvironmentProblem(f"the package {package} is not installed (pip install baseload[serving])")
    return next(iter(sorted(Path(spec.origin).parent.rglob("*.onnx"))))


def _spec(argument: Any) -> TensorSpec:
    """Return an input or output of a session; dimensions with a name may have any size."""
    if argument.type not in _DATATYPES:
        raise EnvironmentProblem(f"{argument.name}: tensors of {argument.type} are not served")
    shape = tuple(size if isinstance(size, int) else ANY for size in argument.shape[1:])
    return TensorSpec(argument.name, _DATATYPES[argument.type], shape)

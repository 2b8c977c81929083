"""What a model is to the server, and the synthetic one."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Protocol

import numpy as np

from scenarios.batch_latency import latencies_by_items
from serving_ref.delays import delay_s, noise_factor
from serving_ref.inference import DTYPES, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from serving_ref.inference import Tensors
    from serving_ref.model_server.settings import ModelServerSettings, SyntheticModel


class Model(Protocol):
    """A model in memory. `infer` is called from several threads, and blocks."""

    platform: str
    """What runs it, for the metadata."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def prepared(self, inputs: Tensors, difficulty: float | None) -> Tensors:
        """Return a request's inputs with what the model wants to know beside them."""

    def infer(self, inputs: Tensors) -> Tensors:
        """Return the outputs of a batch, in the order of its items."""


class Synthetic:
    """Waits by a batch curve."""

    platform = "baseload-synthetic"
    inputs: tuple[TensorSpec, ...] = (TensorSpec("x", "FP32", (1,)),)
    outputs: tuple[TensorSpec, ...] = (TensorSpec("y", "FP32", (1,)), TensorSpec("confidence", "FP32", (1,)))

    def __init__(self, settings: SyntheticModel, values_s: list[NDArray[np.float64]]) -> None:
        self.noise = settings.latency.noise
        self.values_s = [values.tolist() for values in values_s]
        """By items - 1: what a batch takes, each as likely as the others."""
        self.dice = random.Random(settings.seed)
        self.lock = threading.Lock()
        time.sleep(delay_s(settings.load, self.dice) + delay_s(settings.warm_up, self.dice))

    def prepared(self, inputs: Tensors, difficulty: float | None) -> Tensors:
        """Add the difficulty that the client states; x stands for it where it states none."""
        x = inputs["x"]
        return {"x": x, "difficulty": x if difficulty is None else np.full_like(x, difficulty)}

    def infer(self, inputs: Tensors) -> Tensors:
        """Wait, and say how sure it is."""
        begun = time.monotonic()
        x = inputs["x"]
        with self.lock:
            wanted_s = self.dice.choice(self.values_s[len(x) - 1]) * noise_factor(self.noise, self.dice)
        outputs = {"y": x, "confidence": np.clip(1 - inputs["difficulty"], 0, 1, dtype=np.float32)}
        time.sleep(max(begun + wanted_s - time.monotonic(), 0))
        return outputs


def load_model(settings: ModelServerSettings, folder: Path) -> Model:
    """Load the model of the settings; files are found from `folder`. Blocks.

    Raises InvalidInput where a file does not fit.
    """
    if settings.model.synthetic is not None:
        latency = settings.model.synthetic.latency
        files: Mapping[str, Path] = (
            {latency.samples.file: folder / latency.samples.file} if latency.samples else {}
        )
        most = settings.batching.max_batch_size
        values_s = latencies_by_items(latency, files, most, "model.synthetic", "settings")
        return Synthetic(settings.model.synthetic, values_s)
    from serving_ref.model_server.onnx_model import OnnxRuntime

    assert settings.model.onnx is not None
    return OnnxRuntime(settings.model.onnx, folder)


def warm_up(model: Model, settings: ModelServerSettings) -> None:
    """Run the sizes that traffic will bring first: memory is taken and kernels are chosen before it comes."""
    if isinstance(model, Synthetic):
        return
    batching = settings.batching
    for items in sorted({1, batching.max_batch_size, *batching.preferred_batch_sizes}):
        model.infer(
            {
                spec.name: np.zeros((items, *(max(size, 1) for size in spec.shape)), DTYPES[spec.datatype])
                for spec in model.inputs
            }
        )

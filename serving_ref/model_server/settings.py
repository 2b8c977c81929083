"""The settings document of a model server: one model, its batching, its end."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from scenarios.schema import Batching, BatchLatency
from scenarios.schema.base import Delay, DurationDistribution, Name, Section
from serving_ref.settings import Drain, Limits


class OnnxModel(Section):
    """A real model in ONNX Runtime: exactly one of `package` and `file`."""

    choices = frozenset({"package", "file"})

    package: Literal["magika"] | None = None
    """A model that a Python package ships (magika: Google's file type detection)."""
    file: str | None = None
    """Path of an .onnx file, relative to the settings file (an absolute one is the container's own); every tensor's
    first dimension is the batch."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA's execution provider where it works, else the CPU's; cuda: not to start without it."""
    threads: int = Field(default=1, ge=1, le=256)
    """Threads within one run (intra_op_num_threads)."""

    @model_validator(mode="after")
    def _exactly_one(self) -> OnnxModel:
        self.require_one_choice()
        return self


class SyntheticModel(Section):
    """A model that waits as long as a real one would compute, and costs no CPU.

    Input `x`, FP32 [items, 1]. Outputs `y` = x, and `confidence` = 1 - the difficulty that the request's header states,
    or 1 - x where it states none.
    """

    latency: BatchLatency
    """By number of items, as in a scenario's profile."""
    load: Delay = DurationDistribution(constant=0.0)
    """From the start of the process to weights in memory."""
    warm_up: Delay = DurationDistribution(constant=0.0)
    """From weights in memory to ready."""
    seed: int | None = None
    """Of the noise; none: different every time."""


class ModelSettings(Section):
    """What is served: exactly one of `onnx` and `synthetic`."""

    choices = frozenset({"onnx", "synthetic"})

    name: Name
    """The name in the path of its requests."""
    version: str = "1"
    """As the metadata shows it."""
    onnx: OnnxModel | None = None
    """A real model."""
    synthetic: SyntheticModel | None = None
    """One that waits."""

    @model_validator(mode="after")
    def _exactly_one(self) -> ModelSettings:
        self.require_one_choice()
        return self


class ModelServerSettings(Section):
    """All that a model server is told."""

    service: Name
    """The scenario's service that it is a replica of: a label of its metrics."""
    model: ModelSettings
    """What is served."""
    batching: Batching = Batching()
    """How requests become batches, in the words of a scenario."""
    instances: int = Field(default=1, ge=1, le=64)
    """Batches that run side by side (a scenario's instances_per_replica)."""
    limits: Limits = Limits()
    """Bounds on what a client may send."""
    drain: Drain = Drain()
    """What happens on SIGTERM."""

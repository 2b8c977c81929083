"""A service's batching as Triton's model configuration, `config.pbtxt`.

Field names: triton-inference-server/common, protobuf/model_config.proto. What Triton makes of them:
triton-inference-server/core, `PriorityQueue` and `DynamicBatchScheduler::GetDynamicBatch`. Inputs and outputs are left
out: Triton reads them from the model (`--disable-auto-complete-config` must not be set).

In one point it does otherwise than our model server: each priority has a queue of its own, and `max_queue_size` bounds
each of them, not their sum.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios.errors import Unsupported
from scenarios.rules.batching import batching_numbers
from scenarios.units import MAX_DURATION_S

if TYPE_CHECKING:
    from serving_ref.model_server.settings import ModelServerSettings

PRIORITY_LEVELS = 8
"""Triton counts from 1, the highest; a scenario from 0, the lowest: priority p is level 8 - p."""
LONGEST_WAIT_US = round(MAX_DURATION_S * 1e6)
"""Timeout of a request that states none. A request's own counts only where it is shorter than the default, and without
a default none is: so the default is longer than any patience a scenario can state."""


def config_pbtxt(settings: ModelServerSettings, *, gpu: bool) -> str:
    """Return the configuration under which Triton batches as this model server does.

    Raises Unsupported for max_batch_requests: Triton counts items only.
    """
    rule = batching_numbers(settings.batching)
    if rule.max_requests < rule.max_items:
        raise Unsupported(
            f"services[{settings.service}].batching.max_batch_requests: Triton bounds a batch by its items only"
        )
    timeout = (
        f"    default_timeout_microseconds: {LONGEST_WAIT_US}\n    allow_timeout_override: true\n"
        if settings.batching.drop_expired
        else ""
    )
    preferred = (
        f"  preferred_batch_size: [ {', '.join(map(str, rule.preferred))} ]\n" if rule.preferred else ""
    )
    return f"""\
name: "{settings.model.name}"
backend: "onnxruntime"
max_batch_size: {rule.max_items}
dynamic_batching {{
{preferred}  max_queue_delay_microseconds: {-(-rule.delay_ns // 1000)}
  priority_levels: {PRIORITY_LEVELS}
  default_priority_level: {PRIORITY_LEVELS}
  default_queue_policy {{
    timeout_action: REJECT
{timeout}    max_queue_size: {settings.batching.max_queue_size or 0}
  }}
}}
instance_group [ {{ count: {settings.instances} kind: {"KIND_GPU" if gpu else "KIND_CPU"} }} ]
"""

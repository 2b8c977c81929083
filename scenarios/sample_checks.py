"""Checks of the measured latencies that a scenario names, against the services that need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scenarios.locate import problem_at
from scenarios.problems import Problem
from scenarios.references import largest_batch, profile_on
from scenarios.samples import Samples, read_samples

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scenarios.schema import Scenario
    from scenarios.yaml_source import Node


def check_samples(scenario: Scenario, files: Mapping[str, Path], root: Node) -> Iterator[Problem]:
    """Every file of samples can be read, and reaches up to the largest batch of the services on it.

    `files` maps the `file:` of samples to its path, and the scenario's references hold.
    """
    read: dict[tuple[str, int], Samples] = {}
    for model in scenario.models:
        for number, profile in enumerate(model.profiles):
            if profile.latency.samples is None:
                continue
            found = read_samples(profile.latency.samples, files[profile.latency.samples.file])
            if isinstance(found, Problem):
                yield found
            else:
                read[model.name, number] = found
    models = {model.name: model for model in scenario.models}
    types = {pool.name: pool.instance_type for pool in scenario.pools}
    for i, service in enumerate(scenario.services):
        model = models[service.model]
        for instance_type in dict.fromkeys(types[pool] for pool in service.pools):
            used = profile_on(model, instance_type)
            measured = read.get((model.name, -1 if used is None else model.profiles.index(used)))
            if measured is not None:
                most = max(measured)
                for location, message in largest_batch(i, service, model, instance_type, most):
                    yield problem_at(root, location, message)

"""What the scenario language can say and this version's engine cannot run: refused in words, never
ignored."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from scenarios.errors import Unsupported
from scenarios.own_prices import service_prices

if TYPE_CHECKING:
    from scenarios.schema import Scenario


def unsupported_features(scenario: Scenario) -> list[str]:
    """Return one sentence for each part of a scenario that this version cannot run."""
    return [*_sections(scenario), *_service_prices(scenario), *_llm(scenario), *_shared_pools(scenario)]


def refuse_unsupported(scenario: Scenario) -> None:
    """Raise Unsupported if this version cannot run the scenario."""
    found = unsupported_features(scenario)
    if found:
        raise Unsupported("\n  ".join(["this version cannot run the scenario:", *found]))


def _sections(scenario: Scenario) -> list[str]:
    reasons = {
        "commitments": "Reserved Instances and Savings Plans are not in this version's bill",
        "incidents": "faults are not in this version's engine",
        "rollouts": "rollouts are not in this version's engine",
    }
    return [f"{key}: {reason}" for key, reason in reasons.items() if getattr(scenario, key)]


def _service_prices(scenario: Scenario) -> list[str]:
    return [
        f"prices[{place}]: {price.service}: this version's bill has lines for instances alone"
        for place, price in service_prices(scenario)
    ]


def _llm(scenario: Scenario) -> list[str]:
    found = [
        f"models[{model.name}].batching: continuous batching is not in this version's engine"
        for model in scenario.models
        if model.batching == "continuous"
    ]
    for kind in scenario.classes:
        if kind.prompt_tokens is not None or kind.output_tokens is not None:
            reason = "tokens are not in this version's engine; use items and dynamic batching"
            found.append(f"classes[{kind.name}]: {reason}")
    return found


def _shared_pools(scenario: Scenario) -> list[str]:
    services = defaultdict(list)
    for service in scenario.services:
        for pool in dict.fromkeys(service.pools):
            services[pool].append(service.name)
    return [
        f"pools[{pool}]: a pool serves one service in this version, and {' and '.join(names)} name it"
        for pool, names in services.items()
        if len(names) > 1
    ]

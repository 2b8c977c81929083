"""A scenario's words and numbers, found again in the settings of real servers."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios.errors import Unsupported
from scenarios.load import LoadedScenario, load_scenario
from scenarios.schema import Scenario
from scenarios.schema.base import DurationDistribution
from serving_ref.from_scenario import copy_files, stack_of
from serving_ref.gateway.settings import Endpoints, GatewaySettings
from serving_ref.model_server.model import Synthetic, load_model
from serving_ref.model_server.settings import ModelServerSettings
from serving_ref.settings import load_settings, written
from tests.serving_ref.servers import infer_body, upstream
from tests.simulator.small import document, load

LIBRARY = Path(__file__).parents[2] / "scenarios" / "library"
RUNNABLE = sorted(path for path in LIBRARY.rglob("*.yaml") if path.name != "ribbon-candle.yaml")


def somewhere(service):
    return Endpoints(dns=f"{service.name}:8080")


def small(**sections) -> LoadedScenario:
    """tests/simulator/small.py with some sections changed."""
    return load(document() | sections)


@pytest.mark.parametrize("path", RUNNABLE, ids=lambda path: path.stem)
def test_what_is_written_is_read_back_as_it_was(path, tmp_path):
    stack = stack_of(load_scenario(path), endpoints=somewhere)
    for settings, kind in [
        (stack.gateway, GatewaySettings),
        *((each.settings, ModelServerSettings) for each in stack.replica_sets),
    ]:
        file = tmp_path / "settings.yaml"
        file.write_text(written(settings))
        assert load_settings(file, kind) == settings


def test_the_settings_are_the_scenarios_own_sections():
    loaded = small()
    stack = stack_of(loaded, endpoints=somewhere, redis_url="redis://cache:6379/0")
    assert stack.gateway.routes == loaded.scenario.routes
    assert stack.gateway.redis.url == "redis://cache:6379/0"
    assert [(c.name, c.route, c.timeout) for c in stack.gateway.classes] == [
        ("home-page", "main", 0.4), ("search", "main", 1.0),
    ]  # fmt: skip
    gpu, extra = stack.replica_sets
    assert (gpu.name, gpu.replicas, gpu.instance_type) == (
        "ranker-gpu",
        2,
        "g5.xlarge",
    )  # the schedule's step at 0s
    assert (extra.name, extra.replicas, extra.capacity_type) == ("ranker-extra", 1, "spot")
    assert gpu.settings.batching == loaded.scenario.services[0].batching
    assert gpu.settings.model.synthetic.latency == loaded.scenario.models[0].profiles[0].latency
    assert gpu.settings.model.synthetic.load == loaded.scenario.models[0].load


def test_gateways_divide_the_limits_between_them(servers):
    """Two gateways of a scenario with 60/min: each lets one request a 2 s through."""
    replica = servers.model_server("1ms")
    gateway = servers.gateway(
        replicas=2,  # gateways
        routes=[
            {"name": "main", "rate_limit": {"rate": "60/min", "burst": 1}, "targets": [{"service": "ranker"}]}
        ],
        services=[upstream("ranker", [replica])],
    )
    answers = [gateway.infer("main", infer_body(0.5)) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 429]
    assert answers[1].headers["retry-after"] == "2"


def test_measured_samples_travel_with_the_settings(tmp_path):
    (tmp_path / "my samples.csv").write_text("batch,latencies_ms\n1,5 6\n4,9 10\n")
    scenario = document()
    latency = {"samples": {"file": "my samples.csv"}}
    scenario["models"][0]["profiles"][0]["latency"] = latency
    scenario["services"][0]["batching"] = {"max_batch_size": 4}
    loaded = load(scenario)
    loaded = LoadedScenario(
        loaded.scenario, loaded.path, loaded.digest, {"my samples.csv": tmp_path / "my samples.csv"}, scenario
    )
    folder = tmp_path / "settings"
    folder.mkdir()
    each = stack_of(loaded, endpoints=somewhere).replica_sets[0]
    copy_files(each, folder)
    assert [path.name for path in folder.iterdir()] == ["samples.csv"], "a name that ConfigMaps take"
    waits = each.settings.model_copy(
        update={"model": each.settings.model.model_copy(update={"synthetic": _without_load(each)})}
    )
    model = load_model(waits, folder)
    assert isinstance(model, Synthetic)
    assert sorted(model.values_s[0]) == pytest.approx([0.005, 0.006])
    assert sorted(model.values_s[3]) == pytest.approx([0.009, 0.01])


def _without_load(each):
    none = DurationDistribution(constant=0.0)
    return each.settings.model.synthetic.model_copy(update={"load": none, "warm_up": none})


@pytest.mark.parametrize(
    ("section", "changes", "said"),
    [
        ("services", {"queue": "shared"}, "services\\[ranker\\].queue"),
        ("routes", {"cache": {"kind": "given", "hit_ratio": "50%"}}, "routes\\[main\\].cache"),
        ("models", {"batching": "continuous"}, "models\\[m\\].batching"),
    ],
)
def test_what_no_server_does_is_refused_in_words(section, changes, said):
    scenario = document()
    scenario[section][0] |= changes
    loaded = LoadedScenario(Scenario.model_validate(scenario), Path("small.yaml"), "", {}, scenario)
    with pytest.raises(Unsupported, match=said):
        stack_of(loaded, endpoints=somewhere)


def test_lru_caches_ask_for_the_memory_of_their_entries():
    scenario = document()
    scenario["routes"][0]["cache"] = {"kind": "lru", "capacity": 1000}
    scenario["classes"][0]["response_size"] = "400B"
    assert stack_of(load(scenario), endpoints=somewhere).cache_bytes == 2 * 2**20 + 1000 * (100 + 400)
    assert stack_of(small(), endpoints=somewhere).cache_bytes is None

"""`--set path=value`: what can be addressed, how values are read, and what is said of a wrong path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scenarios.errors import InvalidInput
from scenarios.load import load_scenario
from scenarios.schema.base import DurationDistribution
from tests.scenarios.documents import full_document, write

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios.schema import Scenario


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path, full_document())


def overridden(path: Path, *overrides: str) -> Scenario:
    return load_scenario(path, overrides).scenario


@pytest.mark.parametrize(
    "override",
    [
        "classes[home-page].timeout=2s",
        "classes.home-page.timeout=2s",
        "classes[0].timeout=2s",
        "classes.0.timeout=2s",
        " classes[home-page].timeout = 2s",
        'classes[home-page].timeout="2s"',
    ],
)
def test_an_entry_of_a_named_list_is_addressed_by_name_or_position(path, override):
    assert overridden(path, override).classes[0].timeout == 2.0


def test_a_name_with_dots_stands_in_brackets(tmp_path):
    document = full_document()
    document["pools"][2]["name"] = document["services"][1]["pools"][0] = "c6i.pool"
    assert overridden(write(tmp_path, document), "pools[c6i.pool].size=9").pools[2].size == 9


def test_later_overrides_win(path):
    assert overridden(path, "run.seed=1", "run.seed=2").run.seed == 2


def test_lists_and_mappings_can_be_given(path):
    scenario = overridden(
        path,
        "services[reco].pools=[gpu]",
        "models[big].load={gamma: {mean: 40s, cv: 20%}}",
        "models[big].profiles[0].latency.table[1]=[16, 12ms]",
    )
    assert scenario.services[0].pools == ["gpu"]
    assert scenario.models[0].load.gamma is not None
    assert scenario.models[0].profiles[0].latency.table == [(1, 0.004), (16, 0.012)]


def test_sections_on_the_way_are_made(path):
    breaker = overridden(path, "services[small].breaker.error_rate=20%").services[1].breaker
    assert breaker is not None
    assert breaker.error_rate == 0.2


def test_null_and_nothing_take_a_key_or_an_entry_out(path):
    assert overridden(path, "classes[home-page].retries=null").classes[0].retries is None
    assert overridden(path, "classes[home-page].retries=").classes[0].retries is None
    assert overridden(path, "slos[fast]=null").slos == []


def test_a_choice_takes_the_place_of_another(path):
    assert overridden(path, "models[big].load.exponential=9s").models[0].load == DurationDistribution(
        exponential="9s"
    )
    assert (
        overridden(path, "routes[main].feature_fetch.constant=9s").routes[0].feature_fetch.lognormal is None
    )
    scenario = overridden(
        path, "arrivals[app].users={count: 2, think_time: 1s}", "arrivals[app].process=null"
    )
    assert (scenario.arrivals[1].rate, scenario.arrivals[1].process.poisson) == (None, True)


def test_a_file_is_named_relative_to_the_scenario(path, tmp_path, monkeypatch):
    (tmp_path / "other.csv").write_text("model,batch,latencies_ms\ntiny,8,4\n")
    monkeypatch.chdir("/")
    loaded = load_scenario(path, ["models[tiny].profiles[0].latency.samples.file=other.csv"])
    assert loaded.files == {"other.csv": tmp_path / "other.csv"}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("run.duration=# 1h", "is empty: expected a value"),
        ("run.durtion=1h", "unknown key run.durtion; did you mean duration?"),
        ("clases[a].timeout=1s", "unknown key clases; did you mean classes?"),
        ("classes[home].timeout=1s", "classes has no entry home; did you mean home-page?"),
        ("classes[9].timeout=1s", "classes has no entry 9; names here: home-page, search, feed, desk"),
        ("classes[home-page].timout=1s", "unknown key classes[home-page].timout; did you mean timeout?"),
        ("budgets[x].per=1d", "budgets has no entry x; names here: month"),
        ("incidents[x].at=1d", "incidents has no entry x; there are no names"),
        ("run.duration.x=1", 'run.duration is a single value, "2d", and has no key x'),
        ("services[reco].pools[5]=x", "services[reco].pools has no entry 5; expected a position from 0 to 1"),
        ("run.duration", "expected path=value"),
        ("=5", "expected path=value"),
        ("run..seed=5", "expected path=value"),
        ("run.seed[=5", "expected path=value"),
        ("classes[]=5", "expected path=value"),
        ("", "expected path=value"),
        ("run.seed=[1", "not valid YAML"),
        ("run.seed=1: 2: 3", "not valid YAML"),
        ("run={seed: 1, seed: 2}", 'the key "seed" appears twice'),
        ("run.seed=*a", "no anchor &a"),
    ],
)
def test_a_wrong_path_or_value_is_told_with_the_option(path, override, said):
    with pytest.raises(InvalidInput) as caught:
        overridden(path, override)
    assert said in str(caught.value)
    assert f"--set {override}" in str(caught.value)


def test_a_wrong_value_is_told_with_the_option_and_the_path(path):
    with pytest.raises(InvalidInput) as caught:
        overridden(path, "pools[gpu].size=two", "slos[fast].class=nobody")
    lines = str(caught.value).splitlines()
    assert lines == ['--set pools[gpu].size=two: pools[gpu].size: got "two": expected a whole number']
    with pytest.raises(InvalidInput) as caught:
        overridden(path, "slos[fast].class=nobody")
    assert "--set slos[fast].class=nobody: slos[fast].class: there is no nobody in classes" in str(
        caught.value
    )


def test_every_wrong_override_is_told_at_once(path):
    with pytest.raises(InvalidInput) as caught:
        overridden(path, "run.durtion=1h", "pools[x].size=1", "run.seed=one")
    assert str(caught.value).startswith("3 problems:")

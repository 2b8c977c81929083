"""`extends`: a scenario that says only what differs from another."""

from __future__ import annotations

import textwrap
from functools import partial
from typing import TYPE_CHECKING

import pytest

from scenarios.errors import InvalidInput
from scenarios.load import LoadedScenario, load_scenario
from scenarios.schema.base import DurationDistribution
from tests.scenarios.documents import SMALL, load_small, message

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class TestExtends:
    @pytest.fixture
    def extend(self, tmp_path: Path) -> Callable[[str], LoadedScenario]:
        (tmp_path / "small.yaml").write_text(SMALL)

        def extend(text: str) -> LoadedScenario:
            path = tmp_path / "variant.yaml"
            path.write_text("extends: small.yaml\n" + textwrap.dedent(text))
            return load_scenario(path)

        return extend

    def test_mappings_are_merged_and_named_lists_by_name(self, extend):
        scenario = extend("""\
            metadata: {name: variant}
            run: {seed: 9}
            classes: [{name: home-page, timeout: 2s}]
            pools: [{name: gpu, size: 7}, {name: more, instance_type: g5.xlarge, size: 1}]
            """).scenario
        assert (scenario.metadata.name, scenario.run.seed, scenario.run.duration) == ("variant", 9, 3600.0)
        assert (scenario.classes[0].timeout, scenario.classes[0].route) == (2.0, "main")
        assert [(pool.name, pool.size) for pool in scenario.pools] == [("gpu", 7), ("more", 1)]

    def test_entries_can_be_removed(self, extend):
        scenario = extend("""\
            services: [{name: reco, pools: [big]}]
            pools: [{name: gpu, $remove: true}, {name: big, instance_type: g5.xlarge}]
            """).scenario
        assert [pool.name for pool in scenario.pools] == ["big"]

    def test_null_takes_a_key_back_to_its_default(self, extend):
        assert extend("classes: [{name: home-page, timeout: null}]").scenario.classes[0].timeout is None

    def test_lists_without_names_are_replaced(self, extend):
        scenario = extend(
            "models: [{name: m, profiles: [{instance_types: ['*'], latency: {per_item: 1ms}}]}]"
        ).scenario
        assert [profile.instance_types for profile in scenario.models[0].profiles] == [["*"]]

    def test_another_choice_replaces_the_first(self, extend, tmp_path):
        (tmp_path / "small.yaml").write_text(
            SMALL.replace("  - name: m\n", "  - name: m\n    load: {constant: 5s}\n")
        )
        load = extend("models: [{name: m, load: {exponential: 9s}}]").scenario.models[0].load
        assert load == DurationDistribution(exponential="9s")
        arrivals = extend("arrivals: [{name: web, users: {count: 3, think_time: 1s}}]").scenario.arrivals[0]
        assert (arrivals.rate, arrivals.users.count) == (None, 3)

    def test_a_chain_is_merged_from_its_far_end(self, extend, tmp_path):
        (tmp_path / "middle.yaml").write_text("extends: small.yaml\nrun: {seed: 2, warmup: 1m}\n")
        path = tmp_path / "end.yaml"
        path.write_text("extends: middle.yaml\nrun: {seed: 3}\n")
        run = load_scenario(path).scenario.run
        assert (run.seed, run.warmup, run.duration) == (3, 60.0, 3600.0)

    def test_the_document_no_longer_says_what_it_extended(self, extend):
        assert "extends" not in extend("run: {seed: 2}").document

    def test_a_problem_is_shown_where_its_value_was_written(self, extend, tmp_path):
        (tmp_path / "small.yaml").write_text(SMALL.replace("300ms", "300"))
        with pytest.raises(InvalidInput) as caught:
            extend("run: {duration: 5}")
        lines = str(caught.value).splitlines()
        assert f"{tmp_path}/small.yaml:11: classes[home-page].timeout" in lines[1]
        assert f"{tmp_path}/variant.yaml:2: run.duration" in lines[2]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (
                "pools: [{name: gpuu, $remove: true}]",
                "gpuu: nothing of this name to remove; did you mean gpu?",
            ),
            ("pools: [{name: gpu, $remove: yes}]", "expected {name: gpu, $remove: true} and nothing else"),
            ("pools: [{name: gpu, $remove: true, size: 1}]", "and nothing else"),
            ("pools: [{name: gpu, size: 1}, {name: gpu, size: 2}]", "gpu: stands twice in this list"),
            ("pools: [{name: gpu2, $remove: true}]", "did you mean gpu?"),
            ("arrivals: 5", "arrivals: got 5: expected a list"),
        ],
    )
    def test_mistakes_in_an_extension(self, extend, text, said):
        with pytest.raises(InvalidInput) as caught:
            extend(text)
        assert said in str(caught.value)

    def test_remove_means_nothing_without_extends(self, tmp_path):
        text = message(partial(load_small, tmp_path), "size: 2}", "size: 2, $remove: true}")
        assert "pools[gpu].$remove: unknown key" in text

    @pytest.mark.parametrize("value", ["5", "[a.yaml]", '""', "true"])
    def test_extends_is_one_file_name(self, tmp_path, value):
        path = tmp_path / "bad.yaml"
        path.write_text(f"extends: {value}")
        with pytest.raises(InvalidInput, match="expected a file name"):
            load_scenario(path)

    def test_a_missing_base_is_told_where_it_is_asked_for(self, tmp_path):
        path = tmp_path / "a.yaml"
        path.write_text("# a comment\nextends: nowhere.yaml\n")
        with pytest.raises(InvalidInput, match=r"a\.yaml:2: extends: .*nowhere\.yaml: no such file"):
            load_scenario(path)

    def test_a_circle_is_refused(self, tmp_path):
        (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
        (tmp_path / "b.yaml").write_text("extends: ./a.yaml\n")
        with pytest.raises(InvalidInput, match="a circle: "):
            load_scenario(tmp_path / "a.yaml")

    def test_a_chain_without_an_end_is_refused(self, tmp_path):
        for number in range(20):
            (tmp_path / f"{number}.yaml").write_text(f"extends: {number + 1}.yaml\n")
        with pytest.raises(InvalidInput, match="a chain of more than 16 files"):
            load_scenario(tmp_path / "0.yaml")

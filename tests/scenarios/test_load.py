"""Loading: YAML as this project means it, errors that name their line, `extends`, named files, the digest."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from scenarios.errors import InvalidInput
from scenarios.load import LoadedScenario, load_scenario
from scenarios.problems import InvalidScenarioError
from scenarios.schema import Scenario
from scenarios.schema.base import DurationDistribution
from tests.scenarios.documents import SMALL, full_document, load_small, message, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., LoadedScenario]:
    return partial(load_small, tmp_path)


class TestDocument:
    def test_a_document_that_uses_everything_loads(self, tmp_path):
        loaded = load_scenario(write(tmp_path, full_document()))
        scenario = loaded.scenario
        assert scenario.run.start == datetime(2024, 3, 1, tzinfo=UTC)
        assert scenario.classes[0].request_size == 2000
        assert scenario.models[0].load == DurationDistribution(constant="30s")
        assert scenario.routes[0].feature_fetch.lognormal is not None
        assert scenario.routes[0].feature_fetch.lognormal.cv == 0.5
        assert loaded.document == full_document()
        assert loaded.files == {"samples.csv": tmp_path / "samples.csv"}

    def test_a_bare_duration_is_a_constant_delay_and_a_bare_number_a_constant_count(self, load):
        scenario = load("    timeout: 300ms", "    timeout: 300ms\n    items: 1").scenario
        assert scenario.classes[0].items.constant == 1

    def test_json_is_read_too_with_its_escapes(self, tmp_path):
        document = full_document()
        document["metadata"]["description"] = "\U0001f600"
        path = write(tmp_path, document, "shop.json")
        assert r"\ud83d\ude00" in path.read_text()
        assert load_scenario(path).scenario.metadata.description == "\U0001f600"

    def test_a_byte_order_mark_is_no_problem(self, tmp_path):
        path = tmp_path / "bom.yaml"
        path.write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
        assert load_scenario(path).scenario.metadata.name == "small"


class TestErrors:
    def test_a_line_has_file_line_path_value_and_what_was_expected(self, load, tmp_path):
        assert message(load, "300ms", "300") == (
            f"{tmp_path}/small.yaml:11: classes[home-page].timeout: got 300: "
            "expected a duration with a unit, such as 300s or 300ms"
        )

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("timeout:", "timout:", "classes[home-page].timout: unknown key; did you mean timeout?"),
            ("run:", "ruin:", "ruin: unknown key; did you mean run?"),
            ("run: {duration: 1h}", "", "run: missing: Duration, start, seed"),
            (
                "    route: main\n",
                "",
                "small.yaml:8: classes[home-page].route: missing: The gateway route that takes it",
            ),
            (
                "size: 2",
                'size: "2"',
                'pools[gpu].size: got "2": expected a whole number; leave out the quotes',
            ),
            ("size: 2", "size: 2.5", "pools[gpu].size: got 2.5: expected a whole number"),
            ("size: 2", "size: true", "pools[gpu].size: got true: expected a whole number"),
            ("size: 2", "size: -1", "pools[gpu].size: got -1: expected 0 or more"),
            ("size: 2", "size: 1e9", "pools[gpu].size: got 1000000000: expected 100,000 or less"),
            (
                "size: 2",
                "size: null",
                "pools[gpu].size: got null: expected a whole number; to have the default, leave the key out",
            ),
            ("{duration: 1h}", "{duration: 0s}", 'run.duration: got "0s": expected a duration above 0'),
            ("{duration: 1h}", "{duration: 1h, seed: -1}", "run.seed: got -1: expected 0 or more"),
            (
                "{duration: 1h}",
                "{duration: 1h, seed: .inf}",
                "run.seed: got Infinity: expected a whole number",
            ),
            ("{duration: 1h}", "1h", 'run: got "1h": expected a mapping'),
            (
                "baseload/v1",
                "baseload/v2",
                'apiVersion: got "baseload/v2": expected baseload/v1; did you mean baseload/v1?',
            ),
            ("pools: [gpu]", "pools: gpu", 'services[reco].pools: got "gpu": expected a list'),
            ("pools: [gpu]", "pools: []", "services[reco].pools: got []: expected 1 or more entries"),
            (
                "pools: [gpu]",
                "pools: [gpu], queue: sharde",
                "expected per-replica or shared; did you mean shared?",
            ),
            (
                "name: small",
                "name: Small Shop",
                'metadata.name: got "Small Shop": expected a name of lower-case letters',
            ),
            (
                "{name: small}",
                "{name: small, labels: {team: 7}}",
                'labels.team: got 7: expected text; in quotes it would be: "7"',
            ),
            (
                "{per_item: 5ms}",
                "{}",
                "latency: expected exactly one of per_item, table, samples; got none of them",
            ),
            ("{per_item: 5ms}", "{per_item: 5ms, table: [[1, 2ms]]}", "got per_item and table"),
            (
                "{per_item: 5ms}",
                "{table: [[1]]}",
                "profiles[0].latency.table[0]: got [1]: expected 2 entries",
            ),
            ("{per_item: 5ms}", "{table: [[0, 2ms]]}", "latency.table[0][0]: got 0: expected 1 or more"),
            (
                "rate: 10/s",
                "rate: 10/s\n    process: gama",
                "expected poisson, regular, or a mapping such as {gamma_cv: 2}",
            ),
            (
                "rate: 10/s",
                "rate: 10/s\n    users: {count: 2, think_time: [1]}",
                "expected a duration such as 8m, or a mapping",
            ),
            ("timeout: 300ms", "items: 2.5", "classes[home-page].items: got 2.5: expected a whole number"),
            (
                "timeout: 300ms",
                "retries: {max: 2, backoff: 50ms, multiplier: .nan}",
                "multiplier: got NaN: expected a",
            ),
        ],
    )
    def test_each_mistake_is_said_in_the_languages_words(self, load, old, new, said):
        assert said in message(load, old, new)

    def test_all_problems_are_shown_at_once_in_the_order_of_their_lines(self, load, tmp_path):
        text = message(load, "rate: 10/s", "rate: 10", "pols: []\nslos: 5\n").splitlines()
        assert text[0] == "3 problems:"
        assert [line.split(": ")[0].strip() for line in text[1:]] == [
            f"{tmp_path}/small.yaml:{number}" for number in (6, 24, 25)
        ]

    def test_many_problems_stay_on_one_screen(self, load):
        text = message(load, "", "", "".join(f"x{number}: 1\n" for number in range(100))).splitlines()
        assert len(text) == 14
        assert text[-1].strip() == "… and 88 more"

    def test_long_and_odd_values_are_shortened_and_escaped(self, load):
        text = message(load, "300ms", json.dumps("\x1b[31m" + "x" * 5000))
        assert len(text) < 300
        assert r"\x1b" in text or r"\u001b" in text
        assert text.isprintable()

    def test_entries_without_a_name_are_shown_by_position(self, load):
        assert "pools[0].name: missing" in message(load, "{name: gpu, ", "{")

    def test_the_problems_can_be_read_by_a_program(self, load):
        with pytest.raises(InvalidScenarioError) as caught:
            load("300ms", "300")
        (problem,) = caught.value.problems
        assert (problem.where, problem.place.line) == ("classes[home-page].timeout", 11)


class TestFiles:
    def with_file(self, folder: Path, name: str) -> Path:
        document = full_document()
        document["models"][1]["profiles"][0]["latency"]["samples"]["file"] = name
        return write(folder, document)

    def test_an_environment_variable_is_filled_in(self, tmp_path, monkeypatch):
        monkeypatch.setenv("BASELOAD_TEST_FOLDER", str(tmp_path))
        name = "${BASELOAD_TEST_FOLDER}/samples.csv"
        loaded = load_scenario(self.with_file(tmp_path, name))
        assert loaded.files == {name: tmp_path / "samples.csv"}
        assert str(tmp_path) not in json.dumps(loaded.document)

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("${BASELOAD_NOT_SET}/x.csv", "the environment variable BASELOAD_NOT_SET is not set"),
            ("nowhere.csv", "no such file"),
            ("..", "is not a file"),
            ("/dev/zero", "is not a file"),
            ("a\0b", "latency.samples.file"),
            ("x" * 5000, "latency.samples.file"),
        ],
    )
    def test_a_file_that_is_not_there_is_an_error_of_the_scenario(self, tmp_path, name, said):
        with pytest.raises(InvalidInput) as caught:
            load_scenario(self.with_file(tmp_path, name))
        assert said in str(caught.value)
        assert "models[tiny].profiles[0].latency.samples.file" in str(caught.value)

    def test_a_name_starts_from_the_file_in_which_it_is_written(self, tmp_path):
        (tmp_path / "library").mkdir()
        write(tmp_path / "library", full_document(), "base.yaml")
        path = tmp_path / "variant.yaml"
        path.write_text("extends: library/base.yaml\nrun: {seed: 3}\n")
        assert load_scenario(path).files == {"samples.csv": tmp_path / "library" / "samples.csv"}

    def test_one_name_for_two_files_is_refused(self, tmp_path):
        (tmp_path / "library").mkdir()
        write(tmp_path / "library", full_document(), "base.yaml")
        (tmp_path / "samples.csv").write_text("time_s\n1\n")
        path = tmp_path / "variant.yaml"
        path.write_text("extends: library/base.yaml\narrivals: [{name: app, trace: {file: samples.csv}}]\n")
        with pytest.raises(InvalidInput, match="means two files in one scenario"):
            load_scenario(path)


class TestDigest:
    def digest(self, folder: Path, document: dict[str, Any], *overrides: str) -> str:
        return load_scenario(write(folder, document), overrides).digest

    def test_the_order_of_keys_and_the_way_of_writing_do_not_count(self, tmp_path):
        document = full_document()
        turned = dict(reversed(document.items()))
        assert self.digest(tmp_path, document) == self.digest(tmp_path, turned)

    def test_an_override_counts_as_if_it_had_been_written(self, tmp_path):
        document = full_document()
        document["run"]["seed"] = 8
        assert self.digest(tmp_path, document) == self.digest(tmp_path, full_document(), "run.seed=8")
        assert self.digest(tmp_path, document) != self.digest(tmp_path, full_document())

    def test_the_content_of_a_file_counts_and_its_folder_does_not(self, tmp_path):
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        path = write(tmp_path / "a", full_document())
        assert load_scenario(path).digest == self.digest(tmp_path / "b", full_document())
        (tmp_path / "a" / "samples.csv").write_text("model,batch,latencies_ms\ntiny,8,1 2 4\n")
        assert load_scenario(path).digest != self.digest(tmp_path / "b", full_document())


def test_the_typed_schema_is_as_strict_without_a_file():
    document = full_document()
    document["pools"][0]["size"] = "2"
    with pytest.raises(ValueError, match="valid integer"):
        Scenario.model_validate(document)


def test_loading_imports_nothing_heavy(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    script = (
        "import sys; from scenarios.load import load_scenario; load_scenario(sys.argv[1]);"
        "print([name for name in ('numpy', 'pandas', 'pyarrow', 'numba', 'rich') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_examples_of_the_documentation_load(tmp_path, pytestconfig):
    text = (pytestconfig.rootpath / "docs" / "scenario-language.md").read_text(encoding="utf-8")
    whole, prices, variant = (block.split("```")[0] for block in text.split("```yaml\n")[1:])
    (tmp_path / "fleet.yaml").write_text(whole + prices)
    path = tmp_path / "variant.yaml"
    path.write_text(variant)
    assert load_scenario(tmp_path / "fleet.yaml").scenario.pools[0].size == 12
    scenario = load_scenario(path).scenario
    assert [(pool.name, pool.size) for pool in scenario.pools] == [("gpu", 4), ("gpu-spot", 8)]
    assert (scenario.slos, scenario.classes[0].retries) == ([], None)

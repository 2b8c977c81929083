"""YAML as this project means it: its traps closed, its size bounded, its files checked."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest

from scenarios.errors import InvalidInput
from scenarios.load import LoadedScenario, load_scenario
from tests.scenarios.documents import SMALL, load_small, message

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., LoadedScenario]:
    return partial(load_small, tmp_path)


MAPPING = "expected a mapping that begins with apiVersion: baseload/v1"


class TestYaml:
    @pytest.mark.parametrize("word", ["on", "off", "yes", "no", "Yes", "y"])
    def test_only_true_and_false_are_booleans(self, load, word):
        text = message(load, "name: main", f"name: main\n    coalesce: {word}")
        assert f'routes[main].coalesce: got "{word}": expected true or false' in text

    def test_a_label_may_say_no(self, load):
        loaded = load("{name: small}", "{name: small, labels: {country: no, since: 2024-01-01, at: 1:30}}")
        assert loaded.scenario.metadata.labels == {"country": "no", "since": "2024-01-01", "at": "1:30"}

    @pytest.mark.parametrize(
        ("text", "number"), [("1e6", 1_000_000), ("1_000", 1000), ("0x10", 16), ("010", 10), ("+5", 5)]
    )
    def test_numbers(self, load, text, number):
        assert load("timeout: 300ms", f"keys: {{count: {text}}}").scenario.classes[0].keys.count == number

    @pytest.mark.parametrize(
        ("text", "start"),
        [
            ("2024-01-02", datetime(2024, 1, 2, tzinfo=UTC)),
            ('"2024-01-02 03:00:00+01:00"', datetime(2024, 1, 2, 2, tzinfo=UTC)),
        ],
    )
    def test_dates_are_read_where_they_are_expected(self, load, text, start):
        assert load("duration: 1h", f"duration: 1h, start: {text}").scenario.run.start == start

    def test_a_key_that_stands_twice_is_refused_with_both_lines(self, load):
        text = message(load, "rate: 10/s", "rate: 10/s\n    rate: 20/s")
        assert text.endswith(
            'small.yaml:7: the key "rate" appears twice in one mapping; it is already on line 6'
        )

    def test_anchors_and_merge_keys(self, load):
        classes = """\
  - &half {name: half, arrivals: web, share: 50%, route: main, timeout: 1s}
  - {<<: *half, name: third, share: 0.3}
  - {<<: [{timeout: 9s}, *half], name: home-page, share: 0.2}
"""
        loaded = load(SMALL[SMALL.index("  - name: home-page") : SMALL.index("routes:")], classes)
        assert [(kind.name, kind.share, kind.timeout) for kind in loaded.scenario.classes] == [
            ("half", 0.5, 1.0), ("third", 0.3, 1.0), ("home-page", 0.2, 9.0),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("a: [1, 2", "not valid YAML"),
            ("a: b: c", "not valid YAML"),
            ("\ta: 1", "indent with spaces, not tabs"),
            ("a: @b", "needs quotes"),
            ("- 1", f"bad.yaml:1: the top level is a list of 1 entry: {MAPPING}"),
            ("# fleet\n- a: 1\n- b: 2", f"bad.yaml:2: the top level is a list of 2 entries: {MAPPING}"),
            ("[]", f"bad.yaml:1: the top level is a list of 0 entries: {MAPPING}"),
            ("hello", f'bad.yaml:1: the top level is a single value, "hello": {MAPPING}'),
            ("42", f"bad.yaml:1: the top level is a single value, 42: {MAPPING}"),
            ("", f"bad.yaml:1: is empty: {MAPPING}"),
            ("# nothing", f"bad.yaml:1: is empty: {MAPPING}"),
            ("---", f"bad.yaml:2: is empty: {MAPPING}"),
            ("a: *b", "no anchor &b is complete before this line"),
            ("a: &a [*a]", "no anchor &a is complete"),
            ("a: 1\n---\nb: 2", "a second document begins here"),
            ("a: !!python/object:os.system x", "is not part of the scenario language"),
            ("a: !!int 5", "is not part of the scenario language"),
            ("[1]: 2", "expected text as a key"),
            ("<<: 3", "expected a mapping, or a list of mappings"),
            ('a: "\\ud800"', "not"),
            ("a: \0", "not valid YAML"),
            ("a: " + "[" * 50 + "]" * 50, "nested more than 40 deep"),
            ("a: [" + "1," * 200_001 + "]", "more than 200,000 values"),
        ],
    )
    def test_what_is_not_a_document_is_refused(self, tmp_path, text, said):
        path = tmp_path / "bad.yaml"
        path.write_text(text)
        with pytest.raises(InvalidInput) as caught:
            load_scenario(path)
        assert said in str(caught.value)
        assert len(str(caught.value)) < 3000

    def test_a_billion_laughs_are_not_laughed(self, tmp_path):
        lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]" for n in range(1, 12)]
        path = tmp_path / "laughs.yaml"
        path.write_text("\n".join(lines))
        with pytest.raises(InvalidInput, match="more than 200,000 values"):
            load_scenario(path)


class TestFile:
    def test_no_such_file(self, tmp_path):
        with pytest.raises(InvalidInput, match=r"nowhere\.yaml: no such file"):
            load_scenario(tmp_path / "nowhere.yaml")

    def test_a_folder(self, tmp_path):
        with pytest.raises(InvalidInput, match="is not a file"):
            load_scenario(tmp_path)

    def test_a_device_is_not_read(self):
        with pytest.raises(InvalidInput, match="is not a file"):
            load_scenario("/dev/zero")

    def test_a_name_that_no_file_system_takes(self, tmp_path):
        with pytest.raises(InvalidInput):
            load_scenario(tmp_path / ("x" * 5000))

    def test_other_bytes_than_text(self, tmp_path):
        path = tmp_path / "bad.yaml"
        path.write_bytes(b"a: 1\nb: \xff\xfe")
        with pytest.raises(InvalidInput, match=r"bad\.yaml:2: is not UTF-8 text"):
            load_scenario(path)

    def test_a_file_that_is_too_large(self, tmp_path):
        path = tmp_path / "big.yaml"
        path.write_bytes(b"#" * 4_000_001)
        with pytest.raises(InvalidInput, match="larger than 4 MB"):
            load_scenario(path)

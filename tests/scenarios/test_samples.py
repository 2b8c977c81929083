"""Measured latencies in a file: read whole when a scenario is loaded, and each mistake named by its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scenarios.errors import InvalidInput
from scenarios.load import load_scenario
from scenarios.samples import read_samples
from scenarios.schema.fleet import LatencySamples
from tests.scenarios.documents import SMALL

if TYPE_CHECKING:
    from pathlib import Path

PROFILES = """\
      - instance_types: [g5.xlarge]
        latency: {samples: {file: measured.csv, where: {gpu: A10G}}}
      - instance_types: [g4dn.xlarge]
        latency: {samples: {file: measured.csv, where: {gpu: T4}}}
"""


def scenario(folder: Path, rows: str | bytes) -> Path:
    """Two profiles from one file; the service runs on the first, in batches of up to 8."""
    (folder / "measured.csv").write_bytes(rows if isinstance(rows, bytes) else rows.encode())
    plain = "      - instance_types: [g5.xlarge]\n        latency: {per_item: 5ms}\n"
    text = SMALL.replace(plain, PROFILES)
    path = folder / "fleet.yaml"
    path.write_text(text.replace("pools: [gpu]", "pools: [gpu], batching: {max_batch_size: 8}"))
    return path


GOOD = "gpu,batch,latencies_ms\nA10G,1,4 5\nA10G,8,9 9.5\nT4,1,8\n"


def test_a_file_that_is_in_order_is_accepted(tmp_path):
    assert set(load_scenario(scenario(tmp_path, GOOD)).files) == {"measured.csv"}


def test_values_are_seconds_and_ascend(tmp_path):
    scenario(tmp_path, "gpu,batch,latencies_ms\n\nA10G,8.0,9.5 9\nA10G,1,4\n")
    samples = LatencySamples(file="measured.csv")
    found = read_samples(samples, tmp_path / "measured.csv")
    assert isinstance(found, dict)
    assert list(found) == [1, 8]
    assert found[8] == pytest.approx([0.009, 0.0095])


def test_a_row_may_hold_more_values_than_a_line_of_text_usually_does(tmp_path):
    scenario(tmp_path, "batch,latencies_ms\n1," + " ".join(["12.345"] * 50_000) + "\n")
    found = read_samples(LatencySamples(file="measured.csv"), tmp_path / "measured.csv")
    assert isinstance(found, dict)
    assert len(found[1]) == 50_000


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("4 5", "4 five", 'measured.csv:2: latencies_ms: got "five": expected latencies above 0 in ms'),
        ("4 5", "4 0", 'measured.csv:2: latencies_ms: got "0": expected latencies above 0'),
        ("4 5", "nan 4", 'measured.csv:2: latencies_ms: got "nan": expected latencies above 0'),
        ("4 5", "inf", 'measured.csv:2: latencies_ms: got "inf": expected latencies above 0'),
        ("4 5", " ", "measured.csv:2: latencies_ms: got nothing: expected latencies above 0"),
        ("A10G,8", "A10G,eight", 'measured.csv:3: batch: got "eight": expected a batch size'),
        ("A10G,8", "A10G,0", 'measured.csv:3: batch: got "0": expected a batch size'),
        ("A10G,8", "A10G,1", "measured.csv:3: batch: a batch of 1 has a row already, on line 2"),
        ("A10G,8,", "A10G,", "measured.csv:3: got 2 values: expected 3, one for each column"),
        ("batch,", "items,", "measured.csv:1: no column batch; it has gpu, items, latencies_ms"),
        ("gpu,batch", "batch,batch", "measured.csv:1: more than one column batch; it has"),
        (GOOD, "", "measured.csv: no column batch; it is empty"),
        ("T4,1,8\n", "", "measured.csv: no row with gpu = T4"),
        ("4 5", '"4 5', "measured.csv:4: not valid CSV: unexpected end of data"),
        ("A10G,8", "A10G,4", "services[reco].batching.max_batch_size: got 8: model m on g5.xlarge is measured up to 4"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_by_file_line_value_and_what_was_expected(tmp_path, old, new, said):
    assert old in GOOD
    with pytest.raises(InvalidInput) as caught:
        load_scenario(scenario(tmp_path, GOOD.replace(old, new, 1)))
    assert said in str(caught.value)


def test_a_file_that_is_not_text_is_said_so(tmp_path):
    with pytest.raises(InvalidInput, match=r"measured\.csv: is not UTF-8 text: expected a CSV file"):
        load_scenario(scenario(tmp_path, b"batch,latencies_ms\n\xff\xfe,1\n"))


def test_mistakes_in_a_profile_that_no_pool_uses_are_found_too(tmp_path):
    with pytest.raises(InvalidInput, match=r"measured\.csv:4: latencies_ms: got \"slow\""):
        load_scenario(scenario(tmp_path, GOOD.replace("T4,1,8", "T4,1,slow")))

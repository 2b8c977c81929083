"""`baseload compare` on real run directories."""

import json
from decimal import Decimal

import pytest
from click.testing import CliRunner

from baseload.cli.compare import command
from scenarios.errors import InvalidInput
from simulator.money.bill import UnitPrice, bill
from simulator.results.run_directory import write_run
from tests.simulator.synthetic import document, scenario, synthetic


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("runs"), scenario()
    for name, rate in (("small", 0.05), ("large", 0.06)):
        records = [synthetic(seed, rate=rate).record for seed in (1, 2)]
        lines = bill(made, records, lambda pool: UnitPrice(Decimal("0.5"), "test", ""))
        write_run(
            folder / name, scenario=made, digest=name, document=document(), records=records, lines=lines,
            engine="kernel", versions={}, meta={},
        )  # fmt: skip
    return [str(folder / "small"), str(folder / "large")]


def test_it_shows_figures_changes_and_verdicts(runs):
    result = CliRunner().invoke(command, runs)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 100
    for word in (
        "small",
        "large",
        "home-page",
        "service ranker",
        "per 1,000 predictions",
        "p99.9",
        "error budget left",
        "budget monthly",
        "per hour",
        "verdict",
        "±",
    ):
        assert word in result.stdout
    assert "+20" in next(line for line in result.stdout.splitlines() if "sent" in line)


def test_json_has_every_row(runs):
    found = json.loads(CliRunner().invoke(command, [*runs, "--json"]).stdout)
    assert found["runs"] == ["small", "large"]
    row = next(row for row in found["rows"] if row["path"] == "classes/home-page/sent_per_s")
    assert row["changes"][0] is None
    assert row["changes"][1]["paired"]["replications"] == 2


def test_one_run_is_not_enough(runs):
    result = CliRunner().invoke(command, runs[:1])
    assert result.exit_code == 2
    assert "at least two runs" in result.output


def test_what_is_not_a_run_is_said_so(runs, tmp_path):
    result = CliRunner().invoke(command, [runs[0], str(tmp_path)])
    assert isinstance(result.exception, InvalidInput)


def test_a_total_over_another_length_has_no_change(runs, tmp_path):
    made = scenario(2)
    records = [synthetic(seed, days=2, rate=0.05).record for seed in (1, 2)]
    lines = bill(made, records, lambda pool: UnitPrice(Decimal("0.5"), "test", ""))
    write_run(
        tmp_path / "longer", scenario=made, digest="longer", document=document(2), records=records, lines=lines,
        engine="kernel", versions={}, meta={},
    )  # fmt: skip
    result = CliRunner().invoke(command, [runs[0], str(tmp_path / "longer")])
    shown = {
        line.split("  ")[1].strip(): line for line in result.stdout.splitlines() if line.startswith("  ")
    }
    assert shown["total"].rstrip().endswith("not comparable")
    assert shown["per hour"].rstrip().endswith("same")
    assert "longer measures another length of time than small" in result.stderr

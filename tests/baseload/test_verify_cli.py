"""`baseload verify`: a load test held against the simulation of exactly its run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from baseload.cli import cli
from baseload.cli.prediction import predict
from scenarios.catalogue import load_catalogue
from scenarios.errors import ExitStatus, InvalidInput
from scenarios.load import load_scenario
from simulator.money.bill import bill
from simulator.money.prices import list_prices
from simulator.results.run_directory import write_run
from simulator.run import simulate
from tests.simulator.small import document


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(document()))
    return path


def load_test(path: Path, directory: Path, *overrides: str, seed=7, as_seed=None, **conduct) -> Path:
    """A run like a load test's, measured on a system that behaves as a simulation with a seed of its own."""
    loaded = load_scenario(path, overrides)
    price_of = list_prices(loaded.scenario, load_catalogue())
    prediction = predict(loaded, as_seed or seed, price_of)
    record = simulate(loaded, seed)
    write_run(
        directory,
        scenario=loaded.scenario, digest=loaded.digest, document=loaded.document, records=[record],
        lines=bill(loaded.scenario, [record], price_of), engine="load generator", versions={}, meta={},
        source="load-test",
        load_test={"valid": True, "invalid_because": [], "prediction": prediction.digest} | conduct,
    )  # fmt: skip
    return directory


def verify(path, run, *more, catch=False):
    return CliRunner().invoke(
        cli, ["verify", str(path), "--against", str(run), *more], catch_exceptions=catch
    )


def test_a_system_that_behaves_as_simulated_confirms_its_prediction(path, tmp_path):
    run = load_test(path, tmp_path / "measured")
    result = verify(path, run, "--detailed-exitcode")
    assert result.exit_code == ExitStatus.OK
    assert "made before the load began" in result.stdout
    assert "✓ the prediction holds: " in result.stdout
    assert "figures within their tolerance" in result.stdout
    assert re.search(r"\n  p50 +1\.\d+ ms +1\.\d+ ms +0\.0 % +±2\.00 ms +✓", result.stdout)
    assert re.search(r"\n  p99 +\d+ ms +\d+ ms +0\.0 % +±20 % +✓", result.stdout)


def test_one_that_does_not_is_told_with_reasons_and_if_asked_a_status(path, tmp_path):
    """The measured system takes a tenth of a second longer to fetch its features than the scenario says."""
    slow = load_test(path, tmp_path / "measured", "routes.main.feature_fetch=100ms")
    assert verify(path, slow).exit_code == ExitStatus.OK
    result = verify(path, slow, "--detailed-exitcode")
    assert result.exit_code == ExitStatus.NEGATIVE
    assert "hindsight: not the one made before the load" in result.stdout
    assert "✗ home-page: p99 is +" in result.stdout
    assert "✗ the prediction is not confirmed" in result.stdout


def test_the_duration_of_the_load_test_is_taken_from_its_run(path, tmp_path):
    run = load_test(path, tmp_path / "measured", "run.duration=45s")
    assert "made before the load began" in verify(path, run).stdout
    other = verify(path, run, "--set", "arrivals.web.rate=61/s")
    assert "hindsight" in other.stdout


def test_json_has_every_finding(path, tmp_path):
    run = load_test(path, tmp_path / "measured")
    found = json.loads(verify(path, run, "--json").stdout)
    assert found["holds"] is True
    assert found["prediction"]["made_before_the_load"] is True
    assert found["slos"]["fast"].keys() == {"predicted_kept", "measured_kept"}
    kinds = {each["kind"] for each in found["findings"]}
    assert kinds >= {"p99", "throughput", "hit-ratio", "items-a-batch", "utilisation", "cost", "attainment"}
    assert all(each["error"] == 0 for each in found["findings"])


NEVER = "classes.search.timeout=2ms"
"""Feature and model take longer than that: not one search is answered."""


def p99_of_searches(found):
    return next(each for each in found if each["section"] == "search" and each["kind"] == "p99")


def test_a_system_that_answers_nothing_is_infinitely_late_in_words_and_in_json(path, tmp_path):
    run = load_test(path, tmp_path / "measured", NEVER)
    result = verify(path, run)
    assert re.search(r"\n  p99 +[0-9.]+ ms +∞ +\+∞ +±20 % +✗", result.stdout)
    assert "✗ search: p99 is ∞ (nothing was answered), predicted at " in result.stdout
    assert "✗ search: failed is +100.00 pt from its prediction, 1 pt allowed" in result.stdout
    found = json.loads(verify(path, run, "--json").stdout, parse_constant=pytest.fail)["findings"]
    p99 = p99_of_searches(found)
    assert p99["predicted"] > 0
    assert (p99["measured"], p99["error"], p99["infinite"]) == (None, None, ["measured", "error"])
    assert p99["verdict"] == "beyond"


def test_a_prediction_that_nothing_is_answered_can_come_true_or_not(path, tmp_path):
    run = load_test(path, tmp_path / "measured", NEVER)
    true = verify(path, run, "--set", NEVER)
    assert re.search(r"\n  p99 +∞ +∞ +0.0 % +✓", true.stdout)
    p99 = p99_of_searches(json.loads(verify(path, run, "--set", NEVER, "--json").stdout)["findings"])
    assert (p99["infinite"], p99["error"], p99["verdict"]) == (["predicted", "measured"], 0.0, "within")
    false = verify(path, load_test(path, tmp_path / "well"), "--set", NEVER)
    assert re.search(r"✗ search: p99 is [0-9.]+ ms, predicted at ∞ \(nothing answered\)", false.stdout)
    assert re.search(r"✗ search: throughput is \+[0-9.]+/s from its prediction", false.stdout)
    assert "✗ search: failed is −100.00 pt from its prediction, 1 pt allowed" in false.stdout


def test_a_measurement_that_does_not_count_confirms_nothing(path, tmp_path):
    run = load_test(
        path, tmp_path / "measured", invalid_because=["the machine was 90% busy, at most 70% count"]
    )
    result = verify(path, run, "--detailed-exitcode")
    assert result.exit_code == ExitStatus.NEGATIVE
    assert "✗ the measurement does not count: the machine was 90% busy" in result.stdout


def test_tolerances_can_be_given(path, tmp_path):
    run = load_test(path, tmp_path / "measured", seed=8, as_seed=7)
    given = [
        "--tolerance", "p99=1%", "--tolerance", "p50=1us", "--tolerance", "hit-ratio=0.1%",
        "--tolerance", "throughput=50%",
    ]  # fmt: skip
    found = json.loads(verify(path, run, "--json", *given).stdout)["findings"]
    allowed = {
        each["kind"]: (each["allowed"], each["predicted"]) for each in found if each["section"] == "home-page"
    }
    assert allowed["p99"][0] == pytest.approx(0.01 * allowed["p99"][1])
    assert allowed["p50"][0] == pytest.approx(1e-6)
    assert allowed["hit-ratio"][0] == pytest.approx(0.001)
    assert allowed["throughput"][0] == pytest.approx(0.5 * allowed["throughput"][1])


@pytest.mark.parametrize("given", ["p99", "p98=3%", "p99=fast", "hit-ratio=2"])
def test_a_tolerance_that_is_none_is_refused(path, tmp_path, given):
    result = verify(path, tmp_path, "--tolerance", given, catch=True)
    assert result.exit_code == ExitStatus.USAGE


def test_a_simulation_is_no_measurement(path, tmp_path):
    CliRunner().invoke(cli, ["simulate", str(path), "-q", "-o", str(tmp_path / "simulated")])
    with pytest.raises(InvalidInput, match="is a simulation: expected a load test"):
        verify(path, tmp_path / "simulated")

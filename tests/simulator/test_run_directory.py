"""Run directories: whole or absent, the same bytes every time, and read back as they were written."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from scenarios.catalogue import load_catalogue
from scenarios.errors import EnvironmentProblem, InvalidInput
from simulator.money.bill import bill
from simulator.money.prices import list_prices
from simulator.results import run_directory
from simulator.results.histogram import SCHEME
from simulator.results.recorded import CLASS_COUNTERS, SERVICE_GAUGES
from simulator.results.run_directory import check_target, read_run, write_run
from tests.simulator.synthetic import SECOND, document, scenario, synthetic

SAME = ("run.json", "timeline.parquet", "latency.parquet", "events.parquet", "costs.parquet", "COMPLETE")


@pytest.fixture(scope="module")
def records():
    return [synthetic(seed, rate=0.05).record for seed in (1, 2)]


def write(directory, records, **changes):
    made = scenario()
    arguments = {
        "scenario": made, "digest": "sha256:0", "document": document(), "records": records,
        "lines": bill(made, records, list_prices(made, load_catalogue())), "engine": "kernel",
        "versions": {"baseload": "0.1.0"}, "meta": {"host": "somewhere", "elapsed_s": 1.5},
    } | changes  # fmt: skip
    return write_run(directory, **arguments)


def test_what_is_written_is_read_back(tmp_path, records):
    written = write(tmp_path / "run", records)
    found = read_run(tmp_path / "run")
    assert found.document == json.loads(json.dumps(written.document))
    assert found.document["seeds"] == [1, 2]
    assert found.document["schema_version"] == 1
    assert found.document["source"] == "simulation"
    assert found.meta["host"] == "somewhere"
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted([*SAME, "meta.json"])


def test_the_same_run_has_the_same_bytes(tmp_path, records):
    write(tmp_path / "a", records, meta={"host": "one"})
    write(tmp_path / "b", list(reversed(records)), meta={"host": "two"})
    for name in SAME:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_complete_holds_the_digests(tmp_path, records):
    write(tmp_path / "run", records)
    lines = (tmp_path / "run" / "COMPLETE").read_text().splitlines()
    assert len(lines) == len(SAME) - 1
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((tmp_path / "run" / name).read_bytes()).hexdigest() == digest


def test_the_timeline_holds_differences_and_gauges(tmp_path, records):
    write(tmp_path / "run", records)
    table = read_run(tmp_path / "run").frame("timeline")
    record = records[1]
    of_seed = table[table.seed == 2]
    home = of_seed[of_seed.name == "home-page"]
    for name in ("sent", "ok_cache", "latency_ns"):
        assert (
            home[name].tolist() == np.diff(record.class_counters[:, 0, CLASS_COUNTERS.index(name)]).tolist()
        )
    assert home["queued"].isna().all()
    ranker = of_seed[of_seed.kind == "service"]
    slots = record.service_gauges[:-1, 0, SERVICE_GAUGES.index("batch_slots")]
    assert ranker["batch_slots"].tolist() == slots.tolist()
    assert home["time_s"].tolist() == (record.edges_ns[:-1] / SECOND).tolist()
    assert home["p99_s"].isna().all()  # histogram windows are longer than intervals here
    assert len(of_seed) == 5 * (len(record.edges_ns) - 1)


def test_intervals_with_their_own_histogram_have_percentiles(tmp_path):
    made = synthetic(1, rate=0.05, histogram_s=300)
    write(tmp_path / "run", [made.record])
    table = read_run(tmp_path / "run").frame("timeline")
    home = table[table.name == "home-page"]
    assert home["p99_s"].notna().all()
    first = made.latencies_ns["home-page"][: int(home["ok_model"].iloc[0] + home["ok_cache"].iloc[0]) + 20]
    assert home["p50_s"].iloc[0] == pytest.approx(np.median(first) / SECOND, rel=0.2)


def test_latency_counts_add_up_to_the_answered_requests(tmp_path, records):
    run = write(tmp_path / "run", records)
    table = run.frame("latency")
    answered = table[(table.kind != "retried_attempt") & (table.seed == 1)]["count"].sum()
    assert answered == run.document["replications"][0]["totals"]["overall"]["answered"]
    assert run.latency().schema.metadata[b"baseload.histogram_scheme"].decode() == SCHEME


def test_costs_are_decimals_that_add_up_to_the_total(tmp_path, records):
    run = write(tmp_path / "run", records)
    table = run.frame("costs")
    for each in run.document["replications"]:
        billed = table[table.x_Seed == each["seed"]]["BilledCost"].sum()
        assert float(billed) == each["totals"]["costs"]["billed_usd"]
    assert str(run.costs().schema.field("BilledCost").type) == "decimal128(38, 9)"
    assert str(run.costs().schema.field("ChargePeriodStart").type) == "timestamp[us, tz=UTC]"


def test_events_are_in_order(tmp_path, records):
    found = write(tmp_path / "run", records).frame("events")
    assert (found.kind == "pool-resized").all()
    assert found[found.seed == 1]["time_s"].is_monotonic_increasing


def test_several_seeds_have_intervals_and_a_single_one_has_none(tmp_path, records):
    several = write(tmp_path / "two", records).document
    found = several["intervals"]["classes/home-page/latency_s/p99"]
    values = [each["totals"]["classes"]["home-page"]["latency_s"]["p99"] for each in several["replications"]]
    assert found["low"] < np.mean(values) < found["high"]
    assert several["totals"]["classes"]["home-page"]["latency_s"]["p99"] == pytest.approx(np.mean(values))
    assert several["slos"]["product-fast"]["evidence"]["seeds"] == 2
    assert write(tmp_path / "one", records[:1]).document["intervals"] == {}


def test_a_budget_is_compared_pro_rata(tmp_path, records):
    budget = write(tmp_path / "run", records).document["budgets"]["monthly"]
    assert budget["allowed_usd"] == 20.0
    assert budget["kept"] == (budget["spent_usd"] <= 20.0)


def test_an_existing_directory_is_refused_without_force(tmp_path, records):
    write(tmp_path / "run", records)
    before = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(EnvironmentProblem, match="--force"):
        write(tmp_path / "run", records[:1])
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    write(tmp_path / "run", records[:1], force=True)
    assert read_run(tmp_path / "run").document["seeds"] == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_force_does_not_delete_what_is_not_a_run(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    with pytest.raises(EnvironmentProblem, match="not a run directory"):
        check_target(tmp_path / "home", force=True)
    check_target(tmp_path / "new", force=False)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError("disk full")])
def test_an_interrupted_run_leaves_nothing(tmp_path, records, monkeypatch, interruption):
    def stop(_):
        raise interruption

    monkeypatch.setattr(run_directory, "_checksums", stop)
    with pytest.raises((KeyboardInterrupt, EnvironmentProblem)):
        write(tmp_path / "run", records)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_replacement_keeps_the_old_run(tmp_path, records, monkeypatch):
    write(tmp_path / "run", records[:1])
    monkeypatch.setattr(run_directory, "_checksums", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "run", records, force=True)
    assert read_run(tmp_path / "run").document["seeds"] == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_is_not_a_run_is_said_so(tmp_path, records):
    with pytest.raises(InvalidInput, match="not a run directory"):
        read_run(tmp_path)
    write(tmp_path / "run", records)
    newer = json.loads((tmp_path / "run" / "run.json").read_text()) | {"schema_version": 99}
    (tmp_path / "run" / "run.json").write_text(json.dumps(newer))
    with pytest.raises(InvalidInput, match="schema_version 99 is newer"):
        read_run(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text('{"schema_version": "one"}')
    with pytest.raises(InvalidInput, match="expected a whole number"):
        read_run(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(InvalidInput, match=r"run\.json: cannot be read"):
        read_run(tmp_path / "run")
    (tmp_path / "run" / "COMPLETE").unlink()
    with pytest.raises(InvalidInput, match="incomplete"):
        read_run(tmp_path / "run")


def test_a_missing_or_damaged_table_is_said_so(tmp_path, records):
    run = write(tmp_path / "run", records)
    (tmp_path / "run" / "costs.parquet").unlink()
    (tmp_path / "run" / "latency.parquet").write_bytes(b"PAR1 not really")
    for name in ("costs", "latency"):
        with pytest.raises(InvalidInput, match=rf"{name}\.parquet: cannot be read"):
            run.table(name)


def test_writing_does_not_import_pandas(tmp_path):
    """It would cost 55 MB and half a second of a run that may take 300 MB."""
    program = (
        "import sys; from pathlib import Path; from tests.simulator import test_run_directory as here\n"
        "for name in list(sys.modules): name.partition('.')[0] == 'pandas' and sys.modules.pop(name)\n"
        f"here.write(Path({str(tmp_path / 'run')!r}), [here.synthetic(1, rate=0.01).record])\n"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

"""Measured latencies: what a batch takes at, between and below the measured sizes, and with which spread."""

import csv

import numpy as np
import pytest
from scipy import stats

from scenarios.errors import InvalidInput
from simulator.dataplane.resolve_fleet import resolve
from simulator.run import simulate
from tests.oracles import queueing
from tests.simulator.replications import PRECISION, compare, load, one_service, replicate, wait_s

LEVEL = 1e-4
SAMPLES = "kind,size,ms\nfast,10,1 2 3 4\nslow,10,9 9\nfast,20,3 3 5 5 9\nfast,40,20\n"


def times_ns(latency, folder, largest=40):
    """Possible service times by number of items."""
    loaded = load(one_service(latency=latency, batching={"max_batch_size": largest}), folder)
    (times,) = resolve(loaded.scenario, loaded.files, 1).services[0].times
    return {
        n: times.samples_ns[times.offset[n] : times.offset[n + 1]].tolist() for n in range(1, largest + 1)
    }


def samples(folder, **latency):
    (folder / "samples.csv").write_text(SAMPLES)
    named = {"file": "samples.csv", "where": {"kind": "fast"}, "batch": "size", "latencies": "ms"}
    return {"samples": named} | latency


def batches(document, folder, seed=1):
    logs = []
    simulate(load(document, folder), seed, on_logs=lambda _, log: logs.append(log.batches))
    return logs[0]["items"], logs[0]["finish_ns"] - logs[0]["start_ns"]


def items_document(latency, items, rate="100/s", seconds=1000):
    """Single requests of several items, one a batch, on enough instances that nobody waits."""
    batching = {"max_batch_size": 40, "max_batch_requests": 1}
    document = one_service(rate, latency=latency, instances_per_replica=16, batching=batching)
    document["classes"][0]["items"] = items
    document["run"] = {"duration": f"{seconds}s", "interval": f"{seconds}s"}
    return document


def test_a_plus_b_n(tmp_path):
    times = times_ns({"fixed": "5ms", "per_item": "250us"}, tmp_path)
    assert times == {n: [5_000_000 + 250_000 * n] for n in range(1, 41)}


def test_a_table_is_followed_on_straight_lines(tmp_path):
    times = times_ns({"table": [[2, "10ms"], [4, "14ms"], [40, "50ms"]]}, tmp_path)
    assert [times[n] for n in (1, 2, 3, 4, 13, 40)] == [[n * 1_000_000] for n in (10, 10, 12, 14, 23, 50)]


def test_a_table_is_followed_to_the_next_larger_size(tmp_path):
    times = times_ns({"table": [[2, "10ms"], [4, "14ms"], [40, "50ms"]], "between": "ceil"}, tmp_path)
    assert [times[n] for n in (1, 2, 3, 4, 5, 40)] == [[n * 1_000_000] for n in (10, 10, 14, 14, 50, 50)]


def test_samples_are_taken_as_they_are_at_the_next_larger_size(tmp_path):
    times = times_ns(samples(tmp_path, between="ceil"), tmp_path)
    ms = {n: [each // 1_000_000 for each in times[n]] for n in times}
    assert ms[1] == ms[10] == [1, 2, 3, 4]
    assert ms[11] == ms[20] == [3, 3, 5, 5, 9]
    assert ms[21] == ms[40] == [20]


def test_samples_are_interpolated_quantile_by_quantile(tmp_path):
    times = times_ns(samples(tmp_path), tmp_path)
    assert times[30] == [11_500_000, 11_500_000, 12_500_000, 12_500_000, 14_500_000]
    # Half-way between four values and five: the middles of five equal parts of each.
    assert times[15] == [2_000_000, 2_500_000, 4_000_000, 4_000_000, 6_500_000]


def test_units_of_samples(tmp_path):
    latency = samples(tmp_path, between="ceil")
    latency["samples"]["unit"] = "us"
    assert times_ns(latency, tmp_path)[40] == [20_000]


def test_every_measured_value_is_drawn_alike(tmp_path):
    items = {"mixture": [{"constant": 4, "weight": 1}, {"constant": 20, "weight": 2}]}
    sizes, took_ns = batches(items_document(samples(tmp_path, between="ceil"), items), tmp_path)
    assert stats.binomtest(int((sizes == 4).sum()), len(sizes), 1 / 3).pvalue > LEVEL
    few = np.bincount(took_ns[sizes == 4] // 1_000_000)[1:]
    assert stats.chisquare(few).pvalue > LEVEL
    many = np.unique(took_ns[sizes == 20] // 1_000_000, return_counts=True)
    assert many[0].tolist() == [3, 5, 9]
    assert stats.chisquare(many[1], np.array([2, 2, 1]) / 5 * many[1].sum()).pvalue > LEVEL


def test_values_of_one_batch_and_of_the_next_are_independent(tmp_path):
    _, took_ns = batches(items_document(samples(tmp_path, between="ceil"), 4), tmp_path)
    values = took_ns // 1_000_000 - 1
    pairs = np.bincount(values[:-1] * 4 + values[1:], minlength=16)
    assert stats.chisquare(pairs).pvalue > LEVEL


@pytest.mark.parametrize(
    ("noise", "law"),
    [
        ({"lognormal_cv": 0.3}, stats.lognorm(np.sqrt(np.log1p(0.09)), scale=1 / np.sqrt(1.09))),
        ({"gamma_cv": 0.3}, stats.gamma(1 / 0.09, scale=0.09)),
        ({"exponential": True}, stats.expon()),
    ],
)
def test_noise_is_a_factor_on_every_size(tmp_path, noise, law):
    latency = {"table": [[2, "10ms"], [40, "50ms"]], "noise": noise}
    sizes, took_ns = batches(items_document(latency, {"uniform": [1, 41]}), tmp_path)
    mean_ms = np.interp(np.arange(41), [2, 40], [10, 50])
    assert stats.kstest(took_ns / 1e6 / mean_ms[sizes], law.cdf).pvalue > LEVEL


def test_a_single_server_with_measured_latencies_is_mg1(tmp_path):
    """Pollaczek and Khinchine with the moments of a mixture of the measured values."""
    rate = 55.0
    document = items_document(samples(tmp_path, between="ceil"), {"uniform": [1, 41]}, f"{rate}/s")
    document["services"][0]["instances_per_replica"] = 1
    document["run"] = {"duration": "8050s", "warmup": "50s", "interval": "8050s"}
    # 10 sizes of 40 take 1 to 4 ms, 10 take 3 to 9 ms, 20 take 20 ms.
    small, middle, large = (np.array(each) / 1000 for each in ([1, 2, 3, 4], [3, 3, 5, 5, 9], [20]))
    mean, square = ((np.mean(small**k) + np.mean(middle**k) + 2 * np.mean(large**k)) / 4 for k in (1, 2))
    runs = replicate(load(document, tmp_path), range(1, 41))
    wait = queueing.mg1_wait(rate, mean, np.sqrt(square / mean**2 - 1))
    found = compare("wait, s", wait, [wait_s(each) for each in runs])
    assert abs(found.pull) < 1, str(found)
    assert found.relative_half_width < PRECISION


def test_what_was_not_measured_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="measured up to 40 items"):
        times_ns(samples(tmp_path), tmp_path, largest=41)
    latency = samples(tmp_path)
    latency["samples"]["where"] = {"kind": "other"}
    with pytest.raises(InvalidInput, match="no row"):
        times_ns(latency, tmp_path)
    (tmp_path / "samples.csv").write_text("kind,size,ms\nfast,10,1 two\n")
    latency["samples"]["where"] = {"kind": "fast"}
    with pytest.raises(InvalidInput, match=r"samples\.csv:2"):
        times_ns(latency, tmp_path)


@pytest.mark.data
@pytest.mark.parametrize("model", ["candle", "resnet"])
def test_a_real_table_keeps_the_moments_that_its_authors_state(data_dir, tmp_path, model):
    """Ribbon's samples, loaded for a service, against their own summary: mean and deviation of each size."""
    with (data_dir / "profiles/ribbon_profiles_candle_resnet.csv").open(newline="") as text:
        summary = [
            row for row in csv.DictReader(text) if row["model"] == model and row["instance"] == "c5a.4xlarge"
        ]
    file = data_dir / f"profiles/ribbon_samples_{model}.csv"
    latency = {"samples": {"file": str(file), "where": {"instance": "c5a.4xlarge"}}, "between": "ceil"}
    times = times_ns(latency, tmp_path, largest=500)
    assert len(summary) == 50
    for row in summary:
        values_ms = np.array(times[int(row["batch"])]) / 1e6
        assert values_ms.mean() == pytest.approx(float(row["mean_ms"]), rel=1e-4, abs=0.001)
        assert values_ms.std(ddof=0) == pytest.approx(float(row["std_ms"]), rel=0.02, abs=0.001)

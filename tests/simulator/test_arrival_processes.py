"""Who comes when: the send times of real runs, taken from their logs, against the process that was asked for.

A test of a distribution fails by chance once in 10,000 for a correct simulator (LEVEL); its seed is 1.
"""

import numpy as np
import pytest
from scipy import stats

from scenarios.schema import Scenario
from simulator.dataplane import python_draws
from simulator.dataplane.resolve_fleet import resolve
from simulator.dataplane.resolve_traffic import shape_factors
from simulator.dataplane.specification import FOR_KEYS
from simulator.results.recorded import CLASS_COUNTERS
from simulator.run import simulate
from tests.oracles import queueing
from tests.simulator.replications import compare, load, one_service, replicate, response_s, throughput_per_s

LEVEL = 1e-4
DAY_S = 86_400


def quick(rate="100/s", seconds=1000, **arrivals):
    """A scenario whose service takes a microsecond, so that nobody waits and all are logged."""
    document = one_service(rate, latency={"per_item": "1us"}, instances_per_replica=4)
    document["run"] = {"duration": f"{seconds}s", "interval": f"{seconds}s"}
    document["arrivals"][0].update(arrivals)
    if rate is None:
        del document["arrivals"][0]["rate"]
    return document


def log_of(document, folder, seed=1):
    logs = []
    simulate(load(document, folder), seed, on_logs=lambda _, log: logs.append(log.requests))
    return logs[0]


def sends_s(document, folder, seed=1):
    return log_of(document, folder, seed)["first_ns"] / 1e9


def counts_by_seed(document, interval, folder):
    """First sends in each interval of the timeline, for seeds 1 to 40."""
    document["run"]["interval"] = interval
    loaded = load(document, folder)
    sent = CLASS_COUNTERS.index("sent")
    return [np.diff(simulate(loaded, seed).class_counters[:, 0, sent]) for seed in range(1, 41)]


def fits(values, distribution):
    return stats.kstest(values, distribution.cdf).pvalue > LEVEL


def as_expected(counts, expected):
    """Chi-square: Poisson counts of intervals against their means."""
    total = np.sum((counts - expected) ** 2 / expected)
    return LEVEL < stats.chi2(len(counts)).sf(total) < 1 - LEVEL


def test_poisson(tmp_path):
    sent = sends_s(quick(), tmp_path)
    assert fits(np.diff(sent), stats.expon(scale=0.01))
    assert as_expected(np.histogram(sent, 1000, (0, 1000))[0], np.full(1000, 100.0))


@pytest.mark.parametrize("cv", [0.4, 1.0, 2.5])
def test_gamma_gaps(tmp_path, cv):
    gaps_ns = np.diff(log_of(quick(process={"gamma_cv": cv}), tmp_path)["first_ns"])
    law = stats.gamma(1 / cv**2, scale=1e7 * cv**2)
    # Times are whole nanoseconds, and of gaps with cv 2.5 one in twenty is shorter: those are only counted.
    shown = gaps_ns[gaps_ns > 1000]
    assert stats.binomtest(len(shown), len(gaps_ns), law.sf(1000.5)).pvalue > LEVEL
    assert stats.kstest(law.cdf(shown), stats.uniform(law.cdf(1000.5), law.sf(1000.5)).cdf).pvalue > LEVEL


def test_counts_of_gamma_gaps_scatter_with_the_square_of_their_cv(tmp_path):
    """Var N / E N of a renewal process tends to cv² in long intervals (Cox, Renewal Theory, 1962, 4.2)."""
    document = quick(process={"gamma_cv": 2.0})
    dispersions = [
        np.mean((counts - 2000) ** 2) / 2000 for counts in counts_by_seed(document, "20s", tmp_path)
    ]
    assert abs(compare("dispersion", 4.0, dispersions).pull) < 1


def test_regular(tmp_path):
    gaps = np.diff(log_of(quick("64/s", process="regular"), tmp_path)["first_ns"])
    assert np.all(gaps == 15_625_000)


def test_poisson_milliseconds(tmp_path):
    sent_ns = log_of(quick(None, process={"poisson_ms": 3}), tmp_path)["first_ns"]
    assert np.all(sent_ns % 1_000_000 == 0)
    gaps = np.diff(sent_ns) // 1_000_000
    counts = np.bincount(gaps, minlength=12)
    expected = np.append(stats.poisson(3).pmf(np.arange(11)), stats.poisson(3).sf(10)) * len(gaps)
    assert stats.chisquare([*counts[:11], counts[11:].sum()], expected).pvalue > LEVEL


def test_mmpp_is_bursty_as_theory_says(tmp_path):
    states = [{"times": 0.5, "mean_duration": "4s"}, {"times": 4, "mean_duration": "1s"}]
    mean = (0.5 * 50 * 4 + 4 * 50 * 1) / 5
    means, dispersions = [], []
    for counts in counts_by_seed(quick("50/s", 2000, process={"mmpp": states}), "2s", tmp_path):
        settled = counts[100:]  # the first state is given, not drawn: the beginning is left out
        means.append(settled.mean() / 2)
        dispersions.append(np.mean((settled - 2 * mean) ** 2) / (2 * mean))
    expected = queueing.mmpp2_dispersion((25.0, 200.0), (1 / 4, 1 / 1), 2.0)
    assert abs(compare("rate", mean, means).pull) < 1
    assert abs(compare("dispersion", expected, dispersions).pull) < 1


def test_a_day_is_a_time_change_of_a_poisson_process(tmp_path):
    """In operational time Λ(t) the requests of a rate that varies are a Poisson process of rate 1."""
    shape = [{"diurnal": {"peak_to_trough": 4, "peak_at": "15h"}}]
    sent = sends_s(quick("5/s", DAY_S, shape=shape, shape_step="1s"), tmp_path)
    swing, turn = 0.6, 2 * np.pi / DAY_S

    def operational(time_s):
        peak = 15 * 3600
        return 5 * (time_s + swing / turn * (np.sin(turn * (time_s - peak)) + np.sin(turn * peak)))

    assert fits(np.diff(operational(sent)), stats.expon())
    hours = np.arange(25) * 3600.0
    assert as_expected(np.histogram(sent, hours)[0], np.diff(operational(hours)))


def test_factors_of_the_rate_are_multiplied(tmp_path):
    hourly = [1 + 0.1 * hour for hour in range(24)]
    weekly = [1, 2, 1, 1, 1, 1, 0.5]
    shape = [
        {"hourly": hourly},
        {"weekly": weekly},
        {"spike": {"at": "30h", "times": 10, "rise": "30m", "hold": "1h", "fall": "30m"}},
        {"ramp": {"start": "0h", "end": "48h", "times": 3}},
    ]
    document = quick("1/s", 2 * DAY_S, shape=shape, shape_step="60s")
    document["run"]["start"] = "2024-01-06T00:00:00Z"  # a Saturday
    sent = sends_s(document, tmp_path)
    middle = np.arange(30, 2 * DAY_S, 60)
    rate = (
        np.array(hourly)[middle // 3600 % 24]
        * np.where(middle < DAY_S, 1, 0.5)
        * (1 + 2 * middle / (2 * DAY_S))
    )
    rate *= np.interp(middle, np.array([30, 30.5, 31.5, 32]) * 3600, [1, 10, 10, 1])
    expected = (60 * rate).reshape(-1, 15).sum(axis=1)
    assert as_expected(np.histogram(sent, len(expected), (0, 2 * DAY_S))[0], expected)


def test_counts_are_replayed_exactly_and_evenly(tmp_path):
    counts = [0, 7, 100_000, 1, 0, 50_000]
    rows = "\n".join(f"{10 * i},{count}" for i, count in enumerate(counts))
    (tmp_path / "counts.csv").write_text(f"time_s,count\n{rows}\n")
    sent = sends_s(quick(None, 61, trace={"file": "counts.csv"}), tmp_path)
    assert np.histogram(sent, 6, (0, 60))[0].tolist() == counts
    assert fits(sent[(sent >= 20) & (sent < 30)], stats.uniform(20, 10))


def test_counts_scaled_keep_their_sum_and_poisson_scatters_around_them(tmp_path):
    rows = "\n".join(f"{10 * i},{1 + i % 2}" for i in range(1000))
    (tmp_path / "counts.csv").write_text(f"time_s,count\n{rows}\n")
    trace = {"file": "counts.csv", "scale": 0.3}
    sent = sends_s(quick(None, 10_001, trace=trace), tmp_path)
    totals = np.cumsum(np.histogram(sent, 1000, (0, 10_000))[0])
    exact = 0.3 * np.cumsum(1 + np.arange(1000) % 2)
    assert np.max(np.abs(totals - exact)) <= 0.5 + 1e-9
    scattered = sends_s(quick(None, 10_001, trace=trace | {"scale": 40, "spread": "poisson"}), tmp_path)
    assert as_expected(np.histogram(scattered, 1000, (0, 10_000))[0], 40.0 * (1 + np.arange(1000) % 2))


def test_rows_are_replayed_exactly(tmp_path):
    rng = np.random.default_rng(1)
    times = np.sort(rng.integers(0, 100_000_000_000, 5000))
    times[10:20] = times[10]
    kinds = rng.choice(["a", "b"], 5000)
    rows = "\n".join(f"{time},{kind}" for time, kind in zip(times, kinds, strict=True))
    (tmp_path / "rows.csv").write_text(f"time_ns,class\n{rows}\n")
    document = quick(None, 101, trace={"file": "rows.csv", "offset": "20s"})
    (kind,) = document["classes"]
    document["classes"] = [kind | {"name": name, "share": 0.5} for name in ("b", "a")]
    log = log_of(document, tmp_path)
    kept = times >= 20_000_000_000
    assert log["first_ns"].tolist() == (times[kept] - 20_000_000_000).tolist()
    assert np.array(["b", "a"])[log["cls"]].tolist() == kinds[kept].tolist()


def test_shares_of_classes(tmp_path):
    document = quick("300/s")
    shares = {"c": 0.5, "a": 0.3, "b": 0.15, "d": 0.05}
    (kind,) = document["classes"]
    document["classes"] = [kind | {"name": name, "share": share} for name, share in shares.items()]
    log = log_of(document, tmp_path)
    counts = np.bincount(log["cls"], minlength=4)
    assert stats.chisquare(counts, np.array(list(shares.values())) * len(log)).pvalue > LEVEL


def test_users_obey_the_interactive_response_time_law(tmp_path):
    """N = X (R + Z), whatever the distributions (Lazowska et al., Quantitative System Performance, 3.3)."""
    document = one_service(size=2, latency={"per_item": "10ms", "noise": {"gamma_cv": 0.7}})
    document["arrivals"] = [
        {"name": "stream", "users": {"count": 40, "think_time": {"uniform": ["100ms", "300ms"]}}}
    ]
    document["run"] = {"duration": "2000s", "warmup": "20s"}
    runs = replicate(load(document, tmp_path), range(1, 11))
    found = compare("users", 40.0, [throughput_per_s(each) * (response_s(each) + 0.2) for each in runs])
    assert abs(found.pull) < 1
    assert found.relative_half_width < 0.001


def keyed(**keys):
    document = quick("100/s", 1000)
    document["classes"][0]["keys"] = keys
    document["routes"][0] |= {"cache": {"ttl": "1000h"}, "coalesce": True}
    return document


@pytest.mark.parametrize("exponent", [0.0, 0.8, 1.2])
def test_popularity_of_keys(tmp_path, exponent):
    loaded = load(keyed(count=500, zipf=exponent), tmp_path)
    (kind,) = resolve(loaded.scenario, loaded.files, 1).classes
    n = 200_000
    if len(kind.key_table):
        keys = [python_draws.draw_alias(kind.key_table, kind.seeds[FOR_KEYS], i) for i in range(n)]
    else:
        keys = [python_draws.draw_two_below(500, kind.seeds[FOR_KEYS], i, 0)[0] for i in range(n)]
    counts = np.bincount(keys, minlength=500)
    assert stats.chisquare(counts, queueing.zipf(500, exponent) * n).pvalue > LEVEL


@pytest.mark.parametrize(("drift", "periods"), [(None, 1), ({"every": "10s", "by": 200}, 100)])
def test_keys_that_drift_are_new_keys(tmp_path, drift, periods):
    """In a cache that keeps all, n requests miss once for each key they ask for: Σ(1 - exp(-n p)) on average.

    By ranks that move 200 places every ten seconds, each of the hundred periods asks for keys of its own.
    """
    keys = {"count": 20_000, "zipf": 3.0} | ({"drift": drift} if drift else {})
    runs = replicate(load(keyed(**keys), tmp_path), range(1, 41))
    popularity = queueing.zipf(20_000, 3.0)
    expected = periods * -np.expm1(-popularity * 100_000 / periods).sum()
    assert abs(compare("misses", expected, [each.query["ok_model"] for each in runs]).pull) < 1


@pytest.mark.parametrize("start", ["2024-01-05T18:30:00Z", "2024-01-06T00:00:00+05:30"])
def test_shapes_follow_clock_and_calendar_whenever_the_run_starts(start):
    """A Friday, 18:30 in UTC, twice. Spikes and ramps count from the start of the run."""

    def factor(shape, hours):
        loaded = quick("1/s", DAY_S, shape=[shape])
        loaded["run"]["start"] = start
        scenario = Scenario.model_validate(loaded)
        return shape_factors(
            scenario.arrivals[0].shape, np.array(hours) * 3600.0, scenario.run.start
        ).tolist()

    diurnal = {"diurnal": {"peak_to_trough": 3, "peak_at": "20h"}}
    assert factor(diurnal, [1.5, 13.5, 25.5]) == pytest.approx([1.5, 0.5, 1.5]), "20:00, 8:00, 20:00"
    assert factor({"hourly": list(range(24))}, [0, 0.49, 0.51, 5.4, 5.6]) == [18, 18, 19, 23, 0]
    assert factor({"weekly": [1, 2, 3, 4, 5, 6, 7]}, [0, 5.4, 5.6, 53.6]) == [5, 5, 6, 1]
    assert factor({"spike": {"at": "1h", "hold": "1h", "times": 4}}, [0.9, 1.5, 2.1]) == [1, 4, 1]
    assert factor({"ramp": {"start": "0h", "end": "2h", "times": 3}}, [0, 1, 2]) == [1, 2, 3]

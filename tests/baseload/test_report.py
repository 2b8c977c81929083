"""The report page, without a browser: self-contained, escaped, repeatable, and true to the run."""

import copy
import json
import re
from decimal import Decimal

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from baseload.cli.report import command
from baseload.report.data import MAX_POINTS, Latencies, Series, Timeline
from baseload.report.figures.demand import capacity_per_s
from baseload.report.page import render, write_report
from scenarios.errors import EnvironmentProblem, InvalidInput
from scenarios.schema import Scenario
from simulator.money.bill import UnitPrice, bill
from simulator.results.recorded import CLASS_COUNTERS
from simulator.results.run_directory import Run, read_run, write_run
from tests.simulator.synthetic import DAY_S, document, scenario, synthetic

FIGURES = ("demand", "latency", "heat", "costs", "spending", "failures", "queues", "batches")


def written(directory, seeds=(1,), rate=0.05, **made):
    records = [synthetic(seed, rate=rate, **made).record for seed in seeds]
    terms = scenario(made.get("days", 1))
    lines = bill(terms, records, lambda pool: UnitPrice(Decimal("0.5"), "a-price-list", "2024-01-31"))
    return write_run(
        directory, scenario=terms, digest="sha256:1234", document=document(made.get("days", 1)),
        records=records, lines=lines, engine="kernel", versions={"baseload": "0.1.0"},
        meta={"command": ["/opt/venv/bin/baseload", "simulate", "my shop.yaml", "--seed", "1"]},
    )  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [written(folder / "before"), written(folder / "after", seeds=(1, 2), rate=0.06)]


@pytest.fixture(scope="module")
def page(runs):
    return render(runs[:1])


def figures(html):
    found = re.findall(r'<script type="application/json" data-for="(\w+)">(.*?)</script>', html, re.DOTALL)
    return {key: json.loads(text) for key, text in found}


def without_plotly(html):
    start = html.index("/**\n* plotly.js")
    return html[:start] + html[html.index("</script>", start) :]


def test_the_page_is_whole_and_its_policy_forbids_the_network(page):
    rest = without_plotly(page)
    assert "default-src 'none'" in rest
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", rest)
    assert not re.search(r"https?://", rest)
    assert "@import" not in rest
    assert "url(" not in rest
    assert page.count("* plotly.js v") == 1
    assert len(page) < 8e6


def test_it_says_verdict_cost_assumptions_and_how_to_repeat_it(page):
    text = without_plotly(page).replace("\u00a0", " ")
    for words in (
        "of home-page requests within 300 ms: SLO ", "for 1 day", "per 1,000 predictions", "idle",
        "a-price-list (2024-01-31)", "sha256:1234", "baseload simulate &#39;my shop.yaml&#39; --seed 1",
        "flash crowd in the evening", "log-linear-64-per-octave-ns", "enterprise: 7%",
        "Mon 01 Jan 2024 00:00 UTC",
    ):  # fmt: skip
        assert words in text, words
    assert "/opt/venv" not in text


def test_every_figure_has_a_text_alternative_and_every_table_a_caption(page):
    for key in FIGURES:
        assert re.search(rf'id="{key}" role="img" aria-label="[^"]{{40,}}"', page), key
    assert page.count("<table") == page.count("<caption>") > 4


def test_the_same_runs_make_the_same_page(runs):
    assert render(runs) == render(runs)


def test_names_and_descriptions_are_escaped(runs):
    hostile = copy.deepcopy(runs[0].document)
    attack = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    hostile["scenario"]["description"] = attack
    hostile["scenario"]["labels"] = {"team": attack}
    html = without_plotly(render([Run(runs[0].directory, hostile)]))
    assert "<script>alert" not in html
    assert "<img" not in html
    assert "&lt;script&gt;alert" in html


def test_drawn_rates_are_the_runs_counts(runs, page):
    traces = [trace for trace in figures(page)["demand"]["data"] if trace.get("name") == "sent"]
    (sent,) = traces
    interval_s = runs[0].document["interval_s"]
    assert sum(sent["y"]) * interval_s == pytest.approx(
        runs[0].document["totals"]["overall"]["sent"], rel=1e-3
    )


def test_costs_drawn_add_up_to_the_bill(runs, page):
    bars = figures(page)["costs"]["data"]
    pool_rows = [index for index, name in enumerate(bars[0]["y"]) if name != "all pools"]
    drawn = sum(bar["x"][index] for bar in bars for index in pool_rows)
    assert drawn == pytest.approx(runs[0].document["totals"]["costs"]["billed_usd"], abs=1e-4)
    assert bars[-1]["name"].startswith("idle")


def test_a_class_has_one_colour_on_the_whole_page(page):
    drawn = figures(page)
    home = [bar["marker"]["color"] for bar in drawn["costs"]["data"] if bar["name"] == "home-page"]
    line = [trace["line"]["color"] for trace in drawn["demand"]["data"] if trace.get("name") == "home-page"]
    assert home == line


def test_several_runs_stand_side_by_side(runs):
    html = render(runs)
    assert "before" in html
    assert "after" in html
    assert "Changes are against the first run" in html
    drawn = figures(html)
    assert set(drawn) == set(FIGURES)
    assert {trace["xaxis"] for trace in drawn["demand"]["data"]} == {"x", "x2", "x3", "x4"}


def test_a_long_run_is_drawn_in_bins_that_keep_totals_and_peaks(tmp_path):
    run = written(tmp_path / "long", days=7, rate=0.002, interval_s=60, histogram_s=3600)
    line = Timeline.of(run.timeline())
    assert line.binned
    assert len(line.bins) <= MAX_POINTS
    sent = line.raw("class", "home-page", "sent")
    lengths = np.diff(np.append(line.edges_s[line.bins], line.edges_s[-1]))
    assert (line.per_second(sent) * lengths).sum() == pytest.approx(sent.sum())
    assert line.peak(sent).max() == sent.max()
    for figure in figures(render([run])).values():
        assert all(len(trace.get("x", [])) <= 2000 for trace in figure["data"])


def test_a_run_of_an_older_version_is_refused_in_words(tmp_path):
    run = written(tmp_path / "old")
    timeline = tmp_path / "old/timeline.parquet"
    pq.write_table(run.timeline().drop_columns("slot_ns"), timeline)
    with pytest.raises(InvalidInput, match="no column slot_ns: the run was made by an older Baseload"):
        render([run])


def test_seeds_are_averaged_in_the_timeline_and_pooled_in_latencies(runs):
    run = runs[1]
    line = Timeline.of(run.timeline())
    records = [synthetic(seed, rate=0.06).record for seed in (1, 2)]
    column = CLASS_COUNTERS.index("sent")
    expected = np.mean([np.diff(record.class_counters[:, 0, column]) for record in records], axis=0)
    assert line.raw("class", "home-page", "sent").tolist() == expected.tolist()
    pooled = Latencies.of(run.latency(), ["home-page", "product-page"])
    answered = sum(each["totals"]["overall"]["answered"] for each in run.document["replications"])
    assert pooled.all_classes().sum() == answered


def test_capacity_is_ready_replicas_at_their_best_batch_in_logical_requests(runs):
    series = Series(runs[0], "before")
    found = capacity_per_s(series)
    gpu, cpu = 32 / (0.020 + 0.004 * 32), 32 / 0.9  # items/s; the CPU profile is best at its largest batch
    totals = series.totals
    sent_per_item = totals["overall"]["sent_per_s"] / (totals["services"]["ranker"]["batch_items"] / DAY_S)
    assert found[0] == pytest.approx((gpu + max(cpu, 1 / 0.04)) * sent_per_item, rel=0.01)


def test_a_run_without_traffic_or_promises_still_makes_a_page(tmp_path):
    made = document()
    made["slos"], made["budgets"] = [], []
    record = synthetic(1, rate=0.0).record
    terms = Scenario.model_validate(made)
    run = write_run(
        tmp_path / "empty", scenario=terms, digest="", document=made, records=[record], lines=[],
        engine="kernel", versions={}, meta={},
    )  # fmt: skip
    html = render([run])
    assert "promises nothing" in html
    assert "No request failed." in html


def test_the_command_writes_the_page(runs, tmp_path):
    output = tmp_path / "new" / "report.html"
    result = CliRunner().invoke(command, [str(runs[0].directory), "-o", str(output)])
    assert result.exit_code == 0
    assert result.stdout == ""
    assert output.read_text(encoding="utf-8") == render([read_run(runs[0].directory)])


def test_a_page_never_replaces_another_kind_of_file(runs, tmp_path):
    scenario = tmp_path / "shop.yaml"
    scenario.write_text("precious")
    result = CliRunner().invoke(command, [str(runs[0].directory), "-o", str(scenario)])
    assert "expected a name that ends with .html" in str(result.exception)
    assert scenario.read_text() == "precious"


def test_a_refused_file_is_said_so(runs, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        write_report(runs[:1], tmp_path / "taken" / "report.html")

"""What the report says of promises and money: true, in words, and at the top."""

import copy

import pytest

from baseload.report import wording
from baseload.report.data import Series
from baseload.report.figures import batches
from baseload.report.page import badge, cards, render
from simulator.results.run_directory import Run
from tests.baseload.test_report import without_plotly, written


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return written(tmp_path_factory.mktemp("words") / "run")


def changed(run, **more):
    return Run(run.directory, copy.deepcopy(run.document) | more)


SLO = {"latency_s": 0.2, "objective": 0.99, "class": "search", "window_s": 60.0, "window_fraction": 0.95}


@pytest.mark.parametrize(
    ("terms", "totals", "said"),
    [
        (
            {"window_s": None},
            {"windows": 1, "windows_kept": 1, "windows_needed": 1, "margin": 0.002},
            "98.0 % within 200 ms; 0.200 points above the objective",
        ),
        (
            {},
            {"windows": 180, "windows_kept": 174, "windows_needed": 171, "margin": 0.01},
            "98.0 % within 200 ms; objective met in 174 of 180 minutes (96.7 %), 171 needed: 3 to spare",
        ),
        (
            {"window_fraction": 0.99},
            {"windows": 180, "windows_kept": 174, "windows_needed": 179, "margin": 0.01},
            "98.0 % within 200 ms; objective met in 174 of 180 minutes (96.7 %), 179 needed: 5 too few",
        ),
        (
            {},
            {"windows": 180, "windows_kept": 171, "windows_needed": 171, "margin": 0.01},
            "98.0 % within 200 ms; objective met in 171 of 180 minutes (95.0 %), 171 needed: none to spare",
        ),
        (
            {},
            {"windows": 180, "windows_kept": 180, "windows_needed": 171, "margin": 0.01},
            "98.0 % within 200 ms; objective met in all 180 minutes, 171 needed: 9 to spare",
        ),
        (
            {"window_fraction": 1, "window_s": 86_400.0},
            {"windows": 30, "windows_kept": 29, "windows_needed": 30, "margin": -0.013},
            "98.0 % within 200 ms; objective met in 29 of 30 days, all needed; "
            "the worst 1.30 points below the objective",
        ),
    ],
)  # fmt: skip
def test_by_how_much_a_promise_was_kept_is_said_in_what_decides_it(terms, totals, said):
    assert wording.slo_outcome(SLO | terms, totals | {"attainment": 0.98}) == said


def test_a_missed_budget_is_in_the_headline(run):
    budget = {"amount_usd": 600.0, "per_s": 2_592_000.0, "allowed_usd": 20.0, "spent_usd": 25.0, "kept": False,
              "seeds": 1, "seeds_kept": 0}  # fmt: skip
    slos = {name: slo | {"kept": True} for name, slo in run.document["slos"].items()}
    over = changed(run, slos=slos, budgets={"monthly": budget})
    assert badge(over.document) == ("missed", "all SLOs kept, budget missed")
    html = without_plotly(render([over])).replace("\u00a0", " ")
    assert "Budget monthly missed: $25.00 spent of $20.00, 25.0 % over." in html
    (money,) = [card for card in cards(Series(over, "run")) if card.label == "for 1 day"]
    assert (money.state, money.note.startswith("budget monthly missed; ")) == ("missed", True)
    within = changed(run, slos=slos, budgets={"monthly": budget | {"kept": True, "spent_usd": 19.0}})
    assert badge(within.document) == ("kept", "all SLOs kept")
    assert "Budget" not in wording.verdict(within.document)


@pytest.mark.parametrize(
    ("mean", "said"), [(1.0, "1 item a batch on average"), (1.5, "1.5 items a batch on average")]
)
def test_one_item_is_not_items(run, mean, said):
    document = copy.deepcopy(run.document)
    document["totals"]["services"]["ranker"]["batch_items_mean"] = mean
    (takeaway,) = batches.draw([Series(Run(run.directory, document), "run")]).takeaways
    assert f"ranker: {said}" in takeaway


@pytest.mark.parametrize(
    ("value", "said"),
    [(999, "999"), (1_234_567, "1,234,567"), (262_655_824, "263 million"), (1_037_000_000, "1.04 billion")],
)
def test_a_large_count_fits_its_card(value, said):
    assert wording.large_count(value) == said


def test_how_the_cost_is_divided_is_said_where_services_share_a_pool(run):
    assert "A pool's cost goes in equal parts to the services on it" in render([run]).replace("&#39;", "'")


@pytest.mark.parametrize(
    ("share", "said"),
    [(-1.733, "−173.3 %"), (-1, "−100 %"), (-0.00001, "−0.001 %"), (0, "0 %"), (0.992, "99.2 %")],
)
def test_a_negative_share_has_a_minus_and_not_a_hyphen(share, said):
    assert wording.percent(share) == said

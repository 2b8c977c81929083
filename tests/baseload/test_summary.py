"""The terminal table and its JSON twin."""

import io
import json
from decimal import Decimal

import pytest

from baseload.cli.summary import WIDTH, print_summary, verdict_lines
from simulator.money.bill import UnitPrice, bill
from simulator.results.run_document import run_document
from tests.simulator.synthetic import document, scenario, synthetic


@pytest.fixture(scope="module")
def documents():
    made = scenario()
    records = [synthetic(seed, rate=0.05).record for seed in (1, 2)]

    def price_of(pool):
        return UnitPrice(Decimal("0.5"), "test", "2024-01")

    return [
        run_document(
            scenario=made, digest="sha256:0", document=document(), records=chosen,
            lines=bill(made, chosen, price_of), engine="kernel", versions={},
        )
        for chosen in (records[:1], records)
    ]  # fmt: skip


def shown(document, **arguments):
    out = io.StringIO()
    print_summary(document, file=out, **arguments)
    return out.getvalue()


def test_it_fits_the_width_and_has_no_colour_off_a_terminal(documents):
    for each in documents:
        text = shown(each)
        assert max(map(len, text.splitlines())) <= WIDTH
        assert "\x1b" not in text


def test_it_names_every_class_service_pool_and_promise(documents):
    text = shown(documents[0])
    for word in (
        "home-page",
        "product-page",
        "ranker",
        "gpu",
        "cpu-spot",
        "home-fast",
        "product-fast",
        "monthly",
    ):
        assert word in text
    for word in (
        "p99.9",
        "hit ratio",
        "utilisation",
        "queue wait",
        "idle",
        "per 1,000 predictions",
        "timeout",
    ):
        assert word in text
    assert "✓" in text or "✗" in text


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ({"name": "kernel", "path": "block-wise", "reason": None}, "kernel, block-wise"),
        (
            {"name": "kernel", "path": "event-ordered", "reason": "service reco: a shared queue"},
            "kernel, event-ordered (service reco: a shared queue)",
        ),
        ({"name": "reference", "path": "reference", "reason": "asked for"}, "reference"),
    ],
)
def test_the_first_line_says_which_engine_ran_and_why(documents, engine, said):
    first = shown(documents[0] | {"engine": engine}).splitlines()[0]
    assert first.endswith(f"seed 1, {said}")


def test_several_seeds_show_intervals_and_what_they_are_worth(documents):
    text = shown(documents[1])
    assert "± 95 %" in text
    assert "2 seeds: mean of the replications" in text
    assert "P(kept)" in text


def test_json_is_the_run_document(documents):
    assert json.loads(shown(documents[0], as_json=True)) == json.loads(json.dumps(documents[0]))


def test_marks_have_an_ascii_form(documents):
    lines = "\n".join(line.plain for line in verdict_lines(documents[0], ascii_only=True))
    assert "✓" not in lines
    assert "✗" not in lines
    assert "NO  SLO" in lines or "yes SLO" in lines

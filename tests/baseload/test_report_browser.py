"""The report page in a real browser: it draws every figure, and neither complains nor asks for the
network."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from itertools import combinations

import pytest

from baseload.report.page import write_report
from tests.baseload.test_report import FIGURES, written

pytestmark = pytest.mark.browser
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-component-update", "--disable-background-networking", "--disable-sync",
    "--disable-extensions", "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1200,900", "--virtual-time-budget=20000",
    "--enable-logging=stderr", "--v=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        pytest.skip("no Chromium here")
    return found


def load(browser, page, profile, *more):
    """The page's DOM after its scripts have run, and what it wrote on the console."""
    done = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={profile}", *more, "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    runs = [written(folder / "before"), written(folder / "after", seeds=(1, 2), rate=0.06)]
    write_report(runs[:1], folder / "one.html")
    write_report(runs, folder / "two.html")
    return folder


@pytest.mark.parametrize("name", ["one.html", "two.html"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_figure_is_drawn_and_the_console_is_silent(browser, pages, tmp_path, name, scheme):
    scheme_flag = f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}"
    dom, console = load(browser, pages / name, tmp_path / "profile", scheme_flag)
    assert console == []
    assert f'data-figures="{len(FIGURES)}"' in dom
    for key in FIGURES:
        (plot,) = re.findall(rf'<div class="plot js-plotly-plot" id="{key}".*?(?=<script)', dom, re.DOTALL)
        assert 'class="main-svg"' in plot, key
        assert re.search(r'class="(?:trace|scatterlayer|barlayer|heatmaplayer|hm)', plot), key
    assert dom.count('class="hm"') == (1 if name == "one.html" else 2)


NARROW_PX = 420
MEASURE = """
const frame = document.querySelector("iframe"), page = frame.contentDocument;
const box = (e) => (({ left, right, top, bottom }) => [left, right, top, bottom])(e.getBoundingClientRect());
const plots = [...page.querySelectorAll(".plot")].map((plot) => ({
  key: plot.id, column: plot.parentElement.clientWidth, drawn: box(plot.querySelector(".main-svg")),
  texts: [...plot.querySelectorAll("text")].filter((e) => e.textContent).map(box),
  titles: [...plot.querySelectorAll("text[class$=title]")].map(box),
}));
document.documentElement.dataset.found = JSON.stringify({
  viewport: frame.contentWindow.innerWidth, page: page.documentElement.scrollWidth, plots,
});
"""
"""The page stands in a frame: a headless Chromium's own window is never narrower than 500 px."""


def measured(browser, page, folder, loaded_px):
    """What a page measures NARROW_PX wide, after it was loaded at another width."""
    framed = folder / f"framed-{page.name}"
    narrow = (
        f'document.querySelector("iframe").style.width = "{NARROW_PX}px";'
        'document.querySelector("iframe").contentWindow.dispatchEvent(new Event("resize"));'
    )  # without frames to render, Chromium tells a frame of its new size only when it is asked
    framed.write_text(
        f'<!doctype html><meta charset="utf-8"><iframe style="width:{loaded_px}px; height:4000px; border:0" '
        f'srcdoc="{escape(page.read_text(encoding="utf-8"))}"></iframe>'
        '<script>addEventListener("load", () => {'
        f"setTimeout(() => {{ {narrow} }}, 1000); setTimeout(() => {{ {MEASURE} }}, 4000);"
        "})</script>",
        encoding="utf-8",
    )
    dom, console = load(browser, framed, folder / "profile")
    assert console == []
    return json.loads(unescape(re.search(r'data-found="([^"]*)"', dom)[1]))


@pytest.mark.parametrize("name", ["one.html", "two.html"])
@pytest.mark.parametrize("loaded_px", [NARROW_PX, 1100], ids=["loaded narrow", "narrowed later"])
def test_a_page_fits_a_telephone(browser, pages, tmp_path, name, loaded_px):
    found = measured(browser, pages / name, tmp_path, loaded_px)
    assert found["page"] <= found["viewport"] == NARROW_PX  # nothing to scroll to sideways
    assert {plot["key"] for plot in found["plots"]} == set(FIGURES)
    for plot in found["plots"]:
        left, right, *_ = plot["drawn"]
        assert right - left == pytest.approx(plot["column"], abs=1), plot["key"]
        assert all(left >= 0 and right <= NARROW_PX for left, right, *_ in plot["texts"]), plot["key"]


def test_titles_of_axes_side_by_side_do_not_overlap(browser, pages, tmp_path):
    found = measured(browser, pages / "two.html", tmp_path, NARROW_PX)
    for plot in found["plots"]:
        assert plot["titles"], plot["key"]
        for one, other in combinations(plot["titles"], 2):
            apart = one[1] <= other[0] or other[1] <= one[0] or one[3] <= other[2] or other[3] <= one[2]
            assert apart, plot["key"]


def test_this_test_would_notice_a_use_of_the_network(browser, pages, tmp_path):
    page = tmp_path / "asks.html"
    text = (pages / "one.html").read_text(encoding="utf-8")
    page.write_text(
        text.replace("</body>", "<script>fetch('https://example.com/')</script></body>"), encoding="utf-8"
    )
    _, console = load(browser, page, tmp_path / "profile")
    assert any("Content Security Policy" in line for line in console)


def test_a_page_can_be_printed(browser, pages, tmp_path):
    pdf = tmp_path / "page.pdf"
    subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--print-to-pdf={pdf}",
         (pages / "one.html").as_uri()],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    assert pdf.read_bytes().startswith(b"%PDF")
    assert pdf.stat().st_size > 50_000

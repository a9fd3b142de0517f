"""One visitor in a real browser: demo, scores, verdict, predictions.

The demo is that of `short_demo.py`; with MOLSWAY_FULL_DEMO=1 the shipped one (some minutes).
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, expect

import core.experiments  # noqa: F401  (registers every spec kind)
from core.engine.store import Store
from core.results.comparison import Comparison
from core.results.scores import Scores
from core.stats.formatting import format_number
from pages.base.text import format_signed, with_minus_signs
from tests.e2e.server import Server, exceptions
from tests.waiting import until

pytestmark = pytest.mark.e2e
VERDICT = 3 * 3_600_000  # ms; the full demo takes long on a busy machine

FARTHEST_POINT = """gd => {  // the point farthest from its neighbours, in pixels of the page
    const {xaxis, yaxis} = gd._fullLayout, box = gd.getBoundingClientRect(), points = [];
    for (const trace of gd._fullData.filter(trace => trace.type === "scattergl"))
        trace.x.forEach((x, i) => points.push({row: trace.customdata[i],
            x: box.left + xaxis._offset + xaxis.l2p(x), y: box.top + yaxis._offset + yaxis.l2p(trace.y[i])}));
    const far = p => Math.min(...points.filter(q => q !== p).map(q => Math.hypot(p.x - q.x, p.y - q.y)));
    return points.reduce((best, p) => far(p) > far(best) ? p : best);
}"""


POINT_OF_ROW = """(gd, row) => {  // the position of the point of a row
    const {xaxis, yaxis} = gd._fullLayout, box = gd.getBoundingClientRect();
    for (const trace of gd._fullData.filter(trace => trace.customdata))
        for (const [i, x] of trace.x.entries())
            if (trace.customdata[i] === row)
                return {x: box.left + xaxis._offset + xaxis.l2p(x), y: box.top + yaxis._offset + yaxis.l2p(trace.y[i])};
}"""


def chart(page: Page, words: str) -> Any:
    """A rendered plotly chart by its accessible name."""
    return page.get_by_role("figure", name=words).locator(".js-plotly-plot")


def wait_until_still(page: Page, element: Any) -> dict[str, float]:
    """Scroll to an element and return its box once it has stopped moving."""
    element.scroll_into_view_if_needed()
    before: dict[str, float] | None = None
    while (box := element.bounding_box()) != before or box is None:
        before = box
        page.wait_for_timeout(700)
    return box


def click_point(page: Page, figure: Any, where: str, *arguments: Any) -> dict[str, float]:
    """Click the point that the JavaScript `where` finds in a chart, after its hover label has appeared."""
    wait_until_still(page, figure)
    point = figure.evaluate(where, *arguments)
    page.mouse.move(point["x"] - 3, point["y"])
    page.mouse.move(point["x"], point["y"])
    expect(figure.locator(".hoverlayer .hovertext")).to_be_visible()
    page.mouse.click(point["x"], point["y"])
    return point


def open_page(page: Page, name: str) -> None:
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=re.compile(name)).click()
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


def check_panel(page: Page, scores: Scores, row: int) -> None:
    """Check that the panel shows this molecule: depiction, SMILES, ΔL, label, prediction."""
    one = scores.table.iloc[row]
    panel = page.get_by_test_id("stColumn").filter(has=page.get_by_text("Nearest training molecules")).last
    expect(panel.get_by_test_id("stCode")).to_have_text(one["smiles"])
    expect(panel.get_by_test_id("stImage").get_by_role("img")).to_have_attribute("alt", f"Structure of {one['smiles']}")
    expect(panel).to_contain_text(f"ΔL = {format_signed(one['delta_loss'])} {scores.record['unit']}")
    label = "Swapped label" if one["mislabelled"] else "Measured value"
    for name, words in (("label", label), ("prediction", "Prediction")):
        metric = panel.get_by_test_id("stMetric").filter(has_text=re.compile(rf"^{re.escape(words)}(?! error)"))
        expect(metric.get_by_test_id("stMetricValue")).to_have_text(format_number(one[name]))
    expect(panel).to_contain_text(f"In {scores.record['label_unit'][0]}")


def find_key(cache: Path, kind: str) -> str:
    """The key of the finished run of a kind; empty while there is none."""
    return next((path.parent.name for path in (cache / kind).glob("*/made.json")), "")


def test_from_the_first_click_to_the_verdict(server: Server, tab: Any) -> None:
    page = tab(server.url)
    page.get_by_role("button", name="Run the demo").click()
    expect(chart(page, "Loss so far by epoch")).to_be_visible()
    key = re.search(r"/compare\?run=([0-9a-f]{16})", page.url)[1]
    progress = page.get_by_test_id("stMain").get_by_test_id("stProgress")
    before = progress.inner_text()
    assert re.match(r"\d+% · ", before)
    expect(progress).not_to_have_text(before)

    store = Store(server.cache)
    scores_key = until(lambda: find_key(server.cache, "influence"), "the scores", VERDICT / 1000)
    scores = store.get(store.find(scores_key).spec)
    open_page(page, "Influence")
    figure = chart(page, "Label against prediction by score")
    expect(figure).to_be_visible()
    check_panel(page, scores, int(scores.table["delta_loss"].argmin()))
    check_panel(page, scores, click_point(page, figure, FARTHEST_POINT)["row"])

    page.get_by_test_id("stMain").get_by_text("Table", exact=True).click()
    table = page.get_by_test_id("stDataFrame").first
    expect(table.get_by_test_id("data-grid-canvas")).to_be_visible()
    box = wait_until_still(page, table)
    page.mouse.click(box["x"] + 16, box["y"] + 36 + 84 * 2.5)  # the checkbox of the third row
    check_panel(page, scores, int(np.argsort(scores.table["delta_loss"].to_numpy(), kind="stable")[2]))
    assert exceptions(page) == []

    open_page(page, "Compare")
    verdict = page.locator(".ms-verdict")
    expect(verdict).to_be_visible(timeout=VERDICT)
    assert page.url.endswith("/compare"), "a page writes no address until someone chooses"
    comparison: Comparison = store.get(store.find(key).spec)
    expect(verdict).to_have_text(with_minus_signs(comparison.record["verdict"]))
    expect(chart(page, "Test metric of each arm, every seed a point")).to_be_visible()
    expect(chart(page, "Paired differences with 95 % intervals")).to_be_visible()
    for words, by in (("Ranked by ΔL", "delta_loss"), ("Ranked by |prediction error|", "residual")):
        metric = page.get_by_test_id("stMetric").filter(has_text=words)
        expect(metric.get_by_test_id("stMetricValue")).to_have_text(
            f"{comparison.record['detection'][by]['auroc']:.2f}"
        )
    assert exceptions(page) == []

    page.reload()
    expect(page.locator(".ms-verdict")).to_have_text(with_minus_signs(comparison.record["verdict"]))

    open_page(page, "Predict")
    page.get_by_label("SMILES, one per line; a name may follow").fill("CCO ethanol\nCCCCCCCCCCCCCCCCO cetyl alcohol\n")
    page.get_by_text("Molecules", exact=True).click()  # leaves the field, so that its text is sent
    page.get_by_role("button", name="Predict", exact=True).click()
    figure = chart(page, "Predictions, By similarity to the training set")
    expect(figure).to_be_visible()
    predictions = store.get(store.find(until(lambda: find_key(server.cache, "predict"), "the predictions")).spec).table
    panel = page.get_by_test_id("stColumn").filter(has=page.get_by_text("Nearest training molecules")).last
    expect(panel).to_contain_text(predictions["id"][int(predictions["prediction"].argmax())])
    for row in (1, 0, 1):
        click_point(page, figure, POINT_OF_ROW, row)
        expect(panel).to_contain_text(predictions["id"][row])
        expect(panel).to_contain_text(
            f"{format_number(predictions['low'][row])} to {format_number(predictions['high'][row])}"
        )
    assert exceptions(page) == []

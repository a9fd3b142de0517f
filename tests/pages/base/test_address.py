"""The address of a page: who writes it, when, and what a dead link says."""

import re
from pathlib import Path

import pytest

from tests.pages import filled_store
from tests.pages.conftest import ROOT, find_box, page_text, without_exception

DEAD = "0" * 16
SOURCES = [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py"))]


def find_lines(pattern: str, *allowed: str) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in SOURCES
        if path.relative_to(ROOT).as_posix() not in allowed
        for line in path.read_text("utf-8").splitlines()
        if re.search(pattern, line)
    ]


def test_one_file_reads_and_writes_the_address_and_changes_pages():
    assert not find_lines(r"query_params|switch_page|page_link|experimental_set", "pages/base/address.py")


def test_one_file_draws_parts_that_draw_themselves_again():
    assert not find_lines(r"st\.fragment|run_every", "pages/base/address.py")


@pytest.mark.parametrize("cache", ["done"], indirect=True)
@pytest.mark.parametrize("page", ["train", "influence", "methods", "compare", "predict", "data", "runs", "sample"])
def test_a_page_writes_no_address_until_someone_chooses(open_page, cache, page):
    assert not open_page(page).query_params


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_choice_is_the_whole_address(open_page, cache):
    at = open_page("train", run=filled_store.FIT.key)
    box = find_box(at, "Run")
    without_exception(box.set_value(filled_store.OTHER.key).run())
    assert dict(at.query_params) in ({"run": filled_store.OTHER.key}, {"run": [filled_store.OTHER.key]})
    at = open_page("predict", fit=filled_store.BASELINE.key)
    assert dict(at.query_params) in ({"fit": filled_store.BASELINE.key}, {"fit": [filled_store.BASELINE.key]})


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_the_box_follows_the_address(open_page, cache):
    """As after the browser's Back: the box had another choice."""
    at = open_page("train", run=filled_store.FIT.key)
    without_exception(find_box(at, "Run").set_value(filled_store.OTHER.key).run())
    at.query_params["run"] = filled_store.FIT.key
    without_exception(at.run())
    assert find_box(at, "Run").value == filled_store.FIT.key


@pytest.mark.parametrize("cache", ["empty", "done"], indirect=True)
@pytest.mark.parametrize(
    ("page", "name"),
    [
        *(
            (page, "run")
            for page in ("train", "influence", "methods", "compare", "predict", "multitask", "data", "runs")
        ),
        ("sample", "run"),
        ("influence", "fit"),
        ("predict", "fit"),
        ("compare", "fits"),
    ],
)
def test_a_link_to_a_deleted_run_says_so(open_page, cache, page, name, request):
    if request.node.callspec.params["cache"] == "empty" and name == "fit":
        pytest.skip("the form says that there is no model at all")
    text = page_text(open_page(page, **{name: DEAD}))
    assert f"{DEAD} was deleted, or was never in this library" in text


@pytest.mark.parametrize("cache", ["done"], indirect=True)
def test_a_link_to_a_run_of_another_page_leads_there(open_page, cache):
    assert "is shown on another page" in page_text(open_page("methods", run=filled_store.FIT.key))


def test_typed_molecules_survive_a_visit_of_another_page(open_page, copied):
    at = open_page("predict")
    without_exception(at.text_area(key="pasted").set_value("CCO ethanol").run())
    without_exception(at.switch_page("pages/views/train.py").run())
    without_exception(at.switch_page("pages/views/predict.py").run())
    assert at.text_area(key="pasted").value == "CCO ethanol"


def test_the_font_weights_of_the_theme_are_those_that_the_browser_accepts():
    text = (Path(ROOT) / ".streamlit" / "config.toml").read_text()
    weights = [
        int(number) for line in re.findall(r"^\w*FontWeights? = .*$", text, re.M) for number in re.findall(r"\d+", line)
    ]
    assert weights and all(100 <= weight <= 900 and weight % 50 == 0 for weight in weights)

"""The parts that pages are made of, without a page."""

import dataclasses
import io
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest

from core.engine.store import Store
from core.experiments import Adapt, FineTune, SelectionStudy
from core.stats.formatting import number
from pages.base import text as words
from pages.forms import spec_form
from pages.results import side_by_side
from pages.widgets import frame, store_table
from pages.widgets.job_panel import live_curve
from tests.pages import stage


@pytest.mark.parametrize(
    ("value", "noise", "shown"),
    [
        (0.82345, None, "0.823"),
        (0.82345, 0.031, "0.823"),
        (0.82345, 0.31, "0.82"),
        (-1234.5, None, "−1,234"),
        (0.0, None, "0.0"),
        (None, None, "–"),
        (float("nan"), 0.1, "–"),
        (3e-7, None, "3.00e−07"),
        (5.0, 0.0, "5.00"),
    ],
)
def test_numbers_have_the_places_they_deserve(value, noise, shown):
    assert number(value, noise) == shown


def test_durations_sizes_and_times():
    assert [words.duration(s) for s in (None, 0, 3.2, 59, 125, 4800)] == [
        "–",
        "0 s",
        "3.2 s",
        "59 s",
        "2 min 05 s",
        "1 h 20 min",
    ]
    assert [words.size(b) for b in (12, 15_900, 812_000_000)] == ["12 B", "15.9 kB", "812.0 MB"]
    assert [words.ago(0, now) for now in (3, 61, 7300, 86400 * 3)] == [
        "just now",
        "1 minute ago",
        "2 hours ago",
        "3 days ago",
    ]


def test_markdown_shows_smiles_as_they_are():
    assert words.plain("C[C@@H](N)C*") == r"C\[C@@H\]\(N\)C\*"
    assert words.plain("a\n# b") == r"a \# b"


def test_a_loss_is_called_by_what_it_is_of():
    assert words.loss_of(["binary", "binary"]) == "cross-entropy (nats)"
    assert words.loss_of(["regression"]) == "squared error (scaled labels)"
    assert words.loss_of(["binary", "regression"]) == "loss"


def test_exported_text_starts_no_formula_and_numbers_stay():
    table = pd.DataFrame({"=x": ["=1+1", "-", "@a", "+cmd", "C=C", "\t=1"], "value": [-1.5, 0, 1, 2, 3, 4]})
    rows = frame.as_csv(table, "made by hand").decode().splitlines()
    assert rows[0] == "# made by hand" and rows[1] == "'=x,value"
    assert [row.rsplit(",", 1)[0].strip('"') for row in rows[2:]] == ["'=1+1", "-", "'@a", "'+cmd", "C=C", "'\t=1"]
    assert rows[2].endswith(",-1.5")


def test_the_live_curve_is_of_the_part_that_trains_now():
    told = [
        {"title": title, "epoch": epoch, "train_loss": 1.0 / epoch, "valid_loss": 1.0}
        for title in "ab"
        for epoch in (1.0, 2.0, 3.0)
    ]
    points = [{"numbers": numbers} for numbers in [*told[:-1], {"title": "b", "epoch": 2.5}, {"title": "b"}]]
    curve = live_curve(points)
    assert curve["epoch"].tolist() == [1.0, 2.0]
    assert live_curve([]).empty and live_curve([{"numbers": {"epoch": 1.0}}]).empty


def test_only_settings_that_differ_are_listed():
    table = side_by_side.settings_that_differ(
        {"a": spec_form.settings_of(stage.FIT), "b": spec_form.settings_of(stage.OTHER)}
    )
    assert set(table.index) == {"method", "learning rate"}
    assert table.loc["method"].tolist() == ["full", "head"]
    assert table.loc["learning rate"].tolist() == ["automatic", "0.001"]


def test_settings_of_a_part_that_only_one_run_has_are_left_out():
    adapted = dataclasses.replace(stage.FIT, backbone=Adapt(stage.TABLE))
    settings = [{"recipe": spec.kind} | spec_form.settings_of(spec) for spec in (stage.BASELINE, adapted)]
    table = side_by_side.settings_that_differ(dict(zip("ab", settings, strict=True)))
    assert table.loc["recipe"].tolist() == ["baseline", "finetune"] and table.loc["backbone"].tolist() == ["–", "adapt"]
    assert "learner" in table.index and not any(name.startswith("backbone.") for name in table.index)


def test_differences_are_against_the_first(full):
    store = Store(full)
    fits = {"a": store.get(stage.FIT), "b": store.get(stage.OTHER)}
    reference, other = side_by_side.differences(fits, "logS", "regression")
    assert reference == "reference"
    a, b = (fit.metrics["test"]["logS"]["rmse"] for fit in fits.values())
    assert other.split(" ")[0] == words.signed(b - a, abs(float(words_to(other)[1]) - float(words_to(other)[0])) / 4)


def words_to(text: str) -> list[str]:
    return text.replace("−", "-").split("(")[1].rstrip(")").split(" to ")


def test_a_bundle_holds_every_file(full):
    entry = Store(full).find(stage.FIT.key)
    with zipfile.ZipFile(io.BytesIO(store_table.zipped(entry))) as archive:
        names = archive.namelist()
    assert f"{stage.FIT.key}/spec.json" in names and f"{stage.FIT.key}/predictor/note.json" in names


def test_parts_of_a_study_are_found_at_any_depth():
    keys = {spec.key for spec in stage.STUDY.each_part()}
    assert stage.STUDY.fit.key in keys and stage.STUDY.scores().key in keys
    assert isinstance(stage.STUDY, SelectionStudy) and isinstance(stage.FIT, FineTune)


def test_pages_load_no_torch():
    code = (
        "import sys, pkgutil, importlib, pages\n"
        "for one in pkgutil.walk_packages(pages.__path__, 'pages.'):\n"
        "    if not one.name.startswith('pages.views.'): importlib.import_module(one.name)\n"
        "sys.exit(int('torch' in sys.modules or 'transformers' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_steps_follow_the_size_of_a_value():
    assert np.isclose(spec_form._step(3e-4), 1e-5) and spec_form._step(None) == 0.01

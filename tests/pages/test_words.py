"""Words and names on pages: minus signs, capitals, units, what tells one run from another."""

from types import SimpleNamespace

import pandas as pd
import pytest

from core.experiments import FineTune, Join, Load
from pages.base import text
from pages.forms import spec_form
from pages.results import side_by_side
from pages.widgets import molecules, run_picker


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("(-0.041, 95 % interval -0.069 to -0.012)", "(−0.041, 95 % interval −0.069 to −0.012)"),
        ("molformer-10pct, seeds 3-5, 1e-4", "molformer-10pct, seeds 3-5, 1e-4"),
    ],
)
def test_negative_numbers_have_a_minus_sign_and_hyphens_stay(written, shown):
    assert text.minus(written) == shown


def test_a_headline_keeps_its_capitals():
    assert text.headline("influence by CG") == "Influence by CG"
    assert text.headline("") == ""


def test_a_device_has_the_name_a_user_knows_and_several_are_named_once():
    assert text.device_name(None) == text.device_name("x86_64") == "CPU"
    assert text.device_name("NVIDIA H100 and aarch64 and x86_64") == "NVIDIA H100 and CPU"


def test_units_are_said_for_the_numbers_that_are_there():
    table = pd.DataFrame({"label": [1.0], "delta_loss": [0.1]})
    assert molecules.units(table, "mg/L", "(mg/L)²") == "ΔL in (mg/L)²; label in mg/L"
    assert molecules.units(table, "", "") == ""


def test_a_fit_made_for_an_arm_says_so_first():
    arms = [{"name": "none", "fits": ["base", "other"]}, {"name": "top", "fits": ["third"]}]
    entries = [SimpleNamespace(summary={"arms": arms, "base_fit": "base"}), SimpleNamespace(summary={"seed": 1})]
    assert run_picker.arms_of(entries) == {"other": "none", "third": "top"}
    run = run_picker.Run("third", "finetune", "full fine-tuning", 0.0, SimpleNamespace(summary={"seed": 1}), arm="top")
    assert run.name == "Arm “top”, seed 1: full fine-tuning"
    assert run_picker.Run("base", "finetune", "full fine-tuning", 0.0).name == "Full fine-tuning"


def test_parts_of_different_kinds_differ_in_one_line():
    one, other = Load("bundled:solubility"), Load("bundled:solubility", limit=9)
    fits = {"a": FineTune(one, other, other), "b": FineTune(Join((one, other)), other, other)}
    table = side_by_side.settings_that_differ({name: spec_form.settings_of(fit) for name, fit in fits.items()})
    assert table.loc["train"].tolist() == ["load", "join"]
    assert not [name for name in table.index if name.startswith("train.")]


def test_a_list_tells_how_sure_a_fit_is():
    card = {"tasks": ["logS", "b"], "unit": ["logM", ""], "metrics": {"test": {"logS": {"rmse": 0.61234}}}}
    assert text.key_metric("finetune", card) == "test RMSE 0.612 logM (+1 tasks)"
    card["intervals"] = {"logS": {"rmse": [0.5, 0.7]}}
    assert text.key_metric("finetune", card) == "test RMSE 0.612 (0.500 to 0.700) logM (+1 tasks)"


def test_a_list_tells_what_a_trunk_and_a_study_of_a_mixture_reached():
    cards = [{"means": {"test": {"mae_sd": 0.341}}}, {"means": {"test": {"auroc": 0.8316}}}]
    assert text.key_metric("multitask", {"members": cards}) == "test MAE 0.341 sd, AUROC 0.832"
    cards[1]["means_intervals"] = {"auroc": [0.79, 0.87]}
    assert text.key_metric("multitask", {"members": cards[1:]}) == "test AUROC 0.832 (0.790 to 0.870)"
    assert text.key_metric("mixture-study", {"members": cards, "means": []}) == "2 tables"
    assert text.key_metric("mean-influence", {"members": ["a", "b"], "helpful": 3, "harmful": 4}) == "3 help, 4 harm"

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

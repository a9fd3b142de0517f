"""Numbers, times, units and names as the pages write them."""

import pytest

from core.stats.formatting import number
from pages.base import text


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
    assert [text.duration(s) for s in (None, 0, 3.2, 59, 125, 4800)] == [
        "–",
        "0 s",
        "3.2 s",
        "59 s",
        "2 min 05 s",
        "1 h 20 min",
    ]
    assert [text.size(b) for b in (12, 15_900, 812_000_000)] == ["12 B", "15.9 kB", "812.0 MB"]
    assert [text.ago(0, now) for now in (3, 61, 7300, 86400 * 3)] == [
        "just now",
        "1 minute ago",
        "2 hours ago",
        "3 days ago",
    ]


def test_markdown_shows_smiles_as_they_are():
    assert text.plain("C[C@@H](N)C*") == r"C\[C@@H\]\(N\)C\*"
    assert text.plain("a\n# b") == r"a \# b"


def test_a_loss_is_called_by_what_it_is_of():
    assert text.loss_of(["binary", "binary"]) == "cross-entropy (nats)"
    assert text.loss_of(["regression"]) == "squared error (scaled labels)"
    assert text.loss_of(["binary", "regression"]) == "loss"


@pytest.mark.parametrize(
    "summary", [{}, {"metrics": {}}, {"arms": []}, {"helpful": None}, {"tasks": 3, "metrics": None}]
)
def test_an_odd_summary_has_no_key_figure_and_raises_nothing(summary):
    assert text.key_metric("finetune", summary) == ""


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

"""Training labels that look wrong: planted ones are found, better than by the residual of a model that has seen them."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, read_spec_json
from core.experiments import FineTune, LabelErrors, Load, split_table
from core.influence.solvers import CG, Dual
from core.models import backbones
from core.models.baseline_model import predict_out_of_fold
from core.models.baselines import RandomForest
from core.results.label_errors import LabelErrorTable, add_second_opinions, evaluate_detection, root_mean_square
from tests.experiments.influence.test_influence import fitted, tables
from tests.small_models import load_letters

TRAIN, VALID, TEST = split_table(Load("bundled:solubility"), valid=0.2, test=0.1)
RECIPE = LabelErrors.of(FineTune(TRAIN, VALID, TEST))


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[dict[str, Any], Any]:
    """A fit whose training part has six labels far off."""
    monkeypatch.setattr(backbones, "load_backbone", load_letters)
    made = tables()
    train = made["train"]
    wrong = np.isin(np.arange(40), (3, 9, 14, 20, 31, 38))
    labels = train.targets + 60 * wrong[:, None]
    made["train"] = dataclasses.replace(train, targets=labels, columns={"mislabelled": wrong})
    return made, fitted(made, tmp_path)


def test_planted_labels_are_found(planted: Any, tmp_path: Path) -> None:
    made, fit = planted
    told = []
    report = Report(tell=lambda fraction, message, numbers: told.append(fraction))
    suspicion = RECIPE.make(report, fit, made["train"], made["valid"])
    table, detection = suspicion.table, suspicion.record["detection"]
    ways = {"leave_one_out", "residual", "removal", "opinion", "suspicion"}
    assert set(detection) == ways and suspicion.record["opinion"] == "support vectors" and 0.99 < max(told) <= 1
    assert detection["leave_one_out"]["auroc"] > max(0.8, detection["residual"]["auroc"] + 0.05)
    left, aims = table["leave_one_out"], fit.matrices("valid")
    assert float((left**2).mean()) == pytest.approx(float(((aims[0] - aims[1]) ** 2).mean()), rel=1e-2)
    assert suspicion.record["matched_damping"] < suspicion.record["damping"]
    assert detection["suspicion"]["auroc"] > max(0.8, detection["residual"]["auroc"] + 0.05)
    furthest = table["suspicion"].sort_values(ascending=False).index[:6]
    assert table.loc[furthest, "mislabelled"].sum() >= 3
    assert (table["leave_one_out"].abs() >= table["residual"].abs() - 1e-9).all()
    assert (table["leverage"] > 0).all() and (table["leverage"] < 1).all()
    suspicion.save(tmp_path)
    again = LabelErrorTable.load(tmp_path)
    assert again.table.equals(table) and again.record == suspicion.record
    assert read_spec_json(RECIPE.text).key == RECIPE.key and RECIPE.fit.train == RECIPE.train


def test_what_cannot_be_told_is_refused(planted: Any) -> None:
    made, fit = planted
    with pytest.raises(BadInput, match="cg tells no leverages; take auto or dual"):
        dataclasses.replace(RECIPE, solver=CG())
    with pytest.raises(BadInput, match=r"has 40 measured cells.*raise `most` of the solver \(it is 39\)"):
        dataclasses.replace(RECIPE, solver=Dual(most=39)).make(Report(), fit, made["train"], made["valid"])
    with pytest.raises(BadInput, match="not the training part of the fit"):
        RECIPE.make(Report(), fit, made["test"], made["valid"])


def test_a_second_opinion_has_not_seen_the_label() -> None:
    """A line is learned from the other folds: a label far off it changes the opinions on others, not on itself."""
    smiles = ["C" * n for n in range(2, 32)]
    line = Dataset(smiles, np.arange(2.0, 32)[:, None], ("length",))
    wrong = line.targets.copy()
    wrong[7] = 400.0
    plain = predict_out_of_fold(RandomForest(trees=20), line, 5, 0)
    moved = predict_out_of_fold(RandomForest(trees=20), dataclasses.replace(line, targets=wrong), 5, 0)
    assert plain.shape == (30, 1) and np.abs(plain - line.targets).mean() < 4
    assert moved[7] == plain[7] and not np.array_equal(moved, plain)
    flags = Dataset(smiles, np.array([[np.nan] * 29 + [1.0]]).T, ("rare",))
    assert np.isnan(predict_out_of_fold(RandomForest(trees=20), flags, 5, 0)).all(), "nothing to learn from"


def test_suspicion_is_that_of_both_and_of_one_where_the_other_is_silent() -> None:
    import pandas as pd

    table = pd.DataFrame({"label": [0.0, 0.0, 0.0, 0.0], "leave_one_out": [1.0, -1.0, 4.0, -4.0]})
    add_second_opinions(table, np.array([[4.0], [-1.0], [1.0], [np.nan]]), ["y"])
    first, second = root_mean_square(table, "leave_one_out"), root_mean_square(table, "apart")
    assert table["suspicion"][:3].tolist() == pytest.approx(((first + second) / 2)[:3])
    assert table["suspicion"][3] == pytest.approx(first[3]) and table["opinion"].iloc[0] == 4.0


def test_several_tasks_count_each_in_its_own_spread() -> None:
    import pandas as pd

    table = pd.DataFrame({"leave_one_out:a": [1.0, -1.0, np.nan], "leave_one_out:b": [10.0, np.nan, -10.0]})
    assert root_mean_square(table, "leave_one_out") == pytest.approx([1, 1, 1])
    assert evaluate_detection(table) == {}

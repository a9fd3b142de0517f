"""Label errors are found better by leave-one-out residuals than by plain residuals."""

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
from tests.experiments.influence.stand_in import make_tables, train_stand_in
from tests.small_models import load_letters

TRAIN, VALID, TEST = split_table(Load("bundled:solubility"), valid=0.2, test=0.1)
SPEC = LabelErrors.of(FineTune(TRAIN, VALID, TEST))


@pytest.fixture
def mislabelled_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[dict[str, Any], Any]:
    """The parts, and a fit whose training set has six wrong labels."""
    monkeypatch.setattr(backbones, "load_backbone", load_letters)
    parts = make_tables()
    train = parts["train"]
    wrong = np.isin(np.arange(40), (3, 9, 14, 20, 31, 38))
    labels = train.targets + 60 * wrong[:, None]
    parts["train"] = dataclasses.replace(train, targets=labels, columns={"mislabelled": wrong})
    return parts, train_stand_in(parts, tmp_path)


def test_wrong_labels_are_ranked_first(mislabelled_fit: Any, tmp_path: Path) -> None:
    parts, fit = mislabelled_fit
    fractions = []
    report = Report(tell=lambda fraction, message, numbers: fractions.append(fraction))
    result = SPEC.make(report, fit, parts["train"], parts["valid"])
    table, detection = result.table, result.record["detection"]
    ways = {"leave_one_out", "residual", "removal", "opinion", "suspicion"}
    assert set(detection) == ways and result.record["opinion"] == "support vectors" and 0.99 < max(fractions) <= 1
    assert detection["leave_one_out"]["auroc"] > max(0.8, detection["residual"]["auroc"] + 0.05)
    left, aims = table["leave_one_out"], fit.matrices("valid")
    assert float((left**2).mean()) == pytest.approx(float(((aims[0] - aims[1]) ** 2).mean()), rel=1e-2)
    assert result.record["matched_damping"] < result.record["damping"]
    assert detection["suspicion"]["auroc"] > max(0.8, detection["residual"]["auroc"] + 0.05)
    furthest = table["suspicion"].sort_values(ascending=False).index[:6]
    assert table.loc[furthest, "mislabelled"].sum() >= 3
    assert (table["leave_one_out"].abs() >= table["residual"].abs() - 1e-9).all()
    assert (table["leverage"] > 0).all() and (table["leverage"] < 1).all()
    result.save(tmp_path)
    again = LabelErrorTable.load(tmp_path)
    assert again.table.equals(table) and again.record == result.record
    assert read_spec_json(SPEC.text).key == SPEC.key and SPEC.fit.train == SPEC.train


def test_bad_settings_are_refused(mislabelled_fit: Any) -> None:
    parts, fit = mislabelled_fit
    with pytest.raises(BadInput, match="cg gives no leverages; use auto or dual"):
        dataclasses.replace(SPEC, solver=CG())
    with pytest.raises(BadInput, match=r"has 40 measured values.*raise `most` of the solver \(it is 39\)"):
        dataclasses.replace(SPEC, solver=Dual(most=39)).make(Report(), fit, parts["train"], parts["valid"])
    with pytest.raises(BadInput, match="not the training set of the fit"):
        SPEC.make(Report(), fit, parts["test"], parts["valid"])


def test_second_opinion_is_out_of_fold() -> None:
    """A wrong label changes the predictions of other molecules, not its own."""
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


def test_suspicion_is_the_mean_of_both_or_the_only_one() -> None:
    import pandas as pd

    table = pd.DataFrame({"label": [0.0, 0.0, 0.0, 0.0], "leave_one_out": [1.0, -1.0, 4.0, -4.0]})
    add_second_opinions(table, np.array([[4.0], [-1.0], [1.0], [np.nan]]), ["y"])
    first, second = root_mean_square(table, "leave_one_out"), root_mean_square(table, "apart")
    assert table["suspicion"][:3].tolist() == pytest.approx(((first + second) / 2)[:3])
    assert table["suspicion"][3] == pytest.approx(first[3]) and table["opinion"].iloc[0] == 4.0


def test_tasks_are_scaled_by_their_spread() -> None:
    import pandas as pd

    table = pd.DataFrame({"leave_one_out:a": [1.0, -1.0, np.nan], "leave_one_out:b": [10.0, np.nan, -10.0]})
    assert root_mean_square(table, "leave_one_out") == pytest.approx([1, 1, 1])
    assert evaluate_detection(table) == {}

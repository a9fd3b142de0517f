"""Saving and loading baselines: training data are saved, models are refitted and checked."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.data.dataset import Dataset
from core.engine.spec import BadInput
from core.models import baseline_model
from core.models.baseline_model import BASELINE_FILE, BaselineModel
from core.models.baselines import BASELINES, GradientBoosting, RandomForest, SupportVectors

SMILES = ["C" * n + end for n in range(1, 17) for end in ("", "O", "N", "=O")]
SIZE = np.array([smiles.count("C") - 2.0 * smiles.count("O") for smiles in SMILES])
SMALL = (SupportVectors(), GradientBoosting(trees=5), RandomForest(trees=5))


def table(**tasks: np.ndarray) -> Dataset:
    return Dataset(smiles=SMILES, targets=np.stack(list(tasks.values()), 1).astype(float), tasks=tuple(tasks))


@pytest.mark.parametrize("columns", ["descriptors", "fingerprints", "both"])
@pytest.mark.parametrize("baseline", SMALL, ids=lambda baseline: baseline.kind)
def test_a_loaded_baseline_repeats_its_predictions(baseline: Any, columns: str, tmp_path: Path) -> None:
    baseline = BASELINES.read(
        {"kind": baseline.kind, "features": columns} | ({} if baseline.kind == "support-vectors" else {"trees": 5})
    )
    model = BaselineModel.fit(baseline, table(size=SIZE, acid=(SIZE < 2).astype(float)), seed=2)
    model.save(tmp_path / "predictor", SMILES)
    assert sorted(path.name for path in (tmp_path / "predictor").iterdir()) == [BASELINE_FILE, "training.safetensors"]
    again = BaselineModel.load(tmp_path / "predictor")
    others = ["CCS", "c1ccccc1O", "CCCl"]
    np.testing.assert_allclose(again.predict(others), model.predict(others), atol=1e-9)
    assert (again.tasks, again.kinds, again.seed, again.baseline) == (
        ("size", "acid"),
        ("regression", "binary"),
        2,
        baseline,
    )
    assert (
        model.predict(others).shape == (3, 2)
        and ((model.predict(others)[:, 1] >= 0) & (model.predict(others)[:, 1] <= 1)).all()
    )


def test_each_task_uses_its_labelled_molecules() -> None:
    gaps = SIZE.copy()
    gaps[::2] = np.nan
    baseline = SupportVectors(features="fingerprints")
    both = BaselineModel.fit(baseline, table(size=SIZE, half=gaps), 0).predict(["CCS"])[0]
    half = BaselineModel.fit(baseline, table(half=gaps).take(np.arange(1, len(SIZE), 2)), 0).predict(["CCS"])[0]
    assert both[1] == pytest.approx(half[0], abs=1e-9) and both[0] != pytest.approx(both[1], abs=1e-3)


def test_a_single_class_is_refused() -> None:
    labels = np.where(np.arange(len(SIZE)) < 40, 1.0, np.nan)
    with pytest.raises(BadInput, match="every training label of 'acid' is 1; a classifier needs both 0 and 1"):
        BaselineModel.fit_rows(SupportVectors(), 0, ("acid",), ("binary",), None, np.eye(len(SIZE)), labels[:, None])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder = tmp_path / "predictor"
    BaselineModel.fit(RandomForest(features="fingerprints", trees=5), table(size=SIZE), 0).save(folder, SMILES)
    return folder


def test_different_models_after_refitting_are_refused(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = json.loads((saved / BASELINE_FILE).read_text())
    about["predicted"][3][0] += 0.5
    about["versions"]["scikit-learn"] = "0.1"
    (saved / BASELINE_FILE).write_text(json.dumps(about))
    with pytest.raises(BadInput) as caught:
        BaselineModel.load(saved)
    assert "after refitting, random-forest predicts" in str(caught.value) and "scikit-learn 0.1" in str(caught.value)
    assert about["probe"][3] in str(caught.value) and "make it again" in str(caught.value)
    monkeypatch.setattr(baseline_model, "PROBE_TOLERANCE", 10.0)
    assert BaselineModel.load(saved).tasks == ("size",)


@pytest.mark.parametrize("name", [BASELINE_FILE, "training.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]"])
def test_unreadable_files_are_refused(saved: Path, name: str, content: bytes | None) -> None:
    (saved / name).unlink()
    if content is not None:
        (saved / name).write_bytes(content)
    with pytest.raises(BadInput, match=r"holds no readable baseline .*delete the run and make it again"):
        BaselineModel.load(saved)


def test_is_saved_in(saved: Path, tmp_path: Path) -> None:
    assert BaselineModel.is_saved_in(saved) and not BaselineModel.is_saved_in(tmp_path)

"""Molecular features: columns and scaling."""

import numpy as np
import pytest

from core.chem import descriptors as properties
from core.chem.features import Features
from core.engine.report import Cancelled, Report
from core.engine.spec import BadInput

TRAIN = ["CCO", "CCCO", "CCCCO", "c1ccccc1O", "CCN", "CCCN"]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("descriptors", "{} descriptors"),
        ("fingerprints", "2,048 fingerprint bits"),
        ("both", "{} descriptors and 2,048 fingerprint bits"),
    ],
)
def test_rows_match_their_description(columns: str, words: str) -> None:
    features, rows = Features.fit_rows(columns, TRAIN)
    counted = features.descriptors
    assert (counted > 0) == (columns != "fingerprints")
    assert features.words == words.format(counted)
    assert rows.dtype == np.float32 and rows.shape == (6, counted + (2048 if columns != "descriptors" else 0))
    np.testing.assert_array_equal(rows, features(TRAIN))
    again = Features.from_json(features.to_json())
    np.testing.assert_array_equal(again(["CCS"]), features(["CCS"]))


def test_counts_and_quick_descriptors() -> None:
    bits, counts = (Features.fit_rows("fingerprints", TRAIN, counted=counted)[1] for counted in (False, True))
    assert ((bits > 0) == (counts > 0)).all() and set(np.unique(bits)) == {0.0, 1.0}
    chain = dict(zip(TRAIN, counts, strict=True))["CCCCO"]
    assert np.expm1(chain).max() == pytest.approx(3), "three carbons with two hydrogens"
    features, rows = Features.fit_rows("both", TRAIN, quick=True, counted=True)
    assert features.descriptors < Features.fit_rows("both", TRAIN)[0].descriptors
    assert features.words.endswith("2,048 fingerprint counts")
    again = Features.from_json(features.to_json())
    np.testing.assert_array_equal(again(TRAIN), rows)


def test_scaling_uses_training_molecules_only() -> None:
    features, rows = Features.fit_rows("descriptors", TRAIN)
    assert np.abs(rows.mean(0)).max() < 0.5, "centred on the training molecules"
    far = features(["C" * 60])
    assert np.abs(far).max() == pytest.approx(properties.CLIP_SPREADS) and np.isfinite(far).all()
    other, _ = Features.fit_rows("descriptors", [*TRAIN, "C" * 60])
    assert not np.array_equal(other(["CCO"])[:, :5], features(["CCO"])[:, :5])


def test_undefined_values_are_at_the_centre(monkeypatch: pytest.MonkeyPatch) -> None:
    features, _ = Features.fit_rows("descriptors", TRAIN)
    monkeypatch.setattr(
        properties,
        "compute_descriptors",
        lambda smiles, quick=False: np.full((len(smiles), len(properties.descriptor_names())), np.nan, np.float32),
    )
    assert (features(["CCO"]) == 0).all()


def test_equal_molecules_are_refused() -> None:
    with pytest.raises(BadInput, match="no descriptor varies"):
        Features.fit_rows("descriptors", ["CCO", "OCC"])


def test_computing_descriptors_can_be_cancelled() -> None:
    looks = iter(range(10))
    with pytest.raises(Cancelled):
        Features.fit_rows("descriptors", ["CCO", "CCN"] * 200, Report(cancelled=lambda: next(looks) == 1))

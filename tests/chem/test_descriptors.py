"""Descriptors: names, gaps and scaling."""

import json

import numpy as np
import pytest
from rdkit import Chem
from rdkit.Chem import Descriptors

from core.chem import descriptors
from core.chem.descriptors import CLIP_SPREADS, Scaling
from core.engine.spec import BadInput

SMILES = ["CCO", "c1ccccc1O", "CC(=O)Nc1ccc(O)cc1", "C[C@H](N)C(=O)O"]


def test_quick_list_lacks_only_the_slow_ones() -> None:
    every, quick = descriptors.descriptor_names(), descriptors.descriptor_names(quick=True)
    assert list(every) == [name for name, _ in Descriptors.descList] and len(every) > 200
    assert [name for name in every if name in quick] == list(quick), "in RDKit's order"
    assert {name.split("_")[0] for name in set(every) - set(quick)} == {"qed", "SPS", "Ipc", "BCUT2D"}


@pytest.mark.parametrize("quick", [False, True])
def test_columns_equal_rdkit_descriptors(quick: bool) -> None:
    values, functions = descriptors.compute_descriptors(SMILES, quick), dict(Descriptors.descList)
    assert values.dtype == np.float32 and values.shape == (4, len(descriptors.descriptor_names(quick)))
    for column, name in enumerate(descriptors.descriptor_names(quick)):
        wanted = [functions[name](Chem.MolFromSmiles(smiles)) for smiles in SMILES]
        np.testing.assert_allclose(values[:, column], np.float32(wanted), rtol=1e-6, err_msg=name)


def test_undefined_and_infinite_values_are_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    ion = dict(zip(descriptors.descriptor_names(), descriptors.compute_descriptors(["[Na+]"])[0], strict=True))
    assert np.isnan(ion["MaxPartialCharge"]) or np.isfinite(ion["MaxPartialCharge"])

    def fails(molecule: Chem.Mol) -> float:
        raise ZeroDivisionError

    odd = [lambda molecule: float("inf"), fails, lambda molecule: 1e300, lambda molecule: 2.5]
    monkeypatch.setattr(descriptors, "_functions", lambda quick: odd)
    row = descriptors.descriptor_row(Chem.MolFromSmiles("CCO"))
    assert np.isnan(row[:3]).all() and row[3] == 2.5


def test_empty_list_and_invalid_smiles() -> None:
    assert descriptors.compute_descriptors([], quick=True).shape == (0, len(descriptors.descriptor_names(quick=True)))
    with pytest.raises(BadInput, match="no molecule"):
        descriptors.compute_descriptors(["CCO", "C1CC"])


@pytest.fixture
def values() -> np.ndarray:
    """Normal numbers with one far outlier and a gap; a constant; an empty column; a rare group."""
    generator = np.random.default_rng(0)
    table = np.stack([generator.normal(5, 2, 1000), np.full(1000, 7.0), np.full(1000, np.nan), np.zeros(1000)], 1)
    table[0, 0], table[1, 0], table[:2, 3] = 1e6, np.nan, 1.0
    return table


NAMES = ("spread", "constant", "unknown", "seldom")


def test_columns_are_centred_despite_an_outlier(values: np.ndarray) -> None:
    scaling = Scaling.of(values, NAMES)
    assert scaling.names == ("spread", "seldom"), "constant and empty columns are left out"
    inner = np.sort(values[2:, 0])
    assert abs(scaling.centre[0] - 5) < 0.2 and abs(scaling.spread[0] - inner.std()) < 0.1, "winsorised"
    scaled = scaling(values, NAMES)
    assert scaled.dtype == np.float32 and scaled.shape == (1000, 2)
    assert scaled[0, 0] == CLIP_SPREADS and np.isnan(scaled[1, 0]), "clipped; a gap stays"
    assert abs(np.nanmean(scaled[:, 0])) < 0.05 and abs(np.nanstd(scaled[2:, 0]) - 1) < 0.1
    np.testing.assert_allclose(scaled[2:, 0], (values[2:, 0] - scaling.centre[0]) / scaling.spread[0], rtol=1e-5)


def test_rare_group_is_scaled_by_all_values(values: np.ndarray) -> None:
    scaling = Scaling.of(values, NAMES)
    assert (scaling.centre[1], scaling.spread[1]) == pytest.approx((values[:, 3].mean(), values[:, 3].std()))


def test_columns_are_matched_by_name(values: np.ndarray) -> None:
    scaling = Scaling.of(values, NAMES)
    other = ("seldom", "more", "spread")
    np.testing.assert_array_equal(scaling(values[:, [3, 1, 0]], other), scaling(values, NAMES))


def test_scaling_json_round_trip(values: np.ndarray) -> None:
    scaling = Scaling.of(values, NAMES)
    again = Scaling.from_json(json.loads(json.dumps(scaling.to_json())))
    assert again.names == scaling.names
    np.testing.assert_array_equal(again(values, NAMES), scaling(values, NAMES))


def test_constant_columns_are_refused() -> None:
    with pytest.raises(BadInput, match="no descriptor varies"):
        Scaling.of(np.array([[1.0, np.nan], [1.0, np.nan]]), ("a", "b"))

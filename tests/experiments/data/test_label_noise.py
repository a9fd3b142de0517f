import numpy as np
import pytest

from core.data.dataset import Dataset
from core.engine.report import SILENT_REPORT
from core.engine.spec import BadInput
from core.experiments.data.label_noise import LabelNoise
from core.experiments.data.load import Load

SMILES = ["C" * n for n in range(1, 101)]


def add_noise(labels, fraction=0.2, seed=0, tasks=("y",)):
    table = Dataset(SMILES[: len(labels)], labels, tasks)
    return table, LabelNoise(Load(), fraction=fraction, seed=seed).make(SILENT_REPORT, table=table)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("fraction", [0.02, 0.2, 1.0])
def test_requested_share_is_mislabelled_and_true_labels_are_stored(seed, fraction):
    table, noisy = add_noise(np.random.default_rng(seed).normal(size=100), fraction, seed)
    wrong = noisy.targets[:, 0] != table.targets[:, 0]
    assert wrong.sum() == round(100 * fraction)
    assert (noisy.columns["mislabelled"] == wrong).all()
    np.testing.assert_array_equal(noisy.columns["measured:y"], table.targets[:, 0])
    assert sorted(noisy.targets[:, 0]) == sorted(table.targets[:, 0])  # a permutation
    assert list(noisy.smiles) == list(table.smiles) and noisy.provenance["mislabelled"]["rows"] == wrong.sum()


def test_unchanged_labels_are_not_marked():
    for seed in range(20):
        table, noisy = add_noise(np.repeat([1.0, 2.0], 50), 1.0, seed)
        assert (noisy.targets[:, 0] == 3 - table.targets[:, 0]).all() and noisy.columns["mislabelled"].all()


def test_imbalanced_classes_are_mislabelled():
    labels = (np.arange(100) < 5).astype(float)
    for seed in range(10):
        table, noisy = add_noise(labels, 0.3, seed)
        assert noisy.columns["mislabelled"].sum() == (noisy.targets != table.targets).sum() == 30
        assert set(np.unique(noisy.targets)) <= {0, 1} and noisy.kinds == ("binary",)


def test_seed_determines_the_noise():
    labels = np.arange(100.0)
    assert (
        add_noise(labels, seed=1)[1].digest
        == add_noise(labels, seed=1)[1].digest
        != add_noise(labels, seed=2)[1].digest
    )


def test_several_tasks_with_missing_labels():
    random = np.random.default_rng(0)
    labels = random.normal(size=(100, 3))
    labels[random.random((100, 3)) < 0.4] = np.nan
    labels[:10] = np.nan
    table, noisy = add_noise(labels, 0.5, tasks=("a", "b", "c"))
    assert (np.isnan(noisy.targets) == np.isnan(table.targets)).all()
    wrong = (noisy.targets != table.targets) & ~np.isnan(table.targets)
    assert (noisy.columns["mislabelled"] == wrong.any(axis=1)).all() and wrong.any(axis=1).sum() == round(
        0.5 * (~np.isnan(labels)).any(1).sum()
    )
    assert not noisy.columns["mislabelled"][:10].any()
    for column, task in enumerate("abc"):
        np.testing.assert_array_equal(noisy.columns[f"measured:{task}"], table.targets[:, column])


def test_repeated_noise_keeps_the_true_labels():
    table, once = add_noise(np.arange(100.0))
    twice = LabelNoise(Load(), fraction=0.2, seed=1).make(SILENT_REPORT, table=once)
    np.testing.assert_array_equal(twice.columns["measured:y"], table.targets[:, 0])
    assert (twice.columns["mislabelled"] == (twice.targets[:, 0] != table.targets[:, 0])).all()


def test_impossible_noise_is_refused():
    with pytest.raises(BadInput, match=r"0\.2 of 2 labelled rows is none"):
        add_noise([1.0, 2.0])
    with pytest.raises(BadInput, match="of 0 labelled rows"):
        add_noise(np.zeros((3, 0)), tasks=())
    with pytest.raises(BadInput, match="same value"):
        add_noise(np.ones(100))
    with pytest.raises(BadInput, match="fraction"):
        LabelNoise(Load(), fraction=0)

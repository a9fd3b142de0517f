import numpy as np
import pytest

from core.data.dataset import Dataset
from core.engine.report import SILENT_REPORT
from core.engine.spec import BadInput
from core.experiments.data.label_noise import LabelNoise
from core.experiments.data.load import Load

SMILES = ["C" * n for n in range(1, 101)]


def plant(labels, fraction=0.2, seed=0, tasks=("y",)):
    table = Dataset(SMILES[: len(labels)], labels, tasks)
    return table, LabelNoise(Load(), fraction=fraction, seed=seed).make(SILENT_REPORT, table=table)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("fraction", [0.02, 0.2, 1.0])
def test_the_share_asked_for_is_wrong_and_the_truth_is_kept(seed, fraction):
    table, made = plant(np.random.default_rng(seed).normal(size=100), fraction, seed)
    wrong = made.targets[:, 0] != table.targets[:, 0]
    assert wrong.sum() == round(100 * fraction)
    assert (made.columns["mislabelled"] == wrong).all()
    np.testing.assert_array_equal(made.columns["measured:y"], table.targets[:, 0])
    assert sorted(made.targets[:, 0]) == sorted(table.targets[:, 0])  # handed round, not made up
    assert list(made.smiles) == list(table.smiles) and made.provenance["mislabelled"]["rows"] == wrong.sum()


def test_equal_labels_are_not_called_wrong():
    for seed in range(20):
        table, made = plant(np.repeat([1.0, 2.0], 50), 1.0, seed)
        assert (made.targets[:, 0] == 3 - table.targets[:, 0]).all() and made.columns["mislabelled"].all()


def test_a_common_class_is_flipped_all_the_same():
    labels = (np.arange(100) < 5).astype(float)
    for seed in range(10):
        table, made = plant(labels, 0.3, seed)
        assert made.columns["mislabelled"].sum() == (made.targets != table.targets).sum() == 30
        assert set(np.unique(made.targets)) <= {0, 1} and made.kinds == ("binary",)


def test_the_seed_draws():
    labels = np.arange(100.0)
    assert plant(labels, seed=1)[1].digest == plant(labels, seed=1)[1].digest != plant(labels, seed=2)[1].digest


def test_several_tasks_with_gaps():
    random = np.random.default_rng(0)
    labels = random.normal(size=(100, 3))
    labels[random.random((100, 3)) < 0.4] = np.nan
    labels[:10] = np.nan
    table, made = plant(labels, 0.5, tasks=("a", "b", "c"))
    assert (np.isnan(made.targets) == np.isnan(table.targets)).all()
    wrong = (made.targets != table.targets) & ~np.isnan(table.targets)
    assert (made.columns["mislabelled"] == wrong.any(axis=1)).all() and wrong.any(axis=1).sum() == round(
        0.5 * (~np.isnan(labels)).any(1).sum()
    )
    assert not made.columns["mislabelled"][:10].any()
    for column, task in enumerate("abc"):
        np.testing.assert_array_equal(made.columns[f"measured:{task}"], table.targets[:, column])


def test_planting_twice_keeps_the_first_truth():
    table, once = plant(np.arange(100.0))
    twice = LabelNoise(Load(), fraction=0.2, seed=1).make(SILENT_REPORT, table=once)
    np.testing.assert_array_equal(twice.columns["measured:y"], table.targets[:, 0])
    assert (twice.columns["mislabelled"] == (twice.targets[:, 0] != table.targets[:, 0])).all()


def test_what_cannot_be_planted_says_why():
    with pytest.raises(BadInput, match=r"0\.2 of 2 labelled rows is none"):
        plant([1.0, 2.0])
    with pytest.raises(BadInput, match="of 0 labelled rows"):
        plant(np.zeros((3, 0)), tasks=())
    with pytest.raises(BadInput, match="same value"):
        plant(np.ones(100))
    with pytest.raises(BadInput, match="fraction"):
        LabelNoise(Load(), fraction=0)

"""Fine-tuning: it learns, it is repeatable, it warns, and it refuses bad input."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.chem import molecules as chem
from core.data.dataset import Dataset
from core.engine.make import make
from core.engine.report import Cancelled, Report
from core.engine.spec import BadInput
from core.engine.store import Store
from core.experiments import Adapt, BuildCorpus, FineTune, Load, Pretrain, import_files, split_table
from core.models.backbones import Pretrained, Untrained
from core.models.backbones.molformer.untrained import UntrainedMolformer
from core.models.methods import Head, LoRA
from core.models.predictor import Predictor
from core.results.fit import Fit
from core.training import loop
from core.training.checks import (
    check_parts,
    clipped_predictions,
    constant_predictions,
    describe_one_class,
    find_overlaps,
    underfit_tasks,
)
from core.training.session import randomise_smiles


@pytest.fixture
def finetuning(table: Path) -> FineTune:
    train, valid, test = split_table(Load(f"file:{table}"), seed=0, train=None, valid=12, test=12)
    return FineTune(train, valid, test, backbone=Untrained("molsway-tiny"), epochs=25, batch_size=8, seed=1)


@pytest.fixture
def store(cache: Path) -> Store:
    return Store(cache)


@pytest.fixture
def ready(finetuning: FineTune, store: Store) -> FineTune:
    return import_files(finetuning, store.files)


def test_finetuning_learns_and_stores_its_record(ready: FineTune, store: Store) -> None:
    fit: Fit = make(ready, store, Report())
    card = fit.metrics["test"]["size"]
    assert card["r2"] > 0.5 and card["n"] == 12
    assert not any("underfits" in words for words in fit.record["warnings"])
    assert card["rmse"] == pytest.approx(card["mse"] ** 0.5)
    labels, predictions, smiles = fit.matrices("test")
    assert card["rmse"] == pytest.approx(float(np.sqrt(np.mean((labels - predictions) ** 2))))
    again = Predictor.load(fit.folder / "predictor", "cpu").predict(list(smiles))
    np.testing.assert_allclose(again, predictions, atol=1e-6)
    record = fit.record
    assert (
        record["trainable"] == record["parameters"] > 300_000 and record["seconds"] > 0 and record["peak_memory"] > 1e6
    )
    assert record["backbone"] == "molsway-tiny (random weights)"
    best = fit.curve["valid_loss"].idxmin()
    assert record["best_epoch"] == fit.curve["epoch"][best]
    assert fit.table("train").digest == record["digests"]["train"]
    centre = np.mean(fit.table("train").targets)
    assert float(Predictor.load(fit.folder / "predictor", "cpu").centre) == pytest.approx(centre, rel=1e-5)


def test_same_seed_same_predictions(ready: FineTune, store: Store, tmp_path: Path) -> None:
    quick = dataclasses.replace(ready, epochs=2)
    one = make(quick, store, Report())
    tables = (make(part, store, Report()) for part in (quick.train, quick.valid, quick.test))
    two = quick.make(Report(scratch=tmp_path), *tables)
    assert (one.predictions["prediction"].to_numpy() == two.predictions["prediction"].to_numpy()).all()
    other = make(dataclasses.replace(quick, seed=2), store, Report())
    assert not np.allclose(one.predictions["prediction"], other.predictions["prediction"])


def test_resumed_finetuning_equals_an_uninterrupted_one(
    ready: FineTune, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    quick = dataclasses.replace(ready, epochs=4)
    tables = [make(part, store, Report()) for part in (quick.train, quick.valid, quick.test)]
    (tmp_path / "whole").mkdir(), (tmp_path / "torn").mkdir()
    undisturbed = quick.make(Report(scratch=tmp_path / "whole"), *tables)
    calls = iter(range(10_000))
    with pytest.raises(Cancelled):
        quick.make(Report(cancelled=lambda: next(calls) > 14, scratch=tmp_path / "torn"), *tables)
    assert (tmp_path / "torn" / "checkpoint.safetensors").exists()
    resumed = quick.make(Report(scratch=tmp_path / "torn"), *tables)
    assert (undisturbed.predictions["prediction"].to_numpy() == resumed.predictions["prediction"].to_numpy()).all()


def test_head_method_leaves_the_backbone_unchanged(ready: FineTune, store: Store) -> None:
    fit = make(dataclasses.replace(ready, epochs=2, method=Head()), store, Report())
    trained = Predictor.load(fit.folder / "predictor", "cpu").backbone.state_dict()
    for name, value in Untrained("molsway-tiny")().state_dict().items():
        assert (value == trained[name]).all(), name


def dataset(labels: list[float], smiles: list[str] | None = None, task: str = "y") -> Dataset:
    smiles = smiles or ["C" * (n + 1) for n in range(len(labels))]
    return Dataset(smiles=smiles, targets=np.array(labels)[:, None], tasks=(task,))


@pytest.mark.parametrize(
    ("train", "valid", "words"),
    [
        (dataset([1.0, 2.0]), dataset([1.0], task="z"), "has the tasks ('z',), the training part ('y',)"),
        (dataset([1.0]), dataset([1.0]), "the training part has 1 labels of 'y', at least 2"),
        (dataset([1.0, 2.0]), dataset([np.nan]), "the validation part has 0 labels of 'y'"),
        (dataset([3.0, 3.0]), dataset([3.0]), "every training label of 'y' is 3"),
    ],
)
def test_untrainable_sets_are_refused(train: Dataset, valid: Dataset, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_parts(train, valid, valid)
    assert words in str(caught.value)


def test_shared_molecules_are_counted_with_stereoisomers() -> None:
    train = dataset([1.0, 2.0], ["C[C@H](N)C(=O)O", "CCO"])
    assert find_overlaps(train, dataset([1.0], ["C[C@@H](N)C(=O)O"]), dataset([1.0], ["CCC"])) == [
        "1 of 1 validation molecules are also in the training part; the validation metrics are too optimistic"
    ]


@pytest.mark.parametrize(
    ("valid", "test", "words"),
    [
        ([0, 0, 0], [0, 1], ["in the validation set none of 3 labelled molecules is positive"]),
        ([1, 0], [1, 1], ["in the test set none of 2 labelled molecules is negative"]),
        ([1, np.nan], [np.nan], ["validation set none of 1 labelled molecules is negative", "no molecule has a label"]),
        ([1, 0], [0, 1], []),
    ],
)
def test_sets_of_one_class_give_a_warning(valid: list, test: list, words: list) -> None:
    sentences = describe_one_class(dataset([0.0, 1.0, 1.0]), dataset(valid), dataset(test))
    assert len(sentences) == len(words) and all(
        word in sentence for word, sentence in zip(words, sentences, strict=True)
    )
    assert describe_one_class(dataset([0.0, 2.0, 1.0]), dataset(valid), dataset(test)) == []


def test_a_training_with_one_class_in_its_validation_set_says_so_before_it_starts(
    store: Store, alcohols: list[tuple[str, float]], tmp_path: Path
) -> None:
    rows = "".join(f"{smiles},{number % 2}\n" for number, (smiles, _) in enumerate(alcohols))
    (tmp_path / "even.csv").write_text("smiles,active\n" + rows)
    (tmp_path / "ones.csv").write_text("smiles,active\n" + "".join(f"{'C' * n}F,1\n" for n in range(1, 7)))
    (tmp_path / "ones.csv").open("a").write("CCCCCCCCCCF,0\n")
    table, ones = Load(f"file:{tmp_path / 'even.csv'}"), Load(f"file:{tmp_path / 'ones.csv'}")
    valid = Load(ones.source, limit=6, targets=("active",))
    messages: list[str] = []
    tiny = FineTune(table, valid, ones, backbone=Untrained("molsway-tiny"), steps=2, evaluations=1, features="none")
    fit = make(
        import_files(tiny, store.files), store, Report(tell=lambda share, message, numbers: messages.append(message))
    )
    sentence = next(message for message in messages if "in the validation set none of 6" in message)
    assert sentence in fit.record["warnings"]
    card = fit.metrics["valid"]["active"]
    assert card["auroc"] is None and card["undefined"]["auroc"] == "none of 6 labelled molecules is negative"
    assert "too few for a bootstrap" in fit.record["undefined_intervals"]["active"]["auroc"]


def test_constant_predictions_give_a_warning() -> None:
    train = dataset([1.0, 5.0, 9.0])
    assert "predicts the mean of 'y'" in constant_predictions(train, train, np.array([[5.0], [5.01], [5.0]]))[0]
    assert constant_predictions(train, train, train.targets) == []


def test_underfitting_gives_a_warning(ready: FineTune, store: Store) -> None:
    fit = make(dataclasses.replace(ready, features="none", epochs=1, learning_rate=1e-7), store, Report())
    assert fit.metrics["train"]["size"]["r2"] < 0.1
    warning = [words for words in fit.record["warnings"] if words.startswith("the model underfits 'size'")]
    assert len(warning) == 1 and "R² is below 0.1" in warning[0] and "`steps`" in warning[0]
    metrics = {"y": {"r2": 0.3}, "toxic": {"auroc": 0.55}, "rare": {"auroc": None}}
    (toxic,) = underfit_tasks(tuple(metrics), ("regression", "binary", "binary"), metrics)
    assert "'toxic'" in toxic and "AUROC is below 0.6" in toxic


def test_several_tasks_with_missing_labels(store: Store, alcohols: list[tuple[str, float]], tmp_path: Path) -> None:
    path = tmp_path / "two.csv"
    rows = [
        f"{s},{'' if n % 3 == 0 else y},{'' if n % 4 == 0 else int('O' in s)}\n" for n, (s, y) in enumerate(alcohols)
    ]
    path.write_text("smiles,size,oxygen\n" + "".join(rows))
    train, valid, test = split_table(Load(f"file:{path}", targets=("size", "oxygen")), valid=12, test=12)
    spec = FineTune(train, valid, test, backbone=Untrained("molsway-tiny"), epochs=20, batch_size=8)
    fit = make(import_files(spec, store.files), store, Report())
    assert fit.record["kinds"] == ["regression", "binary"]
    assert fit.metrics["train"]["oxygen"]["auroc"] > 0.9 and fit.metrics["train"]["size"]["r2"] > 0.3
    assert fit.metrics["test"]["size"]["n"] < 12


def test_units_and_kinds_must_agree_between_sets() -> None:
    train, valid = dataset([1.0, 2.0]), dataset([1.0, 2.0])
    with pytest.raises(BadInput, match="in mM in the training part, in nM in the validation part"):
        check_parts(dataclasses.replace(train, unit=("mM",)), dataclasses.replace(valid, unit=("nM",)), valid)
    with pytest.raises(BadInput, match="0 or 1 in the training part, 5 in the validation part"):
        check_parts(dataset([0.0, 1.0]), dataset([0.0, 5.0]), dataset([0.0, 1.0]))


def test_clipped_predictions_are_counted() -> None:
    predictor = Predictor(Untrained("molsway-tiny")(), ["y", "toxic"], ["regression", "binary"])
    predictor.fit_scaler(np.array([[1.0, 0], [3.0, 1]]), 0.5)
    inside, outside = np.array([[0.51, 0.0], [3.49, 1.0]]), np.array([[0.5, 0.2], [3.5, 0.2], [2.0, 1.0]])
    assert clipped_predictions(predictor, {"valid": inside}) == []
    (warning,) = clipped_predictions(predictor, {"valid": inside, "test": outside})
    assert warning.startswith("2 of 3 test predictions of 'y' were clipped to 0.5 or 3.5")


def test_clip_margin_of_the_predictor(ready: FineTune, store: Store) -> None:
    fit = make(dataclasses.replace(ready, epochs=1, clip_margin=0.25), store, Report())
    predictor, labels = Predictor.load(fit.folder / "predictor", "cpu"), fit.matrices("train")[0]
    assert float(predictor.most) == pytest.approx(labels.max() + 0.25 * labels.std())
    assert float(predictor.least) == pytest.approx(labels.min() - 0.25 * labels.std())


def test_randomised_smiles_are_the_same_molecule() -> None:
    smiles = ["CC(=O)Nc1ccc(O)cc1", "C[C@H](N)C(=O)O", "C"]
    ways = randomise_smiles(smiles, 6, seed=3)
    assert (
        len(ways) == 6
        and ways[0] == smiles
        and randomise_smiles(smiles, 6, seed=3) == ways != randomise_smiles(smiles, 6, seed=4)
    )
    for column, one in enumerate(smiles):
        assert {chem.canonical_smiles(way[column]) for way in ways} == {chem.canonical_smiles(one)}
    assert len({way[0] for way in ways}) > 2 and randomise_smiles(smiles, 1, seed=3) == [smiles]


def test_default_epochs_and_learning_rates(ready: FineTune) -> None:
    spec = dataclasses.replace(ready, epochs=None, batch_size=32)
    width = Untrained("molsway-tiny")().width
    assert [spec.build_plan(n, width, "float32").epochs for n in (320, 321, 3360, 100_000)] == [100, 91, 10, 10]
    plan = spec.build_plan(320, width, "float32")
    assert plan.learning_rate == pytest.approx(6e-4) and plan.rate_factors == (("head.", 3.0),)
    assert dataclasses.replace(spec, method=LoRA()).build_plan(320, width, "float32").learning_rate == pytest.approx(
        2e-3
    )
    assert dataclasses.replace(ready, epochs=4).build_plan(10, width, "float32").epochs == 4


@pytest.mark.parametrize(
    ("backbone", "called"),
    [
        (Pretrained(), "molsway-mini"),
        (Pretrained("/home/me/models/mine"), "mine"),
        (Untrained("molsway-mini"), "molsway-mini (random weights)"),
        (Adapt(Load("bundled:solubility")), "adapted molsway-mini"),
        (Pretrain(BuildCorpus(files=("a.smi",)), UntrainedMolformer("mine")), "mine"),
    ],
)
def test_title_names_the_backbone(finetuning: FineTune, backbone: Any, called: str) -> None:
    title = dataclasses.replace(finetuning, backbone=backbone).title
    assert title == f"full fine-tuning of {called} on {finetuning.train.title}, seed 1"

"""A store with a product of every kind of spec: the filled store, and the other kinds, small or built by hand."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.data.corpus import Corpus
from core.engine.make import make
from core.engine.report import Report
from core.engine.spec import Spec
from core.engine.store import Store
from core.experiments import (
    Ablation,
    Adapt,
    Audit,
    Baseline,
    BuildCorpus,
    ComputedLabels,
    Concat,
    CorrectedTable,
    Ensemble,
    FileSample,
    FineTune,
    LabelErrors,
    LabelNoise,
    LearningRateSearch,
    Load,
    MixtureStudy,
    MixtureTable,
    Molecules,
    Multitask,
    MultitaskHead,
    Predict,
    Pretrain,
    Projection,
    Representation,
    SeedAverage,
    Select,
    Subsample,
    SubsetRetraining,
    Transfer,
    build_mixture,
    import_files,
    split_table,
)
from core.experiments.studies.pool_checks import CheckedPool
from core.models.backbones import Gnn
from core.models.backbones.checkpoint import Checkpoint
from core.models.baselines import RandomForest
from core.models.methods import Full, Head
from core.results.datamodel_check import SubsetLosses
from core.results.label_errors import LabelErrorTable, add_second_opinions
from core.selection import Top
from tests.pages import filled_store

NETWORK = Gnn(width=8, depth=1, walk=2, eigenvectors=2)
AUDIT, SELECTED = Audit(filled_store.TABLE), Select(filled_store.POOL, Top(count=8), filled_store.SCORES)


def multitask_specs() -> dict[str, Spec]:
    """A spec for each question of the page Multitask, with the smallest of networks."""
    tables = {"solubility": Load("bundled:solubility", limit=120), "hydration": Load("bundled:hydration", limit=120)}
    members = build_mixture([MixtureTable(*split_table(table, seed=0), name=name) for name, table in tables.items()])
    multi = Multitask(members, backbone=NETWORK, epochs=1, batch_size=32)
    fit = FineTune(*split_table(tables["hydration"], seed=0), backbone=NETWORK, features="none", steps=2, evaluations=1)
    return {
        "multitask": multi,
        "study": MixtureStudy(multi, seeds=(0, 1)),
        "transfer": Transfer(
            fit, (NETWORK, multi), ("random", "shared"), methods=(Full(), Head()), sizes=(30,), seeds=(0, 1)
        ),
        "ablation": Ablation(multi, fit, totals=(20, 40), columns=1, steps=2, seeds=(0, 1)),
        "predictions": Predict(
            Baseline(
                *split_table(ComputedLabels(tables["hydration"]), seed=0),
                RandomForest(features="fingerprints", trees=5),
            ),
            Load("bundled:solubility", limit=9),
        ),
        "head": MultitaskHead(multi, members[1]),
        "representation": Representation((multi, NETWORK), names=("shared", "random"), table=tables["hydration"]),
    }


def fill_multitask(store: Store) -> dict[str, Spec]:
    """Make them; gives the specs under which the store has them."""
    specs = {name: import_files(spec, store.files) for name, spec in multitask_specs().items()}
    for spec in specs.values():
        make(spec, store, Report())
    return specs


def fill_rest(store: Store, scratch: Path) -> None:
    """Add a product of every other kind to a filled store."""
    files = scratch / "files"
    files.mkdir(parents=True)
    (files / "rows.csv").write_text("smiles,y\n" + "".join(f"{'C' * n}O,{n}\n" for n in range(1, 9)))
    (files / "pasted.smi").write_text("CCO ethanol\nCCC propane\n")
    for spec in small_specs(files):
        make(import_files(spec, store.files), store, Report(files=store.files))
    for spec, product in by_hand(store, scratch):
        store.put(spec, product, 1.0)


def small_specs(files: Path) -> list[Spec]:
    """Specs that take a moment, made of parts of the filled store."""
    return [
        AUDIT,
        Molecules(f"file:{files / 'pasted.smi'}"),
        FileSample(str(files / "rows.csv"), targets="y"),
        Concat((filled_store.TRAIN, filled_store.POOL)),
        LabelNoise(filled_store.POOL),
        Subsample(filled_store.TABLE, size=20),
        CheckedPool(filled_store.POOL, filled_store.TRAIN, filled_store.TEST, count=20),
        SELECTED,
        Projection(filled_store.POOL, filled_store.TRAIN),
        Ensemble(filled_store.BASELINE, seeds=(0, 1)),
    ]


def by_hand(store: Store, scratch: Path) -> Iterator[tuple[Spec, Any]]:
    """Products that would otherwise need a training run."""
    scores, fit = store.get(filled_store.SCORES), store.get(filled_store.FIT)
    average = SeedAverage(filled_store.SCORES, (0, 1))
    yield average, average.make(Report(), members=(scores, scores))
    yield LearningRateSearch(filled_store.FIT), fit
    yield CorrectedTable(filled_store.TABLE, AUDIT, ("same graph",)), store.get(filled_store.TABLE)
    training = scores.training.copy()
    add_second_opinions(training, training["label"].to_numpy()[:, None], ["y"])
    yield LabelErrors.of(filled_store.FIT), LabelErrorTable(training, {"label_unit": ["log10(mol/L)"], "detection": {}})
    rows = np.arange(24).reshape(4, 6) % 2 == 0
    retrained = {"fit": filled_store.FIT.key, "base_loss": 1.0, "subsets": 3, "members": 3, "unit": "(log10(mol/L))²"}
    retrain = SubsetRetraining(filled_store.FIT, filled_store.POOL, filled_store.VALID, subsets=4)
    yield retrain, SubsetLosses(rows, np.ones(4), np.ones((4, 2, 1)), retrained)
    yield Adapt(filled_store.TABLE, epochs=2), checkpoint(scratch, {"objective": "both", "best_epoch": 2})
    corpus = BuildCorpus(labelled=(filled_store.TABLE,))
    yield corpus, tiny_corpus(scratch)
    yield Pretrain(corpus), checkpoint(scratch, pretraining_record())


def checkpoint(scratch: Path, record: dict[str, Any]) -> Checkpoint:
    """A backbone without weights, and a curve of two epochs."""
    (scratch / "weights" / "backbone").mkdir(parents=True, exist_ok=True)
    curve = pd.DataFrame({"epoch": [1.0, 2.0], "step": [5, 10], "train_loss": [3.0, 2.0], "valid_loss": [2.5, 1.25]})
    losses = {"perplexity": 3.5, "perplexity_before": 9.0, "valid_loss": 1.25, "valid_loss_before": 5.5}
    return Checkpoint(curve, losses | record, scratch / "weights")


def pretraining_record() -> dict[str, Any]:
    return {
        "corpus": {"molecules": 240, "left_out": {"molecules": 3}},
        "rows": {"held_out": 24},
        "held_out": {"token_loss": 0.8, "property_error": 0.4},
        "held_out_before": {"token_loss": 3.1, "property_error": 1.0},
        "epochs": 2.0,
        "best_step": 10,
        "warnings": [],
    }


def tiny_corpus(scratch: Path) -> Corpus:
    """A corpus of two molecules, one spelling each."""
    arrays = {
        "tokens": np.array([5, 5, 6], np.uint16),
        "starts": np.array([0, 2, 3], np.int64),
        "properties": np.zeros((2, 1), np.float16),
        "labels": np.zeros((0, 0), np.float16),
        "label_rows": np.full(2, -1, np.int32),
    }
    record = {"spellings": 1, "molecules": 2, "kinds": [], "tasks": [], "scaling": {"names": ["MolWt"]}}
    molecules = pd.DataFrame({"smiles": ["CC", "O"], "key": ["CC", "O"]})
    return Corpus(molecules, ("C", "O"), arrays, record, scratch)

"""A small table, a trained stand-in for a fine-tuned model, and their influence scores."""

import dataclasses

import numpy as np
import pandas as pd

from core.data.dataset import Dataset
from core.engine.report import Report
from core.experiments.data.load import Load
from core.experiments.data.split import split_table
from core.experiments.influence.influence import Influence
from core.experiments.training.finetune import FineTune
from core.results.fit import PARTS, Fit, prediction_table
from core.results.scores import Scores
from tests.small_models import small_predictor, train_predictor

TRAIN, VALID, TEST, POOL = split_table(Load("bundled:solubility"), valid=0.2, test=0.1, pool=0.3)
SPEC = Influence(FineTune(TRAIN, VALID, TEST), POOL, VALID, batch_size=16)


def make_tables(tasks: int = 1, binary: bool = False) -> dict[str, Dataset]:
    """Four parts of 96 molecules; labels are the share of oxygen with noise; six pool labels are wrong."""
    generator = np.random.default_rng(0)
    ends = ("", "O", "N", "(C)O", "c1ccccc1", "=O", "Cl", "S")
    smiles = np.array(["C" * n + end for n in range(2, 14) for end in ends], object)
    value = np.array([100 * text.count("O") / len(text) + 40 for text in smiles]) + generator.normal(size=len(smiles))
    targets = np.stack([value, np.array([len(text) for text in smiles]), value > np.median(value)], 1)[:, :tasks]
    targets = (value > np.median(value))[:, None].astype(float) if binary else targets
    if tasks > 1:
        targets[generator.random(targets.shape) < 0.2] = np.nan
    whole = Dataset(
        smiles, targets, tuple(f"t{k}" for k in range(targets.shape[1])), ("mg",) + ("",) * (targets.shape[1] - 1)
    )
    rows = np.split(generator.permutation(len(smiles)), [40, 55, 65])
    parts = {name: whole.take(part) for name, part in zip((*PARTS, "pool"), rows, strict=True)}
    mislabelled = np.arange(len(parts["pool"])) < 6
    labels = parts["pool"].targets.copy()
    if not binary:
        labels[mislabelled, 0] += 60
    parts["pool"] = dataclasses.replace(parts["pool"], targets=labels, columns={"mislabelled": mislabelled})
    return parts


def train_stand_in(parts: dict[str, Dataset], folder) -> Fit:
    """A trained stand-in with the files and record of `FineTune`."""
    train = parts["train"]
    predictor = train_predictor(small_predictor(train.kinds), list(train.smiles), train.targets, 200)
    predictor.tasks = train.tasks
    predictor.save(folder / "predictor")
    predictions = pd.concat(
        [prediction_table(name, parts[name], predictor.predict(list(parts[name].smiles))) for name in PARTS]
    )
    record = {
        "tasks": list(train.tasks),
        "kinds": list(train.kinds),
        "unit": list(train.unit),
        "digests": {name: parts[name].digest for name in PARTS},
        "method": {"kind": "full"},
        "metrics": {},
    }
    return Fit(pd.DataFrame(), predictions, record, folder)


def score(spec: Influence, study, report: Report | None = None) -> Scores:
    parts, fit = study
    return spec.make(report or Report(), fit, parts["pool"], parts["valid"])


def score_changed(study, **change) -> Scores:
    """Scores with another `pool` or `target`."""
    parts, fit = study
    tables = {"pool": parts["pool"], "target": parts["valid"]} | change
    return SPEC.make(Report(), fit, tables["pool"], tables["target"])

"""A store filled by hand in a second: a table, models, scores, studies; no network is trained."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from core.data.dataset import Dataset
from core.engine.job_queue import JobQueue
from core.engine.report import Report
from core.engine.spec import FailedPart
from core.engine.store import Store
from core.experiments import (
    LDS,
    Baseline,
    FineTune,
    Influence,
    Load,
    Predict,
    Study,
    build_method_arms,
    build_preset,
    import_files,
    split_table,
)
from core.experiments.influence.lds import verdict
from core.influence.diagnostics import add_full_updates
from core.influence.lds import datamodelling_score
from core.models.baselines import RandomForest, SupportVectors
from core.models.methods import IA3, OFT, Full, Head, LoRA
from core.results.comparison import Comparison, compute_differences, summarize_seeds, write_verdict
from core.results.datamodel_check import DatamodelCheck
from core.results.fit import PARTS, Fit, compute_task_metrics, evaluate_parts, prediction_table
from core.results.scores import Scores, build_score_columns, evaluate_detection

TABLE = Load("bundled:solubility", limit=240)
TRAIN, VALID, TEST, POOL = split_table(TABLE, by="random", seed=0, train=100, valid=40, pool=60, test=None)
FIT = import_files(FineTune(TRAIN, VALID, TEST, epochs=12), Path())
OTHER = import_files(FineTune(TRAIN, VALID, TEST, method=Head(), epochs=12, learning_rate=0.001), Path())
BASELINE = Baseline(TRAIN, VALID, TEST, baseline=RandomForest(features="fingerprints", trees=5))
SCORES = Influence(FIT, POOL, VALID)
PREDICT = Predict(BASELINE, POOL)
VERIFY = LDS.of(SCORES, 24)
STUDY = build_preset("demo")
METHODS = Study(
    build_method_arms(FIT, (Full(), LoRA(), IA3(), OFT(block=24), Head()), False, False, (SupportVectors(),))
)
ARMS = ("none", "all", "random", "top", "bottom", "greedy", "support vectors")


def add_noise(targets: np.ndarray, sd: float, seed: int) -> np.ndarray:
    return targets + np.random.default_rng(seed).normal(0, sd, targets.shape)


def make_fit(tables: dict[str, Dataset], scratch: Path, sd: float = 0.8, method: str = "full", seed: int = 3) -> Fit:
    """A fit whose predictions are the labels plus noise."""
    predicted = {
        name: add_noise(table.targets, sd * (0.4 if name == "train" else 1), seed) for name, table in tables.items()
    }
    epochs = np.arange(1, 13)
    curve = pd.DataFrame(
        {
            "epoch": epochs.astype(float),
            "step": epochs * 4,
            "seconds": epochs * 1.5,
            "learning_rate": 1e-4,
            "train_loss": 0.9 * 0.8**epochs + 0.05,
            "valid_loss": 0.8 * 0.85**epochs + 0.002 * epochs**2,
        }
    )
    record = {
        **evaluate_parts(tables, predicted),
        "seed": 0,
        "backbone": "molsway-mini",
        "method": {"kind": method},
        **weight_counts(method),
        "seconds": 18.4,
        "seconds_to_best": 11.2,
        "seconds_per_epoch": 1.5,
        "energy": None,
        "best_epoch": 7.0,
        "best_step": 28,
        "steps": 48,
        "learning_rate": 3e-4,
        "precision": "float32",
        "peak_memory": 812_000_000,
        "device": "cpu",
        "warnings": [
            "3 of 40 validation molecules are also in the training part; the validation metrics are too optimistic"
        ],
    }
    predictions = pd.concat(
        [prediction_table(name, tables[name], predicted[name]) for name in PARTS], ignore_index=True
    )
    (scratch / "predictor").mkdir(parents=True, exist_ok=True)
    (scratch / "predictor" / "note.json").write_text(json.dumps({"made": "by hand"}))
    return Fit(curve, predictions, record, scratch)


def weight_counts(method: str) -> dict[str, int | float | None]:
    """Numbers of weights, roughly as in `molsway-mini`."""
    total, head = 5_400_000, 1_400_000
    trained = {"full": 4_000_000, "lora": 98_000, "ia3": 7_700, "head": 0}.get(method)
    if trained is None:
        names = ("trainable", "parameters", "trainable_share", "trainable_bytes", "backbone_trainable")
        return dict.fromkeys((*names, "backbone_parameters"))
    return {
        "trainable": trained + head,
        "parameters": total,
        "trainable_share": (trained + head) / total,
        "trainable_bytes": 4 * (trained + head),
        "backbone_trainable": trained,
        "backbone_parameters": total - head,
    }


def make_method_study(tables: dict[str, Dataset], scratch: Path) -> Comparison:
    """A study of methods made of such fits; one arm has failed."""
    fits = []
    for index, (arm, sd) in enumerate(zip(METHODS.arms, (0.8, 0.8, 0.85, 0.8, 1.2, 1.1), strict=True)):
        kind = arm.method.kind if hasattr(arm, "method") else "support-vectors"
        arm_fits = [make_fit(tables, scratch, sd + 0.01 * seed, kind, 10 * index + seed) for seed in METHODS.seeds]
        fits.append(
            tuple(FailedPart("oft rotates blocks of 24 inputs") for _ in arm_fits) if kind == "oft" else tuple(arm_fits)
        )
    return METHODS.make(Report(), fits=tuple(fits))


def make_scores(tables: dict[str, Dataset], fit_key: str) -> Scores:
    """Scores of a pool in which every fifth label is marked as swapped, with pairs as from the dual solver."""
    pool, train, target = tables["pool"], tables["train"], tables["valid"]
    n, random = len(pool), np.random.default_rng(1)
    swapped = np.arange(n) % 5 == 0
    labels = pool.targets + 3.0 * swapped[:, None] * random.choice([-1, 1], (n, 1))
    predictions = add_noise(pool.targets, 0.6, 2)
    slopes = random.normal(0, 0.6, (n, 1)) - 0.4 * np.sign(labels - predictions) * swapped[:, None]
    table = build_score_columns(labels, predictions, slopes, pool.tasks, ("regression",), np.array([2.0]), 100)
    table.insert(0, "smiles", pool.smiles)
    table["mislabelled"] = swapped
    record = {
        "unit": "(log10(mol/L))²",
        "label_unit": ["log10(mol/L)"],
        "convention": "delta_loss: the predicted change of the target loss; negative helps",
        "n_train": 100,
        "curvature": "gauss-newton",
        "damping": 0.013,
        "solver": {"kind": "auto", "chosen": "dual"},
        "kinds": ["regression"],
        "tasks": list(pool.tasks),
        "cells_train": 100,
        "unit_factor": 4.0,
        "digests": {"pool": pool.digest},
        "stability": {
            "third": {"spearman": 0.91, "overlap": 0.67, "molecules": n},
            "thrice": {"spearman": 0.95, "overlap": 0.83, "molecules": n},
        },
        "residual": 4.1e-4,
        "steps": 37,
        "seconds": 5.2,
        "converged": True,
        "history": [[step, 0.7**step] for step in range(1, 23)],
        "step_check": 2e-3,
        "forward_mode_check": 6e-5,
        "fit": fit_key,
        "warnings": [],
    }
    slopes = random.normal(0, 1, (len(target) + n, 4))
    linearized = {"pairs": (slopes @ slopes.T).astype(np.float32)}
    for name, part in (("target", target), ("pool", pool)):
        linearized |= {f"{name}_labels": part.targets / 2, f"{name}_outputs": add_noise(part.targets, 0.6, 3) / 2}
    linearized["made_by"] = random.normal(0, 0.02, (len(target) + n, len(train))).astype(np.float32)
    linearized["made_of"] = np.arange(len(train))
    record["pairs_check"] = add_full_updates(table, linearized, record, 0)
    record["detection"] = evaluate_detection(table)
    training = pd.DataFrame({"smiles": train.smiles, "label": train.targets[:, 0]})
    training["prediction"] = add_noise(train.targets, 0.3, 4)[:, 0]
    training["residual"] = training["prediction"] - training["label"]
    training["removal"], training["leverage"] = random.normal(0, 1e-3, len(train)), random.uniform(0.1, 0.9, len(train))
    training["leave_one_out"] = training["residual"] / (1 - training["leverage"])
    aims = pd.DataFrame({"smiles": target.smiles, "label": target.targets[:, 0]})
    aims["prediction"] = add_noise(target.targets, 0.6, 3)[:, 0]
    aims["residual"] = aims["prediction"] - aims["label"]
    return Scores(table, np.zeros(8), {}, record, training, aims, linearized)


def make_verification(n: int = 24) -> DatamodelCheck:
    """The check of such scores by retraining."""
    random = np.random.default_rng(5)
    measured = random.normal(0, 0.02, n)
    noise = {"first order, dual, all weights": 0.03, "joint full update, dual, all weights": 0.01}
    table = pd.DataFrame({"subset": np.arange(n), "measured": measured})
    table = table.assign(**{name: measured + random.normal(0, sd, n) for name, sd in noise.items()})
    scores = [
        {"name": name, "scores": SCORES.key} | datamodelling_score(table[name].to_numpy(), measured) for name in noise
    ]
    best = max(scores, key=lambda one: one["spearman"])
    record = {"ways": scores, "scores": [SCORES.key], "subsets": n, "members": 30, "unit": "(log10(mol/L))²"}
    return DatamodelCheck(table, record | {"verdict": verdict(best, n)})


def make_selection_study(test: Dataset, picks_from: Dataset) -> Comparison:
    """A comparison in which the selected molecules help a little."""
    noise = {"none": 0.9, "all": 0.97, "random": 0.9, "top": 0.78, "bottom": 1.05, "greedy": 0.76}
    noise["support vectors"] = 0.5
    labels, seeds = test.targets[:, 0], (0, 1, 2)
    predictions = {
        arm: np.stack([add_noise(labels, sd + 0.02 * seed, 10 * seed + index) for seed in seeds])
        for index, (arm, sd) in enumerate(noise.items())
    }
    arms = []
    for arm in ARMS:
        cards = [
            compute_task_metrics(("logS",), ("regression",), labels[:, None], p[:, None])["logS"]
            for p in predictions[arm]
        ]
        names = ("rmse", "mae", "r2", "spearman")
        arms.append(
            {
                "name": arm,
                "role": "baseline" if arm == "support vectors" else "selection",
                "features": "180 descriptors" if arm == "support vectors" else None,
                "n_train": [300, 400, 400],
                "seeds": list(seeds),
                "mislabelled": {"random": 20, "support vectors": None}.get(arm, 3),
                "fits": [],
            }
            | {"seconds": summarize_seeds([20.0, 21.0, 22.0]), "steps": [None if arm == "support vectors" else 400] * 3}
            | {name: summarize_seeds([card[name] for card in cards]) for name in names}
        )
    seeded = {arm: dict(zip(seeds, values, strict=True)) for arm, values in predictions.items()}
    differences = compute_differences(labels, seeded, ("none", "random"), "rmse")
    record = {
        "arms": arms,
        "reference": "none",
        "differences": differences,
        "detection": {
            name: {"auroc": v, "low": v - 0.05, "high": v + 0.05}
            for name, v in (("delta_loss", 0.81), ("residual", 0.87))
        },
        "verdict": write_verdict(arms, differences, "rmse", "log10(mol/L)"),
        "task": "logS",
        "task_kind": "regression",
        "metric": "RMSE",
        "unit": "log10(mol/L)",
        "count": 100,
        "n_test": len(labels),
        "test_digest": test.digest,
        "scores": SCORES.key,
        "base_fit": FIT.key,
        "backbone": "molsway-tiny",
        "device": "cpu",
        "notes": ["arms took unequal work"],
    }
    picked = pd.concat(
        [
            pd.DataFrame(
                {
                    "arm": arm,
                    "seed": 0,
                    "smiles": picks_from.smiles[:20],
                    "label": picks_from.targets[:20, 0],
                    "mislabelled": False,
                }
            )
            for arm in ("random", "top")
        ]
    )
    return Comparison(record, pd.DataFrame({"arm": ["none"], "prediction": [1.0]}), picked)


def make_tables(store: Store) -> dict[str, Dataset]:
    report = Report(files=store.files)
    whole = TABLE.make(report)
    return {part.part: part.make(report, table=whole) for part in (TRAIN, VALID, TEST, POOL)} | {"whole": whole}


def fill_store(root: Path) -> Store:
    """Every run finished: built by hand, except for the baseline."""
    store = Store(root)
    tables = make_tables(store)
    sets = {name: tables[name] for name in PARTS}
    store.put(TABLE, tables["whole"], 0.4)
    store.put(FIT, make_fit(sets, root / "scratch" / "by-hand-1"), 18.4)
    store.put(OTHER, make_fit(sets, root / "scratch" / "by-hand-2", 1.0, "head"), 6.1)
    made_baseline = BASELINE.make(Report(scratch=root / "scratch" / "baseline"), **sets)
    store.put(BASELINE, made_baseline, 0.2)
    store.put(PREDICT, PREDICT.make(Report(), fit=store.get(BASELINE), table=tables["pool"]), 0.3)
    store.put(SCORES, make_scores(tables, FIT.key), 5.2)
    store.put(VERIFY, make_verification(), 300.0)
    store.put(STUDY, make_selection_study(tables["test"], tables["pool"]), 402.0)
    store.put(METHODS, make_method_study(sets, root / "scratch" / "by-hand-3"), 512.0)
    return store


def queue_jobs(root: Path, state: str) -> None:
    """A job of every kind in this state, as a worker would have left it."""
    queue = JobQueue(root)
    for spec in (FIT, SCORES, STUDY, METHODS, PREDICT):
        queue.submit(spec)
        job = queue.start_next()
        numbers = {"title": job.title, "kind": job.kind, "epoch": 3.0, "train_loss": 0.5, "valid_loss": 0.6}
        queue.update(job.key, fraction=0.4, message="training, step 40 of 100", numbers=numbers, eta=75.0)
        if state == "failed":
            failure = {
                "error": "the training loss became nan at step 3; lower `learning_rate`",
                "traceback": "Traceback …",
            }
            queue.end(job.key, "failed", **failure)
        elif state != "running":
            queue.end(job.key, state)
    queue.close()

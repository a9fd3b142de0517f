"""Apply a trained model, or influence scores, to every row of a file of any length."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.data.annotated_table import BEGUN, Annotation, annotate_table, list_names
from core.data.dataset import Dataset
from core.data.readers.decisions import AS_PROVEN, Reading
from core.engine.report import Report
from core.engine.spec import BadInput, Spec
from core.experiments.influence.seed_average import SeedAverage, average_tables
from core.models.ensemble import EnsembleModel, load_model, member_spread


def predict_file(
    store: Any,
    spec: Spec,
    table: Path,
    out: Path,
    report: Report,
    smiles: str = "",
    level: float = 0.9,
    reading: Reading = AS_PROVEN,
) -> dict[str, Any]:
    """Write predictions of a model, in label units (probabilities for binary tasks), into columns `<task>_predicted`.

    Further columns: `<task>_low` and `<task>_high`, the limits of the intervals of `core.results.calibration` at
    `level` (where there are none, `undefined` says why); `similarity` to the nearest training molecule; for an ensemble
    `<task>_spread`, the standard deviation of its members; `caution` names what is beyond the range of the training
    set. Returns the counts of rows for the command line. Raises `BadInput`.
    """
    from core.results.calibration import Calibration

    if not 0.5 <= level <= 0.99:
        raise BadInput(f"--level wants a share from 0.5 to 0.99, such as 0.9; got {level:g}")
    fit = store.get(spec)
    # loaded only after the table has been checked
    model = functools.cache(lambda: load_model(fit.folder / "predictor", report.part(0, BEGUN)))
    calibration = functools.cache(lambda: Calibration.of(fit, level, report.part(BEGUN, BEGUN)))

    def columns(chunk: Dataset, progress: Report) -> dict[str, np.ndarray]:
        indices, molecules = pd.factorize(chunk.smiles)  # each molecule is predicted once
        values, spread = predict_molecules(model(), list(molecules), progress)
        position = calibration().locate(list(molecules))
        low, high = calibration().interval_bounds(values, position, spread)
        table = name_columns("predicted", values) | name_columns("low", low) | name_columns("high", high)
        table |= {} if spread is None else name_columns("spread", spread)
        table["similarity"] = position.similarity.astype(float)
        return {name: column[indices] for name, column in table.items()}

    def check(molecules: Sequence[str]) -> list[tuple[int, str]]:
        _, outside = calibration().domain.range.measure(molecules)
        beyond = [(row, f"beyond the training set: {words}") for row, words in enumerate(outside) if words]
        return [*model().check(molecules), *beyond]

    def name_columns(suffix: str, values: np.ndarray) -> dict[str, np.ndarray]:
        return {f"{task}_{suffix}": values[:, column] for column, task in enumerate(fit.tasks)}

    annotation = Annotation(
        columns,
        fit.tasks,
        smiles,
        reading=reading,
        check=check,
        undefined=lambda: "; ".join(calibration().missing_sentences(fit.tasks)),
        product=name_products(store, spec) | {"level": level},
    )
    answer = annotate_table(table, out, annotation, report)
    reasons = dict(zip(fit.tasks, calibration().explain_missing(), strict=True))
    missing = {f"{task}_{end}": why for task, why in reasons.items() if why for end in ("low", "high")}
    return answer | {"undefined": missing}


def predict_molecules(model: Any, smiles: list[str], report: Report) -> tuple[np.ndarray, np.ndarray | None]:
    """Predictions (n, t) in label units, and for an ensemble the standard deviation (n, t) of its members."""
    if not isinstance(model, EnsembleModel):
        return model.predict(smiles, report=report), None
    predictions = model.predict_each(smiles, report)
    return predictions.mean(0), member_spread(predictions)


def score_file(
    store: Any,
    spec: Spec,
    table: Path,
    out: Path,
    report: Report,
    smiles: str = "",
    labels: str = "",
    top: int = 5,
    reading: Reading = AS_PROVEN,
) -> dict[str, Any]:
    """Write influence scores of every row, by the stored solution of the linear system of `spec`.

    Columns: label, prediction, residual, slope, ΔL, benefit. Returns the counts of rows and the `top` most helpful and
    most harmful molecules; ties go to the earlier row. For scores averaged over several models every column is a mean,
    and `delta_loss_sd` is the standard deviation over the models. Raises `BadInput`.
    """
    from core.influence.scoring import check_labels, make_scorer

    members = spec.members if isinstance(spec, SeedAverage) else (spec,)
    scores_and_fits = [(store.get(one), store.get(one.fit)) for one in members]
    fit = scores_and_fits[0][1]
    load_scorers = functools.cache(
        lambda: [make_scorer(*pair) for pair in scores_and_fits]
    )  # after the table is checked

    def columns(chunk: Dataset, progress: Report) -> dict[str, np.ndarray]:
        n = len(scores_and_fits)
        reports = [progress.part(index / n, (index + 1) / n) for index in range(n)]
        tables = [score(chunk, part) for score, part in zip(load_scorers(), reports, strict=True)]
        mean = average_tables(tables)
        if len(tables) > 1:
            mean["delta_loss_sd"] = np.std([one["delta_loss"] for one in tables], axis=0, ddof=1)
        return {name: mean[name].to_numpy() for name in mean.columns if name not in ("smiles", "mislabelled")}

    if top < 0:
        raise BadInput(f"--top wants a number of molecules, 0 or more, got {top}")
    if labels and len(fit.tasks) > 1:
        raise BadInput(
            f"--labels names one column, the fit has {len(fit.tasks)} tasks; call the columns {list_names(fit.tasks)}"
        )
    annotation = Annotation(
        columns,
        fit.tasks,
        smiles,
        [labels] if labels else list(fit.tasks),
        reading=reading,
        check=lambda molecules: load_scorers()[0].check(molecules),
        check_labels=(lambda labelled: check_labels(fit, labelled, "table"))
        if "binary" in fit.record["kinds"]
        else None,
        product=name_products(store, *members, *(one.fit for one in members)),
        top=top,
    )
    return annotate_table(table, out, annotation, report)


def name_products(store: Any, *specs: Spec) -> dict[str, str]:
    """Key of each run and when it was made: a run that was made again may predict otherwise."""
    return {spec.key: store.find(spec.key).made for spec in specs}

"""A finished fit, or finished scores, applied to every row of a file, however long."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.data.annotated_table import BEGUN, Annotation, annotate_table, list_names
from core.data.dataset import Dataset
from core.engine.report import Report
from core.engine.spec import BadInput, Spec
from core.experiments.influence.seed_average import SeedAverage, average_tables
from core.models.ensemble import EnsembleModel, load_model, member_spread


def predict_file(
    store: Any, spec: Spec, table: Path, out: Path, report: Report, smiles: str = "", level: float = 0.9
) -> dict[str, Any]:
    """Predictions of a fit, in label units (probabilities for binary tasks), in columns `<task>_predicted`.

    Beside them `<task>_low` and `<task>_high`, ends of the intervals of `core.results.calibration`, and `similarity` to
    the nearest training molecule; of an ensemble also `<task>_spread`: the standard deviation of its members.
    """
    from core.results.calibration import Calibration

    if not 0.5 <= level <= 0.99:
        raise BadInput(f"--level wants a share from 0.5 to 0.99, such as 0.9; got {level:g}")
    fit = store.get(spec)
    model = functools.cache(
        lambda: load_model(fit.folder / "predictor", report.part(0, BEGUN))
    )  # once the table is seen
    calibration = functools.cache(lambda: Calibration.of(fit, level, report.part(BEGUN, BEGUN)))

    def columns(chunk: Dataset, within: Report) -> dict[str, np.ndarray]:
        places, molecules = pd.factorize(chunk.smiles)  # each goes through the model once
        values, apart = predict_molecules(model(), list(molecules), within)
        near = calibration().find_nearest(list(molecules))
        low, high = calibration().interval_bounds(values, near, apart)
        found = named("predicted", values) | named("low", low) | named("high", high)
        found |= {} if apart is None else named("spread", apart)
        found["similarity"] = near.similarity.astype(float)
        return {name: column[places] for name, column in found.items()}

    def named(what: str, values: np.ndarray) -> dict[str, np.ndarray]:
        return {f"{task}_{what}": values[:, column] for column, task in enumerate(fit.tasks)}

    annotation = Annotation(
        columns,
        fit.tasks,
        smiles,
        check=lambda molecules: model().check(molecules),
        product=name_products(store, spec) | {"level": level},
    )
    return annotate_table(table, out, annotation, report)


def predict_molecules(model: Any, smiles: list[str], report: Report) -> tuple[np.ndarray, np.ndarray | None]:
    """Predictions (n, t), and of an ensemble how far its members are apart (n, t)."""
    if not isinstance(model, EnsembleModel):
        return model.predict(smiles, report=report), None
    each = model.predict_each(smiles, report)
    return each.mean(0), member_spread(each)


def score_file(
    store: Any, spec: Spec, table: Path, out: Path, report: Report, smiles: str = "", labels: str = "", top: int = 5
) -> dict[str, Any]:
    """Influence of every row, with the vector that the scores keep: label, prediction, residual, slope, ΔL, benefit.

    The answer names the `top` most helpful and most harmful molecules, of equal ones the earlier row. Of scores that
    are the mean of several fits', all are means, and `delta_loss_sd` is the standard deviation over the fits.
    """
    from core.influence.scoring import check_labels, make_scorer

    members = spec.members if isinstance(spec, SeedAverage) else (spec,)
    known = [(store.get(one), store.get(one.fit)) for one in members]
    fit = known[0][1]
    each = functools.cache(lambda: [make_scorer(*one) for one in known])  # once the table is seen

    def columns(chunk: Dataset, within: Report) -> dict[str, np.ndarray]:
        shares = [within.part(place / len(known), (place + 1) / len(known)) for place in range(len(known))]
        tables = [score(chunk, share) for score, share in zip(each(), shares, strict=True)]
        found = average_tables(tables)
        if len(tables) > 1:
            found["delta_loss_sd"] = np.std([one["delta_loss"] for one in tables], axis=0, ddof=1)
        return {name: found[name].to_numpy() for name in found.columns if name not in ("smiles", "mislabelled")}

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
        check=lambda molecules: each()[0].check(molecules),
        check_labels=(lambda labelled: check_labels(fit, labelled, "table"))
        if "binary" in fit.record["kinds"]
        else None,
        product=name_products(store, *members, *(one.fit for one in members)),
        top=top,
    )
    return annotate_table(table, out, annotation, report)


def name_products(store: Any, *specs: Spec) -> dict[str, str]:
    """Keys, and when what lies under them was made: made again it may predict otherwise."""
    return {spec.key: store.find(spec.key).made for spec in specs}

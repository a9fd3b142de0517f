"""Models side by side: the settings that differ, the test metrics, their differences with intervals."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.engine.spec import Spec
from core.figures import base as figures
from core.figures import labels as label_figures
from core.stats import bootstrap
from core.stats.differences import paired_difference
from core.stats.formatting import sd_of_interval
from core.stats.metrics import headline_metric, metrics_of
from pages.base.service import load_product
from pages.base.text import escape_markdown, format_duration, format_signed, loss_name
from pages.forms.spec_form import flatten_settings
from pages.widgets.frame import to_csv
from pages.widgets.run_picker import Run, read_spec


def choose_comparable(runs: list[Run]) -> list[str]:
    """Keys of two models to begin with: the newest two with one test set and property; none where there are none."""

    def tested(run: Run) -> tuple[Any, tuple[str, ...]]:
        summary = run.entry.summary
        return (summary.get("digests") or {}).get("test"), tuple(summary.get("tasks", ()))

    first: dict[tuple[Any, tuple[str, ...]], str] = {}
    for run in runs:
        if tested(run)[0] is None:
            continue
        if tested(run) in first:
            return [first[tested(run)], run.key]
        first[tested(run)] = run.key
    return []


def side_by_side_result(runs: list[Run]) -> None:
    """Two to six trained models; the first is the reference."""
    fits = {run.key[:6]: load_product(run.entry) for run in runs}
    specs = {run.key[:6]: read_spec(run) for run in runs}
    kinds = {name: {"kind": spec.kind} | flatten_settings(spec) for name, spec in specs.items() if spec is not None}
    table = settings_table(kinds)
    st.subheader("Settings that differ", anchor=False)
    if len(table):
        st.dataframe(table, alt="Settings that differ between the models")
    else:
        st.caption("None.")
    first = next(iter(fits.values()))
    tasks = [task for task in first.tasks if all(task in fit.tasks for fit in fits.values())]
    if not tasks:
        st.warning("These models predict different properties, so their metrics cannot be compared.")
        return
    task = tasks[0] if len(tasks) == 1 else st.selectbox("Property", tasks, key="side-task")
    kind = first.record["kinds"][first.tasks.index(task)]
    unit = first.record["unit"][first.tasks.index(task)]
    same = len({fit.record["digests"]["test"] for fit in fits.values()}) == 1
    st.subheader(f"Test metrics{f' ({escape_markdown(unit)})' if unit else ''}", anchor=False)
    if not same:
        st.warning("The test sets differ. These metrics are of different molecules and cannot be compared.")
    metrics = metrics_table(fits, task, kind)
    if same:
        words = f"Δ {headline_metric(kind).name}, 95 % interval"
        metrics.insert(0, words, difference_column(fits, task, kind))  # first: a wide table is cut on its right
    st.dataframe(metrics, alt="Test metrics of the models")
    if same:
        st.caption(
            "Differences from the first model, with a 95 % interval over the test molecules. Each model is one "
            "training seed, so the variation between seeds is not included. A comparison with several seeds includes "
            "it."
        )
    curves = {name: fit.curve for name, fit in fits.items() if len(fit.curve)}  # a baseline has none
    best = {name: fit.record.get("best_epoch") for name, fit in fits.items()}
    if curves:
        all_kinds = [kind for fit in fits.values() for kind in fit.record["kinds"]]
        figure = figures.plot_learning_curves(curves, best, loss_name(all_kinds))
        st.plotly_chart(figure, key="side-curves", config=figures.CONFIG, alt="Learning curves")
    for column, (name, fit) in zip(st.columns(len(fits)), fits.items(), strict=True):
        predictions = fit.predictions[(fit.predictions["task"] == task) & (fit.predictions["part"] == "test")]
        column.caption(f"{name}: test set")
        figure = (
            label_figures.plot_roc(predictions) if kind == "binary" else label_figures.plot_parity(predictions, unit)
        )
        figure.update_layout(height=290, showlegend=False, margin_t=8)
        column.plotly_chart(
            figure, key=f"side-{name}", config=figures.CONFIG, alt=f"Predicted against measured of {name}"
        )
    st.download_button(
        "Metrics (CSV)",
        data=lambda: to_csv(metrics.reset_index()),
        file_name="molsway-side-by-side.csv",
        icon=":material/download:",
        on_click="ignore",
    )


def settings_table(settings: dict[str, dict]) -> pd.DataFrame:
    """Rows are settings, columns runs; only what is not the same in all of them."""
    names = list(dict.fromkeys(name for run_settings in settings.values() for name in run_settings))
    rows, other = {}, ()
    for name in names:
        values = [run_settings.get(name, "–") for run_settings in settings.values()]
        if name.startswith(other):  # parts of different kinds have no settings in common
            continue
        if len({repr(value) for value in values}) > 1:
            if all(isinstance(value, str) and (value in Spec.kinds or value == "–") for value in values):
                other += (f"{name}.", f"{name} ")
            rows[name.replace("_", " ")] = [format_setting(value) for value in values]
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(settings))


def format_setting(value: Any) -> str:
    """A setting as people write it: a list with commas, "automatic" for none, "–" for an empty one."""
    if isinstance(value, tuple):
        return ", ".join(map(format_setting, value)) or "–"
    if value is None:
        return "automatic"
    return str(value) or "–"


def metrics_table(fits: dict, task: str, kind: str) -> pd.DataFrame:
    """One row per model, one column per test metric; – where a model was stored without it."""
    rows = {}
    for run, fit in fits.items():
        card, record = fit.metrics["test"][task], fit.record
        rows[run] = {
            one.name: one.format_value(card.get(one.key), fit.interval(task, one.key)) for one in metrics_of(kind)
        } | {
            "trainable": f"{record['trainable']:,}" if record.get("trainable") else "–",
            "time": format_duration(record.get("seconds")),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def difference_column(fits: dict, task: str, kind: str) -> list[str]:
    """The difference of each run's test RMSE, or AUROC, from the first one's, with its interval over molecules."""

    def column(fit: Any) -> tuple[np.ndarray, np.ndarray]:
        labels, predictions, _ = fit.matrices("test")
        index = fit.tasks.index(task)
        return labels[:, index], predictions[:, index]

    labels, base = column(next(iter(fits.values())))
    cells = ["reference"]
    for fit in list(fits.values())[1:]:
        if kind == "binary":
            mean, span = bootstrap.compare_auroc(labels, column(fit)[1], base)
        else:
            difference = paired_difference(labels, column(fit)[1][None], base[None])
            mean, span = difference["mean"], (difference["low"], difference["high"])
        noise = sd_of_interval(span)
        cells.append(
            "–"
            if span is None
            else f"{format_signed(mean, noise)} ({' to '.join(format_signed(x, noise) for x in span)})"
        )
    return cells

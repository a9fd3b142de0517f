"""A comparison of methods on a page: the verdict first, then errors, costs, and accuracy against cost."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.figures import arms as arm_figures
from core.figures import base as figures
from core.results.comparison import mean_and_sd, role_of
from core.stats.formatting import format_with_sd
from core.stats.metrics import Metric, card_metrics, find_metric
from pages.base.service import find_entry, load_product
from pages.base.text import format_bytes, format_duration, loss_name
from pages.results.comparison import arms_chart, difference_table, metric_unit, metric_words
from pages.widgets.frame import export_buttons, show_command, to_csv
from pages.widgets.run_picker import Run, read_spec, run_door

COST_AXES = {  # by the name in an arm: the title of the axis
    "seconds": "training time, s",
    "backbone_trainable": "trainable weights of the backbone, without the head",
    "peak_memory": "peak memory, bytes",
    "trainable_bytes": "bytes to store, without the original backbone",
}
COLUMN_WIDTHS = {"method": 116, "trainable": 112, "in the backbone": 124}


def methods_result(run: Run) -> None:
    """Everything a finished study of methods shows."""
    comparison = load_product(run.entry)
    record = comparison.record
    arms = record["arms"]
    metric = arms_chart(run, record)
    table = cost_table(arms, metric, record.get("task_kind", "regression"))
    wide = {name: st.column_config.TextColumn(width=width) for name, width in COLUMN_WIDTHS.items()}
    st.dataframe(table, hide_index=True, column_config=wide, alt="Methods, their accuracy and cost")
    difference_table(run, record, record.get("unit", ""))
    st.subheader("Accuracy against cost", anchor=False)
    axes = [name for name in COST_AXES if any(_mean(arm.get(name)) for arm in arms)]
    cost = st.segmented_control(
        "Cost", axes, default=axes[0], format_func=lambda name: COST_AXES[name].split(",")[0], key=f"cost-{run.key}"
    )
    figure = arm_figures.plot_pareto(
        arms,
        cost or axes[0],
        COST_AXES[cost or axes[0]],
        metric,
        metric_unit(record, metric),
        record["reference"],
        metric_words(record, metric),
    )
    st.plotly_chart(figure, key=f"pareto-{run.key}", config=figures.CONFIG, alt="Test metric against cost")
    st.caption("Dotted line: Pareto front (no other method is both cheaper and more accurate).")
    learning_curves(run, arms)
    tables = {"predictions": lambda: to_csv(comparison.predictions), "methods": lambda: to_csv(table)}
    export_buttons(f"methods-{run.key}", run.entry.summary, tables, run.key)
    if (spec := read_spec(run)) is not None:
        show_command(spec)


def cost_table(arms: list[dict], metric: str, kind: str) -> pd.DataFrame:
    """One row per method: its accuracy and its cost."""
    chosen = find_metric(metric, kind)
    unitless = [one for one in card_metrics(kind) if one.unit == "none" and not one.lower_is_better and one != chosen]
    return pd.DataFrame([_costs(arm, (chosen, *unitless[:2])) for arm in arms])


def _costs(arm: dict, metrics: Sequence[Metric]) -> dict[str, str]:
    return (
        {"method": arm["name"]}
        | {one.name: format_with_sd(*mean_and_sd(arm.get(one.key))) for one in metrics}
        | {
            "trainable": _share(arm.get("trainable"), arm.get("parameters")),
            "in the backbone": _share(arm.get("backbone_trainable"), arm.get("backbone_parameters")),
            "time": format_duration(_mean(arm.get("seconds"))),
            "memory": format_bytes(_mean(arm.get("peak_memory"))) if _mean(arm.get("peak_memory")) else "–",
            "storage": format_bytes(arm["trainable_bytes"]) if arm.get("trainable_bytes") else "–",
            "learning rate": f"{arm['learning_rate']:.1g}" if arm.get("learning_rate") else "–",
        }
        | ({"energy": f"{_mean(arm['energy']):.0f} J"} if _mean(arm.get("energy")) else {})
    )


def learning_curves(run: Run, arms: list[dict]) -> None:
    """Learning curves of the networks with the first seed, where they are still in the library."""
    st.subheader("Learning curves", anchor=False)
    fits = {}
    for arm in arms:
        entry = find_entry(arm["fits"][0]) if arm["fits"] and role_of(arm) != "baseline" else None
        if entry is not None:
            fits[arm["name"]] = (entry, load_product(entry))
    if not fits:
        st.caption("The models of this comparison are no longer in the library.")
        return
    curves = {name: fit.curve for name, (_, fit) in fits.items()}
    kinds = [kind for _, fit in fits.values() for kind in fit.record["kinds"]]
    figure = figures.plot_learning_curves(
        {name: curve.drop(columns="train_loss") for name, curve in curves.items()}, y=loss_name(kinds)
    )
    st.plotly_chart(
        figure, key=f"curves-{run.key}", config=figures.CONFIG, alt="Validation loss of each method by epoch"
    )
    st.caption(f"Validation loss with seed {arms[0]['seeds'][0]}. Each model has the weights of its best epoch.")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Model", list(fits), key=f"open-{run.key}")
        run_door("Open it", fits[name][0].key, fits[name][0].kind, "method", ":material/model_training:")


def _share(count: int | None, total: int | None) -> str:
    """`24.6 k (5.3 %)`."""
    if not total:
        return "–"
    counts = ((1e6, " M"), (1e3, " k"), (1, ""))
    unit, word = next((pair for pair in counts if count >= pair[0]), counts[-1])
    percent = 100 * count / total
    return (
        f"{count / unit:.3g}{word} ({percent:.0f} %)"
        if percent >= 10
        else f"{count / unit:.3g}{word} ({percent:.2g} %)"
    )


def _mean(value: dict | float | None) -> float | None:
    return value.get("mean") if isinstance(value, dict) else value

"""A comparison on a page: the verdict first, then the arms, the differences and what each arm selected."""

import pandas as pd
import streamlit as st

from core.experiments.studies.arms import ARMS
from core.figures import arms as arm_figures
from core.figures import base as figures
from core.figures.html_report import render_report
from core.results.comparison import Comparison, mean_and_sd, role_of
from core.results.expectations import check_claims
from core.stats.formatting import format_with_sd
from core.stats.metrics import COMPARED, find_metric, metric_name, metrics_in
from pages.base.service import load_product
from pages.base.text import escape_markdown, format_device, format_duration, format_signed, with_minus_signs
from pages.widgets.frame import export_buttons, show_command, show_verdict, show_warnings, to_csv
from pages.widgets.molecules import show_paged_cards
from pages.widgets.run_picker import Run, read_spec, run_door

ROLES = {  # of arms that add nothing from the pool: what they are, and the marker of their mean in the chart
    "baseline": ("nothing; a baseline", "Squares are baselines"),
    "control": ("nothing; trained from random weights", "Triangles are the same training from random weights"),
}


def study_result(run: Run) -> None:
    """Everything a finished comparison shows."""
    comparison = load_product(run.entry)
    record = comparison.record
    metric = arms_chart(run, record)
    arm_table(record["arms"], metric, metric_words(record, metric))
    difference_table(run, record, record.get("unit", ""))
    show_claims(comparison)
    show_detection(record)
    show_selected(run, comparison)
    with st.container(horizontal=True, vertical_alignment="center"):
        if record.get("scores"):
            run_door("Open the scores", record["scores"], "influence", "scores", ":material/balance:")
        if record.get("base_fit"):
            run_door("Open the base model", record["base_fit"], "finetune", "base", ":material/model_training:")
    tables = {"predictions": lambda: to_csv(comparison.predictions), "picks": lambda: to_csv(comparison.picks)}
    export_buttons(f"study-{run.key}", run.entry.summary, tables, run.key)
    if (spec := read_spec(run)) is not None:
        st.download_button(
            "Report (HTML)",
            data=lambda: render_report(comparison, spec, run.entry.made).encode(),
            file_name=f"molsway-study-{run.key}.html",
            mime="text/html",
            key=f"report-{run.key}",
            on_click="ignore",
            icon=":material/description:",
            help="One file with charts, tables, molecules and settings; it opens in any browser",
        )
        show_command(spec)


def arms_chart(run: Run, record: dict) -> str:
    """The verdict, the warnings, and the error of every arm; gives the metric that is shown."""
    arms = record["arms"]
    show_verdict(with_minus_signs(record["verdict"]))
    st.caption(
        f"{record['n_test']:,} test molecules, the same for every arm. Seeds {', '.join(map(str, arms[0]['seeds']))}. "
        f"{escape_markdown(record.get('backbone') or '')} on {escape_markdown(format_device(record.get('device')))}.",
        help=f"Digest of the test set: {escape_markdown(record.get('test_digest') or '–')}",
    )
    show_warnings(record.get("notes", []))
    names = [one.key for one in metrics_in(arms[0], record.get("task_kind", "regression"))]
    first = COMPARED if COMPARED in names else names[0]
    metric = (
        st.segmented_control(
            "Metric", names, default=first, format_func=lambda name: metric_words(record, name), key=f"metric-{run.key}"
        )
        or first
    )
    if len(record.get("sizes", ())) > 1:
        size_chart(run, record, metric)
    figure = arm_figures.plot_arms(
        arms, metric, metric_unit(record, metric), record["reference"], metric_words(record, metric)
    )
    st.plotly_chart(
        figure, key=f"arms-{run.key}", config=figures.CONFIG, alt="Test metric of each arm, every seed a point"
    )
    st.caption(
        "Diamonds are means, bars one standard deviation over seeds, dots single seeds. The grey noise band is the "
        f"standard deviation of “{escape_markdown(record['reference'])}” over its seeds."
        + "".join(f" {sentence}." for role, (_, sentence) in ROLES.items() if role in map(role_of, arms))
    )
    return metric


def size_chart(run: Run, record: dict, metric: str) -> None:
    """The metric against the number of selected molecules, and how few do as well as the whole pool."""
    figure = arm_figures.plot_selection_sizes(
        record["arms"], metric, metric_unit(record, metric), metric_words(record, metric)
    )
    st.plotly_chart(figure, key=f"curve-{run.key}", config=figures.CONFIG, alt="Test metric against molecules selected")
    pool_size = record["pool"]["rows"]
    sizes = [f"“{rule}” from {size:,}" for rule, size in (record.get("enough") or {}).items()]
    if any(arm["name"] == "all" for arm in record["arms"]):
        st.caption(
            f"Not distinguishable from the whole pool ({pool_size:,} molecules): "
            + (escape_markdown(", ".join(sizes)) if sizes else "no strategy at any of these sizes")
            + ". Bars and bands are one standard deviation over seeds."
        )


def metric_unit(record: dict, metric: str) -> str:
    """The unit of a metric, where it has one."""
    return find_metric(metric, record.get("task_kind", "regression")).unit_text(record.get("unit", ""))


def metric_words(record: dict, metric: str) -> str:
    """What a metric is called in this study."""
    return metric_name(metric, record.get("task_kind", "regression"))


def arm_table(arms: list[dict], metric: str, words: str) -> None:
    rows = [
        {
            "arm": arm["name"],
            "adds to the training set": describe_arm(arm),
            "training molecules": max(arm["n_train"]) if isinstance(arm["n_train"], list) else arm["n_train"],
            words: format_with_sd(*mean_and_sd(arm.get(metric))),
            "swapped labels selected": "–" if arm.get("mislabelled") is None else str(arm["mislabelled"]),
            "time per seed": format_duration((arm.get("seconds") or {}).get("mean")),
        }
        for arm in arms
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Arms and their metric, mean ± standard deviation over seeds")


def describe_arm(arm: dict) -> str:
    """What an arm adds to the training set; of a baseline or a control, what it is."""
    words = ROLES[role_of(arm)][0] if role_of(arm) in ROLES else ARMS.describe(arm.get("rule", arm["name"]))
    return f"{words}: {arm['features']}" if arm.get("features") else words


def difference_table(run: Run, record: dict, unit: str) -> None:
    """Paired differences with their intervals, against each reference."""
    differences = record.get("differences", [])
    if not differences:
        return
    st.subheader("Differences with 95 % intervals", anchor=False)
    against = sorted(dict.fromkeys(row["against"] for row in differences), key=lambda name: name != record["reference"])
    chosen = against[0]
    if len(against) > 1:
        chosen = st.segmented_control("Against", against, default=chosen, key=f"against-{run.key}") or chosen
    rows = [row for row in differences if row["against"] == chosen]
    metric = rows[0]["metric"]
    words = metric_words(record, metric)
    figure = arm_figures.plot_differences(rows, metric, unit, words)
    st.plotly_chart(figure, key=f"diff-{run.key}", config=figures.CONFIG, alt="Paired differences with 95 % intervals")
    table = pd.DataFrame(
        {
            "arm": [row["arm"] for row in rows],
            "verdict": [row["verdict"] for row in rows],
            f"Δ {words}": [format_signed(row["mean"], (row["high"] - row["low"]) / 4) for row in rows],
            "95 % interval": [_interval(row) for row in rows],
        }
    )
    st.dataframe(table, hide_index=True, alt="Differences, intervals and verdicts")
    st.caption(
        "Paired differences: the same test molecules and seeds. The interval covers the noise of training seeds and of "
        "test molecules. Negative means a smaller error."
    )


def _interval(row: dict) -> str:
    noise = (row["high"] - row["low"]) / 4
    return f"{format_signed(row['low'], noise)} to {format_signed(row['high'], noise)}"


def show_claims(comparison: Comparison) -> None:
    """Common expectations of such arms, and the outcome in this study."""
    outcomes = check_claims(comparison)
    if not outcomes:
        return
    with st.expander("Common expectations, tested", icon=":material/history_edu:"):
        rows = [
            {
                "expectation": one["expectation"],
                "here": one["outcome"],
                "difference": f"{format_signed(one['mean'], (one['high'] - one['low']) / 4)} ({_interval(one)})",
            }
            for one in outcomes
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Common expectations and their outcomes")
        st.caption("For this table, this model and these seeds.")


def show_detection(record: dict) -> None:
    """How well labels that were swapped on purpose were detected."""
    detection = record.get("detection") or {}
    if not detection:
        return
    st.subheader("Were the labels swapped on purpose detected?", anchor=False)
    words = {
        "delta_loss": "Ranked by ΔL (influence)",
        "whole_step": "Ranked by the full update (influence)",
        "residual": "Ranked by |prediction error| (no influence)",
    }
    for column, (name, value) in zip(st.columns(max(len(detection), 3)), detection.items(), strict=False):
        column.metric(
            words.get(name, name),
            f"{value['auroc']:.2f}",
            help="AUROC: 1 ranks every swapped label first, 0.5 is chance",
        )
        column.caption(f"AUROC, 95 % interval {value['low']:.2f} to {value['high']:.2f}")


def show_selected(run: Run, comparison: Comparison) -> None:
    """The molecules that each arm selected with the first seed."""
    if not len(comparison.picks):
        return
    st.subheader("Selected molecules", anchor=False)
    names = list(dict.fromkeys(comparison.picks["arm"]))
    arm = (
        st.segmented_control("Arm", names, default="top" if "top" in names else names[0], key=f"arm-{run.key}")
        or names[0]
    )
    table = comparison.picks[comparison.picks["arm"] == arm]
    table = table[table["seed"] == table["seed"].min()]
    show_paged_cards(table, f"picks-{run.key}-{arm}", comparison.record.get("unit", ""))

"""Predictions on a page: their intervals, the applicability domain, the extremes, and one molecule in detail."""

import numpy as np
import pandas as pd
import streamlit as st

from core.chem import molecules as chem
from core.figures import base as figures
from core.figures import predictions as prediction_figures
from core.results.predictions import Predictions, column_name
from core.stats.formatting import format_interval, format_number, sd_of_interval
from core.stats.metrics import headline_metric
from pages.base.service import load_product
from pages.base.text import as_sentence, escape_markdown, format_percent
from pages.widgets.frame import export_buttons, show_command, show_warnings, split_page, to_csv
from pages.widgets.molecules import draw_images, show_molecule, show_paged_cards
from pages.widgets.run_picker import Run, find_entry, read_spec

MAX_ROWS = 400  # of the table that is shown; the export has all
NAME_COLUMNS = ("id", "name", "title", "compound", "compound id", "compound_id", "molecule name", "cas")
ORDERS = {
    "Highest": ("prediction", False),
    "Lowest": ("prediction", True),
    "Widest interval": ("half", False),
    "Least similar": ("similarity", True),
}


def predictions_result(run: Run) -> None:
    """Everything that finished predictions show."""
    predictions: Predictions = load_product(run.entry)
    record = predictions.record
    task = (
        predictions.tasks[0]
        if len(predictions.tasks) == 1
        else st.selectbox("Property", predictions.tasks, key=f"task-{run.key}")
    )
    index = predictions.tasks.index(task)
    kind, unit = record["kinds"][index], record["unit"][index]
    table = predictions.of(task).reset_index(drop=True)
    table["half"] = (table["high"] - table["low"]) / 2
    show_summary(record, task, index, kind, unit)
    show_left_out(record["dropped"])
    show_warnings(record["warnings"])
    show_charts(run, table, record, kind, unit)
    show_ordered_cards(run, table, kind, unit)
    show_table(run, table)
    if len(predictions.tasks) > 1:
        show_all_tasks(run, predictions)
    heading = (
        f"{task}, {unit or 'no unit'}; intervals of level {record['level']:g}; run {run.key}, model {record['fit']}"
    )
    heading += "".join(f"\n{name}: {reason}" for name, reason in record.get("undefined", {}).items())
    export_buttons(
        f"predictions-{run.key}", record, {"predictions": lambda: to_csv(predictions.table, heading)}, run.key
    )
    st.download_button(
        "Structures (SDF)",
        data=lambda: to_sdf(table, task),
        file_name=f"molsway-predictions-{run.key}.sdf",
        mime="chemical/x-mdl-sdfile",
        key=f"sdf-{run.key}",
        on_click="ignore",
        icon=":material/download:",
    )
    if (spec := read_spec(run)) is not None:
        show_command(spec)


def show_summary(record: dict, task: str, index: int, kind: str, unit: str) -> None:
    """The number of molecules, the widths of the intervals, the error on the test set or on this table."""
    width = record["width"][index]
    level, metrics = format_percent(record["level"]), record["metrics"].get(task)
    test, of_unit = record["test"][task], f" {escape_markdown(unit)}" if unit else ""
    with st.container(border=True):
        one, *middle, three, four = st.columns(3 if width is None else 4)
        one.metric("Molecules", f"{record['molecules']:,}")
        merged = f"; {record['merged']:,} duplicate rows" if record["merged"] else ""
        shared = sum(record["known"].values())
        one.caption(f"{shared:,} {'is' if shared == 1 else 'are'} in the model’s own table{merged}")
        if width is not None and kind == "binary":
            middle[0].metric("Width of a probability range (median)", format_number(2 * width["median"]))
            middle[0].caption(f"from {format_number(2 * width['low'])} to {format_number(2 * width['high'])}")
        elif width is not None:
            middle[0].metric(f"{level} interval (median)", f"± {format_number(width['median'])}{of_unit}")
            middle[0].caption(f"from ± {format_number(width['low'])} to ± {format_number(width['high'])}")
        three.metric("Outside the domain", f"{record['remote']:,}")
        beyond = record.get("beyond_range", 0)
        three.caption(
            f"similarity below {record['remote_below']:.2f}, the 5th percentile of the validation set"
            + (f", or beyond the range of the training set ({beyond:,})" if beyond else "")
        )
        metric = headline_metric(kind)
        name = metric.key
        usual = record.get("test_intervals", {}).get(task, {}).get(name)
        if metrics and metrics.get(name) is not None:
            here = record.get("intervals", {}).get(task, {}).get(name)
            four.metric(f"{metric.name} on this table", format_number(metrics[name], sd_of_interval(here)))
            sure = f"95 %: {format_interval(here)}; " if here else ""
            four.caption(f"{sure}{metric.format_value(test.get(name), usual)} on the test set")
        else:
            four.metric(f"{metric.name}, test set", format_number(test.get(name), sd_of_interval(usual)))
            sure = f"95 %: {format_interval(usual)}; " if usual else ""
            four.caption(f"{sure}{test['n']:,} molecules, not used for training or selection")
    sentences = describe_coverage(record, index, kind)
    reason = record.get("undefined", {}).get(task, "the validation set is too small for prediction intervals")
    st.markdown(" ".join(sentences) or escape_markdown(as_sentence(reason)))


def describe_coverage(record: dict, index: int, kind: str) -> list[str]:
    """Sentences on how many measured values the intervals contain, on the test set and on this table."""
    tested, here = record["kept"][index], record["held"][index]
    sentences = []
    if tested and kind == "binary":
        sentences.append(
            "Each range contains the calibrated probability (Venn–Abers, from the validation set). On the test set "
            f"({tested['n']:,} molecules) the log loss is {format_number(tested['log_loss'])} without calibration and "
            f"{format_number(tested['calibrated_log_loss'])} with it."
        )
    elif tested:
        sentences.append(
            f"On the test set ({tested['n']:,} molecules) the intervals contain **{format_percent(tested['share'])}** "
            f"of the measured values ({_span(tested)}); {format_percent(record['level'])} is the nominal coverage."
        )
    if here and here["n"]:
        too_low = here["high"] < record["level"]
        share = f"**{format_percent(here['share'])}**"
        sentences.append(
            f"On this table ({here['n']:,} measured values) they contain {f':orange[{share}]' if too_low else share} "
            f"({_span(here)})"
            + (": these molecules, or their measurements, differ from the training data." if too_low else ".")
        )
    return sentences


def _span(interval: dict) -> str:
    return f"{format_percent(interval['low'])} to {format_percent(interval['high'])}"


def show_left_out(dropped: list[dict]) -> None:
    """Rows without a valid molecule, with the reason."""
    if not dropped:
        return
    words = "1 row has" if len(dropped) == 1 else f"{len(dropped)} rows have"
    with st.expander(f"{words} no valid molecule and left out", icon=":material/info:", expanded=len(dropped) <= 3):
        for one in dropped:
            st.markdown(
                f"- Row {one['row']:,}, {escape_markdown(one['smiles'][:80]) or 'empty'}: "
                f"{escape_markdown(one['reason'])}"
            )


def show_charts(run: Run, table: pd.DataFrame, record: dict, kind: str, unit: str) -> None:
    """The charts on the left, the chosen molecule on the right; a click chooses."""
    slot = f"picked-{run.key}"
    if slot not in st.session_state or st.session_state[slot] >= len(table):
        st.session_state[slot] = int(table["prediction"].to_numpy(float).argmax())
    views = ["By similarity to the training set", *(["Against measured values"] if "label" in table else [])]
    left, right = split_page(run.key)
    with left:
        view = views[0]
        if len(views) > 1:
            view = st.segmented_control("Show", views, default=views[-1], key=f"show-{run.key}") or views[0]
        key = f"plot-{run.key}-{view}"

        def choose() -> None:
            points = [one for one in st.session_state[key].selection.points if "customdata" in one]
            if points:
                st.session_state[slot] = int(np.ravel(points[-1]["customdata"])[0])

        picked = st.session_state[slot]
        if view == views[0]:
            figure = prediction_figures.plot_applicability_domain(table, unit, record["remote_below"], picked)
        elif kind == "binary":
            distributions = {f"measured as {label}": table["prediction"][table["label"] == label] for label in (0, 1)}
            figure = figures.plot_label_histogram(distributions, "prediction")
        else:
            figure = prediction_figures.plot_labels_against_predictions(table, unit, picked)
        st.plotly_chart(
            figure,
            key=key,
            on_select=choose,
            selection_mode="points",
            config=figures.CONFIG,
            alt=f"Predictions, {view}",
        )
        bars = "" if len(table) <= prediction_figures.MAX_BARS else " Point at one to see its interval."
        by_class = "Predicted probabilities of molecules measured as 0 and as 1."
        st.caption(by_class if view != views[0] and kind == "binary" else f"Click a molecule for details.{bars}")
    with right, st.container(border=True):
        row = {name: None if pd.isna(value) else value for name, value in table.iloc[picked].items()}
        entry = find_entry(record["fit"])
        row["said"] = describe_prediction(row, record, kind, unit)
        if (name := molecule_name(row)) is not None:
            st.markdown(f"**{escape_markdown(name)}**")
        show_molecule(row, load_product(entry).table("train") if entry else None, unit)


def find_name_column(table: pd.DataFrame) -> list[str]:
    """The column with the names of molecules, if there is one."""
    return [name for name in table if str(name).lower() in NAME_COLUMNS][:1]


def molecule_name(row: dict) -> str | None:
    """The name of a molecule in its own table, if a column has it."""
    names = (row[name] for name in row if str(name).lower() in NAME_COLUMNS and row[name] not in (None, ""))
    return next(map(str, names), None)


def describe_prediction(row: dict, record: dict, kind: str, unit: str) -> str:
    """The interval of one prediction, and what limits its reliability."""
    sentences = []
    if row["low"] is not None:
        low, high, of_unit = (
            format_number(row["low"]),
            format_number(row["high"]),
            f" {escape_markdown(unit)}" if unit else "",
        )
        level = format_percent(record["level"])
        binary = f"Calibrated probability: **{low} to {high}**."
        sentences.append(binary if kind == "binary" else f"{level} interval: **{low} to {high}{of_unit}**.")
    if row.get("spread") is not None:
        sentences.append(f"Standard deviation of the members: {format_number(row['spread'])}.")
    if row.get("outside"):
        words = escape_markdown(row["outside"])
        sentences.append(f":orange[Beyond the training set: {words}. No error was measured there.]")
    elif row["remote"]:
        sentences.append(":orange[No close training neighbour: the coverage of the interval is not guaranteed.]")
    if row["part"]:
        words = {
            "train": "the model was trained on it",
            "valid": "it was used to choose the best epoch",
            "test": "it is in the test set",
        }
        sentences.append(f":orange[In the model’s own table: {words[row['part']]}.]")
    if row["caution"]:
        sentences.append(escape_markdown(row["caution"]))
    return " ".join(sentences)


def show_ordered_cards(run: Run, table: pd.DataFrame, kind: str, unit: str) -> None:
    """The molecules at the ends of an order, as cards."""
    order = st.segmented_control("Order", list(ORDERS), default="Highest", key=f"order-{run.key}") or "Highest"
    column, ascending = ORDERS[order]
    cards = table.sort_values(column, ascending=ascending, kind="stable", na_position="last").head(48)
    ranges = [f"{low:.2f}–{high:.2f}" if kind == "binary" else f"± {half:#.2g}".rstrip(".")
              for low, high, half in cards[["low", "high", "half"]].to_numpy(float)]  # fmt: skip
    text = [one if np.isfinite(half) else "" for one, half in zip(ranges, cards["half"], strict=True)]
    near = [f"similarity {value:.2f}" for value in cards["similarity"]]
    names = [molecule_name(row) for row in cards.to_dict("records")]
    cards = cards.assign(note=[" · ".join(filter(None, pair)) for pair in zip(text, near, strict=True)], title=names)
    show_paged_cards(cards, f"cards-{run.key}-{order}", unit)


def show_table(run: Run, table: pd.DataFrame) -> None:
    """The highest predictions as a table with structures."""
    with st.expander("As a table", icon=":material/table:"):
        order = table.sort_values("prediction", ascending=False, kind="stable").head(MAX_ROWS)
        columns = [
            "structure",
            *find_name_column(order),
            *(["label"] if "label" in order else []),
            "prediction",
            "low",
            "high",
        ]
        columns += [*(["spread"] if "spread" in order else []), "similarity"]
        columns += [*(["outside"] if "outside" in order else []), "part", "smiles"]
        st.dataframe(
            order.assign(structure=draw_images(order["smiles"].tolist()))[columns],
            key=f"rows-{run.key}",
            hide_index=True,
            row_height=84,
            height=520,
            lazy=False,
            alt="Predictions, highest first",
            column_config={"structure": st.column_config.ImageColumn(width=140)}
            | {
                name: st.column_config.NumberColumn(format="%.3g")
                for name in ("label", "prediction", "low", "high", "spread", "similarity")
            }
            | {
                "outside": st.column_config.TextColumn("beyond the training set"),
                "part": st.column_config.TextColumn(
                    "in the model’s", help="the set of the model’s own table that has it"
                ),
            },
        )
        st.caption(f"{min(MAX_ROWS, len(table)):,} of {len(table):,}; the export has all.")


def tasks_table(predictions: Predictions) -> tuple[pd.DataFrame, list[str]]:
    """The first rows with one column per task, which has its full name where another column has the short one."""
    first = predictions.table.head(MAX_ROWS)
    after = ["similarity", "part", "smiles"]
    long = [column_name("prediction", task, predictions.tasks) for task in predictions.tasks]
    reserved = {"structure", *find_name_column(first), *after}
    short = [full if task in reserved else task for full, task in zip(long, predictions.tasks, strict=True)]
    return pd.concat([first[find_name_column(first)], first[long].set_axis(short, axis=1), first[after]], axis=1), short


def show_all_tasks(run: Run, predictions: Predictions) -> None:
    """All tasks side by side, one row per molecule, in the order of the table."""
    with st.expander(f"All {len(predictions.tasks)} properties", icon=":material/grid_on:"):
        rows, short = tasks_table(predictions)
        rows.insert(0, "structure", draw_images(rows["smiles"].tolist()))
        numbers = {name: st.column_config.NumberColumn(format="%.3g") for name in (*short, "similarity")}
        st.dataframe(
            rows,
            key=f"tasks-{run.key}",
            hide_index=True,
            row_height=84,
            height="auto",
            lazy=False,
            alt="Predictions of all properties",
            column_config={"structure": st.column_config.ImageColumn(width=140), **numbers},
        )
        st.caption(f"{len(rows):,} of {len(predictions.table):,}; the export has all, with intervals.")


def to_sdf(table: pd.DataFrame, task: str) -> bytes:
    """The molecules with their predictions as an SD file."""
    names = {"prediction": task, "low": f"{task} low", "high": f"{task} high", "similarity": "similarity"}
    return chem.as_sdf(
        table["smiles"].tolist(), {name: table[column].tolist() for column, name in names.items()}
    ).encode()

"""Predictions on a page: their intervals, the applicability domain, the extremes, and one molecule in detail."""

import numpy as np
import pandas as pd
import streamlit as st

from core.chem import molecules as chem
from core.figures import base as figures
from core.figures import predictions as prediction_figures
from core.results.predictions import Predicted, named
from core.stats.formatting import bounds, noise_of, number
from core.stats.metrics import headline_metric
from pages.base.service import product
from pages.base.text import percent, plain
from pages.widgets.frame import as_csv, command, exports, notes
from pages.widgets.molecules import closely, pages_of_cards, pictures
from pages.widgets.run_picker import Run, entry_of, readable

MOST_ROWS = 400  # of the table that is shown; the export has all
NAMES = ("id", "name", "title", "compound", "compound id", "compound_id", "molecule name", "cas")
ORDERS = {
    "Highest": ("prediction", False),
    "Lowest": ("prediction", True),
    "Widest interval": ("half", False),
    "Least similar": ("similarity", True),
}


def predicted_result(run: Run) -> None:
    """Everything that finished predictions show."""
    made: Predicted = product(run.entry)
    record = made.record
    task = made.tasks[0] if len(made.tasks) == 1 else st.selectbox("Property", made.tasks, key=f"task-{run.key}")
    place = made.tasks.index(task)
    kind, unit = record["kinds"][place], record["unit"][place]
    table = made.of(task).reset_index(drop=True)
    table["half"] = (table["high"] - table["low"]) / 2
    summary(record, task, place, kind, unit)
    left_out(record["dropped"])
    notes(record["warnings"])
    explore(run, table, record, kind, unit)
    drawn(run, table, kind, unit)
    ranking(run, table)
    if len(made.tasks) > 1:
        every_task(run, made)
    heading = (
        f"{task}, {unit or 'no unit'}; intervals of level {record['level']:g}; run {run.key}, model {record['fit']}"
    )
    exports(f"predictions-{run.key}", record, {"predictions": lambda: as_csv(made.table, heading)}, run.key)
    st.download_button(
        "Structures (SDF)",
        data=lambda: structures(table, task),
        file_name=f"molsway-predictions-{run.key}.sdf",
        mime="chemical/x-mdl-sdfile",
        key=f"sdf-{run.key}",
        on_click="ignore",
        icon=":material/download:",
    )
    if (spec := readable(run)) is not None:
        command(spec)


def summary(record: dict, task: str, place: int, kind: str, unit: str) -> None:
    """How many molecules; the errors expected from the test set, and those of their own measured values."""
    kept, width = record["kept"][place], record["width"][place]
    level, found = percent(record["level"]), record["metrics"].get(task)
    test, of_unit = record["test"][task], f" {plain(unit)}" if unit else ""
    with st.container(border=True):
        one, two, three, four = st.columns(4)
        one.metric("Molecules", f"{record['molecules']:,}")
        merged = f"; {record['merged']:,} duplicate rows" if record["merged"] else ""
        one.caption(f"{sum(record['known'].values()):,} are in the model’s own table{merged}")
        if width is not None and kind == "binary":
            two.metric("Width of a probability range (median)", number(2 * width["median"]))
            two.caption(f"from {number(2 * width['low'])} to {number(2 * width['high'])}")
        elif width is not None:
            two.metric(f"{level} interval (median)", f"± {number(width['median'])}{of_unit}")
            two.caption(f"from ± {number(width['low'])} to ± {number(width['high'])}")
        three.metric("No training neighbour", f"{record['remote']:,}")
        three.caption(
            f"Tanimoto similarity below {record['remote_below']:.2f}, the 5th percentile of the validation set"
        )
        metric = headline_metric(kind)
        name = metric.key
        usual = record.get("test_intervals", {}).get(task, {}).get(name)
        if found and found.get(name) is not None:
            here = record.get("intervals", {}).get(task, {}).get(name)
            four.metric(f"{metric.name} on this table", number(found[name], noise_of(here)))
            sure = f"95 %: {bounds(here)}; " if here else ""
            four.caption(f"{sure}{metric.format_value(test.get(name), usual)} on the test set")
        else:
            four.metric(f"{metric.name}, test set", number(test.get(name), noise_of(usual)))
            sure = f"95 %: {bounds(usual)}; " if usual else ""
            four.caption(f"{sure}{test['n']:,} molecules, not used for training or selection")
    said = []
    if kept and kind == "binary":
        said.append(
            "Each range contains the calibrated probability (Venn–Abers, from the validation set). On the test set "
            f"({kept['n']:,} molecules) the log loss is {number(kept['log_loss'])} without calibration and "
            f"{number(kept['calibrated_log_loss'])} with it."
        )
    elif kept:
        said.append(
            f"On the test set ({kept['n']:,} molecules) the intervals contain **{percent(kept['share'])}** of the "
            "measured "
            f"values ({percent(kept['low'])} to {percent(kept['high'])}); {level} is the nominal coverage."
        )
    held = record["held"][place]
    if held and held["n"]:
        short = held["high"] < record["level"]
        share = f":orange[**{percent(held['share'])}**]" if short else f"**{percent(held['share'])}**"
        said.append(
            f"On this table ({held['n']:,} measured values) they contain {share} "
            f"({percent(held['low'])} to {percent(held['high'])})"
            + (": these molecules, or their measurements, differ from the training data." if short else ".")
        )
    st.markdown(" ".join(said) or "The validation set is too small for prediction intervals.")


def left_out(dropped: list[dict]) -> None:
    """Rows without a valid molecule, with the reason."""
    if not dropped:
        return
    words = "1 row has" if len(dropped) == 1 else f"{len(dropped)} rows have"
    with st.expander(f"{words} no valid molecule and left out", icon=":material/info:", expanded=len(dropped) <= 3):
        for one in dropped:
            st.markdown(f"- Row {one['row']:,}, {plain(one['smiles'][:80]) or 'empty'}: {plain(one['reason'])}")


def explore(run: Run, table: pd.DataFrame, record: dict, kind: str, unit: str) -> None:
    """The charts on the left, the chosen molecule on the right; a click chooses."""
    slot = f"picked-{run.key}"
    if slot not in st.session_state or st.session_state[slot] >= len(table):
        st.session_state[slot] = int(table["prediction"].to_numpy(float).argmax())
    views = ["By similarity to the training set", *(["Against measured values"] if "label" in table else [])]
    left, right = st.columns([3, 2], gap="medium")
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
            figure = prediction_figures.reach(table, unit, record["remote_below"], picked)
        elif kind == "binary":
            known = {f"measured as {label}": table["prediction"][table["label"] == label] for label in (0, 1)}
            figure = figures.labels(known, "prediction")
        else:
            figure = prediction_figures.against(table, unit, picked)
        st.plotly_chart(
            figure,
            key=key,
            on_select=choose,
            selection_mode="points",
            config=figures.CONFIG,
            alt=f"Predictions, {view}",
        )
        bars = "" if len(table) <= prediction_figures.MOST_BARS else " Point at one to see its interval."
        by_class = "Predicted probabilities of molecules measured as 0 and as 1."
        st.caption(by_class if view != views[0] and kind == "binary" else f"Click a molecule for details.{bars}")
    with right, st.container(border=True):
        row = {name: None if pd.isna(value) else value for name, value in table.iloc[picked].items()}
        entry = entry_of(record["fit"])
        row["said"] = sentences(row, record, kind, unit)
        if (name := name_of(row)) is not None:
            st.markdown(f"**{plain(name)}**")
        closely(row, product(entry).table("train") if entry else None, unit)


def naming(table: pd.DataFrame) -> list[str]:
    """The column with the names of molecules, if there is one."""
    return [name for name in table if str(name).lower() in NAMES][:1]


def name_of(row: dict) -> str | None:
    """The name of a molecule in its own table, if a column has it."""
    found = (row[name] for name in row if str(name).lower() in NAMES and row[name] not in (None, ""))
    return next(map(str, found), None)


def sentences(row: dict, record: dict, kind: str, unit: str) -> str:
    """The interval of one prediction, and what limits its reliability."""
    said = []
    if row["low"] is not None:
        low, high, of_unit = number(row["low"]), number(row["high"]), f" {plain(unit)}" if unit else ""
        level = percent(record["level"])
        binary = f"Calibrated probability: **{low} to {high}**."
        said.append(binary if kind == "binary" else f"{level} interval: **{low} to {high}{of_unit}**.")
    if row.get("spread") is not None:
        said.append(f"Standard deviation of the members: {number(row['spread'])}.")
    if row["remote"]:
        said.append(":orange[No close training neighbour: the coverage of the interval is not guaranteed.]")
    if row["part"]:
        words = {
            "train": "the model was trained on it",
            "valid": "it was used to choose the best epoch",
            "test": "it is in the test set",
        }
        said.append(f":orange[In the model’s own table: {words[row['part']]}.]")
    if row["caution"]:
        said.append(plain(row["caution"]))
    return " ".join(said)


def drawn(run: Run, table: pd.DataFrame, kind: str, unit: str) -> None:
    """The molecules at the ends of an order, as cards."""
    order = st.segmented_control("Order", list(ORDERS), default="Highest", key=f"order-{run.key}") or "Highest"
    column, ascending = ORDERS[order]
    shown = table.sort_values(column, ascending=ascending, kind="stable", na_position="last").head(48)
    ranges = [f"{low:.2f}–{high:.2f}" if kind == "binary" else f"± {half:#.2g}".rstrip(".")
              for low, high, half in shown[["low", "high", "half"]].to_numpy(float)]  # fmt: skip
    text = [one if np.isfinite(half) else "" for one, half in zip(ranges, shown["half"], strict=True)]
    near = [f"similarity {value:.2f}" for value in shown["similarity"]]
    names = [name_of(row) for row in shown.to_dict("records")]
    shown = shown.assign(note=[" · ".join(filter(None, pair)) for pair in zip(text, near, strict=True)], title=names)
    pages_of_cards(shown, f"cards-{run.key}-{order}", unit)


def ranking(run: Run, table: pd.DataFrame) -> None:
    """The highest predictions as a table with structures."""
    with st.expander("As a table", icon=":material/table:"):
        order = table.sort_values("prediction", ascending=False, kind="stable").head(MOST_ROWS)
        columns = ["structure", *naming(order), *(["label"] if "label" in order else []), "prediction", "low", "high"]
        columns += [*(["spread"] if "spread" in order else []), "similarity", "part", "smiles"]
        st.dataframe(
            order.assign(structure=pictures(order["smiles"].tolist()))[columns],
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
                "part": st.column_config.TextColumn(
                    "in the model’s", help="the set of the model’s own table that has it"
                )
            },
        )
        st.caption(f"{min(MOST_ROWS, len(table)):,} of {len(table):,}; the export has all.")


def side_by_side(made: Predicted) -> tuple[pd.DataFrame, list[str]]:
    """The first rows with one column per task, which has its full name where another column has the short one."""
    first = made.table.head(MOST_ROWS)
    after = ["similarity", "part", "smiles"]
    long = [named("prediction", task, made.tasks) for task in made.tasks]
    taken = {"structure", *naming(first), *after}
    short = [full if task in taken else task for full, task in zip(long, made.tasks, strict=True)]
    return pd.concat([first[naming(first)], first[long].set_axis(short, axis=1), first[after]], axis=1), short


def every_task(run: Run, made: Predicted) -> None:
    """All tasks side by side, one row per molecule, in the order of the table."""
    with st.expander(f"All {len(made.tasks)} properties", icon=":material/grid_on:"):
        shown, short = side_by_side(made)
        shown.insert(0, "structure", pictures(shown["smiles"].tolist()))
        numbers = {name: st.column_config.NumberColumn(format="%.3g") for name in (*short, "similarity")}
        st.dataframe(
            shown,
            key=f"tasks-{run.key}",
            hide_index=True,
            row_height=84,
            height="auto",
            lazy=False,
            alt="Predictions of all properties",
            column_config={"structure": st.column_config.ImageColumn(width=140), **numbers},
        )
        st.caption(f"{len(shown):,} of {len(made.table):,}; the export has all, with intervals.")


def structures(table: pd.DataFrame, task: str) -> bytes:
    """The molecules with their predictions as an SD file."""
    names = {"prediction": task, "low": f"{task} low", "high": f"{task} high", "similarity": "similarity"}
    return chem.as_sdf(
        table["smiles"].tolist(), {name: table[column].tolist() for column, name in names.items()}
    ).encode()

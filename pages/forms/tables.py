"""Choosing a table, its parts, and a pool; and what a table looks like."""

import dataclasses

import numpy as np
import pandas as pd
import streamlit as st

from core.data.dataset import Dataset
from core.engine.spec import BadInput, Spec
from core.experiments import Load, Part, Plant
from core.experiments.data.load import BUNDLED
from core.figures import base as figures
from core.results.fit import PARTS, Fit
from pages.base.service import service
from pages.base.text import plain
from pages.forms.spec_form import spec_form
from pages.widgets.frame import as_csv
from pages.widgets.molecules import cards
from pages.widgets.run_picker import Run, finished, readable

NO_GRADIENT = (
    "Baselines, ensembles and heads of trunks have no gradient to take influence of; choose or train a single network."
)


def known_tables(labelled: bool = True) -> dict[str, tuple[str, Spec[Dataset]]]:
    """Tables to choose from by key: those kept with "Use this table", then those that come with the installation."""
    found = {}
    for entry in service().store.entries():
        if entry.kind not in ("load", "mend") or entry.damaged or (labelled and not entry.summary.get("tasks")):
            continue
        try:
            load = entry.spec
        except BadInput:
            continue
        name = load.title.removeprefix("load ")
        found[entry.key] = (f"{name} · {entry.summary.get('rows', 0):,} molecules", load)
    for name, known in BUNDLED.items():
        load = Load(f"bundled:{name}")
        if load.key not in found and (known.targets != () or not labelled):
            found[load.key] = (f"{name} · comes with the installation", load)
    return found


def choose_table(
    label: str, key: str, labelled: bool = True, help: str | None = None, start: Spec[Dataset] | None = None
) -> Spec[Dataset]:
    """A box with the known tables; `start`, or else the one used last, stands first."""
    found = known_tables(labelled)
    names = list(found)
    last = start.key if start is not None else st.session_state.get("table")
    if start is not None and last not in found:
        found, names = {last: (start.title, start), **found}, [last, *names]
    key = f"{key}-{last[:8]}" if start is not None else key
    place = names.index(last) if last in names else 0
    chosen = st.selectbox(label, names, index=place, format_func=lambda k: found[k][0], key=key, help=help)
    return found[chosen][1]


def choose_parts(table: Spec[Dataset], key: str, start: Part | None = None) -> dict[str, Part] | None:
    """The split of a table: its parts by name, "pool" among them if it has a size; nothing while the form is wrong."""
    bundled = isinstance(table, Load) and table.source.startswith("bundled:")
    start = start or Part(table, valid=0.15, test=0.15, pool=0.25 if bundled else 0.0)
    given = {"table": table, "part": "train"}
    first = spec_form(Part, key, given, start=start, hidden=("train",) if start.train is None else ())
    if first is None:
        return None
    sizes = {name: getattr(first, name) for name in ("train", "valid", "test", "pool")}
    return {name: dataclasses.replace(first, part=name) for name, size in sizes.items() if size != 0}


def three_parts(parts: dict[str, Part] | None) -> dict[str, Part] | None:
    """Training, validation and test part of a split; a sentence and nothing where one of them has no size."""
    found = {name: parts[name] for name in PARTS if name in parts} if parts is not None else {}
    if parts is not None and len(found) < len(PARTS):
        st.error("Give the validation and the test part a size: one chooses the best epoch, the other reports.")
    return found if len(found) == len(PARTS) else None


def choose_pool(fit: Spec[Fit], key: str) -> Spec[Dataset]:
    """The molecules to score: the pool that was set aside when the fit's table was split, or any other table."""
    aside = fit.split_parts.get("train")
    aside = dataclasses.replace(aside, part="pool") if isinstance(aside, Part) and aside.pool != 0 else None
    own = {"aside": ("the part of its table that was set aside as pool", aside)} if aside is not None else {}
    found = own | known_tables()
    chosen = st.selectbox(
        "Pool",
        list(found),
        format_func=lambda k: found[k][0],
        key=f"{key}-pool",
        help="With labels; or without, to see what measuring them would tell",
    )
    pool = found[chosen][1]
    help_ = "Gives a known share of the pool another molecule's label, to see whether the scores find them out"
    if not st.toggle("Plant wrong labels", key=f"{key}-plant", help=help_):
        return pool
    share = st.slider("Share planted", 0.05, 0.5, 0.2, 0.05, key=f"{key}-share")
    return Plant(pool, fraction=share)


def choose_fit(label: str, key: str) -> Run | None:
    """A box with the finished fits that have a gradient, those made for an arm of a study last; nothing if none has."""
    fits = {run.key: run for run, _ in finished(Fit)}
    found = {key: run for key, run in fits.items() if Spec.kinds[run.kind].has_gradient}
    asked = st.query_params.get("fit")
    if fits and (not found or asked in fits.keys() - found.keys()):
        st.warning(NO_GRADIENT)
    if not found:
        return None
    names = sorted(found, key=lambda key: bool(found[key].arm))
    last = asked or st.session_state.get("last-run-Fit-Checkpoint")
    place = names.index(last) if last in names else 0
    return found[st.selectbox(label, names, index=place, format_func=lambda k: found[k].label, key=key)]


def fit_recipe(run: Run) -> Spec[Fit] | None:
    """The recipe of a fit, if it names its validation part; else a sentence."""
    spec = readable(run)
    if spec is not None and "valid" not in spec.split_parts:
        st.warning("The recipe of this fit names no validation part; choose another fit.")
        return None
    return spec


def table_result(table: Dataset, key: str) -> None:
    """What a table holds: counts, labels, a drawn sample, and what was left out with the reasons."""
    dropped = table.dropped
    molecules = dropped[dropped["what"] == "molecule"]
    merged = dropped[dropped["what"] == "merged"]
    for column, (label, value) in zip(
        st.columns(4),
        (
            ("Molecules", f"{len(table):,}"),
            ("Targets", str(len(table.tasks))),
            ("Left out", f"{len(molecules):,}"),
            ("Merged duplicates", f"{len(merged):,}"),
        ),
        strict=True,
    ):
        column.metric(label, value)
    for note in table.provenance.get("notes", []):
        st.caption(f":material/info: {plain(note)}")
    labels, sample, out, rows = st.tabs(["Labels", "Drawn", f"Left out or merged ({len(dropped):,})", "Rows"])
    with labels:
        label_histogram(table, key)
    with sample:
        picked = np.random.default_rng(0).permutation(len(table))[:12]
        shown = pd.DataFrame({"smiles": table.smiles[picked]})
        if table.tasks:
            shown["label"] = table.targets[picked, 0]
        cards(shown, table.unit[0] if table.tasks else "")
    with out:
        if len(dropped):
            st.dataframe(dropped, hide_index=True, lazy=False, height=340, alt="What was left out, with reasons")
            st.download_button(
                "Left out (CSV)", lambda: as_csv(dropped), "molsway-left-out.csv", key=f"{key}-out", on_click="ignore"
            )
        else:
            st.caption("Nothing: every row was read.")
    with rows:
        first = pd.DataFrame({"smiles": table.smiles[:200]})
        for place, task in enumerate(table.tasks):
            first[f"{task} ({table.unit[place]})" if table.unit[place] else task] = table.targets[:200, place]
        st.dataframe(first, hide_index=True, lazy=False, height=340, alt="The first rows of the table")


def label_histogram(table: Dataset, key: str) -> None:
    """The labels of one task."""
    if not table.tasks:
        st.caption("No labels: molecules only, good for adapting a backbone.")
        return
    task = table.tasks[0] if len(table.tasks) == 1 else st.selectbox("Target", table.tasks, key=f"{key}-task")
    place = table.tasks.index(task)
    values = table.targets[:, place]
    figure = figures.labels({task: values}, task, table.unit[place])
    st.plotly_chart(figure, key=f"{key}-labels", config=figures.CONFIG, alt=f"Histogram of {task}")
    known = values[np.isfinite(values)]
    unit = table.unit[place] or "no unit given"
    st.caption(f"{len(known):,} measured, {len(values) - len(known):,} missing · {table.kinds[place]} · {plain(unit)}")

"""Training labels that look wrong: those furthest from the prediction of the model without the molecule."""

import pandas as pd
import streamlit as st

from core.chem.count_similarity import nearest_by_counts
from core.experiments import FineTune, LabelErrors
from core.results.scores import Scores
from pages.base.service import find_job, find_run, load_product, submit
from pages.base.text import escape_markdown
from pages.widgets.frame import export_buttons, show_command, to_csv
from pages.widgets.job_panel import show_job
from pages.widgets.molecules import draw_images, show_cards
from pages.widgets.run_picker import Run, read_spec

MAX_SHOWN = 12
RANKING_NAMES = {
    "suspicion": "both distances together",
    "leave_one_out": "the leave-one-out residual",
    "opinion": "the baseline",
    "residual": "the plain residual",
    "removal": "ΔL if removed",
}
NEIGHBOURS = 5  # molecules shown with a suspect


def show_leave_one_out(scores: Scores, unit: str) -> None:
    """Training molecules with the largest leave-one-out residuals, if these are known."""
    if "leave_one_out" in scores.training:
        with st.expander("Possible label errors in the training set", icon=":material/rule:"):
            suspect_table(scores.training, unit, "scores")


def suspect_table(training: pd.DataFrame, unit: str, key: str) -> None:
    """The training molecules with the largest leave-one-out residuals; one of them with its nearest neighbours."""
    st.markdown(
        "Leave-one-out residual: the distance between the label and the prediction of the model *without* this "
        "molecule, computed from its leverage without training again. A large value means a wrong label or a molecule "
        "unlike any other in the training set."
    )
    has_baseline = "suspicion" in training
    if has_baseline:
        st.caption(
            "Ranked by two distances: this one, and the distance from the prediction of a baseline that was fitted to "
            "the other molecules."
        )
    far = training["suspicion"] if has_baseline else training["leave_one_out"].abs()
    suspects = training.assign(without=training["label"] + training["leave_one_out"], far=far)
    suspects = suspects.sort_values("far", ascending=False).head(MAX_SHOWN)
    columns = {
        "structure": draw_images(suspects["smiles"].tolist()),
        "label": suspects["label"],
        "prediction without it": suspects["without"],
        **({"baseline prediction": suspects["opinion"]} if has_baseline else {}),
        "prediction": suspects["prediction"],
        "leverage": suspects["leverage"],
        "removal": suspects["removal"],
        **({"mislabelled": suspects["mislabelled"]} if "mislabelled" in suspects else {}),
        "smiles": suspects["smiles"],
    }
    number_format = st.column_config.NumberColumn(format="%.3g")
    event = st.dataframe(
        pd.DataFrame(columns),
        hide_index=True,
        key=f"suspicious-{key}",
        on_select="rerun",
        selection_mode="single-row",
        row_height=84,
        height=420,
        alt="Training molecules with the largest leave-one-out residuals",
        column_config={
            "structure": st.column_config.ImageColumn(width=140),
            **{name: number_format for name in ("label", "prediction without it", "baseline prediction", "prediction")},
            "leverage": st.column_config.NumberColumn(
                format="%.2f", help="share of the fitted value that is due to its own label"
            ),
            "mislabelled": st.column_config.CheckboxColumn("swapped on purpose"),
            "removal": st.column_config.NumberColumn(
                "ΔL if removed", format="%.3g", help="negative: the validation loss would decrease without it"
            ),
        },
    )
    st.caption(escape_markdown(f"In {unit}. The export has every training molecule.") if unit else "")
    selected = event.selection.rows if event else []
    show_neighbours(training, suspects.index[selected[0] if selected else 0], unit)


def show_neighbours(training: pd.DataFrame, suspect: int, unit: str) -> None:
    """A suspect and its nearest training molecules: if these agree with each other, the suspect is the outlier."""
    rows, similarity = nearest_by_counts([training["smiles"][suspect]], training["smiles"].tolist(), NEIGHBOURS + 1)
    near = [(row, value) for row, value in zip(rows[0], similarity[0], strict=True) if row != suspect][:NEIGHBOURS]
    st.caption("The chosen molecule (the first, if none is chosen) and its nearest training molecules")
    cards = training.iloc[[suspect, *(row for row, _ in near)]][["smiles", "label"]]
    notes = ["the suspect", *(f"similarity {value:.2f}" for _, value in near)]
    show_cards(cards.assign(note=notes), unit)


def show_label_errors(run: Run) -> None:
    """On the page of a model: the search for label errors, or its result."""
    spec = read_spec(run)
    if not isinstance(spec, FineTune) or len(run.entry.summary.get("tasks", ())) != 1:
        return
    search = LabelErrors.of(spec)
    entry, job = find_run(search), find_job(search)
    with st.expander(
        "Possible label errors in the training set", icon=":material/rule:", expanded=bool(job and job.is_active)
    ):
        if entry is None:
            if job is not None and show_job(job.key) is not None and job.is_active:
                return
            st.caption(
                "Compares each training label with the prediction of the model without that molecule (in closed form) "
                "and with a baseline. Solves one linear system over the training set: a few minutes for 1,000 "
                "molecules."
            )
            if st.button("Search for label errors", key=f"suspects-{run.key}", icon=":material/play_arrow:"):
                submit(search)
                st.rerun()
            return
        table = load_product(entry)
        suspect_table(table.table, (table.record.get("label_unit") or [""])[0], search.key)
        for name, value in table.record["detection"].items():
            st.caption(
                f"Labels swapped on purpose are detected by {RANKING_NAMES[name]} with AUROC {value['auroc']:.2f} "
                f"({value['low']:.2f} to {value['high']:.2f})."
            )
        export_buttons(
            f"suspects-{search.key}", table.record, {"training molecules": lambda: to_csv(table.table)}, search.key
        )
        show_command(search)

"""Training labels that look wrong: those furthest from what the model would say without them."""

import pandas as pd
import streamlit as st

from core.chem import molecules as chem
from core.experiments import FineTune, Suspects
from core.results.scores import Scores
from pages.base.service import entry_of, product, service, submit
from pages.base.text import plain
from pages.widgets.frame import as_csv, exports
from pages.widgets.job_panel import job_panel
from pages.widgets.molecules import cards, pictures
from pages.widgets.run_picker import Run, readable

SHOWN = 12
FOUND_BY = {
    "suspicion": "both together",
    "leave_one_out": "the predictions without them",
    "opinion": "the second opinion",
    "residual": "plain residuals",
    "removal": "ΔL if removed",
}
NEAR = 5  # molecules beside a suspect


def left_out(scores: Scores, unit: str) -> None:
    """Training molecules that the model would predict worst without themselves: wrong labels are among them."""
    if "leave_one_out" in scores.training:
        with st.expander("Training labels that look wrong", icon=":material/rule:"):
            suspicious(scores.training, unit, "scores")


def suspicious(training: pd.DataFrame, unit: str, key: str) -> None:
    """The training molecules furthest from the prediction of the model without them, one beside what is like it."""
    st.markdown(
        "How far the label lies from the prediction of the model *without* this molecule, by its leverage: no "
        "training is done again. Far out is a wrong label, or a kind of molecule the model knows nothing of else."
    )
    asked = "suspicion" in training
    if asked:
        st.caption(
            "Ranked by both: that distance, and the distance from what a model without a network says that was fitted "
            "to the other molecules."
        )
    far = training["suspicion"] if asked else training["leave_one_out"].abs()
    found = training.assign(without=training["label"] + training["leave_one_out"], far=far)
    found = found.sort_values("far", ascending=False).head(SHOWN)
    columns = {
        "structure": pictures(found["smiles"].tolist()),
        "label": found["label"],
        "prediction without it": found["without"],
        **({"second opinion": found["opinion"]} if asked else {}),
        "prediction": found["prediction"],
        "leverage": found["leverage"],
        "removal": found["removal"],
        **({"planted": found["planted"]} if "planted" in found else {}),
        "smiles": found["smiles"],
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
        alt="Training molecules far from the prediction of the model without them",
        column_config={
            "structure": st.column_config.ImageColumn(width=140),
            **{name: number_format for name in ("label", "prediction without it", "second opinion", "prediction")},
            "leverage": st.column_config.NumberColumn(
                format="%.2f", help="share of the fitted value that comes from its own label"
            ),
            "removal": st.column_config.NumberColumn(
                "ΔL if removed", format="%.3g", help="below zero: the target loss would fall without it"
            ),
        },
    )
    st.caption(plain(f"In {unit}. The export has every training molecule.") if unit else "")
    picked = event.selection.rows if event else []
    beside_like(training, found.index[picked[0] if picked else 0], unit)


def beside_like(training: pd.DataFrame, place: int, unit: str) -> None:
    """A suspect and the training molecules most like it: if they agree with each other, it is the odd one."""
    rows, similarity = chem.nearest([training["smiles"][place]], training["smiles"].tolist(), NEAR + 1)
    near = [(row, value) for row, value in zip(rows[0], similarity[0], strict=True) if row != place][:NEAR]
    st.caption("The one chosen above (the first, if none is) and the training molecules most like it")
    shown = training.iloc[[place, *(row for row, _ in near)]][["smiles", "label"]]
    notes = ["the suspect", *(f"similar {value:.2f}" for _, value in near)]
    cards(shown.assign(note=notes), unit)


def suspects(run: Run) -> None:
    """On the page of a fit: look for training labels that look wrong, or what was found."""
    spec = readable(run)
    if not isinstance(spec, FineTune) or len(run.entry.summary.get("tasks", ())) != 1:
        return
    recipe = Suspects.of(spec)
    entry, job = entry_of(recipe.key), service().line.job(recipe.key)
    with st.expander("Training labels that look wrong", icon=":material/rule:", expanded=bool(job and job.live)):
        if entry is None:
            if job is not None and job_panel(recipe.key) is not None and job.live:
                return
            st.caption(
                "What the model would say of each training molecule without it, in closed form, and the opinion of a "
                "model without a network: one linear system over the training part, some minutes for a thousand "
                "molecules."
            )
            if st.button("Look for them", key=f"suspects-{run.key}", icon=":material/play_arrow:"):
                submit(recipe)
                st.rerun()
            return
        found = product(entry)
        suspicious(found.table, (found.record.get("label_unit") or [""])[0], recipe.key)
        for name, value in found.record["detection"].items():
            st.caption(
                f"Planted wrong labels are found by {FOUND_BY[name]} with AUROC {value['auroc']:.2f} "
                f"({value['low']:.2f} to {value['high']:.2f})."
            )
        exports(f"suspects-{recipe.key}", found.record, {"training molecules": lambda: as_csv(found.table)}, recipe.key)

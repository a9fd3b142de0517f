"""Predict: a trained model and any molecules → predictions, their intervals, and whether the model applies to them."""

import streamlit as st

from core.engine.spec import BadInput
from core.experiments import Predict
from core.results.predictions import Predictions
from pages.base.address import read_address
from pages.base.text import format_percent
from pages.forms.prediction import choose_labels, choose_molecules, choose_predictor
from pages.results.predictions import predictions_result
from pages.widgets.frame import show_error, show_head
from pages.widgets.run_page import new_run, show_run
from pages.widgets.run_picker import list_runs


def ask_prediction() -> Predict | None:
    """The form: which model on the left, which molecules on the right."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Model**")
        chosen = choose_predictor()
        if chosen is None:
            return None
        level = st.select_slider(
            "Prediction intervals",
            [0.5, 0.8, 0.9, 0.95],
            value=0.9,
            format_func=format_percent,
            key="predict-level",
            help="The share of measured values that the intervals should contain, calibrated on the model’s validation "
            "set. It is guaranteed only for molecules exchangeable with that set.",
        )
    with right:
        st.markdown("**Molecules**")
        table = choose_molecules()
        if table is None:
            return None
        labels = choose_labels(table, chosen.tasks)
    try:
        return Predict(chosen.spec, table, labels=labels, level=level)
    except BadInput as error:
        show_error(error)
        return None


show_head(
    "Predict",
    "Predictions for other molecules, each with an interval, and whether they look like the training distribution "
    "(applicability domain).",
)
count = len(list_runs(Predictions))
asked = bool(read_address("fit"))
new_run("New predictions", ask_prediction, "Predict", str(count), expanded=not count or asked)
show_run(
    "Predictions",
    Predictions,
    result=predictions_result,
    without=(
        "No predictions yet",
        "Choose a model, then paste a few SMILES or choose a table. Every prediction comes with an interval.",
    ),
)

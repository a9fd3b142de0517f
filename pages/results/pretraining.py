"""A backbone that was adapted or pre-trained, on a page: its held-out losses before and after, and the curve."""

import streamlit as st

from core.figures import base as figures
from core.stats.formatting import format_number
from pages.base.service import load_product
from pages.base.text import capitalise
from pages.widgets.frame import show_command, show_warnings
from pages.widgets.run_picker import Run, read_spec

LOSSES = {  # of an adaptation, by its objective: what the axis says
    "masked tokens": "masked-token loss (nat)",
    "properties": "property loss (scaled units)",
    "both": "masked-token and property loss",
}
ADAPTED = {"perplexity": "Perplexity, held out", "property_error": "Property error, held out", "valid_loss": "Loss"}
PRETRAINED = {"token_loss": "Token loss (nat)", "property_error": "Property error", "label_loss": "Label loss"}


def adapted_result(run: Run) -> None:
    """Everything a finished adaptation shows."""
    checkpoint = load_product(run.entry)
    record = checkpoint.record
    losses = {label: name for name, label in ADAPTED.items() if record.get(name) is not None}
    for column, (label, name) in zip(st.columns(max(1, len(losses))), losses.items(), strict=False):
        column.metric(label, format_number(record[name]))
        column.caption(f"before {format_number(record.get(f'{name}_before'))}")
    if record.get("property_error") is not None:
        st.caption(
            f"Property error: mean squared error over {record.get('properties')} RDKit descriptors, standardised; "
            "predicting the mean scores about 1."
        )
    show_warnings(record.get("warnings", []))
    axis = LOSSES.get(record.get("objective"), LOSSES["masked tokens"])
    figure = figures.plot_learning_curves({"": checkpoint.curve}, {"": record.get("best_epoch")}, axis)
    st.plotly_chart(figure, key=f"curve-{run.key}", config=figures.CONFIG, alt=f"{capitalise(axis)} by epoch")
    show_next_step(run)


def pretrained_result(run: Run) -> None:
    """Everything a finished pre-training shows."""
    checkpoint = load_product(run.entry)
    record, corpus = checkpoint.record, checkpoint.record["corpus"]
    losses = {name: label for name, label in PRETRAINED.items() if name in record["held_out"]}
    for column, (name, label) in zip(st.columns(max(1, len(losses))), losses.items(), strict=False):
        column.metric(f"{label}, held out", format_number(record["held_out"][name]))
        column.caption(f"before {format_number(record['held_out_before'].get(name))}")
    st.caption(
        f"{corpus['molecules']:,} molecules, {record['rows']['held_out']:,} of them held out; "
        f"{format_number(record['epochs'])} epochs. {corpus['left_out']['molecules']:,} molecules were left out "
        "beforehand. Descriptors and labels are standardised; predicting the mean scores about 1."
    )
    show_warnings(record.get("warnings", []))
    best = checkpoint.curve.loc[checkpoint.curve["step"] == record["best_step"], "epoch"]
    figure = figures.plot_learning_curves(
        {"": checkpoint.curve}, {"": best.iloc[0] if len(best) else None}, "weighted loss"
    )
    st.plotly_chart(figure, key=f"curve-{run.key}", config=figures.CONFIG, alt="Weighted loss by epoch")
    with st.expander("All recorded numbers"):
        st.json(record, expanded=1)
    show_next_step(run)


def show_next_step(run: Run) -> None:
    st.caption("This backbone can now be chosen for fine-tuning.")
    if (spec := read_spec(run)) is not None:
        show_command(spec)
